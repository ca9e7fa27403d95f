"""What can be done with the runs on the page: over a real store, with runs that are written by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest

from bertdemo.mlm.models.masked_lm import ModelRef
from bertdemo.mlm.settings import TrainingConfig
from bertdemo.runs.manager import RunManager
from bertdemo.runs.people import Access, token_hash
from bertdemo.runs.record import FROM_SCRATCH, DataSource, run_labels
from bertdemo.runs.run import Run
from bertdemo.runs.store import RunStore
from bertdemo.ui.services import Services, Updates, asked_by, model_choices
from bertdemo.ui.train import run_actions
from bertdemo.ui.train.live_chart import live_chart
from bertdemo.ui.train.run_view import (
    RunView,
    Watch,
    build_report,
    build_runs,
    list_runs,
    overlay,
    refresh_overlay,
    show_overlay,
    show_run,
)

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def services(tmp_path: Path) -> Services:
    store, registry = RunStore(tmp_path / "home"), SimpleNamespace(forget=lambda ref: None)
    return Services(registry, RunManager(store, registry), store, tmp_path / "home", tmp_path / "sample.csv")


@pytest.fixture(autouse=True)
def _me() -> Iterator[None]:
    """Whoever asks, where a test says nothing else."""
    with asked_by("me"):
        yield


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


@pytest.fixture
def view() -> RunView:
    with gr.Blocks():
        return build_runs(Watch(gr.Button(), gr.Button(), gr.HTML(), live_chart(), gr.State("")), build_report())


def shown(services: Services, view: RunView, run_id: str, *, owner: str = "me", named: str = "") -> Updates:
    with asked_by(owner):
        return show_run(services, view, run_id=run_id, named=named)


def test_an_ended_run_can_be_downloaded_resumed_and_deleted(services: Services, view: RunView, write_run) -> None:
    run, actions = write_run(), view.actions
    now = shown(services, view, run.id)
    assert (now[actions.download].visible, now[actions.download].link) == (True, f"runs/{run.id}.zip")
    assert now[actions.resume].visible
    assert now[view.deletion.ask].interactive
    assert not now[view.deletion.row].visible
    assert now[actions.name] == "reviews"


def test_a_run_says_what_it_was_trained_on(services: Services, view: RunView, write_run) -> None:
    run = write_run("finished")
    run.update(precision="bf16", device="cuda:0")
    assert show_run(services, view, run_id=run.id)[view.actions.title].endswith(", in bf16 on cuda:0</p>")


def test_all_that_is_shown_of_a_run_is_among_the_outputs(services: Services, view: RunView, write_run) -> None:
    opened = {"run_id": write_run().id, "overlay_open": True}
    assert set(show_run(services, view, **opened)) == set(view.outputs)


def test_a_finished_run_is_not_resumed_and_a_live_one_not_deleted(services: Services, view: RunView, write_run) -> None:
    assert not shown(services, view, write_run(state="finished").id)[view.actions.resume].visible
    live = write_run(state="stopped")
    live.claim()
    live.update(state="training")
    now = shown(services, view, live.id)
    assert not now[view.deletion.ask].interactive
    assert not now[view.actions.download].visible
    live.release()


@pytest.mark.slow
def test_a_run_without_a_checkpoint_begins_anew_and_a_pretraining_is_not_resumed_here(
    services: Services, view: RunView, write_run
) -> None:
    cut_off = write_run(state="interrupted")
    cut_off.checkpoint_folder.rmdir()
    assert shown(services, view, cut_off.id)[view.actions.resume].visible
    resumed = run_actions.resume(services, view, run_id=cut_off.id)
    assert "Beginning anew" in resumed[view.actions.note]
    assert services.manager.shutdown()
    assert not shown(services, view, write_run(source=FROM_SCRATCH).id)[view.actions.resume].visible


def test_no_run_no_actions(services: Services, view: RunView) -> None:
    now = shown(services, view, "")
    assert not now[view.actions.more].visible
    assert now[view.actions.title] == ""


def delete(services: Services, view: RunView, run_id: str, about: str, *, owner: str = "me") -> Updates:
    with asked_by(owner):
        return run_actions.delete(services, view, run_id=run_id, about=about)


def test_deleting_asks_first_and_shows_another_run(services: Services, view: RunView, write_run) -> None:
    kept, gone = write_run("kept"), write_run(HOSTILE)
    question = run_actions.ask_to_delete(services, view.deletion, run_id=gone.id)
    assert question[view.deletion.row].visible
    assert "<img" not in question[view.deletion.words]
    outcome = delete(services, view, gone.id, question[view.deletion.about])
    assert outcome[view.watch.chart] == kept.id
    assert "<img" not in outcome[view.actions.note]
    assert [run.id for run in services.store.list()] == [kept.id]
    assert "alert" in delete(services, view, gone.id, gone.id)[view.actions.note]  # twice: one sentence


def test_stop_and_delete_ask_whose_run_it_is(services: Services, view: RunView, write_run) -> None:
    """Behind a tunnel everybody comes from this machine, and may; a neighbour's run is not stopped by one press."""
    mine = write_run("mine", state="finished")
    others = write_run("others", state="finished", owner="somebody else")
    assert "already" in run_actions.stop(services, run_id=mine.id, asked="")[0]
    said, asked = run_actions.stop(services, run_id=others.id, asked="")
    assert "another browser" in said
    assert asked == others.id
    assert "already" in run_actions.stop(services, run_id=others.id, asked=asked)[0]
    for run, whose in ((mine, False), (others, True)):
        question = run_actions.ask_to_delete(services, view.deletion, run_id=run.id)
        assert ("another browser" in question[view.deletion.words]) == whose


