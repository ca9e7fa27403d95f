"""One run's folder: its record, its log, its models, and the lock that says whether someone is at work on it.

Where it stands is read from there alone: the same for a run of this process, of another one, and of last week. Knows
no list of runs, no queue and no training.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from bertdemo.mlm.errors import RunError

from .files import FolderLock, disk_errors, is_locked, read_whole, settle_folder, write_atomically
from .log import EventLog
from .record import ENDED_STATES, LIVE_STATES, RunRecord, damaged_record, read_record

logger = logging.getLogger(__name__)

RECORD_NAME = "run.json"
REPORT_NAME = "report.json"
RUN_ENTRIES = (  # all that may lie in a run's folder; "corpus" and "recipe.json" are a pretraining's
    *(RECORD_NAME, REPORT_NAME, "events.jsonl", "held_out.jsonl", "lock", "recipe.json"),
    *("checkpoint", "model", "best_model", "data", "corpus"),
)
ATTEMPT = 2**40  # a cursor is attempt * ATTEMPT + byte offset; a log of a terabyte is not to be feared
EVENTS_AT_ONCE = 2000
MEASURED = ("step", "evaluated", "general")  # the events that hold figures, and what they hold
METRICS = (
    *("event", "step", "epoch", "loss", "learning_rate", "targets", "tokens", "seconds"),
    *("perplexity", "top1", "top5", "hidden"),
)

_writing = threading.Lock()  # reading, changing and writing a record is one act within this process


@dataclass(frozen=True)
class EventPage:
    """Records from the cursor ``since`` on. Where ``since`` is not the cursor that was asked for, the log has been cut
    by a resumption meanwhile, and whoever follows it starts anew with these."""

    since: int
    cursor: int  # to ask for next
    records: list[dict[str, Any]]


class Run:
    """A run on disk. ``record`` is what was last read or written; whoever changes the run holds its lock."""

    def __init__(self, folder: Path, record: RunRecord) -> None:
        self.folder, self.record = folder, record
        self.log = EventLog(folder / "events.jsonl")
        self._lock = FolderLock(folder)

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def checkpoint_folder(self) -> Path:
        return self.folder / "checkpoint"

    @property
    def held_out_path(self) -> Path:
        return self.folder / "held_out.jsonl"

    @property
    def model_folder(self) -> Path:
        """Where the last epoch's model is, once there is one."""
        return self.folder / "model"

    @property
    def best_model_folder(self) -> Path:
        return self.folder / "best_model"

    def models(self) -> dict[str, str]:
        """Absolute paths of the models that are there: ``{"model": ..., "best_model": ...}``, or fewer."""
        folders = {"model": self.model_folder, "best_model": self.best_model_folder}
        return {name: str(folder.resolve()) for name, folder in folders.items() if folder.is_dir()}

    def claim(self) -> None:
        """Become the one who works on this run. Raises RunError when another process, or another thread, does.

        The record is read again: what it said before the claim may have been another's work since.
        """
        with disk_errors(f"The run {self.id}"):
            if not self._lock.acquire():
                raise RunError(f"The run {self.id} is being worked on; wait until it has ended, or stop it first.")
        if (self.folder / RECORD_NAME).exists():
            with suppress(RunError):  # a damaged one: it can still be deleted
                self.record = _read(self.folder)

    def release(self) -> None:
        self._lock.release()

    def update(self, **changes: Any) -> None:
        """Change fields of the record, on disk and here. Raises RunError when the disk refuses."""
        with _writing, disk_errors("The run's record"):
            current = _read(self.folder) if (self.folder / RECORD_NAME).exists() else self.record
            changed = dataclasses.replace(current, **changes)
            write_atomically(self.folder / RECORD_NAME, changed.to_json())
            self.record = changed  # not before: whoever hears of it here may look there at once

    def settle(self) -> None:
        """Undo what a kill left half done. Only for whoever holds the lock."""
        for folder in (self.checkpoint_folder, self.model_folder, self.best_model_folder):
            settle_folder(folder)

    def events(self, cursor: int = 0, *, limit: int = EVENTS_AT_ONCE) -> EventPage:
        """The records from a cursor on, at most ``limit``; the cost does not grow with the run.

        0 and any cursor from before a resumption stand for the beginning.
        """
        first = self.record.attempt * ATTEMPT
        valid = first <= cursor <= first + self.log.size()
        since = cursor if valid else first
        with disk_errors("The run's log"):
            records, end = self.log.read(since - first, limit=limit)
        return EventPage(0 if cursor == 0 else since, first + end, records)

    def to_frame(self) -> pd.DataFrame:
        """A row for each step and evaluation, as logged: ``METRICS`` are its columns."""
        rows = [record for record in self.log.records() if record["event"] in MEASURED]
        return pd.DataFrame(rows, columns=list(METRICS)).convert_dtypes()

    def summary(self) -> dict[str, Any]:
        """What a list of runs shows of it, as a JSON object; neither the owner's hash nor the data's path."""
        record, figures = self.record, self.record.figures
        losses = {"before": figures.before, "after": figures.after, "best": figures.best}
        return {
            "run": record.id,
            "name": record.name,
            "state": record.state,
            "created": record.created,
            "seconds": record.seconds,
            "base_model": record.model.label,
            "data": record.data.name,
            "steps": record.steps,
            "steps_done": record.steps_done,
            "held_out_loss": {name: evaluated and evaluated["loss"] for name, evaluated in losses.items()},
            "error": record.error,
            "folder": str(self.folder.resolve()),
            **self.models(),
        }


