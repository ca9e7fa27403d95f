from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_runs import FolderRegistry, new_run

from bertdemo.mlm.errors import RunError
from bertdemo.mlm.settings import MaskingConfig, TrainingConfig
from bertdemo.runs.execution import claim_to_resume
from bertdemo.runs.files import FolderLock, is_locked
from bertdemo.runs.manager import RunManager
from bertdemo.runs.record import DataSource
from bertdemo.runs.run import ATTEMPT, Run, open_or_describe
from bertdemo.runs.store import RunStore

HOLD_LOCK = """
import sys, time
from pathlib import Path
from bertdemo.runs.execution import claim_to_resume
from bertdemo.runs.files import FolderLock
lock = FolderLock(Path(sys.argv[1]))
print(lock.acquire(), flush=True)
time.sleep(60)
"""


def test_a_run_is_found_by_id_name_and_folder(store: RunStore, base_folder: Path) -> None:
    run = new_run(store, base_folder, name="First try")
    assert store.get(run.id).id == store.get("First try").id == run.id
    assert store.get(str(run.folder), allow_folders=True).id == run.id
    with pytest.raises(RunError, match="no run"):
        store.get(str(run.folder))


def test_the_record_comes_back_whole(store: RunStore, base_folder: Path) -> None:
    settings = TrainingConfig(
        epochs=7, masking=MaskingConfig(0.4, 0.7, 0.2), probes=("a [MASK].",), watch=("x", "y"), precision="bf16"
    )
    data = DataSource("r.csv", "/r.csv", column="0", limit=9, dialect={"delimiter": ";"})
    run = new_run(store, base_folder, settings=settings, data=data, owner="hash")
    assert store.get(run.id).record == run.record
    assert run.record.versions["torch"]


def test_a_field_of_a_newer_version_does_not_spoil_the_record(store: RunStore, base_folder: Path) -> None:
    run = new_run(store, base_folder)
    path = run.folder / "run.json"
    values = json.loads(path.read_text())
    values["settings"]["novelty"] = values["novelty"] = 1
    path.write_text(json.dumps(values))
    assert store.get(run.id).record == run.record


@pytest.mark.parametrize("name", ["../../x", "CON", "n" * 300, "a/b", "\x00", "🙂", "..", "\ud800"])
def test_no_name_leads_out_of_the_home(store: RunStore, base_folder: Path, name: str) -> None:
    run = new_run(store, base_folder, name=name)
    assert run.folder.parent == store.home / "runs"
    assert run.record.name
    with pytest.raises(RunError):
        store.get("../runs/" + run.id)


@pytest.mark.parametrize("reference", ["", " ", "..", "nobody", "\x00", "20261122-1130-x-ab12", "/", "x" * 5000])
def test_a_run_that_is_not_there_gives_one_sentence(store: RunStore, reference: str) -> None:
    for allow_folders in (False, True):
        with pytest.raises(RunError, match="no run"):
            store.get(reference, allow_folders=allow_folders)


def test_the_newest_run_comes_first_and_answers_to_its_name(store: RunStore, base_folder: Path) -> None:
    ids = [new_run(store, base_folder, name="same").id for _ in range(3)]
    assert [run.id for run in store.list()] == ids[::-1]
    assert store.get("same").id == ids[-1]


def test_a_run_without_a_name_is_called_after_its_data(store: RunStore, base_folder: Path) -> None:
    run = new_run(store, base_folder)
    assert run.record.name == "reviews"
    assert "-reviews-" in run.id


def test_a_damaged_record_is_listed_and_can_be_deleted(store: RunStore, base_folder: Path) -> None:
    good, bad = new_run(store, base_folder), new_run(store, base_folder)
    for rubbish in (b"", b"{", b"[]", b"\xff\xfe", b'{"id": 3}', b"null"):
        (bad.folder / "run.json").write_bytes(rubbish)
        states = {run.id: run.record.state for run in store.list()}
        assert states == {good.id: "preparing", bad.id: "damaged"}
        store.get(bad.id).summary()
    bad.release()
    store.delete(bad.id)
    assert [run.id for run in store.list()] == [good.id]


