"""What can be done with the runs on the page: over a real store, with runs that are written by hand."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from bertdemo.mlm.models.masked_lm import ModelRef
from bertdemo.mlm.settings import TrainingConfig
from bertdemo.runs.manager import RunManager, token_hash
from bertdemo.runs.record import FROM_SCRATCH, DataSource
from bertdemo.runs.run import Run
from bertdemo.runs.store import RunStore
from bertdemo.ui.services import Services
from bertdemo.ui.train import run_actions
from bertdemo.ui.train.runs_panel import ask_to_delete, list_runs, refresh_overlay, show_actions, show_overlay

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def services(tmp_path: Path) -> Services:
    store, registry = RunStore(tmp_path / "home"), SimpleNamespace(forget=lambda ref: None)
    return Services(registry, RunManager(store, registry), store, tmp_path / "home", tmp_path / "sample.csv")


@pytest.fixture
def write_run(services: Services) -> Callable[..., Run]:
    """An ended run with a curve, a model and a checkpoint."""

    def write(name: str = "reviews", *, state: str = "stopped", owner: str = "me", source: str = "/nowhere") -> Run:
        made = services.store.create(
            name=name,
            model=ModelRef("mini-bert", source),
            data=DataSource("reviews.csv", "/nowhere"),
            settings=TrainingConfig(),
            owner=token_hash(owner),
        )
        for step in range(1, 21):
            made.log.append(
                {"event": "step", "step": step, "epoch": 1, "loss": 3 / step, "learning_rate": 0, "seconds": 1}
            )
        for folder in (made.model_folder, made.checkpoint_folder):
            folder.mkdir()
        (made.model_folder / "config.json").write_text("{}")
        made.update(state=state, steps_done=20)
        made.release()
        return made

    return write


def test_an_ended_run_can_be_downloaded_resumed_and_deleted(services: Services, write_run) -> None:
    shown = show_actions(services, "me", write_run().id)
    assert shown.download.visible
    assert shown.resume.visible
    assert shown.delete.interactive
    assert not shown.confirm.visible
    assert shown.name.value == "reviews"


def test_a_finished_run_is_not_resumed_and_a_live_one_not_deleted(services: Services, write_run) -> None:
    assert not show_actions(services, "me", write_run(state="finished").id).resume.visible
    live = write_run(state="stopped")
    live.claim()
    live.update(state="training")
    shown = show_actions(services, "me", live.id)
    assert not shown.delete.interactive
    assert not shown.download.visible
    live.release()


@pytest.mark.slow
def test_a_run_without_a_checkpoint_begins_anew_and_a_pretraining_is_not_resumed_here(
    services: Services, write_run
) -> None:
    cut_off = write_run(state="interrupted")
    cut_off.checkpoint_folder.rmdir()
    assert show_actions(services, "me", cut_off.id).resume.visible
    assert "Beginning anew" in run_actions.resume(services, "me", cut_off.id)
    assert services.manager.shutdown()
    assert not show_actions(services, "me", write_run(source=FROM_SCRATCH).id).resume.visible


def test_no_run_no_actions(services: Services) -> None:
    shown = show_actions(services, "me", "")
    assert not shown.more.visible
    assert shown.title == ""


def test_deleting_asks_first_and_shows_another_run(services: Services, write_run) -> None:
    kept, gone = write_run("kept"), write_run(HOSTILE)
    question = ask_to_delete(services, gone.id)
    assert question.confirm.visible
    assert "<img" not in question.words
    outcome = run_actions.delete(services, "me", gone.id, question.about)
    assert outcome.chart == kept.id
    assert "<img" not in outcome.note
    assert [run.id for run in services.store.list()] == [kept.id]
    assert "alert" in run_actions.delete(services, "me", gone.id, gone.id).note  # twice: one sentence


def test_the_run_that_was_asked_about_is_deleted_whatever_is_shown_by_then(services: Services, write_run) -> None:
    gone, shown = write_run("gone"), write_run("shown")
    question = ask_to_delete(services, gone.id)
    assert run_actions.delete(services, "me", shown.id, question.about).chart != shown.id  # it stays as it is
    assert [run.id for run in services.store.list()] == [shown.id]


def test_renaming(services: Services, write_run) -> None:
    run = write_run()
    assert "now called “better”" in run_actions.rename(services, "me", run.id, " better ")
    assert services.store.get(run.id).record.name == "better"
    assert "alert" in run_actions.rename(services, "me", run.id, "  ")


def test_a_name_that_is_being_typed_is_left_alone_until_another_run_is_shown(services: Services, write_run) -> None:
    first, second = write_run("first"), write_run("second")
    shown = show_actions(services, "me", first.id)
    assert "value" not in dict(show_actions(services, "me", first.id, shown.named).name)
    assert show_actions(services, "me", second.id, shown.named).name.value == "second"


def test_on_a_shared_server_others_only_look(services: Services, write_run) -> None:
    shared = dataclasses.replace(
        services, require_owner=True, manager=RunManager(services.store, services.registry, require_owner=True)
    )
    run = write_run(owner="somebody else")
    shown = show_actions(shared, "me", run.id)
    assert shown.download.visible
    assert not shown.more.visible
    assert not shown.resume.visible
    for note in (
        run_actions.rename(shared, "me", run.id, "mine"),
        run_actions.delete(shared, "me", run.id, run.id).note,
        run_actions.resume(shared, "me", run.id),
        run_actions.publish(shared, "me", run.id, "me/reviews", "hf_token", True, False)[0],
    ):
        assert "whoever started" in note
    assert services.store.get(run.id).record.name == "reviews"


def test_the_zip_holds_the_run(services: Services, write_run) -> None:
    *_, (path, note) = run_actions.make_zip(services, write_run().id)
    assert {"settings.json", "metrics.csv", "events.jsonl"} <= set(zipfile.ZipFile(path).namelist())
    assert "download" in note
    *_, (path, note) = run_actions.make_zip(services, "20990101-0000-none-0000")
    assert path is None
    assert "alert" in note


def test_publishing_needs_a_token_and_forgets_it(services: Services, write_run) -> None:
    note, token = run_actions.publish(services, "me", write_run().id, "me/reviews", "", True, False)
    assert "token" in note
    assert token == ""


def test_runs_of_one_name_can_be_told_apart_in_the_chart(services: Services, write_run) -> None:
    first, second, other = write_run(), write_run(), write_run("other")
    figure = run_actions.overlay(services, [first.id, second.id, other.id, "20990101-0000-none-0000"])
    names = [trace.name for trace in figure.data if trace.mode == "lines"]
    assert len(set(names)) == 3
    assert names[2] == "other"
    assert show_overlay(services, []) is None
    assert {run_id for _, run_id in run_actions.overlay_choices(services)} == {first.id, second.id, other.id}


def test_the_chart_follows_what_becomes_of_its_runs(services: Services, write_run) -> None:
    first, second = write_run("first"), write_run("second")
    run_actions.rename(services, "me", first.id, "better")
    run_actions.delete(services, "me", "", second.id)
    chosen, plot = refresh_overlay(services, [first.id, second.id])
    assert chosen.value == [first.id]
    assert [label.split(" ")[0] for label, _ in chosen.choices] == ["better"]
    assert "better" in str(plot)
    assert "second" not in str(plot)
    run_actions.delete(services, "me", "", first.id)
    assert refresh_overlay(services, [first.id]).plot is None


def test_a_long_list_is_cut_and_says_so(services: Services, write_run, monkeypatch) -> None:
    for name in ("first", "second", "third"):
        write_run(name)
    assert "newest" not in list_runs(services, "")
    monkeypatch.setattr("bertdemo.ui.train.runs_panel.MOST_RUNS", 2)
    cut = list_runs(services, "")
    assert "the newest 2 of 3" in cut
    assert ">first<" not in cut


def test_of_a_damaged_run_no_settings_are_claimed(services: Services, write_run) -> None:
    run = write_run()
    assert "learning rate 5e-5" in list_runs(services, "")
    (run.folder / "run.json").write_text("{")
    listed = list_runs(services, "")
    assert "damaged" in listed
    assert "learning rate" not in listed
    assert run_actions.delete(services, "me", run.id, run.id).note.count("is deleted") == 1
    assert services.store.list() == []
