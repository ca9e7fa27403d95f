"""Answers what every open page asks each second, the news of a run, before the question reaches Gradio.

Gradio routes such a question through two thread pools and two layers of JSON models, which takes from a training run
several times what the answer itself does. Plain ASGI; whatever is not such a question, or would take long to answer,
passes on unchanged, and Gradio answers as it always does. It checks no login: only for servers that ask for none.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PATH = "/gradio_api/component_server"
FUNCTION = "poll"  # of the live chart
MOST_BYTES = 1_000  # of a question: a run's id, a cursor and a session's name


class QuickPoll:
    """``answer``: what is asked -> its answer, or None where somebody else should find it; called in the event loop."""

    def __init__(self, app: ASGIApp, *, answer: Callable[[Any], dict[str, Any] | None]) -> None:
        self._app, self._answer = app, answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].endswith(PATH):
            await self._app(scope, receive, send)
            return
        first = await receive()
        found = self._found(first)
        if found is None:
            await self._app(scope, _again(first, receive), send)
            return
        body = json.dumps(found, separators=(",", ":")).encode("ascii")
        await Response(body, media_type="application/json")(scope, receive, send)

    def _found(self, message: Message) -> dict[str, Any] | None:
        body = message.get("body", b"")
        if message.get("more_body") or len(body) > MOST_BYTES:
            return None
        try:
            question = json.loads(body)
        except (ValueError, RecursionError):  # the latter for hundreds of brackets
            return None
        if not isinstance(question, dict) or question.get("fn_name") != FUNCTION:
            return None
        return self._answer(question.get("data"))


def _again(first: Message, receive: Receive) -> Receive:
    """A ``receive`` that begins with a message that was taken already."""
    taken = [first]

    async def replay() -> Message:
        return taken.pop() if taken else await receive()

    return replay
