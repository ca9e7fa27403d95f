"""Why this word? Each other word of the text is blanked in turn: what becomes of the answer's probability?

Influence under deletion, without gradients; how words interact is ignored. Knows no chart and no second model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby

import torch

from ..inference.fill_mask import answer_ids, piece_rows, token_id_of
from ..inference.log_probs import check_work, hide, log2_ratio, log_probabilities, log_probabilities_at
from ..models.masked_lm import MaskedLM
from ..text.prompt import PreparedText, locate_mask
from ..text.tokens import decode, readable_pieces


@dataclass(frozen=True)
class ErasedWord:
    """A word of the text, and what the answer's probability becomes without it."""

    word: str
    positions: tuple[int, ...]  # of its pieces
    probability: float  # of the answer, once this word is blank
    log2_ratio: float  # against the whole text: below 0 the word spoke for the answer, above 0 against it


@dataclass(frozen=True)
class Erasure:
    """The answer at one mask, and each other word's part in it, in the order of the text.

    An answer of several pieces is scored from left to right, each piece given those before it; that answers another
    question than one piece does.
    """

    prepared: PreparedText
    position: int
    answer: str
    answer_ids: tuple[int, ...]  # of its pieces
    pieces: tuple[str, ...]
    probability: float  # with the whole text
    words: tuple[ErasedWord, ...]


def erasure(
    masked_lm: MaskedLM, text: str | PreparedText, *, mask_index: int = 0, word: str | int | None = None
) -> Erasure:
    """Blank each other whole word in turn and see what becomes of the answer (Li, Monroe and Jurafsky 2016).

    The answer is ``word`` (or its token id) where given, else the first guess; a word of several pieces widens the mask
    to as many. All pieces of an erased word turn into masks together. Special tokens, the text's masks and unknown
    words are never erased.

    "The dog [MASK] loudly." -> answer barked; without "dog" its log2 ratio is -3.1, without "loudly" -1.4.

    Raises:
        TextError: no such mask, a word that the model cannot give, or a text too long to blank every word.
    """
    prepared, position = locate_mask(masked_lm, text, mask_index)
    groups = _erasable(masked_lm, prepared)
    ids = _answer_ids(masked_lm, prepared, mask_index=mask_index, word=word)
    pieces = readable_pieces(masked_lm, ids)
    whole, *without = _erased_scores(masked_lm, prepared, groups, ids, mask_index=mask_index)
    words = tuple(
        ErasedWord(
            word=decode(masked_lm, [prepared.token_ids[place] for place in group]).strip(),
            positions=group,
            probability=math.exp(score),
            log2_ratio=log2_ratio(whole, score),
        )
        for group, score in zip(groups, without, strict=True)
    )
    answer = word.strip() if isinstance(word, str) and len(ids) > 1 else "".join(pieces)
    return Erasure(prepared, position, answer, ids, pieces, math.exp(whole), words)


def _erasable(masked_lm: MaskedLM, prepared: PreparedText) -> list[tuple[int, ...]]:
    """The positions of each whole word that may be blanked: none of its pieces is special, a mask or unknown."""
    groups = []
    for word, group in groupby(range(len(prepared.token_ids)), key=prepared.word_ids.__getitem__):
        places = tuple(group)
        if word is not None and not any(prepared.token_ids[place] in masked_lm.special_ids for place in places):
            groups.append(places)
    return groups


def _answer_ids(
    masked_lm: MaskedLM, prepared: PreparedText, *, mask_index: int, word: str | int | None
) -> tuple[int, ...]:
    """The tokens that ``word`` is at this mask; the first guess where none is named."""
    if word is None:
        place = prepared.mask_positions[mask_index]
        return (int(log_probabilities_at(masked_lm, [prepared.token_ids], [[place]])[0].argmax()),)
    if isinstance(word, int):
        return (token_id_of(masked_lm, word),)
    return answer_ids(masked_lm, prepared, word, mask=mask_index)


def _erased_scores(
    masked_lm: MaskedLM,
    prepared: PreparedText,
    groups: list[tuple[int, ...]],
    ids: tuple[int, ...],
    *,
    mask_index: int,
) -> list[float]:
    """Log p of the answer in nats, summed over its P pieces: with the whole text, then without each of G words."""
    position, added = prepared.mask_positions[mask_index], len(ids) - 1
    length = len(prepared.token_ids) + added
    hidden = torch.zeros(len(groups) + 1, length, dtype=torch.bool)  # the first row hides nothing
    for row, group in enumerate(groups, start=1):
        hidden[row, [place + added * (place > position) for place in group]] = True
    check_work(len(hidden) * len(ids), length)
    filled = torch.tensor(piece_rows(masked_lm, prepared, ids, mask=mask_index))  # (P, T)
    rows = torch.cat([hide(row, hidden, mask_token_id=masked_lm.mask_token_id) for row in filled])  # (P * (G + 1), T)
    answers = torch.tensor(ids).repeat_interleave(len(hidden))
    places = position + torch.arange(len(ids)).repeat_interleave(len(hidden))
    scores: list[float] = []
    for log_probs in log_probabilities(masked_lm, rows, places):
        batch = answers[len(scores) : len(scores) + len(log_probs)]
        scores += log_probs.gather(1, batch[:, None])[:, 0].tolist()
    return [math.fsum(scores[row :: len(hidden)]) for row in range(len(hidden))]
