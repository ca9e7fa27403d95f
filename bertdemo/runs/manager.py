"""Runs in the background: a queue, and one worker thread that trains them one after another.

The manager owns the runs; whoever watches reads them from disk by cursor, so tabs may come and go. Knows no page.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from bertdemo.mlm.errors import RunError
from bertdemo.mlm.models.masked_lm import ModelRef
from bertdemo.mlm.models.registry import ModelRegistry

from .execution import Session, claim_to_resume, execute, record_failure, restore
from .memory import collect
from .ownership import new_token, owns, token_hash
from .preparation import prepare
from .record import LIVE_STATES
from .request import RunRequest, data_source, keep_data
from .run import EVENTS_AT_ONCE, Run, utc_now
from .status import Activity, RunStatus, read_status
from .store import RunStore

logger = logging.getLogger(__name__)


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
    the bundled model, a run or a hub id, but no folder. ``make_session`` makes a session from a claimed run.
    """

    def __init__(
        self,
        store: RunStore,
        registry: ModelRegistry,
        *,
        general: Sequence[str] = (),
        require_owner: bool = False,
        allow_folders: bool = True,
        max_queue: int = 20,
        checkpoint_seconds: float = 60.0,
        make_session: Callable[[Run], Session] | None = None,
    ) -> None:
        self.store, self.registry = store, registry
        self.require_owner, self.allow_folders = require_owner, allow_folders
        self._make_session = make_session or partial(prepare, registry=registry, general=general)
        self._max_queue, self._checkpoint_seconds = max_queue, checkpoint_seconds
        self._changed = threading.Condition()  # guards what follows
        self._queue: deque[_Job] = deque()
        self._active: _Job | None = None
        self._worker: threading.Thread | None = None
        self._closed = False

    def submit(self, request: RunRequest, *, owner: str = "") -> Submission:
        """Queue a run on a copy of the data file, which may be deleted at once; an empty ``owner`` gets a new token.

        Raises DataError, ModelError, TextError or RunError for what can be seen without loading anything.
        """
        request.check()
        model = self.registry.resolve(request.model, allow_folders=self.allow_folders)
        self._check_room()
        owner = owner or new_token()
        data, settings = data_source(request), request.settings
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
            queued = job is not None and job is not self._active
            if queued:
                self._queue.remove(job)
            elif job is not None:
                job.stop.set()
        if queued:
            return self._end_queued(job)
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

    def _end_queued(self, job: _Job) -> str:
        try:
            job.run.log.append({"event": "stopped", **job.run.models()})
            job.run.update(state="stopped", ended=utc_now())
        finally:
            job.run.release()
        return "stopped"

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
            session = self._make_session(run)
            if job.resume:
                restore(run, session)
        except Exception as exc:
            record_failure(run, exc)
            return
        for record in execute(run, session, stop=job.stop.is_set, checkpoint_seconds=self._checkpoint_seconds):
            job.activity = Activity.of(record)