@pytest.mark.slow
def test_a_run_of_another_living_process_is_not_taken_for_dead(store: RunStore, base_folder: Path) -> None:
    run = new_run(store, base_folder)
    run.update(state="training")
    run.release()
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, str(run.folder)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        assert store.get(run.id).record.state == "training"
        with pytest.raises(RunError, match="being worked on"):
            store.delete(run.id)
        other.kill()
        other.wait()
    assert [listed.record.state for listed in store.list()] == ["interrupted"]
    assert json.loads((run.folder / "run.json").read_text())["state"] == "interrupted"


def test_a_run_killed_before_its_last_word_keeps_the_end_that_its_log_has(store: RunStore, base_folder: Path) -> None:
    run = new_run(store, base_folder)
    run.update(state="training")
    run.log.append({"event": "step", "step": 5, "seconds": 2.5})
    run.log.append({"event": "finished"})
    run.release()
    record = store.get(run.id).record
    assert (record.state, record.steps_done, record.seconds) == ("finished", 5, 2.5)


def test_locks_exclude_each_other_within_a_process_too(tmp_path: Path) -> None:
    first, second = FolderLock(tmp_path), FolderLock(tmp_path)
    assert first.acquire()
    assert not second.acquire(patience=0)
    assert is_locked(tmp_path)
    first.release()
    assert not is_locked(tmp_path)
    assert second.acquire(patience=0)
    second.release()


def test_a_run_may_lie_outside_the_home_and_is_listed(store: RunStore, base_folder: Path, tmp_path: Path) -> None:
    run = new_run(store, base_folder, output=tmp_path / "deep" / "out")
    assert run.folder == tmp_path / "deep" / "out"
    assert [listed.folder for listed in store.list()] == [run.folder]
    assert store.get(run.id).folder == run.folder
    run.release()
    (run.folder / "notes.txt").write_text("mine")
    store.delete(run.id)
    assert store.list() == []
    assert [path.name for path in run.folder.iterdir()] == ["notes.txt"]


