"""Did training help? The base model against the tuned one on the very same hidden tokens, with how sure that is.

Pure functions of what ``evaluation.score_targets`` returns and of a run's history. Loads no model and knows no file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .evaluation import FEW_TARGETS, TargetScores
from .events import TrainingHistory

RESAMPLES = 2000
CONFIDENCE = 0.95
_RISE = 1.01  # a held-out loss this many times its lowest counts as risen


@dataclass(frozen=True)
class Quality:
    """Loss per target in nats, exp of it, and the shares of right first guesses and of answers in the first five."""

    loss: float
    pseudo_perplexity: float
    top1: float
    top5: float

    @classmethod
    def of(cls, scores: TargetScores) -> Quality:
        return cls(*scores.figures()[:4])


@dataclass(frozen=True)
class Interval:
    """Where a change lies with 95% confidence."""

    low: float
    high: float

    @property
    def certain(self) -> bool:
        """Whether the change is surely not zero."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class BeforeAfter:
    """Two models on the same targets; changes are after minus before."""

    rows: int
    targets: int
    before: Quality
    after: Quality
    loss_change: Interval
    top1_change: Interval


@dataclass(frozen=True)
class Baseline:
    """What one gets by knowing only how often each token occurs; ``token_id`` is the commonest, the first guess."""

    token_id: int
    quality: Quality


def before_and_after(before: TargetScores, after: TargetScores, *, seed: int = 0) -> BeforeAfter:
    """Compare scores on identical targets. Raises ValueError where they are not."""
    if not (np.array_equal(before.rows, after.rows) and np.array_equal(before.answers, after.answers)):
        raise ValueError("the two models were not asked the same questions")
    rows = after.rows
    losses = after.losses - before.losses
    first_guesses = (after.ranks == 1).astype(float) - (before.ranks == 1)
    return BeforeAfter(
        rows=len(np.unique(rows)),
        targets=len(rows),
        before=Quality.of(before),
        after=Quality.of(after),
        loss_change=paired_bootstrap(losses, rows, seed=seed),
        top1_change=paired_bootstrap(first_guesses, rows, seed=seed),
    )


def paired_bootstrap(changes: NDArray[np.float64], rows: NDArray[np.int64], *, seed: int = 0) -> Interval:
    """Changes (M,) of the targets in rows (M,) -> the interval of their mean; NaN without targets.

    Whole rows are drawn with replacement, since the tokens of a row are not independent (percentile bootstrap, Efron
    1979); both models answer for the same draw, so what is hard for both cancels out.
    """
    if not len(changes):
        return Interval(math.nan, math.nan)
    _, row_of_target = np.unique(rows, return_inverse=True)
    sums, counts = np.bincount(row_of_target, weights=changes), np.bincount(row_of_target)
    draws = np.random.default_rng(seed).integers(len(counts), size=(RESAMPLES, len(counts)))
    means = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(low), float(high))


def frequency_baseline(answers: NDArray[np.int64], token_counts: NDArray[np.int64]) -> Baseline:
    """Answers (M,) guessed from token counts (V,) alone; for the loss, one is added to every count (Laplace).

    >>> frequency_baseline(np.array([2, 2, 1, 0]), np.array([0, 1, 7])).quality.top1
    0.5
    """
    order = np.argsort(-token_counts, kind="stable")
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(1, len(order) + 1)
    shares = (token_counts + 1) / (token_counts.sum() + len(token_counts))
    scores = TargetScores(np.zeros_like(answers), answers, -np.log(shares[answers]), ranks[answers])
    return Baseline(int(order[0]), Quality.of(scores))


def verdict(change: BeforeAfter) -> str:
    """What training did to the guesses on held-out rows, in one or two plain sentences."""
    if change.targets < FEW_TARGETS:
        return (
            f"Only {change.targets} words were hidden in the held-out rows, too few to say whether the model got"
            " better; train on more rows to find out."
        )
    before, after = _percents(change.before.top1, change.after.top1)
    if change.loss_change == Interval(0.0, 0.0):
        return f"Nothing changed: its first guess is right for {after} of the hidden words, exactly as before."
    sentence = f"Its first guess was right for {before} of the hidden words; now {after}."
    if change.top1_change.certain:
        return sentence
    if not change.loss_change.certain:
        return f"{sentence} That may be chance."
    more = "higher" if change.loss_change.high < 0 else "lower"
    return f"{sentence} That may be chance, but on average it gives the right words a {more} probability than before."


def forgetting(change: BeforeAfter) -> str:
    """The same for general English, where nothing was to be learned but something may be lost."""
    before, after = _percents(change.before.top1, change.after.top1)
    sentence = f"On general English its first guess was right for {before}; now {after}"
    if not change.loss_change.certain:
        return f"{sentence}: no clear change."
    lost = change.loss_change.low > 0
    return f"{sentence}: it {'forgot some of that' if lost else 'forgot nothing and even got better there'}."


def overfitting(history: TrainingHistory) -> str | None:
    """A sentence where the held-out loss rose again while the training loss went on falling; else None."""
    scored = [record for record in history.evaluated if record["step"] > 0 and record["loss"] is not None]
    if len(scored) < 2:
        return None
    best, last = min(scored, key=lambda record: record["loss"]), scored[-1]
    if last["loss"] <= _RISE * best["loss"]:
        return None
    then, now = (_training_loss(history, scored, record["step"]) for record in (best, last))
    if then is None or now is None or now >= then:
        return None
    epoch = _epoch_at(history, best["step"])
    return (
        f"After epoch {epoch} the held-out loss rose from {best['loss']:.2f} to {last['loss']:.2f} while the training"
        " loss went on falling: the model began to learn the rows by heart. Its weights of that epoch are kept as well."
    )


def _training_loss(history: TrainingHistory, scored: Sequence[dict], step: int) -> float | None:
    """The mean loss of the steps between the evaluation before this one and it."""
    begin = max((record["step"] for record in scored if record["step"] < step), default=0)
    pairs = zip(history.steps, history.losses, strict=True)
    losses = [loss for at, loss in pairs if begin < at <= step and loss is not None]
    return sum(losses) / len(losses) if losses else None


def _epoch_at(history: TrainingHistory, step: int) -> int:
    return next((epoch for at, epoch in zip(history.steps, history.epochs, strict=True) if at == step), 0)


def _percents(before: float, after: float) -> tuple[str, str]:
    """ "38%", "45%"; with a decimal where they would look the same and are not."""
    texts = tuple(f"{100 * share:.0f}%" for share in (before, after))
    if texts[0] == texts[1] and before != after:
        texts = tuple(f"{100 * share:.1f}%" for share in (before, after))
    return texts
