"""Did training help? The base model against the tuned one on the very same targets, with how sure that is, and the rows
that are predicted best and worst.

Functions of what ``evaluation.score_targets`` returns and of a run's history; a model is asked only for the guesses
that are shown. Loads no model and knows no file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..inference.log_probs import log_probabilities_at
from ..models.masked_lm import MaskedLM
from ..text.tokens import readable_pieces, word_ids
from ..wording import percents
from .evaluation import FixedMasks, Quality, TargetScores
from .events import TrainingHistory
from .masking import IGNORED

MIN_TARGETS = 30  # below this a share of right guesses says next to nothing
MIN_ROWS = 20  # below this the intervals are too often wrong, since rows, not targets, are what varies
RESAMPLES = 2000
CONFIDENCE = 0.95
SHOWN_ROWS = 3  # of each kind
SHOWN_TOKENS = 80  # of a row
MIN_ROW_TARGETS = 3  # a row with fewer says more about luck than about the row
_CLOSING = frozenset(".,!?;:)]}'’”…%")
_RISE = 1.01  # a held-out loss this many times its lowest counts as risen


@dataclass(frozen=True)
class Interval:
    """A 95% interval of a change: made anew on other rows of the kind, 95 of 100 such intervals hold the true one."""

    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Without a true change this happens in about 1 of 20 cases."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class BeforeAfter:
    """Two models on the same targets; changes are after minus before."""

    rows: int  # that hold a target
    before: Quality
    after: Quality
    loss_change: Interval  # over all targets
    top1_change: Interval  # over the hidden ones

    @property
    def targets(self) -> int:
        return self.after.targets

    @property
    def hidden(self) -> int:
        return self.after.hidden

    @property
    def too_few(self) -> bool:
        """Whether there is too little for any verdict."""
        return self.targets < MIN_TARGETS or self.rows < MIN_ROWS


@dataclass(frozen=True)
class Baseline:
    """What one gets by knowing only how often each token occurs; ``token_id`` is the commonest, the first guess."""

    token_id: int
    quality: Quality


def before_and_after(before: TargetScores, after: TargetScores, *, seed: int = 0) -> BeforeAfter:
    """Compare scores on identical targets. Raises ValueError where they are not."""
    if not all(np.array_equal(getattr(before, name), getattr(after, name)) for name in ("rows", "answers", "hidden")):
        raise ValueError("the two models were not asked the same questions")
    first_guesses = (after.ranks == 1).astype(float) - (before.ranks == 1)
    return BeforeAfter(
        rows=len(np.unique(after.rows)),
        before=before.quality(),
        after=after.quality(),
        loss_change=paired_bootstrap(after.losses - before.losses, after.rows, seed=seed),
        top1_change=paired_bootstrap(first_guesses[after.hidden], after.rows[after.hidden], seed=seed),
    )


def paired_bootstrap(changes: NDArray[np.float64], rows: NDArray[np.int64], *, seed: int = 0) -> Interval:
    """Changes (M,) of the targets in rows (M,) -> the 95% interval of their mean; NaN with fewer than two rows.

    Whole rows are drawn with replacement, since the tokens of a row are not independent (percentile bootstrap, Efron
    1979); both models answer for the same draw, so what is hard for both cancels out. From few rows that interval is
    too narrow, so it is stretched about the mean as the t distribution asks (expanded percentiles, Hesterberg 2015,
    "What Teachers Should Know About the Bootstrap", section 5.3).
    """
    _, row_of_target = np.unique(rows, return_inverse=True)
    sums, counts = np.bincount(row_of_target, weights=changes), np.bincount(row_of_target)  # (rows,)
    if len(counts) < 2:
        return Interval(math.nan, math.nan)
    draws = np.random.default_rng(seed).integers(len(counts), size=(RESAMPLES, len(counts)))  # (resamples, rows)
    means = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)  # (resamples,) each of all targets in the rows drawn
    mean, tail = sums.sum() / counts.sum(), (1 - CONFIDENCE) / 2
    low, high = mean + (np.quantile(means, [tail, 1 - tail]) - mean) * _stretch(len(counts))
    return Interval(float(low), float(high))


def _stretch(rows: int) -> float:
    """How much wider than from endless rows a 95% interval has to be: 1.09 at 20 rows, 1.01 at 200.

    sqrt(n / (n - 1)) for the bootstrap's variance, and the t quantile over the normal one, by its expansion in
    1 / (n - 1) (Abramowitz and Stegun 26.7.5).
    """
    z, freedom = NormalDist().inv_cdf((1 + CONFIDENCE) / 2), rows - 1
    t = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    return math.sqrt(rows / freedom) * t / z


def frequency_baseline(asked: TargetScores, token_counts: NDArray[np.int64]) -> Baseline:
    """The same targets guessed from token counts (V,) alone; for the loss, one is added to every count (Laplace).

    Two hidden answers 2 and 1, counts (0, 1, 7): the first guess is always 2, so top-1 is 0.5.
    """
    order = np.argsort(-token_counts, kind="stable")
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(1, len(order) + 1)
    shares = (token_counts + 1) / (token_counts.sum() + len(token_counts))
    guessed = replace(asked, losses=-np.log(shares[asked.answers]), ranks=ranks[asked.answers])
    return Baseline(int(order[0]), guessed.quality())


def verdict(change: BeforeAfter) -> str:
    """What training did to the guesses on held-out rows, in one or two plain sentences.

    The guesses are spoken of as changed only where the loss changed too: two chances to be wrong would be more than 5%.
    """
    if change.too_few:
        return (
            f"Only {_counted(change.targets, 'target')} in {_counted(change.rows, 'held-out row')}: too few to say"
            f" whether the model got better, which takes {MIN_TARGETS} in {MIN_ROWS} rows; train on more rows to find"
            " out."
        )
    before, after = percents(change.before.top1, change.after.top1)
    if change.loss_change == Interval(0.0, 0.0):
        return f"Nothing changed: its first guess is right for {after} of the hidden words, exactly as before."
    sentence = f"Its first guess was right for {before} of the hidden words; now {after}."
    if not change.loss_change.excludes_zero:
        return f"{sentence} That may be chance."
    if change.top1_change.excludes_zero:
        return sentence
    more = "higher" if change.loss_change.high < 0 else "lower"
    return f"{sentence} That may be chance, but on average it gives the right words a {more} probability than before."


def forgetting(change: BeforeAfter) -> str:
    """The same for general English, where nothing was to be learned but something may be lost."""
    if change.too_few:
        return "There is too little general English here to say whether the model forgot any."
    before, after = percents(change.before.top1, change.after.top1)
    if change.loss_change == Interval(0.0, 0.0):
        return f"On general English nothing changed: its first guess is right for {after} of the hidden words."
    sentence = f"On general English its first guess was right for {before} of the hidden words; now {after}."
    if not change.loss_change.excludes_zero:
        return f"{sentence} That may be chance."
    less = "less" if change.loss_change.low > 0 else "more"
    return f"{sentence} On average it gives the right words there {less} probability than before."


def overfitting(history: TrainingHistory) -> str | None:
    """A sentence where the held-out loss rose again while the training loss went on falling; else None.

    Also None where too little is held out for a verdict.
    """
    scored = [record for record in history.evaluated if record["step"] > 0 and record["loss"] is not None]
    if (
        len(scored) < 2
        or scored[-1]["targets"] < MIN_TARGETS
        or (history.started or {}).get("held_out_rows", 0) < MIN_ROWS
    ):
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


def _training_loss(history: TrainingHistory, scored: Sequence[dict[str, Any]], step: int) -> float | None:
    """The mean loss of the steps between the evaluation before this one and it."""
    begin = max((record["step"] for record in scored if record["step"] < step), default=0)
    pairs = zip(history.steps, history.losses, strict=True)
    losses = [loss for at, loss in pairs if begin < at <= step and loss is not None]
    return sum(losses) / len(losses) if losses else None


def _epoch_at(history: TrainingHistory, step: int) -> int:
    return next((epoch for at, epoch in zip(history.steps, history.epochs, strict=True) if at == step), 0)


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


@dataclass(frozen=True)
class TargetWord:
    """A target: what the model guesses there, and what it gives the answer before and after training."""

    guess: str
    before: float
    after: float
    rank: int  # of the answer, after
    masked: bool  # it showed [MASK]; else the word itself or a random one, which the model could read


@dataclass(frozen=True)
class RowToken:
    """``space``: whether one stands in front of it; ``target``: None where nothing was asked."""

    text: str
    space: bool
    target: TargetWord | None = None


@dataclass(frozen=True)
class RowReport:
    """A row's tokens, shortened, and its mean loss per target before and after training."""

    tokens: tuple[RowToken, ...]
    cut: bool
    targets: int
    loss_before: float
    loss_after: float