def test_own_runs_come_first_and_failed_ones_are_folded_away(services: Services, write_run) -> None:
    write_run("mine")
    write_run("theirs", owner="somebody else")
    failed = write_run("broken", state="failed")
    listed = list_runs(services, "")
    assert listed.index("mine, 3 epochs") < listed.index("theirs, 3 epochs") < listed.index("<details")
    assert listed.index("<details") < listed.rindex("broken")
    assert "1 failed run<" in listed
    assert '<details class="failed" open' in list_runs(services, failed.id)
    names = [label for label, _ in model_choices(services)]
    assert [name.split(",")[0] for name in names[:4]] == ["mini-bert (bundled)", "broken", "mine", "theirs"]


def test_two_runs_of_one_minute_have_two_names(services: Services, write_run) -> None:
    runs = [write_run(), write_run()]
    labels = run_labels([run.record for run in runs])
    assert len(set(labels.values())) == 2
    assert run_labels([runs[0].record])[runs[0].id] in labels[runs[0].id]


def test_the_run_that_was_asked_about_is_deleted_whatever_is_shown_by_then(
    services: Services, view: RunView, write_run
) -> None:
    gone, other = write_run("gone"), write_run("shown")
    question = run_actions.ask_to_delete(services, view.deletion, run_id=gone.id)
    outcome = delete(services, view, other.id, question[view.deletion.about])
    assert view.watch.chart not in outcome  # it stays as it is
    assert "“gone” is deleted" in outcome[view.actions.note]
    assert [run.id for run in services.store.list()] == [other.id]


def test_a_run_gets_another_name_or_a_sentence(services: Services, view: RunView, write_run) -> None:
    run = write_run()
    renamed = run_actions.rename(services, view, run_id=run.id, name="better")
    assert "better" in renamed[view.actions.note]
    assert ">better, 3 epochs, " in renamed[view.table]
    assert services.store.get(run.id).record.name == "better"
    refused = run_actions.rename(services, view, run_id=run.id, name="  ")
    assert "alert" in refused[view.actions.note]


def test_a_name_that_is_being_typed_is_left_alone_until_another_run_is_shown(
    services: Services, view: RunView, write_run
) -> None:
    first, second = write_run("first"), write_run("second")
    named = shown(services, view, first.id)[view.actions.named]
    assert view.actions.name not in shown(services, view, first.id, named=named)
    assert shown(services, view, second.id, named=named)[view.actions.name] == "second"


def on_a_server_for_others(services: Services, *, show_all: bool = False) -> Services:
    access = Access(owned=True, show_all=show_all)
    manager = RunManager(services.store, services.registry, access=access)
    return dataclasses.replace(services, access=access, manager=manager, can_publish=False)


def test_where_all_runs_are_shown_others_only_look(services: Services, view: RunView, write_run) -> None:
    shared = on_a_server_for_others(services, show_all=True)
    run, asked = write_run(owner="somebody else"), {}
    now = shown(shared, view, run.id)
    assert now[view.actions.download].visible
    assert not now[view.actions.more].visible
    assert not now[view.actions.resume].visible
    assert not now[view.actions.share].visible
    asked["run_id"] = run.id
    with asked_by("me"):
        for outcome in (
            run_actions.rename(shared, view, **asked, name="mine"),
            delete(shared, view, run.id, run.id),
            run_actions.resume(shared, view, **asked),
            run_actions.share(shared, view, **asked),
        ):
            assert "whoever started" in outcome[view.actions.note]
    assert services.store.get(run.id).record.name == "reviews"


