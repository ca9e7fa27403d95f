from __future__ import annotations

import gc
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_runs import GENERAL, SETTINGS, FolderRegistry, ScriptedSession, new_run, sentences

from bertdemo.mlm.errors import BertDemoError, DataError, ModelError, RunError, SettingsError, TextError, TrainingError
from bertdemo.runs.execution import Doing, Session, at_once
from bertdemo.runs.manager import NICENESS, RunManager
from bertdemo.runs.people import Access, Limits
from bertdemo.runs.record import RunRequest
from bertdemo.runs.run import Run, RunStatus
from bertdemo.runs.store import RunStore

ENDED = ("finished", "stopped", "failed", "interrupted")


class Workshop:
    """A manager whose sessions are scripted, with a gate before every event and one before preparing."""

    def __init__(self, store: RunStore, base_folder: Path, folder: Path) -> None:
        self.store, self.base_folder = store, base_folder
        self.data = folder / "reviews.csv"
        self.data.write_text("review\n" + "\n".join(sentences(24)) + "\n")
        self.gate, self.prepared = threading.Event(), threading.Event()
        self.prepared.set()
        self.order: list[str] = []
        self.managers: list[RunManager] = []
        self.faults: dict[str, Exception] = {}

    def manager(self, **options: object) -> RunManager:
        options.setdefault("make_session", self.make_session)
        manager = RunManager(self.store, FolderRegistry(self.base_folder), **options)
        self.managers.append(manager)
        return manager

    def make_session(self, run: Run, do: Doing = at_once) -> Session:
        do("reading the data", self.prepared.wait)
        self.order.append(run.id)
        if "prepare" in self.faults:
            raise self.faults["prepare"]
        return ScriptedSession(self.base_folder, gate=self.gate, fault=self.faults.get("step"), fault_at=2)

    def request(self, **options: object) -> RunRequest:
        return replace(RunRequest(self.data, SETTINGS), **options)

    def close(self) -> None:
        self.gate.set()
        self.prepared.set()
        for manager in self.managers:
            assert manager.shutdown(20)


@pytest.fixture
def workshop(store: RunStore, base_folder: Path, tmp_path: Path) -> Iterator[Workshop]:
    workshop = Workshop(store, base_folder, tmp_path)
    yield workshop
    workshop.close()


def test_a_run_that_asks_for_no_device_gets_the_servers(workshop: Workshop) -> None:
    manager = workshop.manager(device="cpu")
    asked = workshop.request(settings=replace(SETTINGS, device="auto"))
    devices = [manager.submit(request).run_id for request in (workshop.request(), asked)]
    assert [workshop.store.get(run_id).record.settings.device for run_id in devices] == ["cpu", "auto"]


def wait_for(manager: RunManager, run_id: str, wanted: Callable[[RunStatus], bool]) -> RunStatus:
    for _ in range(2000):
        status = manager.status(run_id)
        if wanted(status):
            return status
        time.sleep(0.01)
    raise AssertionError(f"still {status.state}")


def wait_end(manager: RunManager, run_id: str) -> RunStatus:
    return wait_for(manager, run_id, lambda status: status.state in ENDED)


@pytest.mark.slow
def test_a_real_run_from_a_file_to_a_model(store: RunStore, workshop: Workshop) -> None:
    manager = workshop.manager(make_session=None, general=GENERAL)
    run_id = manager.submit(workshop.request(name="real")).run_id
    workshop.data.unlink()  # the upload may go at once
    status = wait_end(manager, run_id)
    assert (status.state, status.error) == ("finished", None)
    assert status.step == status.steps == sum(record["event"] == "step" for record in status.events)
    assert status.events == list(store.get(run_id).log.records())
    record = store.get(run_id).record
    assert (record.data.name, record.data.column, len(record.data.sha256)) == ("reviews.csv", "review", 64)
    assert Path(status.events[-1]["model"]).is_dir()
    wait_for(manager, run_id, lambda _: not manager.live())


@pytest.mark.slow
def test_runs_take_their_turn_in_order(workshop: Workshop) -> None:
    manager = workshop.manager()
    ids = [manager.submit(workshop.request()).run_id for _ in range(4)]
    wait_for(manager, ids[0], lambda status: status.state == "preparing")
    assert [manager.status(run_id).activity.position for run_id in ids] == [None, 1, 2, 3]
    assert manager.live() == tuple(ids)
    assert manager.stop(ids[1]) == "stopped"
    assert manager.status(ids[3]).activity.position == 2
    workshop.gate.set()
    assert [wait_end(manager, run_id).state for run_id in ids] == ["finished", "stopped", "finished", "finished"]
    assert workshop.order == [ids[0], *ids[2:]]


