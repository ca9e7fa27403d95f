"""A run's progress where Python runs: a bar in a terminal, one that is drawn anew in place in a notebook, else nothing.

Takes the records of a run one by one; computes nothing.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import Any, TypeAlias

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

Record: TypeAlias = dict[str, Any]
PAUSE = 0.2  # seconds between two drawings in a notebook: each is a message that stays in its traffic
_BAR = (
    '<div style="font:14px sans-serif"><progress value="{done}" max="{steps}" style="width:320px;accent-color:#d0661a">'
    "</progress> {words}</div>"
)


class Progressing:
    """What is known of a run that goes on, from its records."""

    def __init__(self) -> None:
        self.steps, self.done, self._epoch, self._loss, self._state = 0, 0, 0, "", "preparing"
        self._held_out: list[str] = []

    def take(self, record: Record) -> None:
        match record["event"]:
            case "progress" if not self.done:
                self._state = record["phase"]
            case "started":
                self.steps, self.done = record["steps"], record.get("resumed_from", 0)
            case "step":
                self.done, self._epoch, self._state = record["step"], record["epoch"], ""
                self._loss = "" if record["loss"] is None else f"loss {record['loss']:.3f}"
            case "evaluated" if record["loss"] is not None:
                self._held_out.append(f"{record['loss']:.3f}")
            case "finished" | "stopped" | "failed" as state:
                self._state = state

    @property
    def words(self) -> str:
        """'epoch 2, step 118 of 190, loss 2.713, held out 2.96 → 2.81'"""
        place = f"epoch {self._epoch}, step {self.done} of {self.steps}" if self.done else ""
        held_out = f"held out {' → '.join(self._held_out)}" if self._held_out else ""
        return ", ".join(filter(None, (self._state, place, self._loss, held_out)))


@contextmanager
def shown_progress() -> Iterator[Callable[[Record], None]]:
    """Gives the function that takes the records."""
    if in_notebook():
        yield _in_notebook()
        return
    console = Console(stderr=True, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task, seen = bar.add_task("preparing", total=None), Progressing()

        def show(record: Record) -> None:
            seen.take(record)
            bar.update(task, description=seen.words, completed=seen.done, total=seen.steps or None)

        yield show


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this, rather than a script, Python's prompt or IPython's."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def _in_notebook() -> Callable[[Record], None]:
    display = importlib.import_module("IPython.display")
    seen, drawn = Progressing(), 0.0
    place = display.display(display.HTML(_html(seen)), display_id=True)

    def show(record: Record) -> None:
        nonlocal drawn
        seen.take(record)
        if record["event"] not in ("step", "progress") or time.monotonic() - drawn >= PAUSE:
            drawn = time.monotonic()
            place.update(display.HTML(_html(seen)))

    return show


def _html(seen: Progressing) -> str:
    return _BAR.format(done=seen.done, steps=max(1, seen.steps), words=escape(seen.words))
