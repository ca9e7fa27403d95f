"""Carry out a run: the data read and the weights loaded; then a session's events become the run's log, checkpoints and
models, and are passed on as records.

The one way to train, for the command line and for the server. Knows no queue.
"""

from __future__ import annotations

import ctypes
import dataclasses
import gc
import logging
import shutil
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import lru_cache, partial
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, TypeAlias

from bertdemo.mlm.data.corpus import Corpus, Dialect, preview, read_corpus
from bertdemo.mlm.errors import BertDemoError, RunError
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.models.registry import ModelRegistry
from bertdemo.mlm.training.events import RunEnded, TrainingEvent, event_record
from bertdemo.mlm.training.loop import TrainingSession
from bertdemo.mlm.training.replay import GENERAL, read_replay, replay_sha256

from .checkpoint import load_checkpoint, save_checkpoint
from .files import disk_errors, write_atomically
from .log import encode, finite
from .model_card import save_model
from .record import RESUMABLE_STATES, DataSource, Figures, RunRequest, short_id, slug
from .run import Run, utc_now

logger = logging.getLogger(__name__)

SHARE_OF_TIME = 0.05  # the most of a run's time that checkpoints by the clock may cost
TIDY_SECONDS = 60.0  # between two times that free memory is given back


Doing: TypeAlias = Callable[[str, Callable[[], Any]], Any]  # (phase, work) -> what the work returns


def data_source(request: RunRequest) -> DataSource:
    """The request's data as a run records it."""
    dialect = dataclasses.asdict(request.dialect) if request.dialect is not None else None
    return DataSource(
        request.shown_name,
        str(request.data.resolve()),
        column=request.column,
        limit=request.limit,
        dialect=dialect,
        **replay_source(request.replay),
    )


def rows_asked_for(request: RunRequest) -> int:
    """How many rows it would train on, about, from the beginning of its file. Raises DataError."""
    used = preview(request.data, dialect=request.dialect, column=request.column).report.used
    return min(used, request.limit or used)


def keep_data(run: Run) -> None:
    """Copy a claimed run's data into its folder: an upload may vanish, and a resumption needs it. Raises RunError."""
    data = run.record.data
    stem, suffix = Path(data.name).stem, Path(data.name).suffix
    copy = run.folder / "data" / (slug(stem) + (f".{slug(suffix)}" if suffix else ""))
    with disk_errors("The copy of the data file"):
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(data.path, copy)
    run.update(data=dataclasses.replace(data, path=str(copy.resolve())))


class Session(Protocol):
    """What is asked of ``bertdemo.mlm.training.loop.TrainingSession``."""

    masked_lm: MaskedLM

    def events(self) -> Generator[TrainingEvent, None, None]: ...
    def state(self) -> dict[str, Any]: ...
    def restore(self, state: dict[str, Any]) -> None: ...
    def held_out_masks(self) -> Iterator[dict[str, Any]]: ...


def read_data(data: DataSource, *, seed: int) -> Corpus:
    """Read and split the rows of a run. Raises DataError; RunError when the file is not the one that it was."""
    if data.sha256 and not Path(data.path).is_file():
        raise RunError(f"The run's data file {data.name!r} is gone; put it back where it was, or start a new run.")
    dialect = Dialect(**data.dialect) if data.dialect is not None else None
    corpus = read_corpus(data.path, column=data.column, dialect=dialect, limit=data.limit, seed=seed)
    if data.sha256 and corpus.sha256 != data.sha256:
        raise RunError(f"The run's data file {data.name!r} has changed since the run began; start a new run.")
    return corpus


def replay_source(replay: str | None) -> dict[str, str]:
    """General texts as a run records them: fields of its ``DataSource``. Raises DataError where they cannot be read."""
    if replay is None:
        return {}
    path = replay if replay == GENERAL else str(Path(replay).resolve())
    return {"replay": path, "replay_sha256": replay_sha256(path)}


def read_general(data: DataSource, *, held_out: Sequence[str]) -> tuple[str, ...]:
    """The general texts that a run mixes in, without what it holds out; () where it mixes in none.

    Raises DataError where they cannot be read; RunError when the file is not the one that it was.
    """
    if data.replay is None:
        return ()
    if data.replay_sha256 and replay_sha256(data.replay) != data.replay_sha256:
        raise RunError(f"The general texts {data.replay_name!r} have changed since the run began; start a new run.")
    return read_replay(data.replay, held_out=held_out)


def at_once(_phase: str, work: Callable[[], Any]) -> Any:
    return work()


