"""Looks inside a prediction: words taken away, and layers read early; with them attention and neighbouring words.

Each shows something real and none explains everything: erasure ignores how words interact, and early layers were never
trained to be read. Knows no chart and no second model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby

import torch

from ..errors import ModelError
from ..inference.fill_mask import Candidate, answer_ids, best_candidates, check_count, piece_rows
from ..inference.log_probs import check_work, hide, log2_ratio, log_probabilities, log_probabilities_at, ranks_of
from ..models.masked_lm import MaskedLM
from ..text.prompt import PreparedText, prepare_ids
from ..text.tokens import readable_pieces
from .attention_maps import AttentionView, MaskAttention, attention_from_mask
from .internals import hidden_states_by_layer, locate_mask
from .neighbours import Neighbour, nearest_words, token_id_of

__all__ = [
    "AttentionView",
    "ErasedWord",
    "Erasure",
    "LayerLens",
    "LensLayer",
    "MaskAttention",
    "Neighbour",
    "attention_from_mask",
    "erasure",
    "layer_lens",
    "lens_by_piece",
    "nearest_words",
]


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


@dataclass(frozen=True)
class LensLayer:
    """What the model's own head reads from one layer at the mask."""

    name: str  # "embeddings", "layer 1", ...
    candidates: tuple[Candidate, ...]
    answer_probability: float
    answer_rank: int


@dataclass(frozen=True)
class LayerLens:
    """One mask layer by layer; the last layer is the model's real output."""

    prepared: PreparedText
    position: int
    answer: str
    answer_id: int
    layers: tuple[LensLayer, ...]


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
            word=masked_lm.tokenizer.decode([prepared.token_ids[place] for place in group]).strip(),
            positions=group,
            probability=math.exp(score),
            log2_ratio=log2_ratio(whole, score),
        )
        for group, score in zip(groups, without, strict=True)
    )
    answer = word.strip() if isinstance(word, str) and len(ids) > 1 else "".join(pieces)
    return Erasure(prepared, position, answer, ids, pieces, math.exp(whole), words)


@torch.inference_mode()
def layer_lens(
    masked_lm: MaskedLM, text: str | PreparedText, *, mask_index: int = 0, top_k: int = 5, word: str | int | None = None
) -> LayerLens:
    """Read every layer at the mask with the model's own MLM head, the embeddings' output first (nostalgebraist 2020).

    The answer that is followed is ``word`` (or its token id) where given, else the last layer's first guess.

    "Paris is the [MASK] of France." -> embeddings: the ...; layer 1: city ...; ...; layer 12: capital 0.97.

    Raises:
        TextError: no such mask, or a word that is not one token (see ``lens_by_piece``).
        ModelError: the head of this architecture is not known.
    """
    check_count("The number of words shown", top_k)
    prepared, position = locate_mask(masked_lm, text, mask_index)
    if not masked_lm.has_readable_layers:
        raise ModelError(
            f"The layers of {masked_lm.model.config.model_type} models cannot be read one by one; "
            "choose a BERT, DistilBERT, RoBERTa or ModernBERT model."
        )
    states = hidden_states_by_layer(masked_lm, prepared.token_ids, position=position)  # (L + 1, H)
    scores = masked_lm.head(states).float().log_softmax(dim=-1).cpu()  # (L + 1, V)
    after_space = prepared.after_space[mask_index]
    answer_id = int(scores[-1].argmax()) if word is None else token_id_of(masked_lm, word, after_space=after_space)
    ranks = ranks_of(scores, torch.full((len(scores),), answer_id)).tolist()
    layers = tuple(
        LensLayer(
            name=f"layer {number}" if number else "embeddings",
            candidates=best_candidates(masked_lm, layer, top_k=top_k),
            answer_probability=math.exp(float(layer[answer_id])),
            answer_rank=ranks[number],
        )
        for number, layer in enumerate(scores)
    )
    (answer,) = readable_pieces(masked_lm, [answer_id])
    return LayerLens(prepared, position, answer, answer_id, layers)


def lens_by_piece(
    masked_lm: MaskedLM, text: str | PreparedText, word: str, *, mask_index: int = 0, top_k: int = 5
) -> tuple[LayerLens, ...]:
    """One lens for each piece of a word, the mask widened to all of them and those before the piece filled.

    "The dog [MASK] ." and barked -> a lens that follows "bark" in ``the dog [MASK] [MASK] .``, and one that follows
    "##ed" in ``the dog bark [MASK] .``; a word of one piece is an ordinary lens.

    Raises:
        TextError: no such mask, or a word that the model cannot give.
        ModelError: the head of this architecture is not known.
    """
    prepared, _ = locate_mask(masked_lm, text, mask_index)
    ids = answer_ids(masked_lm, prepared, word, mask=mask_index)
    rows = piece_rows(masked_lm, prepared, ids, mask=mask_index)
    texts = [prepared] if len(ids) == 1 else [prepare_ids(masked_lm, row) for row in rows]
    return tuple(
        layer_lens(masked_lm, one, mask_index=mask_index, top_k=top_k, word=piece)
        for one, piece in zip(texts, ids, strict=True)
    )


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
