"""The held-out report's arithmetic and words: what is claimed must be so, and what is uncertain must be said to be."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from small_corpus import CONFIG, CORPUS, SENTENCES

from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.training.evaluation import FixedMasks, TargetScores, score_targets, tokenize_and_fix
from bertdemo.mlm.training.events import TrainingHistory
from bertdemo.mlm.training.loop import train
from bertdemo.mlm.training.report import (
    BeforeAfter,
    Interval,
    before_and_after,
    best_and_worst_rows,
    forgetting,
    frequency_baseline,
    overfitting,
    paired_bootstrap,
    verdict,
)
from bertdemo.mlm.wording import percent

RANDOM = np.random.default_rng(0)


def scores(losses: np.ndarray, ranks: np.ndarray, *, targets_per_row: int = 4) -> TargetScores:
    count = len(losses)
    rows, hidden = np.arange(count) // targets_per_row, np.arange(count) % 5 > 0
    return TargetScores(rows, np.arange(count) % 7, losses, ranks, hidden)


def some_scores(count: int = 200) -> TargetScores:
    return scores(RANDOM.gamma(2.0, 1.0, count), RANDOM.integers(1, 6, count))


def better_by(before: TargetScores, gain: float, *, right: float = 0.0) -> TargetScores:
    """The same questions, every loss lower by about ``gain``, and a share of the answers now guessed first."""
    noise = np.random.default_rng(1).normal(0, 0.2, len(before.losses))
    noise -= noise.mean()
    ranks = np.where(np.random.default_rng(2).random(len(before.ranks)) < right, 1, before.ranks)
    return replace(before, losses=before.losses - gain + noise, ranks=ranks)


def scored(masked_lm: MaskedLM, fixed: FixedMasks) -> TargetScores:
    *_, result = score_targets(masked_lm, fixed, precision="fp32")
    return result


@pytest.fixture
def tuned(tiny_bert: MaskedLM, trainable: Callable[[MaskedLM], MaskedLM]) -> MaskedLM:
    masked_lm = trainable(tiny_bert)
    for _ in train(masked_lm, CORPUS, replace(CONFIG, epochs=8, learning_rate=1e-2)):
        pass
    masked_lm.model.eval()
    return masked_lm


@pytest.fixture
def fixed(tiny_bert: MaskedLM) -> FixedMasks:
    return tokenize_and_fix(tiny_bert, SENTENCES, max_length=32, seed=0)


def test_the_interval_covers_the_true_change_as_often_as_it_says() -> None:
    random, covered = np.random.default_rng(3), 0
    rows = np.repeat(np.arange(40), 5)
    for trial in range(60):
        of_row = random.normal(0.3, 0.5, 40)  # the targets of a row move together
        interval = paired_bootstrap(of_row[rows] + random.normal(0, 0.1, 200), rows, seed=trial)
        covered += interval.low <= 0.3 <= interval.high
    assert covered >= 51  # 95% of 60 is 57


def test_rows_not_tokens_are_drawn() -> None:
    changes = np.repeat([-1.0, 1.0], 100)
    apart, together = np.arange(200), np.repeat([0, 1], 100)
    assert paired_bootstrap(changes, together).high >= 1.0  # both draws may be the same row
    assert paired_bootstrap(changes, apart).high < 0.2


def test_two_calls_give_the_same_interval() -> None:
    before = some_scores()
    after = better_by(before, 0.1)
    assert before_and_after(before, after) == before_and_after(before, after)


def test_a_model_that_did_not_move_changes_exactly_nothing() -> None:
    before = some_scores()
    change = before_and_after(before, before)
    assert change.loss_change == change.top1_change == Interval(0.0, 0.0)
    assert "Nothing changed" in verdict(change)


def test_a_clear_gain_is_said_plainly() -> None:
    before = some_scores(400)
    change = before_and_after(before, better_by(before, 0.5, right=0.5))
    words = verdict(change)
    assert f"right for {percent(change.before.top1)} of the hidden words; now {percent(change.after.top1)}" in words
    assert "chance" not in words
    assert change.loss_change.high < 0


def test_a_gain_in_the_loss_alone_is_not_sold_as_better_guesses() -> None:
    before = some_scores(400)
    words = verdict(before_and_after(before, better_by(before, 0.5)))
    assert "may be chance, but on average" in words
    assert "higher probability" in words
    worse = verdict(before_and_after(before, better_by(before, -0.5)))
    assert "lower probability" in worse


@pytest.mark.parametrize(("targets", "per_row", "said"), [(29, 1, "29 targets in 29"), (200, 12, "200 targets in 17")])
def test_few_targets_or_few_rows_get_a_warning_and_no_number(targets: int, per_row: int, said: str) -> None:
    losses = np.random.default_rng(0).gamma(2.0, 1.0, targets)
    before = scores(losses, np.full(targets, 3), targets_per_row=per_row)
    change = before_and_after(before, better_by(before, 0.5, right=0.9))
    assert change.loss_change.excludes_zero
    assert said in verdict(change)
    for words in (verdict(change), forgetting(change)):
        assert "%" not in words
        assert "too " in words


@pytest.mark.parametrize(("count", "trials"), [(20, 300), (50, 200), (200, 100)])
def test_two_equal_models_get_a_verdict_in_at_most_eight_of_a_hundred_cases(count: int, trials: int) -> None:
    """What a model gains on one row and loses on the next is as likely the other way round: no true difference."""
    random, said = np.random.default_rng(count), {"verdict": 0, "forgetting": 0}
    for _ in range(trials):
        rows = np.repeat(np.arange(count), random.integers(1, 9, count))  # 1 to 8 targets, which move together
        surprise = random.gamma(2.0, 1.5, len(rows))
        sides = [surprise + random.gumbel(0, 0.4, count)[rows] + random.gumbel(0, 0.3, len(rows)) for _ in range(2)]
        hidden = random.random(len(rows)) < 0.8
        one, two = (TargetScores(rows, rows % 7, side, 1 + (side > 2.5), hidden) for side in sides)
        change = before_and_after(one, two)
        said["verdict"] += "%. That may be chance." not in verdict(change)
        said["forgetting"] += "%. That may be chance." not in forgetting(change)
    assert max(said.values()) <= 0.08 * trials
    assert min(said.values()) > 0  # a rule that never says anything would pass as well


def test_from_few_rows_an_interval_is_as_wide_as_the_t_distribution_asks() -> None:
    changes = np.random.default_rng(5).normal(0, 1, 20)
    interval = paired_bootstrap(changes, np.arange(20))
    by_t = 2 * 2.093 * changes.std(ddof=1) / math.sqrt(20)  # 2.093: the 97.5% point for 19 degrees of freedom
    assert interval.high - interval.low == pytest.approx(by_t, rel=0.06)
    assert math.isnan(paired_bootstrap(np.ones(8), np.zeros(8, dtype=int)).low)  # one row shows no spread at all


def test_no_targets_at_all_are_no_crash() -> None:
    nothing = scores(np.zeros(0), np.zeros(0, dtype=int))
    change = before_and_after(nothing, nothing)
    assert change.targets == 0
    assert math.isnan(change.loss_change.low)
    assert "too few" in verdict(change)
    assert "0 targets" in verdict(change)


def test_different_questions_are_not_compared() -> None:
    with pytest.raises(ValueError, match="same questions"):
        before_and_after(some_scores(40), some_scores(44))


def test_forgetting_is_said_only_when_it_is_clear() -> None:
    before = some_scores(400)
    assert "less probability than before" in forgetting(before_and_after(before, better_by(before, -0.4)))
    assert "may be chance" in forgetting(before_and_after(before, better_by(before, 0.0)))


def test_the_baseline_knows_frequencies_alone() -> None:
    counts = np.array([0, 10, 30, 5])
    answers = np.array([2, 2, 1, 3, 0])
    hidden = np.array([True, False, True, True, True])
    asked = TargetScores(np.zeros_like(answers), answers, np.zeros(5), np.ones(5, dtype=int), hidden)
    baseline = frequency_baseline(asked, counts)
    assert baseline.token_id == 2
    assert baseline.quality.top1 == pytest.approx(0.25)
    shares = np.array([1, 11, 31, 6]) / 49
    assert baseline.quality.loss == pytest.approx(float(-np.log(shares[answers]).mean()))


def history(held_out: list[float], training: list[float], *, rows: int = 20, targets: int = 30) -> TrainingHistory:
    """An evaluation before the first epoch and after each, and two steps an epoch."""
    made = TrainingHistory()
    made.add({"event": "started", "held_out_rows": rows})
    made.add({"event": "evaluated", "step": 0, "loss": held_out[0], "targets": targets})
    for epoch, (loss, scored_loss) in enumerate(zip(training, held_out[1:], strict=True), start=1):
        for step in (2 * epoch - 1, 2 * epoch):
            made.add(
                {"event": "step", "step": step, "epoch": epoch, "loss": loss, "learning_rate": 0.1, "seconds": 1.0}
            )
        made.add({"event": "evaluated", "step": 2 * epoch, "loss": scored_loss, "targets": targets})
    return made


def test_overfitting_is_named_with_its_epoch() -> None:
    sentence = overfitting(history([3.0, 2.5, 2.4, 2.8], [2.6, 2.2, 1.5]))
    assert sentence is not None
    assert "After epoch 2 the held-out loss rose from 2.40 to 2.80" in sentence


@pytest.mark.parametrize(
    ("held_out", "training"),
    [
        ([3.0, 2.5, 2.4, 2.3], [2.6, 2.2, 1.5]),  # still getting better
        ([3.0, 2.5, 2.4, 2.41], [2.6, 2.2, 1.5]),  # a hair
        ([3.0, 2.5, 2.4, 2.8], [2.6, 2.2, 2.9]),  # both rise: that is something else
        ([3.0, 2.5], [2.6]),  # a single epoch
    ],
)
def test_nothing_is_called_overfitting_that_is_not(held_out: list[float], training: list[float]) -> None:
    assert overfitting(history(held_out, training)) is None


@pytest.mark.parametrize("few", [{"rows": 19}, {"targets": 29}])
def test_no_overfitting_is_read_from_a_handful_of_rows(few: dict[str, int]) -> None:
    assert overfitting(history([3.0, 2.5, 2.4, 2.8], [2.6, 2.2, 1.5], **few)) is None


def test_a_missing_loss_is_no_crash() -> None:
    made = history([3.0, 2.5, 2.4, 2.8], [2.6, 2.2, 1.5])
    made.add({"event": "evaluated", "step": 8, "loss": None})
    assert overfitting(made) is not None


def test_best_and_worst_rows_are_those_with_the_lowest_and_highest_loss(tiny_bert, tuned, fixed) -> None:
    before, after = scored(tiny_bert, fixed), scored(tuned, fixed)
    best, worst = best_and_worst_rows(tuned, fixed, before=before, after=after, count=2)
    assert len(best) == len(worst) == 2
    assert max(row.loss_after for row in best) <= min(row.loss_after for row in worst)
    assert best[0].loss_after <= best[1].loss_after
    assert worst[0].loss_after >= worst[1].loss_after


def test_a_row_is_shown_as_its_text_with_what_was_hidden_and_guessed(tiny_bert, tuned, fixed) -> None:
    before, after = scored(tiny_bert, fixed), scored(tuned, fixed)
    best, _ = best_and_worst_rows(tuned, fixed, before=before, after=after, count=1)
    text = "".join((" " if token.space else "") + token.text for token in best[0].tokens)
    plain = [sentence.replace(" .", ".").replace(" !", "!").replace(" ,", ",") for sentence in SENTENCES]
    assert text in plain
    hidden = [token for token in best[0].tokens if token.target]
    assert len(hidden) == best[0].targets
    for token in hidden:
        assert (token.target.guess.removeprefix("##") == token.text) == (token.target.rank == 1)
        assert 0 < token.target.after <= 1
    mean = -np.mean([math.log(token.target.after) for token in hidden])
    assert mean == pytest.approx(best[0].loss_after)


def test_a_target_that_the_model_could_read_is_not_called_hidden(tiny_bert, tuned, fixed) -> None:
    """Of 15% targets a fifth shows a word, right or random."""
    before, after = scored(tiny_bert, fixed), scored(tuned, fixed)
    parts = best_and_worst_rows(tuned, fixed, before=before, after=after, count=len(SENTENCES))
    targets = [token.target for rows in parts for row in rows for token in row.tokens if token.target]
    assert {target.masked for target in targets} == {True, False}


def test_training_on_the_rows_shows_in_the_report(tiny_bert, tuned, fixed) -> None:
    change: BeforeAfter = before_and_after(scored(tiny_bert, fixed), scored(tuned, fixed))
    assert change.rows == len(SENTENCES)
    assert change.after.loss < change.before.loss
    assert change.loss_change.excludes_zero
