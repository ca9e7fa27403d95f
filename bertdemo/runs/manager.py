"""Runs in the background: what is asked for, a queue, and one worker thread that trains one run after another.

The manager owns the runs; whoever watches reads them from disk by cursor, so tabs may come and go. Knows no page.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import logging
import secrets
import shutil
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, wait
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakSet

from bertdemo.mlm.data.corpus import Dialect
from bertdemo.mlm.errors import DataError, RunError, TextError
from bertdemo.mlm.models.masked_lm import ModelRef
from bertdemo.mlm.models.registry import ModelRegistry
from bertdemo.mlm.settings import SETTINGS, TrainingConfig
from bertdemo.mlm.text.prompt import marked_text
from bertdemo.mlm.training.replay import replay_sha256

from .execution import (
    Doing,
    Session,
    claim_to_resume,
    collect,
    execute,
    prepare,
    record_failure,
    replay_source,
    restore,
)
from .files import disk_errors
from .record import LIVE_STATES, DataSource, clean_name, slug
from .run import EVENTS_AT_ONCE, Activity, Run, RunStatus, read_status, utc_now
from .store import RunStore

logger = logging.getLogger(__name__)

STOP_HEARD = 0.1  # seconds, while a run is being prepared
UNHEARD_SECONDS = 5.0  # for preparations that nobody waits for any more to end, when the program does


@dataclass(frozen=True)
class RunRequest:
    """What to train on what. ``model`` is a reference as users type it, ``data_name`` the file as they know it."""

    data: Path
    settings: TrainingConfig = TrainingConfig()
    model: str = "mini-bert"
    column: str | None = None
    dialect: Dialect | None = None  # what overrides the detected one
    limit: int | None = None
    replay: str | None = None  # "general", or the path of a file, to be mixed in
    name: str = ""
    data_name: str = ""

    def check(self) -> None:
        """Raises DataError, SettingsError or TextError for what would make the run fail at once."""
        if not self.data.is_file():
            raise DataError(f"The data file {self.shown_name!r} is not there any more; upload it again.")
        SETTINGS["limit"].check(self.limit)
        if self.replay is not None:
            replay_sha256(self.replay)
        for probe in self.settings.probes:
            _check_probe(probe)

    @property
    def shown_name(self) -> str:
        return clean_name(self.data_name or self.data.name)


def _check_probe(probe: str) -> None:
    try:
        marked_text(probe, mask="[MASK]")  # every way to write a mask; which one the model has does not matter yet
    except TextError as exc:
        raise TextError(f"The probe {probe[:60]!r} has no mask; write [MASK] where a word is to be guessed.") from exc


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


def keep_data(run: Run) -> None:
    """Copy a claimed run's data into its folder: an upload may vanish, and a resumption needs it. Raises RunError."""
    data = run.record.data
    stem, suffix = Path(data.name).stem, Path(data.name).suffix
    copy = run.folder / "data" / (slug(stem) + (f".{slug(suffix)}" if suffix else ""))
    with disk_errors("The copy of the data file"):
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(data.path, copy)
    run.update(data=dataclasses.replace(data, path=str(copy.resolve())))


@dataclass(frozen=True)
class Submission:
    """A run that has been queued, and the token with which its owner may stop, resume, rename or delete it."""

    run_id: str
    owner: str


@dataclass
class _Job:
    """A run that waits or is at work; its lock is held all the while."""

    run: Run
    resume: bool = False
    stop: threading.Event = field(default_factory=threading.Event)
    activity: Activity = Activity()