def test_stop_is_heard_while_preparing_and_frees_the_worker(workshop: Workshop) -> None:
    """What cannot be interrupted, such as a download, goes on unheard, and the next run begins."""
    workshop.prepared.clear()
    manager = workshop.manager()
    run_id = manager.submit(workshop.request()).run_id
    status = wait_for(manager, run_id, lambda status: status.activity.phase == "reading the data")
    assert status.state == "preparing"
    asked = time.monotonic()
    assert manager.stop(run_id) in ("stopping", "stopped")
    status = wait_end(manager, run_id)
    assert time.monotonic() - asked < 5  # a tenth of a second, and what a busy machine adds
    assert (status.state, status.events) == ("stopped", [{"event": "stopped"}])
    following = manager.submit(workshop.request()).run_id
    wait_for(manager, following, lambda status: status.activity.phase == "reading the data")
    assert workshop.order == []
    workshop.prepared.set()
    workshop.gate.set()
    assert wait_end(manager, following).state == "finished"
    assert workshop.order == [following]
    assert manager.resume(run_id) == run_id
    assert wait_end(manager, run_id).state == "finished"


def test_a_run_at_hand_has_its_new_name_at_once(workshop: Workshop) -> None:
    workshop.prepared.clear()
    manager = workshop.manager()
    run_id = manager.submit(workshop.request(name="before")).run_id
    wait_for(manager, run_id, lambda status: status.state == "preparing")
    manager.rename(run_id, "after")
    assert manager.status(run_id).name == "after"
    manager.stop(run_id)
    workshop.prepared.set()
    workshop.gate.set()
    assert wait_end(manager, run_id).name == "after"


@pytest.mark.slow
def test_stop_is_heard_while_training_and_keeps_the_model(workshop: Workshop) -> None:
    manager = workshop.manager()
    run_id = manager.submit(workshop.request()).run_id
    real_wait, seen = workshop.gate.wait, []

    def count(timeout: float | None = None) -> bool:
        seen.append(1)
        return real_wait(timeout) if len(seen) > 5 else True  # progress, started, evaluated, and two steps

    workshop.gate.wait = count
    status = wait_for(manager, run_id, lambda status: status.step == 2)
    assert (status.state, status.steps, status.steps_per_second, status.seconds_left) == ("training", 6, 2.0, 2.0)
    assert manager.stop(run_id) == manager.status(run_id).state == "stopping"
    workshop.gate.set()
    status = wait_end(manager, run_id)
    assert status.state == manager.stop(run_id) == "stopped"
    assert Path(status.events[-1]["model"]).is_dir()
    assert manager.resume(run_id) == run_id
    status = wait_end(manager, run_id)
    assert [record["step"] for record in status.events if record["event"] == "step"] == [1, 2, 3, 4, 5, 6]
    assert status.state == "finished"


@pytest.mark.parametrize("run_id", ["", "nobody", "../..", "20261122-1130-x-ab12"])
def test_a_run_that_is_not_there_gets_a_sentence(workshop: Workshop, run_id: str) -> None:
    manager = workshop.manager()
    for ask in (manager.stop, manager.status, manager.resume, manager.delete):
        with pytest.raises(RunError, match="no run"):
            ask(run_id)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads have a niceness of their own on Linux only")
def test_training_gives_way_to_answers(workshop: Workshop) -> None:
    """The thread that trains and those that it starts are nicer than the rest of the program."""
    nice: list[int] = []

    def make_session(run: Run, do: Doing) -> Session:
        nice.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        do("looking", lambda: nice.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id())))
        return workshop.make_session(run, do)

    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    workshop.gate.set()
    for access in (Access(owned=True), Access()):
        manager = workshop.manager(make_session=make_session, access=access)
        wait_end(manager, manager.submit(workshop.request()).run_id)
    assert nice == [NICENESS, NICENESS, before, before]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before < NICENESS


def test_two_readers_each_see_the_whole_history(workshop: Workshop) -> None:
    manager = workshop.manager()
    run_id = manager.submit(workshop.request()).run_id
    early: list[dict] = []
    cursor = 0
    workshop.gate.set()
    while True:
        status = manager.status(run_id, cursor=cursor, limit=2)
        assert len(status.events) <= 2
        early, cursor = early + status.events, status.cursor
        if status.state in ENDED and not status.events:
            break
    assert early == manager.status(run_id).events == list(workshop.store.get(run_id).log.records())


@pytest.mark.slow
def test_a_failure_is_told_and_the_next_run_is_well(workshop: Workshop) -> None:
    manager = workshop.manager()
    workshop.gate.set()
    for place, fault in (("prepare", ModelError("No such model.")), ("step", TrainingError("The loss is not finite."))):
        workshop.faults = {place: fault}
        status = wait_end(manager, manager.submit(workshop.request()).run_id)
        assert (status.state, status.error) == ("failed", str(fault))
        assert status.events[-1] == {"event": "failed", "error": str(fault)}
    workshop.faults = {"prepare": ZeroDivisionError("a bug")}
    assert "fault in bertdemo" in (wait_end(manager, manager.submit(workshop.request()).run_id).error or "")
    workshop.faults = {}
    assert wait_end(manager, manager.submit(workshop.request()).run_id).state == "finished"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"data": Path("/nowhere/gone.csv")}, DataError),
        ({"model": "unknown"}, ModelError),
        ({"settings": replace(SETTINGS, probes=("no blank",))}, TextError),
        ({"limit": 0}, SettingsError),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_queued(
    workshop: Workshop, options: dict, error: type[BertDemoError]
) -> None:
    manager = workshop.manager()
    with pytest.raises(error):
        manager.submit(workshop.request(**options))
    assert (manager.live(), workshop.store.list()) == ((), [])


