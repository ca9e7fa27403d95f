"""What is said of a run before it starts: as planned, and without leaving a trace on the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from small_corpus import CONFIG, CORPUS

from bertdemo.mlm.errors import SettingsError, TextError
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.settings import TrainingConfig
from bertdemo.mlm.training import estimate as module
from bertdemo.mlm.training.batching import TrainingTexts
from bertdemo.mlm.training.estimate import Estimate, estimate_run
from bertdemo.mlm.training.events import RunStarted, StepDone
from bertdemo.mlm.training.loop import TrainingSession, train


def timed(session: TrainingSession):
    for event in session.events():
        if event.event == "started":
            break
    return module._Timing(score_rate=1.0, step_rate=1.0)


GENERAL = ("paris is the capital of france .", "my dogs love walking and talking .")


@pytest.fixture
def estimate(tiny_bert: MaskedLM, trainable: Callable[[MaskedLM], MaskedLM]) -> Callable[..., Estimate]:
    def run(*, read_share: float = 1.0, **changes) -> Estimate:
        config = replace(CONFIG, **changes)
        return estimate_run(trainable(tiny_bert), CORPUS, config, general=GENERAL, read_share=read_share)

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
    part, whole = estimate(), estimate(read_share=0.1)
    assert whole.steps == 10 * part.steps
    assert whole.train_rows == 10 * part.train_rows
    assert whole.held_out_rows == part.held_out_rows
    assert (part.exact, whole.exact) == (True, False)


@pytest.mark.parametrize(
    "changes", [{"max_steps": 3}, {"max_steps": 5, "epochs": 400}, {"max_steps": 3, "read_share": 0.1}]
)
def test_a_step_limit_is_known(estimate, changes: dict) -> None:
    planned = estimate(**changes)
    assert planned.steps == changes["max_steps"]
    assert planned.exact == ("read_share" not in changes)


def test_time_is_counted_as_the_run_spends_it(estimate, monkeypatch: pytest.MonkeyPatch) -> None:
    """One second for each token trained on, and one for each that is scored."""
    monkeypatch.setattr(module, "_time", timed)
    trained = estimate().train_tokens
    scored = estimate(epochs=2).seconds - 2 * trained  # at step 0 and after each of two epochs
    assert scored > 0
    assert estimate(epochs=4).seconds == pytest.approx(4 * trained + 5 / 3 * scored)
    steps = estimate(epochs=1).steps
    often = estimate(epochs=1, evaluate_every=1).seconds
    assert often == pytest.approx(trained + (1 + steps) / 3 * scored)
    limited = estimate(epochs=400, max_steps=steps).seconds
    assert limited == pytest.approx(trained + 2 / 3 * scored)


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
    few = TrainingTexts(CORPUS.train[:3], CORPUS.held_out[:1])
    planned = estimate_run(trainable(tiny_bert), few, replace(CONFIG, epochs=1))
    assert planned.steps == 1
    assert planned.seconds > 0