def test_a_run_is_its_owners_until_it_is_shown_to_everyone(services: Services, view: RunView, write_run) -> None:
    private = on_a_server_for_others(services)
    run = write_run("a secret name", owner="me")

    def seen_by(who: str) -> bool:
        now = shown(private, view, run.id, owner=who)
        with asked_by(who):
            overlaid = refresh_overlay(private, view.overlay, overlaid=[run.id])[view.overlay.chosen]
            names = str([now[view.table], now[view.actions.title], overlaid.choices, show_overlay(private, [run.id])])
            words = run_actions.ask_to_delete(private, view.deletion, run_id=run.id)[view.deletion.words]
        assert ("secret name" in words) == ("secret name" in names) == bool(now[view.actions.download].visible)
        return "secret name" in names

    assert seen_by("me")
    assert not seen_by("another")
    assert not seen_by("")
    with asked_by("another"):
        assert "that you may see" in run_actions.share(private, view, run_id=run.id)[view.actions.note]
    with asked_by("me"):
        assert shown(private, view, run.id)[view.actions.share].value == "Show to everyone here"
        assert "Everyone who uses" in run_actions.share(private, view, run_id=run.id)[view.actions.note]
        assert shown(private, view, run.id)[view.actions.share].value == "Show to its owner only"
    assert seen_by("another")
    assert not shown(private, view, run.id, owner="another")[view.actions.more].visible
    with asked_by("me"):
        run_actions.share(private, view, run_id=run.id)
    assert not seen_by("another")


def test_on_a_server_for_others_no_token_of_the_hub_is_taken(services: Services, view: RunView, write_run) -> None:
    shared = on_a_server_for_others(services)
    given = {"repository": "me/reviews", "token": "hf_token", "private": True, "best": False}
    with asked_by("me"):
        outcome = run_actions.publish(shared, view, run_id=write_run().id, **given)
    assert "no token is taken here" in outcome[view.actions.note]
    with gr.Blocks() as demo:
        watch = Watch(gr.Button(), gr.Button(), gr.HTML(), live_chart(), gr.State(""))
        build_runs(watch, build_report(), can_publish=False)
    field = next(part for part in demo.blocks.values() if getattr(part, "type", "") == "password")
    assert not field.parent.parent.visible


def test_publishing_needs_a_token_and_forgets_it(services: Services, view: RunView, write_run) -> None:
    given = {"repository": "me/reviews", "token": "", "private": True, "best": False}
    outcome = run_actions.publish(services, view, run_id=write_run().id, **given)
    assert "token" in outcome[view.actions.note]
    assert outcome[view.publishing.token] == ""


def test_runs_of_one_name_can_be_told_apart_in_the_chart(services: Services, write_run) -> None:
    first, second, other = write_run(), write_run(), write_run("other")
    names = [trace.name for trace in overlay([first, second, other]).data if trace.mode == "lines"]
    assert len(set(names)) == 3
    assert names[2].startswith("other, 3 epochs, ")
    assert show_overlay(services, []) is None
    assert show_overlay(services, ["20990101-0000-none-0000", "../x"]) is None


def test_the_chart_follows_what_becomes_of_its_runs(services: Services, view: RunView, write_run) -> None:
    first, second = write_run("first"), write_run("second")
    run_actions.rename(services, view, run_id=first.id, name="better")
    delete(services, view, "", second.id)
    now = refresh_overlay(services, view.overlay, overlaid=[first.id, second.id])
    chosen, drawn = now[view.overlay.chosen], str(now[view.overlay.plot])
    assert chosen.value == [first.id]
    assert [label.split(",")[0] for label, _ in chosen.choices] == ["better"]
    assert "better" in drawn
    assert "second" not in drawn
    delete(services, view, "", first.id)
    assert refresh_overlay(services, view.overlay, overlaid=[first.id])[view.overlay.plot] is None


def test_nothing_is_drawn_while_the_chart_is_folded_up(services: Services, view: RunView, write_run) -> None:
    run = write_run()
    assert view.overlay.plot not in show_run(services, view, run_id=run.id, overlaid=[run.id])


def test_a_long_list_is_cut_and_says_so(services: Services, write_run, monkeypatch) -> None:
    for name in ("first", "second", "third"):
        write_run(name)
    assert "newest" not in list_runs(services, "")
    monkeypatch.setattr("bertdemo.ui.train.run_view.MAX_LISTED", 2)
    cut = list_runs(services, "")
    assert "These are 2 of 3" in cut
    assert ">first<" not in cut


def test_of_a_damaged_run_no_settings_are_claimed(services: Services, view: RunView, write_run) -> None:
    run = write_run()
    assert "learning rate 5e-5" in list_runs(services, "")
    (run.folder / "run.json").write_text("{")
    listed = list_runs(services, "")
    assert "damaged" in listed
    assert "learning rate" not in listed
    assert delete(services, view, run.id, run.id)[view.actions.note].count("is deleted") == 1
    assert services.store.list() == []
