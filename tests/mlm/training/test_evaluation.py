"""Held-out figures that anyone can recompute: fixed masks, every target counted once, nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from small_corpus import SENTENCES

from bertdemo.mlm.errors import ModelError
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.training import evaluation
from bertdemo.mlm.training.evaluation import FixedMasks, TargetScores, fix_masks, score_targets, tokenize_and_fix
from bertdemo.mlm.training.events import GeneralEvaluated, Progress
from bertdemo.mlm.training.masking import IGNORED

TEXTS = [*SENTENCES, "", "love"]


def fixed_for(masked_lm: MaskedLM, *, seed: int = 0, texts: list[str] = TEXTS) -> FixedMasks:
    return tokenize_and_fix(masked_lm, texts, max_length=32, seed=seed)


def scored(masked_lm: MaskedLM, fixed: FixedMasks) -> TargetScores:
    *_, scores = score_targets(masked_lm, fixed, precision="fp32")
    assert isinstance(scores, TargetScores)
    return scores


@torch.no_grad()
def recomputed(masked_lm: MaskedLM, fixed: FixedMasks) -> tuple[float, float, float, int, int]:
    """(loss, top-1, top-5, targets, hidden) by one whole forward pass a row, from the records alone."""
    losses, ranks = [], []
    for record in fixed.records():
        logits = masked_lm.model(torch.tensor([record["input_ids"]])).logits[0].double()
        for place, answer in enumerate(record["labels"]):
            if answer != -100:
                losses.append(-logits[place].log_softmax(-1)[answer].item())
                if record["input_ids"][place] == masked_lm.tokenizer.mask_token_id:
                    ranks.append(1 + int((logits[place] > logits[place, answer]).sum()))
    shares = np.mean(np.array(ranks) == 1), np.mean(np.array(ranks) <= 5)
    return float(np.mean(losses)), *shares, len(losses), len(ranks)


def test_the_figures_are_those_of_plain_transformers(any_tiny: MaskedLM) -> None:
    fixed = fixed_for(any_tiny)
    evaluated = scored(any_tiny, fixed).evaluated(3)
    loss, top1, top5, targets, hidden = recomputed(any_tiny, fixed)
    assert evaluated.loss == pytest.approx(loss, abs=1e-4)
    assert evaluated.perplexity == pytest.approx(math.exp(loss), rel=1e-4)
    assert (evaluated.top1, evaluated.top5) == (pytest.approx(top1), pytest.approx(top5))
    assert (evaluated.targets, evaluated.hidden) == (targets, hidden)
    assert hidden < targets
    assert (evaluated.step, evaluated.event) == (3, "evaluated")


def test_every_target_is_scored_once_and_in_its_own_row(tiny_bert: MaskedLM) -> None:
    fixed = fixed_for(tiny_bert)
    scores = scored(tiny_bert, fixed)
    expected = sorted(
        (row, answer) for row, record in enumerate(fixed.records()) for answer in record["labels"] if answer != IGNORED
    )
    assert sorted(zip(scores.rows.tolist(), scores.answers.tolist(), strict=True)) == expected


def test_two_evaluations_are_identical_to_the_bit(tiny_bert: MaskedLM) -> None:
    first, again = scored(tiny_bert, fixed_for(tiny_bert)), scored(tiny_bert, fixed_for(tiny_bert))
    assert np.array_equal(first.losses, again.losses)
    assert first.quality() == again.quality()
    assert first.quality() != scored(tiny_bert, fixed_for(tiny_bert, seed=1)).quality()


def test_a_rows_masks_depend_on_nothing_but_the_seed_and_its_place(tiny_bert: MaskedLM) -> None:
    all_rows, few = list(fixed_for(tiny_bert).records()), list(fixed_for(tiny_bert, texts=TEXTS[:5]).records())
    assert all_rows[:5] == few
    texts = fixed_for(tiny_bert).texts
    assert list(fix_masks(tiny_bert, texts, seed=2).records()) == list(fix_masks(tiny_bert, texts, seed=2).records())


def test_how_rows_are_batched_changes_no_figure(tiny_bert: MaskedLM, monkeypatch: pytest.MonkeyPatch) -> None:
    fixed = fixed_for(tiny_bert)
    together = scored(tiny_bert, fixed).quality()
    monkeypatch.setattr(evaluation, "TOKENS_AT_ONCE", 1)
    assert vars(scored(tiny_bert, fixed).quality()) == pytest.approx(vars(together), rel=1e-6)


def test_signs_of_life_count_the_rows(tiny_bert: MaskedLM, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "TOKENS_AT_ONCE", 100)
    *signs, _scores = score_targets(tiny_bert, fixed_for(tiny_bert), precision="fp32", phase="scoring")
    assert len(signs) > 2
    assert signs[-1] == Progress("scoring", len(TEXTS), len(TEXTS))


def test_scoring_changes_neither_mode_nor_weights_nor_gradients(
    tiny_bert: MaskedLM, trainable: Callable[[MaskedLM], MaskedLM]
) -> None:
    masked_lm = trainable(tiny_bert)
    masked_lm.model.train()
    first = scored(masked_lm, fixed_for(masked_lm))
    assert masked_lm.model.training
    assert first.quality() == scored(tiny_bert, fixed_for(tiny_bert)).quality()  # eval(): no dropout
    assert all(parameter.grad is None for parameter in masked_lm.model.parameters())


def test_rows_without_a_target_give_no_number(tiny_bert: MaskedLM) -> None:
    for texts in (["", "[MASK] [SEP]"], []):
        evaluated = scored(tiny_bert, fixed_for(tiny_bert, texts=texts)).evaluated(0)
        assert evaluated.targets == 0
        assert math.isnan(evaluated.loss)
        assert math.isnan(evaluated.top1)


def test_a_model_that_gives_no_numbers_has_no_figures(
    tiny_bert: MaskedLM, trainable: Callable[[MaskedLM], MaskedLM]
) -> None:
    damaged = trainable(tiny_bert)
    with torch.no_grad():
        next(damaged.model.parameters())[:] = math.nan
    with pytest.raises(ModelError, match="not numbers"):
        scored(damaged, fixed_for(damaged))


def test_figures_are_per_target_not_per_row_and_guesses_count_where_the_model_read_a_mask() -> None:
    scores = TargetScores(
        rows=np.array([0, 0, 0, 1]),
        answers=np.array([7, 8, 9, 7]),
        losses=np.array([1.0, 2.0, 3.0, 6.0]),
        ranks=np.array([1, 2, 6, 1]),
        hidden=np.array([True, True, True, False]),
    )
    assert vars(scores.quality()) == {
        **{"loss": 3.0, "perplexity": pytest.approx(math.exp(3)), "targets": 4, "hidden": 3},
        **{"top1": pytest.approx(1 / 3), "top5": pytest.approx(2 / 3)},
    }
    assert scores.evaluated(0, kind=GeneralEvaluated).event == "general"
