"""Where a run stands, read from its folder: the same for a run of this process, of another one, and of last week.

The cost does not grow with the run. Knows no queue: what only the manager knows is passed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .run import EVENTS_AT_ONCE, Run


@dataclass(frozen=True)
class Activity:
    """What a manager knows about a run that it keeps: its place in the queue, or what it is busy with."""

    position: int | None = None  # in the queue, from 1
    stopping: bool = False
    phase: str | None = None  # such as "tokenising", while one is going on
    done: int = 0
    total: int = 0

    @classmethod
    def of(cls, record: dict[str, Any]) -> Activity:
        """The phase that a record of progress tells of; none for any other record."""
        if record["event"] != "progress":
            return cls()
        return cls(phase=record["phase"], done=record["done"], total=record["total"])


@dataclass(frozen=True)
class RunStatus:
    """A run's state, and its events from a cursor on.

    Ask again with ``cursor``. Where ``since`` is not the cursor that was asked for, the run was resumed meanwhile:
    forget the events so far. Once the state is an ended one and no more events come, all have been seen.
    """

    run: str
    name: str
    state: str  # queued, preparing, training, stopping, finished, stopped, failed, interrupted, damaged
    activity: Activity
    step: int
    steps: int | None
    steps_per_second: float | None
    seconds_left: float | None
    error: str | None
    since: int
    cursor: int
    events: list[dict[str, Any]]


def read_status(
    run: Run, *, cursor: int = 0, limit: int = EVENTS_AT_ONCE, activity: Activity | None = None
) -> RunStatus:
    """The status of a run that was just opened, or that someone here works on, with at most ``limit`` events."""
    activity, record = activity or Activity(), run.record
    live = record.state in ("preparing", "training")
    page = run.events(cursor, limit=limit)
    step, rate = _pace(run)
    left = (record.steps - step) / rate if live and rate and record.steps is not None else None
    return RunStatus(
        run=run.id,
        name=record.name,
        state="stopping" if live and activity.stopping else record.state,
        activity=activity,
        step=max(step, record.steps_done),
        steps=record.steps,
        steps_per_second=rate,
        seconds_left=left,
        error=record.error,
        since=page.since,
        cursor=page.cursor,
        events=page.records,
    )


def _pace(run: Run) -> tuple[int, float | None]:
    """(the last step, steps per second over some hundred of them), by the monotonic clock that the steps carry."""
    steps = run.log.tail_ends("step")
    if not steps:
        return 0, None
    first, last = steps[0], steps[-1]
    seconds = last["seconds"] - first["seconds"]
    return last["step"], (last["step"] - first["step"]) / seconds if seconds > 0 else None
