"""A linear head on a frozen encoder: it learns what can be learnt, and the encoder's tuning is compared fairly."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bertdemo.mlm.errors import DataError
from bertdemo.mlm.lessons.score_head import (
    HeadScores,
    ScoredReview,
    fit_head,
    read_scored_reviews,
    run_score_head,
    text_features,
)
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.settings import TrainingConfig

REVIEWS = [
    ScoredReview(f"the {animal} {thing} {'was awesome' if high else 'sucks'} {end}", high)
    for animal in ("dog", "cat", "man", "woman")
    for thing in ("show", "film", "story", "car")
    for end in (".", "!", "and i like it .")
    for high in (True, False)
]
TUNING = TrainingConfig(epochs=9, learning_rate=1e-3, max_length=32, max_steps=3, precision="fp32")


def run(masked_lm: MaskedLM, tuning: TrainingConfig) -> tuple[list[int], HeadScores]:
    mine = replace(masked_lm, model=copy.deepcopy(masked_lm.model).requires_grad_(True))
    running, steps = run_score_head(REVIEWS, new_model=lambda: mine, tuning=tuning), []
    while True:
        try:
            steps.append(next(running).done)
        except StopIteration as ended:
            return steps, ended.value


def test_a_word_that_gives_the_score_away_is_found(tiny_bert: MaskedLM) -> None:
    steps, scores = run(tiny_bert, TUNING)
    assert steps == [1, 2, 3]
    assert (scores.train_rows, scores.test_rows) == (64, 32)
    assert min(scores.before, scores.after) > 0.9 > scores.majority


def test_without_learning_nothing_changes_between_before_and_after(tiny_bert: MaskedLM) -> None:
    _, scores = run(tiny_bert, replace(TUNING, learning_rate=0))
    assert scores.before == scores.after
    assert scores.only_before == scores.only_after == 0


def test_the_features_of_a_text_do_not_depend_on_its_neighbours(any_tiny: MaskedLM) -> None:
    texts = ["it sucks !", "i really love this show and you really like the old house .", "the dog ."]
    together = text_features(any_tiny, texts, max_length=32)
    alone = torch.cat([text_features(any_tiny, [text], max_length=32) for text in texts])
    assert torch.allclose(together, alone, atol=1e-5)


def test_the_head_is_linear_and_fits_what_a_line_can_part() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(200, 3, generator=generator)
    high = (features[:, 0] > 0).float()
    guessed = fit_head(features, high)(features)[:, 0] > 0
    assert float((guessed == (high > 0)).float().mean()) > 0.95


def test_scores_are_read_relative_to_the_highest_that_can_be_given(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    path.write_text('review,score,max_score\n"Good, really.",4,5\nMeh.,6,10\n', encoding="utf-8")
    assert read_scored_reviews(path) == [ScoredReview("Good, really.", True), ScoredReview("Meh.", False)]
    path.write_text("review,score\nGood.,4\n", encoding="utf-8")
    with pytest.raises(DataError, match="max_score"):
        read_scored_reviews(path)