class RunManager:
    """Queues, runs, stops and resumes; every method answers at once and may be called from any thread.

    With ``require_owner`` whatever changes a run takes its owner's token. Without ``allow_folders`` a request may name
    the bundled model, a run or a hub id, but no folder. ``make_session`` makes a session from a claimed run, as
    ``prepare`` does. ``device``: for runs that ask for none. What kills left behind in the store is swept.
    """

    def __init__(  # noqa: PLR0913 (what a server, the command line and a test each set otherwise)
        self,
        store: RunStore,
        registry: ModelRegistry,
        *,
        general: Sequence[str] = (),
        require_owner: bool = False,
        allow_folders: bool = True,
        max_queue: int = 20,
        checkpoint_seconds: float = 60.0,
        device: str | None = None,
        make_session: Callable[[Run, Doing], Session] | None = None,
    ) -> None:
        self.store, self.registry = store, registry
        self.require_owner, self.allow_folders = require_owner, allow_folders
        self._make_session = make_session or self._prepare
        self._general, self._device = general, device
        self._max_queue, self._checkpoint_seconds = max_queue, checkpoint_seconds
        self._changed = threading.Condition()  # guards what follows
        self._queue: deque[_Job] = deque()
        self._active: _Job | None = None
        self._worker: threading.Thread | None = None
        self._closed = False
        self._unheard: WeakSet[threading.Thread] = WeakSet()
        store.sweep()

    def submit(self, request: RunRequest, *, owner: str = "") -> Submission:
        """Queue a run on a copy of the data file, which may be deleted at once; an empty ``owner`` gets a new token.

        Raises DataError, ModelError, TextError or RunError for what can be seen without loading anything.
        """
        request.check()
        model = self.registry.resolve(request.model, allow_folders=self.allow_folders)
        self._check_room()
        owner = owner or new_token()
        data, settings = data_source(request), replace(request.settings, device=request.settings.device or self._device)
        run = self.store.create(
            name=request.name, model=model, data=data, settings=settings, owner=token_hash(owner), state="queued"
        )
        try:
            keep_data(run)
            self._enqueue(_Job(run))
        except BaseException:
            run.release()
            self.store.delete(run.id)
            raise
        return Submission(run.id, owner)

    def resume(self, run_id: str, *, owner: str = "") -> str:
        """Queue an interrupted, stopped or failed run to go on from its last checkpoint; returns its id."""
        run = self._owned(run_id, owner)
        self._check_room()
        claim_to_resume(run, state="queued")
        try:
            self._enqueue(_Job(run, resume=True))
        except BaseException:
            run.update(state="interrupted")
            run.release()
            raise
        return run.id

    def stop(self, run_id: str, *, owner: str = "") -> str:
        """Ask a run to stop and keep what it has learnt; returns its state now, for an ended run that one."""
        run = self._owned(run_id, owner)
        with self._changed:
            job = self._find(run.id)
            queued = job if job is not self._active else None
            if queued is not None:
                self._queue.remove(queued)
            elif job is not None:
                job.stop.set()
        if queued is not None:
            try:
                _say_stopped(queued.run)
            finally:
                queued.run.release()
            return "stopped"
        state = self.store.get(run.id).record.state  # read again: it may have ended a moment ago
        if state not in LIVE_STATES:
            return state
        if job is None:
            raise RunError(f"The run {run.id} was started by another program, so stop it there, with Ctrl-C.")
        return "stopping"

    def status(self, run_id: str, *, cursor: int = 0, limit: int = EVENTS_AT_ONCE) -> RunStatus:
        """Where the run stands, with its events from the cursor on; the cost does not grow with the run."""
        run = self._at_hand(run_id) or self.store.get(run_id)
        return read_status(run, cursor=cursor, limit=limit, activity=self._activity(run.id))

    def live(self) -> tuple[str, ...]:
        """Ids of the runs at hand: the one at work first, then those that wait, in order."""
        with self._changed:
            return tuple(job.run.id for job in self._jobs())

    def pulse(self) -> str:
        """Another text whenever a run joins the queue, enters another state, or ends."""
        with self._changed:
            return " ".join(f"{job.run.id}:{job.run.record.state}" for job in self._jobs())

    def rename(self, run_id: str, name: str, *, owner: str = "") -> None:
        renamed = self.store.rename(self._owned(run_id, owner).id, name)
        if (run := self._at_hand(renamed.id)) is not None:
            run.update(name=renamed.record.name)  # in memory too, where status looks

    def delete(self, run_id: str, *, owner: str = "") -> None:
        """Delete an ended run and its models. Raises RunError while it is queued or at work."""
        run = self._owned(run_id, owner)
        models = run.models()
        self.store.delete(run.id)
        for folder in models.values():
            self.registry.forget(ModelRef(run.record.name, folder))

    def shutdown(self, timeout: float = 30.0) -> bool:
        """Take no more runs, stop the one at work and wait until it is saved; waiting ones become interrupted.

        Returns whether all was saved within ``timeout`` seconds.
        """
        with self._changed:
            self._closed = True
            waiting, self._queue = self._queue, deque()
            if self._active is not None:
                self._active.stop.set()
            self._changed.notify_all()
        for job in waiting:  # let go of, a queued run counts as interrupted
            job.run.release()
        if self._worker is not None:
            self._worker.join(timeout)
        for thread in list(self._unheard):  # a thread cut inside torch can bring the whole program down
            thread.join(UNHEARD_SECONDS)
        return self._worker is None or not self._worker.is_alive()

    def _owned(self, run_id: str, owner: str) -> Run:
        run = self.store.get(run_id)
        if self.require_owner and not owns(run.record.owner, owner):
            raise RunError(f"Only whoever started the run {run.id} may change it; use the browser that started it.")
        return run

    def _check_room(self) -> None:
        if self._closed:
            raise RunError("The server is shutting down; start the run again when it is back.")
        if len(self._queue) >= self._max_queue:
            raise RunError(f"{self._max_queue} runs are waiting already; try again when one of them has ended.")

    def _enqueue(self, job: _Job) -> None:
        with self._changed:
            self._check_room()
            self._queue.append(job)
            if self._worker is None:
                # Not a ThreadPoolExecutor: Python waits for a pool's threads before it runs any handler that could ask
                # them to stop, so a program that is told to go at once would train on to the end.
                self._worker = threading.Thread(target=self._work, name="bertdemo-training", daemon=True)
                self._worker.start()
            self._changed.notify_all()

    def _jobs(self) -> list[_Job]:
        return ([self._active] if self._active is not None else []) + list(self._queue)

    def _find(self, run_id: str) -> _Job | None:
        return next((job for job in self._jobs() if job.run.id == run_id), None)

    def _at_hand(self, run_id: str) -> Run | None:  # as it is in memory, since every open page asks for it
        with self._changed:
            return job.run if (job := self._find(run_id)) else None

    def _activity(self, run_id: str) -> Activity | None:
        with self._changed:
            job = self._find(run_id)
            if job is None:
                return None
            if job is self._active:
                return replace(job.activity, stopping=job.stop.is_set())
            return Activity(position=self._queue.index(job) + 1)

    def _work(self) -> None:
        while (job := self._next_job()) is not None:
            try:
                self._carry_out(job)
            except Exception:
                logger.exception("run %s ended without a record of it", job.run.id)
            finally:
                job.run.release()
                with self._changed:
                    self._active = None
            collect()  # the weights and their optimiser, now, not some time during the next run

    def _next_job(self) -> _Job | None:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed)
            self._active = None if self._closed else self._queue.popleft()
            return self._active

    def _carry_out(self, job: _Job) -> None:
        run = job.run
        try:
            run.update(state="preparing")
            session = self._make_session(run, partial(self._do, job))
            if job.resume:
                restore(run, session)
        except CancelledError:
            _say_stopped(run)
            return
        except Exception as exc:
            record_failure(run, exc)
            return
        for record in execute(run, session, stop=job.stop.is_set, checkpoint_seconds=self._checkpoint_seconds):
            job.activity = Activity.of(record)

    def _prepare(self, run: Run, do: Doing) -> Session:
        return prepare(run, self.registry, general=self._general, do=do)

    def _do(self, job: _Job, phase: str, work: Callable[[], Any]) -> Any:
        """What the work returns; or CancelledError, soon after a stop was asked for.

        Reading a file, loading a model and above all downloading one cannot be interrupted, so that goes on in a thread
        of its own until it ends, and nobody looks at what it found.
        """
        job.activity = Activity(phase=phase)
        result: Future[Any] = Future()
        thread = threading.Thread(target=_fulfil, args=(result, work), name="bertdemo-preparing", daemon=True)
        self._unheard.add(thread)
        thread.start()
        while not wait([result], timeout=STOP_HEARD).done:
            if job.stop.is_set():
                raise CancelledError
        return result.result()


def _fulfil(result: Future[Any], work: Callable[[], Any]) -> None:
    try:
        result.set_result(work())
    except BaseException as error:
        result.set_exception(error)


def _say_stopped(run: Run) -> None:
    """The end of a run that did not come to its first event."""
    run.log.append({"event": "stopped", **run.models()})
    run.update(state="stopped", ended=utc_now())


def new_token() -> str:
    return secrets.token_urlsafe(24)


def token_hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def owns(stored_hash: str, token: str) -> bool:
    """Whether this is the token of that hash; a run without an owner is nobody's."""
    return bool(stored_hash and token) and hmac.compare_digest(stored_hash, token_hash(token))