def open_run(folder: Path) -> Run:
    """The run in this folder; one that is marked alive but held by nobody becomes ``interrupted``.

    Raises RunError where there is no run.json, or a damaged one.
    """
    run = Run(folder, _read(folder))
    if run.record.state in LIVE_STATES and not is_locked(folder):
        _mark_interrupted(run)
    return run


def open_or_describe(folder: Path) -> Run:
    """As ``open_run``, but a damaged run is returned too, in the state ``damaged``: a list must not break on it."""
    try:
        return open_run(folder)
    except RunError as exc:
        logger.warning("damaged run in %s: %s", folder, exc)
        return Run(folder, damaged_record(folder.name, str(exc)))


def utc_now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _read(folder: Path) -> RunRecord:
    try:
        text = read_whole(folder / RECORD_NAME)
    except UnicodeDecodeError:
        text = ""
    except OSError as exc:
        raise RunError(f"There is no run in the folder {folder.name!r}: its run.json cannot be read.") from exc
    return read_record(text)


def _mark_interrupted(run: Run) -> None:
    """Its process died. Whoever notices writes it down, unless the process had only its last line left to write.

    The lock was free when it was looked at; only the claim makes that last. In between the run may have ended well, or
    have been taken up again, so what counts is the record as it stands under the claim.
    """
    try:
        run.claim()
    except RunError:  # someone came to life meanwhile, or the disk is read-only: write nothing
        _look_again(run)
        return
    try:
        if run.record.state in LIVE_STATES:
            run.settle()
            run.update(**_outcome(run.log.tail()))
    except (RunError, OSError) as exc:
        logger.warning("run %s is interrupted, but that could not be written down: %s", run.id, exc)
        run.record = dataclasses.replace(run.record, state="interrupted")
    finally:
        run.release()


def _look_again(run: Run) -> None:
    """Without a claim, a run is dead if its lock was free between two readings of the same record."""
    before = run.record
    free = not is_locked(run.folder)
    run.record = _read(run.folder)
    if free and run.record == before:
        run.record = dataclasses.replace(before, state="interrupted")


def _outcome(tail: list[dict[str, Any]]) -> dict[str, Any]:
    """What the end of the log says about a run whose process is gone: fields of its record."""
    last = tail[-1].get("event") if tail else None
    outcome: dict[str, Any] = {"state": last if last in ENDED_STATES else "interrupted"}
    if last == "failed":
        outcome["error"] = tail[-1].get("error")
    for record in tail:
        if record.get("event") == "step":
            outcome |= {"steps_done": record["step"], "seconds": record["seconds"]}
    return outcome


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
