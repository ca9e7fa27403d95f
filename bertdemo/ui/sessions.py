"""Sessions that cost next to nothing, and a queue that keeps no figures of its traffic.

For every new session Gradio 6.31 describes every component of the page anew: 23 ms of its only event loop and 0.6 MB;
and whatever an event reads or changes is described again, with its value. All that is read for deep links alone, which
are closed here, while every caller of the API who names no session is a new one.

One of four places that lean on Gradio's inside. Where it changes, sessions weigh as much as Gradio's own again, or the
server does not start; ``tests/ui/test_gradio_inside.py`` says which.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Container
from typing import Any

import gradio as gr
from gradio.state_holder import SessionState, StateHolder
from starlette.types import ASGIApp, Receive, Scope, Send

from .security import HEARTBEAT_PATH

MOST_OPEN = 4  # times the capacity: of more pages that are open at once the one that asked longest ago is forgotten


class LightSession(SessionState):
    """Gradio's session, with its own states and changed components, but no description of any component."""

    def __init__(self, demo: gr.Blocks) -> None:
        super().__init__(_NothingToDescribe(demo))  # type: ignore[arg-type]

    def __setitem__(self, key: int, value: Any) -> None:
        super().__setitem__(key, value)
        self.config_values.clear()  # a description of what was there before

    def _update_config(self, key: int) -> None:
        """Would describe a component that an event changed."""

    def _update_value_in_config(self, key: int, value: Any) -> None:
        """Would keep what an event read or wrote, be it of 8 MB, for as long as the session."""


class OpenPages:
    """Which sessions belong to a page that is open: each holds a connection of its own, its heartbeat."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    def __contains__(self, session: object) -> bool:
        return session in self._open

    def __len__(self) -> int:
        return len(self._open)

    def watched(self, app: ASGIApp) -> ASGIApp:
        """The same application, whose heartbeats are counted."""

        async def counting(scope: Scope, receive: Receive, send: Send) -> None:
            _, found, session = scope.get("path", "").partition(HEARTBEAT_PATH)
            if scope["type"] != "http" or not found:
                await app(scope, receive, send)
                return
            self._open[session] += 1
            try:
                await app(scope, receive, send)
            finally:
                self._open[session] -= 1
                if not self._open[session]:
                    del self._open[session]

        return counting


class LightSessions(StateHolder):
    """Gradio's sessions by name: of those whose page is not open the latest, so that no number of calls, each of which
    is a session, takes an open page's file and choices from it."""

    def __init__(self, open_pages: Container[str] = ()) -> None:
        super().__init__()
        self.open_pages = open_pages

    def update(self, session_id: str) -> None:
        """As Gradio's, which forgets the one that asked for nothing longest, open or not."""
        with self.lock:
            if session_id in self.session_data:
                self.session_data.move_to_end(session_id)
            while len(self.session_data) > self.capacity and (oldest := _to_forget(self, session_id)) is not None:
                del self.session_data[oldest]
                self.time_last_used.pop(oldest, None)

    def __getitem__(self, session_id: str) -> SessionState:
        if session_id not in self.session_data:
            self.session_data[session_id] = LightSession(self.blocks)
        return super().__getitem__(session_id)


def _to_forget(sessions: LightSessions, asking: str) -> str | None:
    closed = (name for name in sessions.session_data if name not in sessions.open_pages and name != asking)
    oldest = next(closed, None)
    if oldest is None and len(sessions.session_data) > MOST_OPEN * sessions.capacity:
        return next(iter(sessions.session_data))
    return oldest


class _NothingToDescribe:
    """What a new session asks of the page: its components to work with, and those to describe, which are none."""

    def __init__(self, demo: gr.Blocks) -> None:
        self.default_config = demo.default_config
        self.blocks: dict[int, Any] = {}


def use_light_sessions(demo: gr.Blocks, open_pages: Container[str] = ()) -> None:
    """From now on; right after the launch, which sets Gradio's own. Whoever came in between begins anew."""
    sessions = LightSessions(open_pages)
    sessions.set_blocks(demo)
    demo.app.state_holder = sessions


def keep_no_traffic_figures() -> None:
    """Before the page is built. Whether or not anybody may see them, Gradio computes percentiles over its last 10,000
    events with pandas, after every event; now once, over a single one."""
    os.environ["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = str(2**31)
    os.environ["GRADIO_ANALYTICS_MAX_EVENTS"] = "1"