def prepare(
    run: Run,
    registry: ModelRegistry,
    *,
    general: Sequence[str] = (),
    do: Doing = at_once,
    check_rows: Callable[[int, int], None] = lambda _rows, _epochs: None,
) -> TrainingSession:
    """Load what the record names and write down what was found; ``general``: sentences to measure forgetting on.

    ``do`` is given each part of the work that may take long, and returns its result; ``check_rows`` the rows and the
    epochs. Raises BertDemoError where data, model or settings do not allow it, and whatever these two raise.
    """
    record = run.record
    corpus = do("reading the data", partial(read_data, record.data, seed=record.settings.seed))
    replay = do("reading the general texts", partial(read_general, record.data, held_out=corpus.held_out))
    run.update(data=dataclasses.replace(record.data, sha256=corpus.sha256, column=corpus.column))
    check_rows(corpus.report.used, record.settings.epochs)
    settings = record.settings
    if record.precision is not None:  # a run that goes on keeps the precision that it began with
        settings = dataclasses.replace(settings, precision=record.precision)

    def load() -> TrainingSession:
        return TrainingSession(registry.private_copy(record.model), corpus, settings, general=general, replay=replay)

    return do("loading the model", load)


def execute(
    run: Run, session: Session, *, stop: Callable[[], bool] = lambda: False, checkpoint_seconds: float = 60.0
) -> Generator[dict[str, Any], None, None]:
    """Train to the end, or until ``stop`` says so; yields the records that the log gets, and those of progress besides.

    The last record is ``finished`` or ``stopped``, with the models in place, or ``failed`` with a sentence. Closing the
    generator stops the run and saves it. Raises RunError only if someone else works on the run.
    """
    # Whoever made or queued the run holds it already, and claiming again is nothing then; but one that was released
    # in between may have been taken up by another process, and two writers would mix their logs.
    run.claim()
    logger.debug("run %s begins", short_id(run.id))
    try:
        recorder = _Recorder(run, session, checkpoint_seconds=checkpoint_seconds)
        try:
            with closing(session.events()) as events:
                ended = yield from _follow(events, recorder, stop)
        except GeneratorExit:
            recorder.end("stopped")
            raise
        except Exception as exc:
            last = record_failure(run, exc)
        else:
            last = recorder.end(ended)
    finally:
        run.release()
    logger.debug("run %s: %s after %d steps", short_id(run.id), last["event"], run.record.steps_done)
    yield last


def claim_to_resume(run: Run, *, state: str = "preparing") -> None:
    """Claim an ended run, to go on with it. Raises RunError when it is finished or someone is at work on it."""
    run.claim()
    if run.record.state not in RESUMABLE_STATES:
        run.release()
        raise RunError(f"The run {run.id} is {run.record.state}, so there is nothing to resume.")
    run.update(state=state)


def restore(run: Run, session: Session) -> None:
    """Take a claimed run up at its last complete checkpoint, or from the beginning if it has none.

    The log is cut behind that checkpoint. Raises RunError when the checkpoint is damaged.
    """
    run.settle()
    step, log_bytes = 0, 0
    if run.checkpoint_folder.is_dir():
        checkpoint = load_checkpoint(run.checkpoint_folder)
        session.restore(checkpoint["session"])
        step, log_bytes = checkpoint["step"], checkpoint["log_bytes"]
    with disk_errors("The run's log"):
        run.log.truncate(min(log_bytes, run.log.size()))
    figures = Figures()
    for record in run.log.records():
        if record["event"] in ("evaluated", "general"):
            figures = figures.with_record(record)
    attempt = run.record.attempt + 1
    run.update(attempt=attempt, steps_done=step, figures=figures, state="preparing", error=None, ended=None)


def record_failure(run: Run, error: Exception) -> dict[str, Any]:
    """Write down that the run failed: the error's sentence, or for a bug a plain one, with the traceback in our log."""
    sentence = str(error)
    if not isinstance(error, BertDemoError):
        logger.error("run %s failed", short_id(run.id), exc_info=error)
        sentence = "The run failed because of a fault in bertdemo; the program's log has the details."
    models = run.models()
    record = event_record(RunEnded("failed", best_model=models.get("best_model"), error=sentence))
    try:
        run.log.append(record)
        run.update(state="failed", error=sentence, ended=utc_now())
    except (OSError, RunError) as exc:  # the disk that made the run fail may refuse this as well
        logger.warning("run %s failed, but that could not be written down: %s", short_id(run.id), exc)
    return record


def _follow(
    events: Iterator[TrainingEvent], recorder: _Recorder, stop: Callable[[], bool]
) -> Generator[dict[str, Any], None, str]:
    """Pass every event on; returns how it ended. A Ctrl-C that nobody caught before counts as a stop."""
    yield from recorder.resumed()
    try:
        for event in events:
            record = recorder.take(event)
            if record is not None:
                yield record
            if stop():
                return "stopped"
    except KeyboardInterrupt:
        return "stopped"
    return "finished"