def test_an_output_folder_that_is_not_empty_is_refused_untouched(
    store: RunStore, base_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("all of it")
    for taken in (tmp_path, tmp_path / "thesis.txt"):
        with pytest.raises(RunError, match="not empty"):
            new_run(store, base_folder, output=taken)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_outside_folder_that_was_removed_by_hand_is_forgotten(
    store: RunStore, base_folder: Path, tmp_path: Path
) -> None:
    run = new_run(store, base_folder, output=tmp_path / "out")
    run.release()
    (run.folder / "run.json").unlink()
    assert store.list() == []


def test_renaming_keeps_id_and_folder_and_what_others_write(store: RunStore, base_folder: Path) -> None:
    run = new_run(store, base_folder)
    store.rename(run.id, "  better\nname ")
    run.update(state="training")  # the one at work still had the old name in its hands
    record = store.get(run.id).record
    assert (record.name, record.state, record.id) == ("better name", "training", run.id)
    with pytest.raises(RunError, match="at least one"):
        store.rename(run.id, "../")


def test_delete_removes_everything(store: RunStore, base_folder: Path) -> None:
    run = new_run(store, base_folder)
    (run.folder / "model").mkdir()
    run.release()
    store.delete(run.id)
    assert list((store.home / "runs").iterdir()) == []


def test_a_model_is_found_by_its_run(store: RunStore, base_folder: Path) -> None:
    run = new_run(store, base_folder, name="mine")
    assert store.find_model("mine") == run.folder
    run.best_model_folder.mkdir()
    assert store.find_model("mine") == run.best_model_folder
    run.model_folder.mkdir()
    assert store.find_model(run.id) == run.model_folder
    assert store.find_model("nobody") is None


def test_a_cursor_from_before_a_resumption_starts_anew(store: RunStore, base_folder: Path) -> None:
    run = new_run(store, base_folder)
    for step in range(10):
        run.log.append({"step": step})
    before = run.events(limit=4)
    assert [record["step"] for record in before.records] == [0, 1, 2, 3]
    assert run.events(before.cursor).records[0] == {"step": 4}
    run.update(attempt=1)
    after = run.events(before.cursor)
    assert after.since != before.cursor
    assert len(after.records) == 10
    assert run.events(after.cursor).records == []
    assert run.events(after.cursor).since == after.cursor > ATTEMPT
    for odd in (-5, 10**15, 3):
        assert len(run.events(odd).records) == 10


def test_a_home_that_cannot_be_written_gives_one_sentence(tmp_path: Path, base_folder: Path) -> None:
    (tmp_path / "home").write_text("a file")
    with pytest.raises(RunError, match="could not be"):
        new_run(RunStore(tmp_path / "home"), base_folder)
    assert RunStore(tmp_path / "home").list() == []


# What happens between two looks at a run


def test_a_run_that_ends_between_two_looks_at_it_is_not_interrupted(
    store: RunStore, base_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its record still says that it trains; when its lock is looked at, it has just ended well."""
    run = new_run(store, base_folder)
    run.update(state="training")

    def ends_now(folder: Path) -> bool:
        run.update(state="finished")
        run.release()
        return is_locked(folder)

    monkeypatch.setattr("bertdemo.runs.run.is_locked", ends_now)
    assert store.get(run.id).record.state == "finished"
    assert json.loads((run.folder / "run.json").read_text())["state"] == "finished"


@pytest.mark.parametrize("state", ["training", "finished"])
def test_where_nothing_can_be_claimed_a_run_is_dead_only_if_its_record_stood_still(
    store: RunStore, base_folder: Path, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    """A folder that only others may write: it cannot be claimed, and the run may end while we look."""
    run = new_run(store, base_folder)
    run.update(state="training")
    run.release()
    looks: list[Path] = []

    def look(folder: Path) -> bool:
        looks.append(folder)
        if len(looks) == 2:  # once the claim has failed
            run.update(state=state)
        return False

    def refuse(_run: Run) -> None:
        raise RunError("The folder is read-only.")

    monkeypatch.setattr("bertdemo.runs.run.is_locked", look)
    monkeypatch.setattr(Run, "claim", refuse)
    assert store.get(run.id).record.state == ("interrupted" if state == "training" else "finished")


def test_a_lock_that_cannot_be_tried_counts_as_held(store: RunStore, base_folder: Path, monkeypatch) -> None:
    run = new_run(store, base_folder)
    run.update(state="training")
    run.release()
    monkeypatch.setattr(FolderLock, "acquire", lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, "denied")))
    assert store.get(run.id).record.state == "training"


def test_a_claim_reads_what_the_one_before_wrote(store: RunStore, base_folder: Path) -> None:
    """Two look at an interrupted run; one resumes it to its end before the other claims it."""
    run = new_run(store, base_folder)
    run.update(state="interrupted")
    run.release()
    first, second = store.get(run.id), store.get(run.id)
    claim_to_resume(first)
    first.update(state="finished")
    first.release()
    with pytest.raises(RunError, match="is finished, so there is nothing to resume"):
        claim_to_resume(second)
    assert not is_locked(run.folder)


def test_a_deletion_that_a_kill_cut_short_is_finished_at_the_next_start(store: RunStore, base_folder: Path) -> None:
    run = new_run(store, base_folder)
    trash = run.folder.with_name(f".deleted-{run.id}")
    run.folder.rename(trash)
    assert store.list() == []
    RunManager(store, FolderRegistry(base_folder))
    assert not trash.exists()


def test_a_list_reads_again_only_what_has_changed(
    store: RunStore, base_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, dying = new_run(store, base_folder, name="ended"), new_run(store, base_folder, name="dying")
    ended.update(state="finished")
    ended.release()
    read = []
    monkeypatch.setattr(
        "bertdemo.runs.store.open_or_describe", lambda folder: read.append(folder.name) or open_or_describe(folder)
    )
    store.list()
    store.list()
    assert sorted(read) == sorted([ended.id, dying.id, dying.id])  # one at work may have died meanwhile
    RunStore(store.home).rename(ended.id, "renamed by another program")
    dying.release()
    assert {run.record.name: run.record.state for run in store.list()} == {
        "renamed by another program": "finished",
        "dying": "interrupted",
    }
    RunStore(store.home).delete(ended.id)
    assert [run.record.name for run in store.list()] == ["dying"]
