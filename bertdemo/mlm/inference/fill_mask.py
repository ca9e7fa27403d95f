"""What a model expects behind each mask: the most probable tokens, and the user's own words.

Exact softmax over the whole vocabulary, each mask by itself: several masks are predicted given the same blanks, so
their probabilities do not multiply to a joint one (``filling`` fills them in order). Knows no chart and no training.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import SettingsError
from ..models.masked_lm import MaskedLM
from ..text.prompt import PreparedText, Suggestion, prepare_text
from ..text.text_notes import valid_unicode
from ..text.tokens import readable_pieces
from .log_probs import entropy_bits, log_probabilities_at
from .target_words import TargetScore, score_target

MAX_TARGET_SCORES = 200  # target words times masks
MAX_CANDIDATES = 200_000  # in one answer: some tens of megabytes


@dataclass(frozen=True)
class Candidate:
    """One token that could stand at a mask; ``rank`` counts from 1 in the whole vocabulary."""

    token: str
    token_id: int
    probability: float
    rank: int


@dataclass(frozen=True)
class MaskPrediction:
    """One mask: its best candidates, best first, the user's words in their order, and how sure the model is."""

    position: int  # index into the tokens
    candidates: tuple[Candidate, ...]
    targets: tuple[TargetScore, ...]
    entropy_bits: float  # of the whole distribution: 0 is certain, log2(V) knows nothing
    covered: float  # probability of all candidates together


@dataclass(frozen=True)
class FilledText:
    """What the model read, and its predictions mask by mask."""

    prepared: PreparedText
    masks: tuple[MaskPrediction, ...]

    @property
    def tokens(self) -> tuple[str, ...]:
        return self.prepared.tokens

    @property
    def notes(self) -> tuple[str, ...]:
        return self.prepared.notes

    @property
    def suggestions(self) -> tuple[Suggestion, ...]:
        return self.prepared.suggestions


def fill_masks(
    masked_lm: MaskedLM,
    text: str | PreparedText,
    *,
    top_k: int = 5,
    targets: Sequence[str] = (),
    precision: str = "fp32",
) -> FilledText:
    """Predict every mask in one pass, each by itself. ``top_k`` above the vocabulary is cut to it.

    "I really [MASK] this show!" -> for the mask at position 3: love 0.41, enjoyed 0.19, ...

    Raises:
        TextError: nothing to predict.
        SettingsError: ``top_k`` or ``precision`` is none, or there are too many candidates or target words.
    """
    check_count("The number of words shown", top_k)
    prepared = prepare_text(masked_lm, text) if isinstance(text, str) else text
    check_answer_size(masked_lm, prepared, top_k=top_k)
    words = [valid_unicode(word.strip()) for word in targets if word.strip()]
    masks = prepared.mask_positions
    if len(words) * len(masks) > MAX_TARGET_SCORES:
        raise SettingsError(
            f"Target words times masks may be at most {MAX_TARGET_SCORES}, but are {len(words)} times {len(masks)}; "
            "give fewer words."
        )
    scores = log_probabilities_at(masked_lm, [prepared.token_ids], [masks], precision=precision)  # (M, V)
    predictions = []
    for mask, position in enumerate(masks):
        candidates = best_candidates(masked_lm, scores[mask], top_k=top_k)
        scored = tuple(
            score_target(masked_lm, prepared, word, mask=mask, log_probabilities=scores[mask], precision=precision)
            for word in words
        )
        covered = min(1.0, math.fsum(candidate.probability for candidate in candidates))
        predictions.append(MaskPrediction(position, candidates, scored, entropy_bits(scores[mask]), covered))
    return FilledText(prepared, tuple(predictions))


def best_candidates(masked_lm: MaskedLM, log_probabilities: Tensor, *, top_k: int) -> tuple[Candidate, ...]:
    """log-probabilities (V,) -> the ``top_k`` most probable tokens, best first."""
    best = torch.topk(log_probabilities, min(top_k, len(log_probabilities)))
    token_ids = best.indices.tolist()
    return tuple(
        Candidate(token, token_id, probability, rank)
        for rank, (token, token_id, probability) in enumerate(
            zip(readable_pieces(masked_lm, token_ids), token_ids, best.values.exp().tolist(), strict=True), start=1
        )
    )


def fill_record(filled: FilledText) -> dict[str, Any]:
    """The predictions as a JSON object: ``tokens``, ``masks`` with their ``candidates`` and ``targets``, ``notes``."""
    return {
        "tokens": list(filled.tokens),
        "masks": [
            {
                "position": mask.position,
                "candidates": [asdict(candidate) for candidate in mask.candidates],
                "targets": [{**asdict(target), "pieces": list(target.pieces)} for target in mask.targets],
            }
            for mask in filled.masks
        ],
        "notes": list(filled.notes),
    }


def check_count(name: str, value: object) -> None:
    """Raise SettingsError unless ``value`` is a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise SettingsError(f"{name} must be a whole number of 1 or more, but is {value!r}.")


def check_answer_size(masked_lm: MaskedLM, prepared: PreparedText, *, top_k: int) -> None:
    """Raise SettingsError where the candidates of all masks together would fill the memory of whoever asked."""
    shown, masks = min(top_k, masked_lm.vocabulary_size), len(prepared.mask_positions)
    if shown * masks > MAX_CANDIDATES:
        raise SettingsError(
            f"{shown:,} words at each of {masks} masks are more than the {MAX_CANDIDATES:,} of one answer; "
            "show fewer words."
        )
