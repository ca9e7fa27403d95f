"""Several masks filled in order, each given those before it."""

from __future__ import annotations

import itertools

import pytest
import torch

from bertdemo.mlm.errors import SettingsError, TextError
from bertdemo.mlm.inference.fill_in_order import FillingSteps, fill_in_order
from bertdemo.mlm.inference.fill_mask import fill_masks
from bertdemo.mlm.inference.log_probs import log_probabilities_at
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.text.prompt import prepare_ids

STRATEGIES = ("confident", "left_to_right", "beam")
TEXT = "I ___ this ___ , the ___ barked ."


def _check_steps(masked_lm: MaskedLM, filled: FillingSteps) -> None:
    """Every step of every filling is plain fill-mask on the text as it then stood."""
    for filling in filled.fillings:
        token_ids = list(filled.prepared.token_ids)
        for step in filling.steps:
            plain = fill_masks(masked_lm, prepare_ids(masked_lm, token_ids), top_k=3)
            (mask,) = [mask for mask in plain.masks if mask.position == step.position]
            assert [candidate.token_id for candidate in step.candidates] == [
                candidate.token_id for candidate in mask.candidates
            ]
            assert step.candidates[0].probability == pytest.approx(mask.candidates[0].probability, rel=1e-4)
            token_ids[step.position] = step.token_id
            assert step.tokens[step.position] == step.token
        assert tuple(token_ids) == filling.token_ids
        assert filling.log_score == pytest.approx(sum(step.log_probability for step in filling.steps))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_one_mask_is_plain_fill_mask(any_tiny: MaskedLM, strategy: str) -> None:
    text = "the dog can ___ ."
    filled = fill_in_order(any_tiny, text, strategy=strategy, top_k=4, beam=2)
    (plain,) = fill_masks(any_tiny, text, top_k=4).masks
    (step,) = filled.best.steps
    assert step.candidates == plain.candidates
    assert (step.position, step.token_id) == (plain.position, plain.candidates[0].token_id)
    assert step.probability == pytest.approx(plain.candidates[0].probability)
    others = [filling.steps[0].token_id for filling in filled.fillings]
    assert others == [candidate.token_id for candidate in plain.candidates[: len(others)]]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_each_step_is_given_the_ones_before(any_tiny: MaskedLM, strategy: str) -> None:
    filled = fill_in_order(any_tiny, TEXT, strategy=strategy, top_k=3)
    assert len(filled.best.steps) == 3
    assert "order" in filled.note
    _check_steps(any_tiny, filled)


def test_left_to_right_goes_from_left_to_right_with_the_best_each_time(any_tiny: MaskedLM) -> None:
    filled = fill_in_order(any_tiny, TEXT, strategy="left_to_right")
    assert tuple(step.position for step in filled.best.steps) == filled.prepared.mask_positions
    assert all(step.token_id == step.candidates[0].token_id for step in filled.best.steps)
    assert len(filled.fillings) == 1
    assert filled.fillings == fill_in_order(any_tiny, TEXT, strategy="beam", beam=1).fillings


def test_the_most_confident_mask_goes_first(any_tiny: MaskedLM) -> None:
    filled = fill_in_order(any_tiny, TEXT, strategy="confident")
    independent = fill_masks(any_tiny, TEXT).masks
    surest = max(independent, key=lambda mask: mask.candidates[0].probability)
    assert filled.best.steps[0].position == surest.position
    assert filled.best.steps[0].candidates == surest.candidates


def test_a_wide_beam_over_two_masks_finds_the_best_pair(tiny_bert: MaskedLM) -> None:
    filled = fill_in_order(tiny_bert, "the [MASK] can [MASK] .", strategy="beam", beam=32)
    scores = [filling.log_score for filling in filled.fillings]
    assert scores == sorted(scores, reverse=True)
    assert len({filling.token_ids for filling in filled.fillings}) == 32
    ids, (first, second) = list(filled.prepared.token_ids), filled.prepared.mask_positions
    before = log_probabilities_at(tiny_bert, [ids], [[first]])[0]
    best = before.topk(32).indices.tolist()  # a beam of 32 keeps these first tokens
    rows = [[*ids[:first], token_id, *ids[first + 1 :]] for token_id in best]
    totals = before[best][:, None] + log_probabilities_at(tiny_bert, rows, [[second]] * 32)
    expected = totals.flatten().topk(32).values
    torch.testing.assert_close(torch.tensor(scores), expected, rtol=1e-4, atol=1e-4)


def test_a_beam_is_never_worse_than_its_first_choice(any_tiny: MaskedLM) -> None:
    greedy = fill_in_order(any_tiny, "the ___ can ___ .", strategy="left_to_right").best
    beam = fill_in_order(any_tiny, "the ___ can ___ .", strategy="beam", beam=5).best
    assert beam.log_score >= greedy.log_score - 1e-4


@pytest.mark.parametrize(("masks", "beam"), [(65, 1), (22, 3), (1, 65)])
def test_masks_times_beam_have_a_cap(tiny_bert: MaskedLM, masks: int, beam: int) -> None:
    with pytest.raises(SettingsError, match="at most 64"):
        fill_in_order(tiny_bert, "[MASK] " * masks, strategy="beam", beam=beam)


def test_fifty_masks_can_be_filled(tiny_bert: MaskedLM) -> None:
    filled = fill_in_order(tiny_bert, "[MASK] " * 50 + ".", strategy="confident", top_k=1)
    assert len({step.position for step in filled.best.steps}) == 50


@pytest.mark.parametrize(
    "settings",
    [{"strategy": "random"}, *({name: value} for name, value in itertools.product(("beam", "top_k"), (0, 1.5, "3")))],
)
def test_settings_that_mean_nothing_are_refused(tiny_bert: MaskedLM, settings: dict) -> None:
    with pytest.raises(SettingsError):
        fill_in_order(tiny_bert, "the [MASK] .", **settings)


def test_nothing_to_fill_is_refused(tiny_bert: MaskedLM) -> None:
    with pytest.raises(TextError):
        fill_in_order(tiny_bert, "the dog .")
