"""Nearest words: which tokens have learned embeddings at the smallest angle. Knows no sentence."""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch

from ..inference.fill_mask import check_count, token_id_of
from ..models.masked_lm import MaskedLM
from ..text.tokens import raw_pieces, readable_pieces

_UNUSED = re.compile(r"\[unused\d+\]|<unused\d+>|madeupword\d+|\|\|\|.*\|\|\|")


@dataclass(frozen=True)
class Neighbour:
    """A token close to another in the embedding table."""

    token: str
    token_id: int
    cosine: float


@torch.inference_mode()
def nearest_words(masked_lm: MaskedLM, token: str | int, *, count: int = 10) -> tuple[Neighbour, ...]:
    """The ``count`` tokens whose input embeddings have the highest cosine with the one of ``token`` (a word, or an id).

    "good" -> great 0.71, bad 0.66, ... Special and unused tokens, and the word itself, are left out.

    Raises:
        TextError: the word is not one token of this model.
    """
    check_count("The number of neighbours", count)
    token_id = token_id_of(masked_lm, token)
    table = masked_lm.model.get_input_embeddings().get_parameter("weight").float()  # (V, H)
    lengths = table.norm(dim=1).clamp_min(1e-12)  # a padding token's row is all zeros
    cosines = ((table @ table[token_id]) / (lengths * lengths[token_id])).cpu()  # (V,)
    known = min(len(cosines), len(masked_lm.tokenizer))
    pieces = raw_pieces(masked_lm, range(known))
    left_out = [other for other in masked_lm.special_ids | {token_id} if other < known]
    left_out += [other for other, piece in enumerate(pieces) if _UNUSED.fullmatch(piece)]
    cosines[left_out] = -torch.inf
    best = cosines[:known].topk(max(0, min(count, known - len(set(left_out)))))
    ids = best.indices.tolist()
    columns = zip(readable_pieces(masked_lm, ids), ids, best.values.tolist(), strict=True)
    return tuple(Neighbour(name, other, cosine) for name, other, cosine in columns)
