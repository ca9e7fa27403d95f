"""Looks inside a prediction: words taken away, and layers read early; with them attention and neighbouring words.

Each shows something real and none explains everything: erasure ignores how words interact, and early layers were never
trained to be read. Knows no chart and no second model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby

import torch

from .errors import ModelError
from .inside.attention import AttentionView, MaskAttention, attention_from_mask
from .inside.internals import hidden_states_by_layer, locate_mask
from .models import MaskedLM
from .prediction import Candidate, best_candidates, check_count
from .probabilities.distributions import check_work, hide, log2_ratio, log_probabilities, ranks_of
from .probabilities.neighbours import Neighbour, nearest_words, token_id_of
from .text.pieces import readable_pieces
from .text.text_input import PreparedText

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
    """The answer at one mask, and each other word's part in it, in the order of the text."""

    prepared: PreparedText
    position: int
    answer: str
    answer_id: int
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

    The answer is ``word`` (or its token id) where given, else the first guess. All pieces of a word turn into masks
    together. Special tokens, the text's masks and unknown words are never erased.

    "The dog [MASK] loudly." -> answer barked; without "dog" its log2 ratio is -3.1, without "loudly" -1.4.

    Raises:
        TextError: no such mask, or a word that is not one token, or a text too long to blank every word.
    """
    prepared, position = locate_mask(masked_lm, text, mask_index)
    groups = _erasable(masked_lm, prepared)
    ids = torch.tensor(prepared.token_ids)
    hidden = torch.zeros(len(groups) + 1, len(ids), dtype=torch.bool)  # the first row hides nothing
    for row, group in enumerate(groups, start=1):
        hidden[row, list(group)] = True
    check_work(len(hidden), len(ids))
    rows = hide(ids, hidden, mask_token_id=masked_lm.mask_token_id)
    batches = log_probabilities(masked_lm, rows, torch.full((len(rows),), position))
    first = next(batches)
    answer_id = _answer_id(masked_lm, prepared, mask_index=mask_index, word=word)
    answer_id = int(first[0].argmax()) if answer_id is None else answer_id
    scores = [float(score) for batch in (first, *batches) for score in batch[:, answer_id]]
    words = tuple(
        ErasedWord(
            word=masked_lm.tokenizer.decode([prepared.token_ids[place] for place in group]).strip(),
            positions=group,
            probability=math.exp(score),
            log2_ratio=log2_ratio(scores[0], score),
        )
        for group, score in zip(groups, scores[1:], strict=True)
    )
    (answer,) = readable_pieces(masked_lm, [answer_id])
    return Erasure(prepared, position, answer, answer_id, math.exp(scores[0]), words)


@torch.inference_mode()
def layer_lens(
    masked_lm: MaskedLM, text: str | PreparedText, *, mask_index: int = 0, top_k: int = 5, word: str | int | None = None
) -> LayerLens:
    """Read every layer at the mask with the model's own MLM head, the embeddings' output first (nostalgebraist 2020).

    The answer that is followed is ``word`` (or its token id) where given, else the last layer's first guess.

    "Paris is the [MASK] of France." -> embeddings: the ...; layer 1: city ...; ...; layer 12: capital 0.97.

    Raises:
        TextError: no such mask, or a word that is not one token.
        ModelError: the head of this architecture is not known.
    """
    check_count("The number of words shown", top_k)
    prepared, position = locate_mask(masked_lm, text, mask_index)
    if masked_lm.head is None:
        raise ModelError(
            f"The layers of {masked_lm.model.config.model_type} models cannot be read one by one; "
            "choose a BERT, DistilBERT, RoBERTa or ModernBERT model."
        )
    answer_id = _answer_id(masked_lm, prepared, mask_index=mask_index, word=word)
    states = hidden_states_by_layer(masked_lm, prepared.token_ids, position=position)  # (L + 1, H)
    scores = masked_lm.head(states).float().log_softmax(dim=-1).cpu()  # (L + 1, V)
    answer_id = int(scores[-1].argmax()) if answer_id is None else answer_id
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


def _erasable(masked_lm: MaskedLM, prepared: PreparedText) -> list[tuple[int, ...]]:
    """The positions of each whole word that may be blanked: none of its pieces is special, a mask or unknown."""
    groups = []
    for word, group in groupby(range(len(prepared.token_ids)), key=prepared.word_ids.__getitem__):
        places = tuple(group)
        if word is not None and not any(prepared.token_ids[place] in masked_lm.special_ids for place in places):
            groups.append(places)
    return groups


def _answer_id(masked_lm: MaskedLM, prepared: PreparedText, *, mask_index: int, word: str | int | None) -> int | None:
    """The token that ``word`` is at this mask; None where the first guess is wanted."""
    if word is None:
        return None
    return token_id_of(masked_lm, word, after_space=prepared.after_space[mask_index])
