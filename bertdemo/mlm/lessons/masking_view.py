"""What masking does to the rows of a run's first batch, token by token, in each of its first epochs.

Draws through the very plan and the very ``BatchLoss.draw`` that training calls, so what it shows is what is trained on.
Knows no weights and no page.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from os import PathLike

import torch
from torch import Tensor

from ..data.corpus import read_corpus
from ..models.masked_lm import MaskedLM
from ..settings import MaskingConfig, TrainingConfig
from ..text.tokens import readable_pieces
from ..text.words import WordPieces
from ..training.batching import TokenizedTexts, tokenize_all
from ..training.masking import IGNORED
from ..training.schedule import TrainingPlan
from ..training.step import BatchLoss, MaskedBatch


class Corruption(StrEnum):
    """What became of a token. The middle three are the targets: they are scored."""

    UNTOUCHED = "untouched"
    MASKED = "masked"
    RANDOM = "random"
    KEPT = "kept"
    NEVER = "never"  # special or padding: not eligible


TARGET_CORRUPTIONS = (Corruption.MASKED, Corruption.RANDOM, Corruption.KEPT)


@dataclass(frozen=True)
class DrawnToken:
    """One place: what the text says, what the model reads, and the label (the text's id, or ``IGNORED``).

    ``goes_on``: it belongs to the same word as the one before it.
    """

    written: str
    read: str
    label: int
    corruption: Corruption
    goes_on: bool = False


@dataclass(frozen=True)
class DrawnRow:
    """One row in every epoch; padding at its end is counted (an entry an epoch), not listed."""

    row: int  # its place among the training rows
    epochs: tuple[tuple[DrawnToken, ...], ...]
    padding: tuple[int, ...]


@dataclass(frozen=True)
class CorruptionCount:
    """How many tokens should meet this corruption on average, and how many did."""

    corruption: Corruption
    expected: float
    actual: int


@dataclass(frozen=True)
class MaskingView:
    """The rows of the first step's batch in its order, and the counts over all of them, an entry an epoch."""

    rows: tuple[DrawnRow, ...]
    counts: tuple[tuple[CorruptionCount, ...], ...]


MAX_ROWS = 5000  # of a file that are read to draw its first batch


def view_file(
    masked_lm: MaskedLM, path: str | PathLike[str], config: TrainingConfig, *, column: str | None = None
) -> MaskingView:
    """The first batch of a run on a file with this seed; of a longer file, of a run on its first ``MAX_ROWS`` rows.

    Raises DataError as ``read_corpus`` does.
    """
    corpus = read_corpus(path, column=column, limit=MAX_ROWS, seed=config.seed)
    texts = tokenize_all(masked_lm.tokenizer, corpus.train, max_length=config.max_length, split=config.splits)
    return view_masking(masked_lm, texts, config)


def view_masking(masked_lm: MaskedLM, texts: TokenizedTexts, config: TrainingConfig, *, epochs: int = 3) -> MaskingView:
    """Draw the rows of the first step's batch as each of the first ``epochs`` epochs would.

    Later epochs shuffle the rows into other batches: each row is looked up in the batch that it stands in there.
    """
    plan = TrainingPlan(texts.lengths, config)
    drawer, words = BatchLoss(masked_lm, config, precision="fp32"), WordPieces(masked_lm)
    rows = plan.batches(0)[0].tolist()
    drawn = [_draw_rows(drawer, plan, texts, rows, epoch=epoch) for epoch in range(epochs)]
    views = [[_tokens(masked_lm, *found[row], words=words) for row in rows] for found in drawn]
    return MaskingView(
        tuple(
            DrawnRow(row, tuple(view[place][0] for view in views), tuple(view[place][1] for view in views))
            for place, row in enumerate(rows)
        ),
        tuple(_counts([tokens for tokens, _ in view], config.masking) for view in views),
    )


def _draw_rows(
    drawer: BatchLoss, plan: TrainingPlan, texts: TokenizedTexts, rows: list[int], *, epoch: int
) -> dict[int, tuple[Tensor, Tensor, int]]:
    """row -> (token ids, labels, real tokens) as drawn in the epoch, padding included."""
    wanted, found = set(rows), {}
    for index, batch in enumerate(plan.batches(epoch)):
        if not wanted.isdisjoint(batch.tolist()):
            drawn = drawer.draw(texts, batch, epoch=epoch, index=index)
            for place, row in enumerate(batch.tolist()):
                found[row] = (*_row(drawn, place), int(texts.lengths[row]))
    return found


def _row(drawn: MaskedBatch, place: int) -> tuple[Tensor, Tensor]:
    return drawn.masked.token_ids[place], drawn.masked.labels[place]


def _tokens(
    masked_lm: MaskedLM, token_ids: Tensor, labels: Tensor, real: int, *, words: WordPieces
) -> tuple[tuple[DrawnToken, ...], int]:
    """token_ids (T,), labels (T,) -> the real tokens of the row, and how much padding follows."""
    token_ids, labels, padding = token_ids[:real], labels[:real], len(token_ids) - real
    written = torch.where(labels == IGNORED, token_ids, labels)
    corruptions = token_corruptions(masked_lm, token_ids, labels)
    pieces = (readable_pieces(masked_lm, written.tolist()), readable_pieces(masked_lm, token_ids.tolist()))
    goes_on = (words.first_of_word(written[None])[0] != torch.arange(real)).tolist()
    return tuple(map(DrawnToken, *pieces, labels.tolist(), corruptions, goes_on)), padding


def token_corruptions(masked_lm: MaskedLM, token_ids: Tensor, labels: Tensor) -> list[Corruption]:
    """token_ids (T,) as the model reads them, labels (T,) -> the corruption of each.

    A random token that happens to be the old one cannot be told from a kept one; that is one in V.
    ``[CLS] this [MASK] is fun``, labels ``-100 -100 show -100 -100`` -> never, untouched, masked, untouched, untouched.
    """
    eligible = masked_lm.selectable(token_ids).tolist()
    corruptions = []
    for token_id, label, may_be in zip(token_ids.tolist(), labels.tolist(), eligible, strict=True):
        if label == IGNORED:
            corruptions.append(Corruption.UNTOUCHED if may_be else Corruption.NEVER)
        elif token_id == masked_lm.mask_token_id:
            corruptions.append(Corruption.MASKED)
        else:
            corruptions.append(Corruption.KEPT if token_id == label else Corruption.RANDOM)
    return corruptions


def _counts(rows: list[tuple[DrawnToken, ...]], masking: MaskingConfig) -> tuple[CorruptionCount, ...]:
    actual = Counter(token.corruption for tokens in rows for token in tokens)
    may_be = [[token for token in tokens if token.corruption is not Corruption.NEVER] for tokens in rows]
    eligible = list(map(len, may_be))
    units = [sum(not (masking.whole_words and token.goes_on) for token in tokens) for tokens in may_be]
    chances = zip(eligible, units, strict=True)
    targets = sum(expected_targets(count, masking.selection_rate, units=unit) for count, unit in chances)
    kept_rate = max(0.0, 1 - masking.mask_token_rate - masking.random_token_rate)
    expected = {
        Corruption.MASKED: targets * masking.mask_token_rate,
        Corruption.RANDOM: targets * masking.random_token_rate,
        Corruption.KEPT: targets * kept_rate,
        Corruption.UNTOUCHED: sum(eligible) - targets,
        Corruption.NEVER: float(actual[Corruption.NEVER]),
    }
    return tuple(CorruptionCount(corruption, expected[corruption], actual[corruption]) for corruption in expected)


def expected_targets(eligible: int, rate: float, *, units: int | None = None) -> float:
    """Targets in a row on average: a coin for each eligible token, and one target more where none was chosen.

    ``units``: how many words the tokens make up, where these are chosen: a coin for each, and one word more.

    >>> round(expected_targets(100, 0.15), 3), round(expected_targets(5, 0.15), 3), expected_targets(0, 0.15)
    (15.0, 1.194, 0.0)
    """
    units = eligible if units is None else units
    return eligible * rate + (1 - rate) ** units * eligible / units if eligible else 0.0
