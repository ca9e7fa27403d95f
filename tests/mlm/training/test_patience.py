"""A run ends by itself when the held-out loss gets no better, says why, and does so again after an interruption."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from small_corpus import CONFIG, CORPUS

from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.training.batching import TrainingTexts
from bertdemo.mlm.training.events import EndedEarly, Evaluated, RunStarted, StepDone, TrainingEvent
from bertdemo.mlm.training.loop import TrainingSession
from bertdemo.mlm.training.patience import Patience

FEW = TrainingTexts(CORPUS.train[:6], CORPUS.held_out)  # soon known by heart


@pytest.fixture
def started(tiny_bert: MaskedLM, trainable: Callable[[MaskedLM], MaskedLM]) -> Callable[..., TrainingSession]:
    def start(**changes: Any) -> TrainingSession:
        config = replace(CONFIG, **{"epochs": 40, "batch_size": 2, "learning_rate": 0.02, "patience": 2, **changes})
        return TrainingSession(trainable(tiny_bert), FEW, config)

    return start


def scores(events: list[TrainingEvent]) -> list[tuple[int, float]]:
    return [(event.step, event.loss) for event in events if type(event) is Evaluated]


def scored(step: int, loss: float) -> Evaluated:
    return Evaluated(step, loss, math.exp(min(loss, 9)), 0.1, 0.2, 40, 32)


def test_a_run_ends_after_so_many_epochs_without_a_better_loss(started: Callable[..., TrainingSession]) -> None:
    events = list(started().events())
    begun = next(event for event in events if isinstance(event, RunStarted))
    (ended,) = [event for event in events if isinstance(event, EndedEarly)]
    assert events[-1] is ended
    losses = [loss for step, loss in scores(events) if step]  # one an epoch
    best = losses.index(min(losses)) + 1
    assert (ended.epoch, ended.best_epoch, len(losses)) == (best + 2, best, best + 2)
    last = [event for event in events if isinstance(event, StepDone)][-1]
    assert (ended.step, ended.epoch) == (last.step, last.epoch)
    assert ended.step < begun.steps
    assert ended.reason.startswith(
        f"The held-out loss was no better for 2 epochs, so the run ended after epoch {best + 2}"
    )
    assert f"the best one, {min(losses):.3f}, was in epoch {best}," in ended.reason


def test_without_patience_it_goes_on_and_up_to_there_is_the_same(started: Callable[..., TrainingSession]) -> None:
    short, long = list(started().events()), list(started(patience=0).events())
    assert scores(long)[: len(scores(short))] == scores(short)
    assert [event.epoch for event in long if isinstance(event, StepDone)][-1] == 40
    assert not any(isinstance(event, EndedEarly) for event in long)


def test_a_run_that_was_interrupted_anywhere_ends_at_the_same_step(started: Callable[..., TrainingSession]) -> None:
    whole = list(started().events())
    steps = whole[-1].step
    for kind, at in ((StepDone, steps - 1), (Evaluated, steps), (Evaluated, whole[-1].best_step)):
        first = started()
        for event in first.events():
            if type(event) is kind and event.step == at:
                state = first.state()  # as whoever keeps a checkpoint asks for it
                break
        second = started()
        second.restore(state)
        assert list(second.events())[-1] == whole[-1]


def test_scores_within_an_epoch_count_for_the_epoch_they_stand_in(started: Callable[..., TrainingSession]) -> None:
    session = started(evaluate_every=2)
    events = list(session.events())
    ended = events[-1]
    assert isinstance(ended, EndedEarly)
    losses = {step: loss for step, loss in scores(events) if step}
    assert set(session.plan.epoch_ends[1 : ended.epoch + 1]) <= losses.keys()
    assert set(range(2, ended.step, 2)) <= losses.keys()
    assert ended.best_step == min(losses, key=losses.__getitem__)
    assert ended.epoch == ended.best_epoch + 2


def test_scores_before_training_and_without_targets_are_no_best_ones() -> None:
    patience = Patience(1)
    for step, loss in ((0, 0.5), (3, math.nan), (6, math.nan)):
        patience.take(scored(step, loss))
    assert patience.ended(6, epoch_of=lambda step: step // 3) is None
    patience.take(scored(9, 2.0))
    patience.take(scored(12, math.nan))
    ended = patience.ended(12, epoch_of=lambda step: step // 3)
    assert (ended.best_step, ended.best_epoch, ended.epoch) == (9, 3, 4)
