"""What is said of a run before it starts: as planned, and without leaving a trace on the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from small_corpus import CONFIG, CORPUS, Texts

from bertdemo.mlm.errors import SettingsError, TextError
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.settings import TrainingConfig
from bertdemo.mlm.training.estimate import Estimate, estimate_run
from bertdemo.mlm.training.events import RunStarted, StepDone
from bertdemo.mlm.training.loop import train

GENERAL = ("paris is the capital of france .", "my dogs love walking and talking .")


@pytest.fixture
def estimate(tiny_bert: MaskedLM, trainable: Callable[[MaskedLM], MaskedLM]) -> Callable[..., Estimate]:
    def run(**changes) -> Estimate:
        return estimate_run(trainable(tiny_bert), CORPUS, replace(CONFIG, **changes), general=GENERAL)

    return run


def events(masked_lm: MaskedLM, config: TrainingConfig) -> list:
    return list(train(masked_lm, CORPUS, config, general=GENERAL))


def test_counts_are_those_of_the_run(estimate, tiny_bert, trainable) -> None:
    config = replace(CONFIG, max_length=12)
    started = next(event for event in events(trainable(tiny_bert), config) if isinstance(event, RunStarted))
    planned = estimate(max_length=12)
    assert planned.exact
    for name in ("train_rows", "held_out_rows", "train_tokens", "truncated", "steps"):
        assert getattr(planned, name) == getattr(started, name), name
    assert planned.truncated > 0


def test_a_seeded_run_is_the_same_with_and_without_a_look_ahead(estimate, tiny_bert, trainable) -> None:
    config = replace(CONFIG, dropout=0.1, probes=("the dog can [MASK] .",))

    def losses() -> list[float]:
        return [event.loss for event in events(trainable(tiny_bert), config) if isinstance(event, StepDone)]

    alone, state = losses(), torch.get_rng_state()
    estimate(dropout=0.1, probes=("the dog can [MASK] .",))
    assert torch.equal(torch.get_rng_state(), state)
    assert losses() == alone


def test_the_time_grows_with_the_epochs_and_the_memory_holds_the_optimiser(estimate, tiny_bert) -> None:
    short, long = estimate(), estimate(epochs=400)
    assert 0 < short.seconds < long.seconds
    assert not long.exact
    assert long.steps == pytest.approx(200 * short.steps, rel=0.1)
    weights = 4 * sum(parameter.numel() for parameter in tiny_bert.model.parameters())
    assert short.memory > 4 * weights


def test_memory_grows_with_what_is_read_at_once(estimate) -> None:
    assert estimate(batch_size=16).memory > estimate(batch_size=2).memory


def test_a_part_of_the_rows_is_counted_on(estimate) -> None:
    part = estimate()
    whole = part.scaled(10)
    assert whole.steps == 10 * part.steps
    assert whole.seconds == pytest.approx(10 * part.seconds)
    assert (whole.memory, whole.exact) == (part.memory, False)


def test_unusual_settings_are_named_and_nothing_is_forbidden(estimate) -> None:
    assert any("learning rate" in warning for warning in estimate(learning_rate=0.5).warnings)
    assert any("by heart" in warning for warning in estimate(epochs=30).warnings)
    assert estimate(learning_rate=5e-5).warnings == ()


def test_what_would_fail_is_refused_in_the_same_words(estimate) -> None:
    with pytest.raises(SettingsError, match="maximum length"):
        estimate(max_length=100_000)
    with pytest.raises(TextError):
        estimate(probes=("no blank at all .",))


def test_one_step_is_enough(tiny_bert, trainable) -> None:
    few = Texts(CORPUS.train[:3], CORPUS.held_out[:1])
    planned = estimate_run(trainable(tiny_bert), few, replace(CONFIG, epochs=1))
    assert planned.steps == 1
    assert planned.seconds > 0
