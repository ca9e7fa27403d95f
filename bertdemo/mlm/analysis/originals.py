"""What a model gives the tokens that a reader hid: their probability and rank at the masks that stand in their place.

Works on ids, so that a piece of a word is scored as that piece. Knows no text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import TextError
from ..inference.log_probs import log_probabilities_at, ranks_of
from ..models.masked_lm import MaskedLM
from ..text.prompt import PreparedText
from ..text.tokens import readable_pieces
from .neighbours import token_id_of


@dataclass(frozen=True)
class HiddenToken:
    """A token behind a mask, and what the model gives it there; rank 1 is its first guess."""

    position: int  # index into the tokens
    token: str
    token_id: int
    probability: float
    rank: int


def score_originals(
    masked_lm: MaskedLM, prepared: PreparedText, originals: Mapping[int, int]
) -> tuple[HiddenToken, ...]:
    """``originals``: position of a mask -> id of the token it hides; all other masks stay masks.

    ``I really [MASK] it`` with {3: id of "love"} -> love 0.41, rank 1.

    Raises:
        TextError: a position that is no mask, or an id that the model does not have.
    """
    places = sorted(originals)
    if not set(places) <= set(prepared.mask_positions):
        raise TextError("A hidden word stands where there is no mask; start from the text again.")
    if not places:
        return ()
    ids = [token_id_of(masked_lm, originals[place]) for place in places]
    scores = log_probabilities_at(masked_lm, [prepared.token_ids], [places])  # (M, V)
    answers = scores.new_tensor(ids).long()
    ranks = ranks_of(scores, answers).tolist()
    chances = [math.exp(float(row[token_id])) for row, token_id in zip(scores, ids, strict=True)]
    columns = zip(places, readable_pieces(masked_lm, ids), ids, chances, ranks, strict=True)
    return tuple(HiddenToken(*column) for column in columns)
