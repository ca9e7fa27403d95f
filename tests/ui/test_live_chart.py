"""The live chart's answers, over a real store and manager whose run is written by hand."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bertdemo.mlm.errors import RunError
from bertdemo.mlm.models.masked_lm import ModelRef
from bertdemo.mlm.settings import TrainingConfig
from bertdemo.mlm.training.events import EndedEarly, Evaluated, GeneralEvaluated, StepDone, Warned, event_record
from bertdemo.runs.manager import RunManager
from bertdemo.runs.record import DataSource
from bertdemo.runs.run import Activity, Run, RunStatus
from bertdemo.runs.store import RunStore
from bertdemo.ui.train import live_chart
from bertdemo.ui.train.live_chart import duration, live_payload, quick_payload, requested, state_words


@pytest.fixture
def manager(tmp_path: Path) -> RunManager:
    return RunManager(RunStore(tmp_path), registry=SimpleNamespace())  # nothing is trained here


@pytest.fixture
def run(manager: RunManager) -> Iterator[Run]:
    created = manager.store.create(
        name="<b>reviews</b>",
        model=ModelRef("mini-bert", "mini-bert"),
        data=DataSource("reviews.csv", "/nowhere"),
        settings=TrainingConfig(epochs=3),
    )
    created.update(state="training", steps=190)
    yield created
    created.release()


def step(number: int, loss: float = 2.5, epoch: int = 1) -> dict[str, Any]:
    values = {"learning_rate": 5e-5, "targets": 60, "tokens": 400, "seconds": number / 4}
    return event_record(StepDone(step=number, epoch=epoch, loss=loss, **values))


def write(run: Run, *records: dict[str, Any]) -> None:
    for record in records:
        run.log.append(record)


def probe(number: int, share: float) -> dict[str, Any]:
    words = [{"token": word, "probability": share / place} for place, word in enumerate("abcdefg", start=1)]
    mask = {"candidates": words, "watched": [{"word": "love", "probability": share, "pieces": 1}]}
    return {"event": "probe", "step": number, "probes": [{"text": "I [MASK] it.", "masks": [mask]}]}


def test_each_point_is_sent_once_and_in_order(manager: RunManager, run: Run) -> None:
    write(run, step(1, 3.0), step(2, 2.5))
    first = live_payload(manager, run.id, 0)
    write(run, step(3, 2.0, epoch=2))
    second = live_payload(manager, run.id, first["to"])
    third = live_payload(manager, run.id, second["to"])
    assert (first["steps"], first["loss"]) == ([1, 2], [3.0, 2.5])
    assert (second["steps"], second["loss"], second["epoch"]) == ([3], [2.0], 2)
    assert third["steps"] == []
    assert second["from"] == first["to"]
    assert third["to"] == second["to"]
    assert first["about"] == {"name": run.record.name, "epochs": 3}
    assert "about" not in second


def test_a_long_history_comes_whole_but_thinned(manager: RunManager, run: Run) -> None:
    write(run, *(step(number, loss=float(number)) for number in range(1, 5001)))
    answer = live_payload(manager, run.id, 0)
    assert len(answer["steps"]) <= live_chart.MAX_POINTS
    assert answer["steps"][-1] == 5000
    assert answer["steps"] == sorted(set(answer["steps"]))
    size = answer["steps"][0]
    assert answer["loss"][0] == pytest.approx(sum(range(1, size + 1)) / size)
    assert live_payload(manager, run.id, answer["to"])["steps"] == []


def test_held_out_general_warnings_and_probes_arrive(manager: RunManager, run: Run) -> None:
    figures = {"perplexity": 9.0, "top1": 0.4, "top5": 0.6, "targets": 500, "hidden": 400}
    write(
        run,
        event_record(Warned("Nothing learns at a rate of 0.")),
        event_record(Evaluated(step=0, loss=2.2, **figures)),
        event_record(GeneralEvaluated(step=0, loss=2.6, **figures)),
        probe(0, 0.3),
    )
    answer = live_payload(manager, run.id, 0)
    assert answer["evaluated"] == [[0, 2.2]]
    assert answer["general"] == [[0, 2.6]]
    assert answer["warnings"] == ["Nothing learns at a rate of 0."]
    assert answer["sentences"] == ["I [MASK] it."]
    ((at, ((mask,),)),) = answer["probed"]
    assert at == 0
    assert [word for word, _ in mask["top"]] == list("abcde")
    assert mask["watched"] == [["love", 0.3]]


def test_where_and_why_a_run_ended_early_arrives_once(manager: RunManager, run: Run) -> None:
    reason = "The held-out loss was no better for 2 epochs."
    write(run, step(1), event_record(EndedEarly(step=1, epoch=3, best_step=1, best_epoch=1, reason=reason)))
    run.update(state="finished", steps_done=1)
    answer = live_payload(manager, run.id, 0)
    assert answer["ended_early"] == [1, reason]
    assert answer["words"].startswith("Ended early at step 1 of 190")
    assert answer["done"] == 1.0
    assert live_payload(manager, run.id, answer["to"])["ended_early"] is None


def test_many_probes_are_thinned_and_keep_the_ends(manager: RunManager, run: Run) -> None:
    write(run, *(probe(number, 0.3) for number in range(1000)))
    moments = [at for at, _ in live_payload(manager, run.id, 0)["probed"]]
    assert len(moments) <= live_chart.MAX_PROBES
    assert (moments[0], moments[-1]) == (0, 999)


def test_a_loss_that_is_no_number_is_a_gap(manager: RunManager, run: Run) -> None:
    write(run, step(1, 3.0), step(2, math.nan), step(3, math.inf))
    assert live_payload(manager, run.id, 0)["loss"] == [3.0, None, None]


def test_after_a_resumption_the_page_is_told_to_start_anew(manager: RunManager, run: Run) -> None:
    write(run, step(1), step(2), step(3))
    before = live_payload(manager, run.id, 0)
    run.log.truncate(len(run.log.path.read_bytes().splitlines(keepends=True)[0]))
    run.update(attempt=1)
    write(run, step(2, 9.0))
    after = live_payload(manager, run.id, before["to"])
    assert after["from"] != before["to"]
    assert (after["steps"], after["loss"]) == ([1, 2], [2.5, 9.0])
    assert after["about"]["epochs"] == 3


def test_where_none_is_chosen_the_newest_run_is_followed(manager: RunManager, run: Run) -> None:
    assert live_payload(manager, "", 0)["run_id"] == run.id


def test_no_run_is_idle_and_an_unknown_one_is_missing(manager: RunManager) -> None:
    assert live_payload(manager, "", 0)["state"] == "idle"
    gone = live_payload(manager, "20261122-1130-reviews-ab12", 0)
    assert gone["state"] == "missing"
    assert gone["words"]
    assert gone["steps"] == []


@pytest.mark.parametrize(
    ("run_id", "cursor"),
    [
        *[(name, "0") for name in ("", "../../etc/passwd", "<script>", "x" * 1000, "20261122-1130-reviews-ab12x")],
        *[("newest", cursor) for cursor in ("", "-1", "1.5", "true", "1" * 30, "٣", "0x1")],
    ],
)
def test_a_question_that_no_page_asks_is_refused(run_id: str, cursor: str) -> None:
    with pytest.raises(RunError):
        requested(run_id, cursor)


def status(state: str, **changes: Any) -> RunStatus:
    values = {
        "run": "r", "name": "r", "activity": Activity(), "step": 118, "steps": 190, "steps_per_second": 3.4,
        "seconds_left": 21.2, "error": None, "since": 0, "cursor": 0, "events": [],
    }  # fmt: skip
    return RunStatus(state=state, **(values | changes))


def test_training_says_step_pace_and_time_left() -> None:
    assert state_words(status("training")) == "step 118 of 190 · 3.4 steps/s · 21 s left"


def test_a_phase_in_between_is_named() -> None:
    evaluating = Activity(phase="evaluating", done=40, total=410)
    assert "evaluating, 40 of 410" in state_words(status("training", activity=evaluating))
    tokenising = Activity(phase="tokenising", done=400, total=4101)
    words = state_words(status("preparing", step=0, steps=None, activity=tokenising))
    assert words == "Tokenising, 400 of 4,101"


@pytest.mark.parametrize("state", ["queued", "preparing", "stopping", "stopped", "interrupted", "finished", "failed"])
def test_every_state_has_words_of_its_own(state: str) -> None:
    words = state_words(status(state, step=0, steps=None, steps_per_second=None, seconds_left=None))
    assert words
    assert "None" not in words
    assert state == "finished" or "ready to use" not in words


def test_a_run_cut_off_before_its_first_step_is_promised_no_checkpoint() -> None:
    assert "last checkpoint" in state_words(status("interrupted"))
    assert "checkpoint" not in state_words(status("interrupted", step=0))


def test_a_failure_gives_its_reason_and_a_queue_its_position() -> None:
    assert state_words(status("failed", error="The disk is full; make room.")) == "The disk is full; make room."
    assert "number 2" in state_words(status("queued", activity=Activity(position=2)))


@pytest.mark.parametrize(("seconds", "words"), [(0.2, "0 s"), (59.6, "1 min 0 s"), (7500, "2 h 5 min")])
def test_durations_read_as_a_person_says_them(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.fixture
def _at_hand(manager: RunManager, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manager, "live", lambda: (run.id,))


@pytest.mark.usefixtures("_at_hand")
def test_a_page_that_is_nearly_up_to_date_gets_the_same_answer_quickly(manager: RunManager, run: Run) -> None:
    write(run, *(step(number) for number in range(1, 400)))
    cursor = live_payload(manager, run.id, 0)["to"]
    write(run, step(400), probe(400, 0.5))
    quick = quick_payload(manager, run.id, cursor)
    assert quick == live_payload(manager, run.id, cursor)
    assert (quick["steps"], len(quick["probed"])) == ([400], 1)
    assert quick_payload(manager, run.id, quick["to"])["steps"] == []


@pytest.mark.usefixtures("_at_hand")
def test_what_takes_long_or_is_wrong_is_not_answered_quickly(manager: RunManager, run: Run) -> None:
    write(run, *(step(number) for number in range(1, 400)))
    early = run.log.read(0, limit=10)[1]
    for asked in ((run.id, 0), (run.id, early), (run.id, 2**50), ("", 5), ("20261122-1130-gone-ab12", 5)):
        assert quick_payload(manager, *asked) is None


def test_a_run_of_another_program_is_looked_for_elsewhere(manager: RunManager, run: Run) -> None:
    write(run, step(1))
    assert quick_payload(manager, run.id, live_payload(manager, run.id, 0)["to"]) is None
