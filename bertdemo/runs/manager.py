"""Runs in the background: what is asked for, a queue, and one worker thread that trains one run after another.

The manager owns the runs; whoever watches reads them from disk by cursor, so tabs may come and go. Knows no page.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, wait
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from weakref import WeakSet

from bertdemo.mlm.errors import RunError
from bertdemo.mlm.models.masked_lm import ModelRef
from bertdemo.mlm.models.registry import ModelRegistry

from .execution import (
    Doing,
    Session,
    claim_to_resume,
    collect,
    data_source,
    execute,
    keep_data,
    prepare,
    record_failure,
    restore,
    rows_asked_for,
)
from .people import Access, Limits, Turns, new_token, resolve_for, short, token_hash
from .record import LIVE_STATES, RunRecord, RunRequest, clean_name, short_id
from .run import EVENTS_AT_ONCE, Activity, Run, RunStatus, read_status, utc_now
from .store import RunStore

logger = logging.getLogger(__name__)

STOP_HEARD = 0.1  # seconds, while a run is being prepared
NICENESS = 5  # of the thread that trains where others wait for answers: a third of what each of those gets of a core
UNHEARD_SECONDS = 5.0  # for preparations that nobody waits for any more to end, when the program does


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
    person: str = ""  # in whose turn it is; all are one where runs belong to nobody
    first: bool = False  # the operator has moved it to the front
    stop: threading.Event = field(default_factory=threading.Event)
    activity: Activity = Activity()


class RunManager:
    """Queues, runs, stops and resumes; every method answers at once and may be called from any thread.

    ``access`` says who may see and change a run, ``limits`` how much each may ask for. Without ``allow_folders`` a
    request may name the bundled model, a run or a hub id, but no folder. ``make_session`` makes a session from a
    claimed run, as ``prepare`` does. ``device``: for runs that ask for none. What kills left behind in the store is
    swept.
    """

    def __init__(  # noqa: PLR0913 (what a server, the command line and a test each set otherwise)
        self,
        store: RunStore,
        registry: ModelRegistry,
        *,
        general: Sequence[str] = (),
        access: Access | None = None,
        limits: Limits | None = None,
        allow_folders: bool = True,
        checkpoint_seconds: float = 60.0,
        device: str | None = None,
        make_session: Callable[[Run, Doing], Session] | None = None,
    ) -> None:
        self.store, self.registry = store, registry
        self.access, self.limits, self.allow_folders = access or Access(), limits or Limits(), allow_folders
        self._make_session = make_session or self._prepare
        self._general, self._device, self._checkpoint_seconds = general, device, checkpoint_seconds
        self._changed = threading.Condition()  # guards what follows
        self._queue: Turns[_Job] = Turns()
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
        model = self._resolve(request.model, owner)
        owner = owner or new_token()
        owner_hash = token_hash(owner)
        self._check_room(self._person(owner_hash))
        if self.limits.rows is not None:
            self.limits.check_rows(rows_asked_for(request), request.settings.epochs)
        self.limits.check_disk(self.store.home, request.data.stat().st_size)
        data, settings = data_source(request), replace(request.settings, device=request.settings.device or self._device)
        run = self.store.create(
            name=request.name, model=model, data=data, settings=settings, owner=owner_hash, state="queued"
        )
        try:
            keep_data(run)
            self._enqueue(_Job(run, person=self._person(owner_hash)))
        except BaseException:
            run.release()
            self.store.delete(run.id)
            raise
        return Submission(run.id, owner)

    def resume(self, run_id: str, *, owner: str = "") -> str:
        """Queue an interrupted, stopped or failed run to go on from its last checkpoint; returns its id."""
        run = self._owned(run_id, owner)
        person = self._person(run.record.owner)
        self._check_room(person)
        self.limits.check_disk(self.store.home, 0)
        claim_to_resume(run, state="queued")
        try:
            self._enqueue(_Job(run, resume=True, person=person))
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

    def visible(self, owner: str = "") -> list[Run]:
        """All runs that whoever holds this token may see, the newest first."""
        return [run for run in self.store.list() if self.access.may_see(run.record, owner)]

    def find(self, reference: str, *, owner: str = "") -> Run:
        """The run of this id, else the newest of this name; one that they may not see is as if it were not there."""
        try:
            return self.store.get(reference, may_see=lambda record: self.access.may_see(record, owner))
        except RunError as error:
            if not self.access.private:
                raise
            raise RunError(f"There is no run {clean_name(reference)!r} that you may see.") from error

    def status(
        self, run_id: str, *, cursor: int = 0, limit: int = EVENTS_AT_ONCE, owner: str | None = None
    ) -> RunStatus:
        """Where the run stands, with its events from the cursor on; the cost does not grow with the run.

        With a token, even an empty one, only as far as whoever holds it may see the run.
        """
        run = self._at_hand(run_id)
        if run is None or not (owner is None or self.access.may_see(run.record, owner)):
            run = self.store.get(run_id) if owner is None else self.find(run_id, owner=owner)
        return read_status(run, cursor=cursor, limit=limit, activity=self._activity(run.id))

    def live(self) -> tuple[str, ...]:
        """Ids of the runs at hand: the one at work first, then those that wait, in order."""
        with self._changed:
            return tuple(job.run.id for job in self._jobs())

    def share(self, run_id: str, *, shared: bool, owner: str = "") -> None:
        """Show the run to everyone who may use the server, or to its owner and the operator only."""
        run = self._owned(run_id, owner)
        run.update(shared=shared)
        if (at_hand := self._at_hand(run.id)) is not None:
            at_hand.update(shared=shared)
        _log("shown to everyone" if shared else "shown to its owner only", run.record)

    def move_up(self, run_id: str) -> None:
        """Let a waiting run be the next. Raises RunError for one that does not wait."""
        with self._changed:
            job = self._find(run_id)
            if job is None or job is self._active:
                raise RunError(f"The run {run_id} is not waiting, so it cannot be moved up.")
            for other in self._queue.in_order():
                other.first = other is job

    def pulse(self, owner: str = "") -> tuple[str, str]:
        """(the run at work, "" for one that whoever holds this token may not see; a text that is another one whenever a
        run joins the queue, enters another state, or ends, and names none)."""
        with self._changed:
            jobs = self._jobs()
        seen = bool(jobs) and self.access.may_see(jobs[0].run.record, owner)
        states = " ".join(f"{job.run.id}:{job.run.record.state}" for job in jobs)
        return jobs[0].run.id if seen else "", short(token_hash(states))

    def rename(self, run_id: str, name: str, *, owner: str = "") -> None:
        renamed = self.store.rename(self._owned(run_id, owner).id, name)
        if (run := self._at_hand(renamed.id)) is not None:
            run.update(name=renamed.record.name)  # in memory too, where status looks

    def delete(self, run_id: str, *, owner: str = "") -> None:
        """Delete an ended run and its models. Raises RunError while it is queued or at work."""
        run = self._owned(run_id, owner)
        models = run.models()
        self.store.delete(run.id)
        _log("deleted", run.record)
        for folder in models.values():
            self.registry.forget(ModelRef(run.record.name, folder))

    def shutdown(self, timeout: float = 30.0) -> bool:
        """Take no more runs, stop the one at work and wait until it is saved; waiting ones become interrupted.

        Returns whether all was saved within ``timeout`` seconds.
        """
        with self._changed:
            self._closed = True
            waiting, self._queue = self._queue.in_order(), Turns()
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
        run = self.find(run_id, owner=owner)
        if not self.access.may_change(run.record, owner):
            raise RunError(f"Only whoever started the run {run.id} may change it; use the browser that started it.")
        return run

    def _resolve(self, reference: str, owner: str) -> ModelRef:
        return resolve_for(
            reference,
            owner,
            access=self.access,
            registry=self.registry,
            store=self.store,
            allow_folders=self.allow_folders,
        )

    def _person(self, owner_hash: str) -> str:
        return owner_hash if self.access.owned else ""

    def _check_room(self, person: str) -> None:
        if self._closed:
            raise RunError("The server is shutting down; start the run again when it is back.")
        each, total = self.limits.waiting_each, self.limits.waiting
        if each is not None and self._queue.of(person) >= each:
            raise RunError(f"{each} of your runs are waiting already, and more nobody may have here; wait for one.")
        if len(self._queue) >= total:
            raise RunError(f"{total} runs are waiting already; try again when one of them has ended.")

    def _enqueue(self, job: _Job) -> None:
        with self._changed:
            self._check_room(job.person)
            self._queue.add(job)
            if self._worker is None:
                # Not a ThreadPoolExecutor: Python waits for a pool's threads before it runs any handler that could ask
                # them to stop, so a program that is told to go at once would train on to the end.
                self._worker = threading.Thread(target=self._work, name="bertdemo-training", daemon=True)
                self._worker.start()
            self._changed.notify_all()
        _log("queued to go on" if job.resume else "queued", job.run.record)

    def _jobs(self) -> list[_Job]:
        return ([self._active] if self._active is not None else []) + self._queue.in_order()

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
            return Activity(position=self._queue.in_order().index(job) + 1)

    def _work(self) -> None:
        if self.access.owned:  # on one's own machine other programs would gain by it, and nobody else
            _step_back()
        while (job := self._next_job()) is not None:
            began = time.monotonic()
            _log("begins", job.run.record)
            try:
                self._carry_out(job)
            except Exception:
                logger.exception("run %s ended without a record of it", short_id(job.run.id))
            finally:
                _log(job.run.record.state, job.run.record, seconds=time.monotonic() - began)
                job.run.release()
                with self._changed:
                    self._active = None
            collect()  # the weights and their optimiser, now, not some time during the next run

    def _next_job(self) -> _Job | None:
        with self._changed:
            self._changed.wait_for(lambda: len(self._queue) or self._closed)
            self._active = None if self._closed else self._queue.take()
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
        return prepare(run, self.registry, general=self._general, do=do, check_rows=self.limits.check_rows)

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


def _step_back() -> None:
    """Let this thread, and those that it starts, leave the processor to answers first, where the system can."""
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
    except (AttributeError, OSError):  # Windows; or a system where threads have no niceness of their own
        logger.debug("the thread that trains is as eager as the others")


def _log(what: str, record: RunRecord, *, seconds: float | None = None) -> None:
    """One line for whoever runs the server: what became of whose run; no name of it, no text."""
    took = "" if seconds is None else f" after {seconds:.1f} s, {record.steps_done} steps"
    logger.info("run %s of %s: %s%s", short_id(record.id), short(record.owner), what, took)