def best_and_worst_rows(
    masked_lm: MaskedLM, fixed: FixedMasks, *, before: TargetScores, after: TargetScores, count: int = SHOWN_ROWS
) -> tuple[tuple[RowReport, ...], tuple[RowReport, ...]]:
    """The rows with the lowest and the highest mean loss after training; no row is in both."""
    targets = np.bincount(after.rows, minlength=len(fixed.texts))
    losses = np.bincount(after.rows, weights=after.losses, minlength=len(fixed.texts)) / np.maximum(targets, 1)
    candidates = np.flatnonzero(targets >= MIN_ROW_TARGETS)
    order = candidates[np.argsort(losses[candidates], kind="stable")]
    count = min(count, len(order) // 2)
    chosen = [*order[:count], *order[len(order) - count :][::-1]]
    rows = tuple(_row_report(masked_lm, fixed, int(row), before=before, after=after) for row in chosen)
    return rows[:count], rows[count:]


def _row_report(
    masked_lm: MaskedLM, fixed: FixedMasks, row: int, *, before: TargetScores, after: TargetScores
) -> RowReport:
    start, end = fixed.texts.offsets[row], fixed.texts.offsets[row + 1]
    ids, labels = fixed.texts.row(row).astype(np.int64), fixed.labels[start:end]
    places = np.flatnonzero(labels != IGNORED)
    targets = _target_words(masked_lm, ids, places, before=_of_row(before, row), after=_of_row(after, row))
    original = np.where(labels != IGNORED, labels, ids).tolist()
    tokens = _tokens(masked_lm, original, dict(zip(places.tolist(), targets, strict=True)))
    return RowReport(
        tokens=tokens[:SHOWN_TOKENS],
        cut=len(tokens) > SHOWN_TOKENS,
        targets=len(places),
        loss_before=float(_of_row(before, row).losses.mean()),
        loss_after=float(_of_row(after, row).losses.mean()),
    )


def _of_row(scores: TargetScores, row: int) -> TargetScores:
    """A row's targets, in the order of their positions."""
    own = scores.rows == row
    return TargetScores(**{name: column[own] for name, column in vars(scores).items()})


def _target_words(
    masked_lm: MaskedLM, ids: NDArray[np.int64], places: NDArray[np.int64], *, before: TargetScores, after: TargetScores
) -> list[TargetWord]:
    best = log_probabilities_at(masked_lm, [ids.tolist()], [places.tolist()]).argmax(dim=-1).tolist()
    guesses = readable_pieces(masked_lm, best)
    columns = zip(guesses, np.exp(-before.losses), np.exp(-after.losses), after.ranks, after.hidden, strict=True)
    return [
        TargetWord(guess, float(first), float(last), int(rank), bool(masked))
        for guess, first, last, rank, masked in columns
    ]


def _tokens(masked_lm: MaskedLM, ids: list[int], targets: dict[int, TargetWord]) -> tuple[RowToken, ...]:
    words = word_ids(masked_lm, ids)
    shown: list[RowToken] = []
    previous: int | None = None
    for place, (piece, word) in enumerate(zip(readable_pieces(masked_lm, ids), words, strict=True)):
        if word is None:  # [CLS] and its like
            continue
        goes_on = word == previous
        text = piece.removeprefix("##") if goes_on else piece
        space = bool(shown) and not goes_on and text[:1] not in _CLOSING
        shown.append(RowToken(text, space, targets.get(place)))
        previous = word
    return tuple(shown)
