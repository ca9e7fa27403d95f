"""The held-out rows that a model predicts best and worst, as text with the hidden tokens marked.

Works on the fixed masks of an evaluation and the scores they got; the model is asked only for the guesses shown.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..inference.log_probs import log_probabilities_at
from ..models.masked_lm import MaskedLM
from ..text.tokens import readable_pieces, word_ids
from .evaluation import FixedMasks, TargetScores
from .masking import IGNORED

SHOWN_ROWS = 3  # of each kind
SHOWN_TOKENS = 80  # of a row
FEWEST_TARGETS = 3  # a row with fewer says more about luck than about the row
_CLOSING = frozenset(".,!?;:)]}'’”…%")


@dataclass(frozen=True)
class HiddenWord:
    """A hidden token: what the model guesses there, and what it gives the answer before and after training."""

    guess: str
    before: float
    after: float
    rank: int  # of the answer, after


@dataclass(frozen=True)
class RowToken:
    """``space``: whether one stands in front of it; ``hidden``: None where the model could read the token."""

    text: str
    space: bool
    hidden: HiddenWord | None = None


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
    candidates = np.flatnonzero(targets >= FEWEST_TARGETS)
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
    hidden = _hidden_words(masked_lm, ids, places, before=_of_row(before, row), after=_of_row(after, row))
    original = np.where(labels != IGNORED, labels, ids).tolist()
    tokens = _tokens(masked_lm, original, dict(zip(places.tolist(), hidden, strict=True)))
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
    return TargetScores(scores.rows[own], scores.answers[own], scores.losses[own], scores.ranks[own])


def _hidden_words(
    masked_lm: MaskedLM, ids: NDArray[np.int64], places: NDArray[np.int64], *, before: TargetScores, after: TargetScores
) -> list[HiddenWord]:
    best = log_probabilities_at(masked_lm, [ids.tolist()], [places.tolist()]).argmax(dim=-1).tolist()
    guesses = readable_pieces(masked_lm, best)
    columns = zip(guesses, np.exp(-before.losses), np.exp(-after.losses), after.ranks, strict=True)
    return [HiddenWord(guess, float(first), float(last), int(rank)) for guess, first, last, rank in columns]


def _tokens(masked_lm: MaskedLM, ids: list[int], hidden: dict[int, HiddenWord]) -> tuple[RowToken, ...]:
    words = word_ids(masked_lm, ids)
    shown: list[RowToken] = []
    previous: int | None = None
    for place, (piece, word) in enumerate(zip(readable_pieces(masked_lm, ids), words, strict=True)):
        if word is None:  # [CLS] and its like
            continue
        goes_on = word == previous
        text = piece.removeprefix("##") if goes_on else piece
        space = bool(shown) and not goes_on and text[:1] not in _CLOSING
        shown.append(RowToken(text, space, hidden.get(place)))
        previous = word
    return tuple(shown)