def test_a_full_queue_says_so_and_leaves_nothing_behind(workshop: Workshop) -> None:
    manager = workshop.manager(limits=Limits(waiting=2))
    first = manager.submit(workshop.request()).run_id
    wait_for(manager, first, lambda status: status.state == "preparing")
    ids = [manager.submit(workshop.request()).run_id for _ in range(2)]
    with pytest.raises(RunError, match="2 runs are waiting"):
        manager.submit(workshop.request())
    assert {run.id for run in workshop.store.list()} == {first, *ids}


@pytest.mark.slow
def test_only_the_owner_may_change_a_run_where_that_is_asked_for(workshop: Workshop) -> None:
    manager = workshop.manager(access=Access(owned=True, show_all=True))
    submitted = manager.submit(workshop.request())
    mine = manager.submit(workshop.request(), owner="my token")
    assert mine.owner == "my token"
    for owner in ("", "wrong", "\ud800"):
        for change in (manager.stop, manager.delete, manager.resume):
            with pytest.raises(RunError, match="Only whoever"):
                change(submitted.run_id, owner=owner)
    assert manager.stop(submitted.run_id, owner=submitted.owner) in ("stopping", "stopped")
    assert manager.stop(mine.run_id, owner="my token") in ("stopping", "stopped")
    text = (workshop.store.get(mine.run_id).folder / "run.json").read_text()
    assert "my token" not in text
    workshop.gate.set()
    wait_end(manager, mine.run_id)
    unowned = new_run(workshop.store, workshop.base_folder)
    unowned.release()
    with pytest.raises(RunError, match="Only whoever"):
        manager.delete(unowned.id, owner="")


@pytest.mark.slow
def test_deleting_waits_for_the_end_and_forgets_the_model(workshop: Workshop) -> None:
    manager = workshop.manager()
    run_id = manager.submit(workshop.request()).run_id
    with pytest.raises(RunError, match="being worked on"):
        manager.delete(run_id)
    workshop.gate.set()
    wait_end(manager, run_id)
    folder = workshop.store.get(run_id).folder
    wait_for(manager, run_id, lambda _: not manager.live())
    manager.delete(run_id)
    assert not folder.exists()
    assert set(manager.registry.forgotten) == {str(folder / "model"), str(folder / "best_model")}


def test_a_run_of_another_program_is_shown_but_not_stopped(workshop: Workshop) -> None:
    manager = workshop.manager()
    run = new_run(workshop.store, workshop.base_folder, state="training")  # its lock is held, as by another process
    assert manager.status(run.id).state == "training"
    with pytest.raises(RunError, match="another program"):
        manager.stop(run.id)
    run.release()
    assert manager.status(run.id).state == "interrupted"


@pytest.mark.slow
def test_shutdown_saves_the_run_at_work_and_lets_the_waiting_ones_go(workshop: Workshop) -> None:
    manager = workshop.manager()
    first, second = (manager.submit(workshop.request()).run_id for _ in range(2))
    wait_for(manager, first, lambda status: status.state == "preparing")
    workshop.gate.set()
    wait_for(manager, first, lambda status: status.step > 0)
    assert manager.shutdown(20)
    states = [workshop.store.get(run_id).record.state for run_id in (first, second)]
    assert states[0] in ("stopped", "finished")
    assert states[1] in ("interrupted", "stopped", "finished")
    with pytest.raises(RunError, match="shutting down"):
        manager.submit(workshop.request())
    after = workshop.manager()
    if states[1] == "interrupted":
        assert wait_end(after, after.resume(second)).state == "finished"


@pytest.mark.slow
def test_nothing_of_a_run_stays_in_memory(workshop: Workshop) -> None:
    models = []

    def make_session(run: Run, do: Doing) -> Session:
        session = workshop.make_session(run, do)
        models.append(weakref.ref(session.masked_lm.model))
        return session

    manager = workshop.manager(make_session=make_session)
    workshop.gate.set()
    run_id = manager.submit(workshop.request()).run_id
    wait_end(manager, run_id)
    wait_for(manager, run_id, lambda _: not manager.live())
    for _ in range(200):
        gc.collect()
        if models[0]() is None:
            return
        time.sleep(0.01)
    raise AssertionError("the weights are still referred to")


@pytest.mark.slow
def test_data_that_changed_since_is_not_resumed_on(store: RunStore, workshop: Workshop) -> None:
    manager = workshop.manager(make_session=None)
    run_id = manager.submit(workshop.request()).run_id
    wait_end(manager, run_id)
    run = store.get(run_id)
    run.update(state="interrupted")
    Path(run.record.data.path).write_text("review\n" + "\n".join(sentences(30)) + "\n")
    wait_for(manager, run_id, lambda _: not manager.live())
    manager.resume(run_id)
    status = wait_for(manager, run_id, lambda status: status.state == "failed")
    assert "has changed" in (status.error or "")