class _Recorder:
    """Writes what a session says into its run's folder."""

    def __init__(self, run: Run, session: Session, *, checkpoint_seconds: float) -> None:
        self._run, self._session, self._checkpoint_seconds = run, session, checkpoint_seconds
        self._figures, self._step, self._seconds = run.record.figures, run.record.steps_done, run.record.seconds
        self._saved_step, self._saved_at, self._saving_took = self._step, time.monotonic(), 0.0
        self._tidied_at = time.monotonic()
        self._reason: str | None = None  # why it finished before its last step
        self._logged = {  # a resumed session may repeat what it said about its first step
            (record["event"], record["step"]) for record in run.log.tail() if record.get("step") == self._step
        }

    def resumed(self) -> Iterator[dict[str, Any]]:
        """For a run that goes on: how it once started, so that whoever follows it knows what to expect."""
        if self._step:
            started = next(self._run.log.records(), {})
            yield {**started, "resumed_from": self._step}

    def take(self, event: TrainingEvent) -> dict[str, Any] | None:
        """Write the event down; returns its record, or None where the log has it already."""
        record = finite(event_record(event))
        kind = record["event"]
        if kind == "progress":
            return record
        if (kind, record.get("step")) in self._logged:
            return None
        if kind == "started":
            self._start(record)
        elif self._run.record.state != "training":
            self._run.update(state="training")
        with disk_errors("The run's log"):
            self._run.log.append(record)
        if kind == "step":
            self._take_step(record)
        elif kind in ("evaluated", "general"):
            self._take_figures(record)
        elif kind == "ended_early":
            self._reason = record["reason"]
        return record

    def end(self, state: str) -> dict[str, Any]:
        """Put everything in its place, and only then say that the run has ended; returns the last record."""
        try:
            return self._end(state)
        except Exception as exc:
            return record_failure(self._run, exc)

    def _end(self, state: str) -> dict[str, Any]:
        self._update()
        if self._step:
            save_model(self._session.masked_lm, self._run.model_folder, record=self._run.record)
        if state == "stopped" and self._step > self._saved_step:
            self._save_checkpoint()
        reason = self._reason if state == "finished" else None
        record = event_record(RunEnded(state, **self._run.models(), reason=reason))
        with disk_errors("The run's log"):
            self._run.log.append(record)
        self._run.update(state=state, ended=utc_now())
        return record

    def _start(self, record: dict[str, Any]) -> None:
        record["run"] = self._run.id
        known = ("train_rows", "held_out_rows", "steps", "precision", "device")
        self._run.update(state="training", started=utc_now(), **{name: record[name] for name in known})

    def _take_step(self, record: dict[str, Any]) -> None:
        self._step, self._seconds = record["step"], record["seconds"]
        pause = max(self._checkpoint_seconds, self._saving_took / SHARE_OF_TIME)
        if time.monotonic() - self._saved_at >= pause:
            self._save_checkpoint()
        if time.monotonic() - self._tidied_at >= TIDY_SECONDS:
            give_back()
            self._tidied_at = time.monotonic()

    def _take_figures(self, record: dict[str, Any]) -> None:
        self._figures = self._figures.with_record(record)
        if not self._run.held_out_path.exists():
            masks = "".join(encode(row) + "\n" for row in self._session.held_out_masks())
            with disk_errors("The held-out rows"):
                write_atomically(self._run.held_out_path, masks)
        last = "general" if self._figures.general_before else "evaluated"
        if record["step"] and record["event"] == last:
            self._end_epoch()

    def _end_epoch(self) -> None:
        """All of the epoch's figures are there: keep its weights if they are the best, and a checkpoint."""
        self._update()
        if self._figures.best is self._figures.after:
            save_model(self._session.masked_lm, self._run.best_model_folder, record=self._run.record)
        self._save_checkpoint()

    def _save_checkpoint(self) -> None:
        started = time.monotonic()
        with disk_errors("The run's log"):
            self._run.log.flush_to_disk()
        state = {"step": self._step, "log_bytes": self._run.log.size(), "session": self._session.state()}
        save_checkpoint(self._run.checkpoint_folder, state)
        self._saved_step, self._saved_at = self._step, time.monotonic()
        self._saving_took = self._saved_at - started

    def _update(self) -> None:
        self._run.update(figures=self._figures, steps_done=self._step, seconds=self._seconds)


def give_back() -> bool:
    """Return free pages to the system, which takes about 0.1 s for a gigabyte; False where it can't be asked for."""
    trim = _malloc_trim()
    return trim is not None and bool(trim(0))


def collect() -> None:
    """Let go of what only garbage still holds, and return it."""
    gc.collect()
    give_back()


@lru_cache
def _malloc_trim() -> Callable[[int], int] | None:
    """glibc's ``malloc_trim``; other systems' C libraries have nothing of the kind."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return None


@contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Inside the block, SIGINT and SIGTERM make the given function return True; a second one interrupts at once.

    Only the main thread hears signals; elsewhere the function always returns False.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def ask(_signal: int, _frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    previous = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
