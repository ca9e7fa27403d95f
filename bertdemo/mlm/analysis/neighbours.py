"""Nearest words: which tokens have learned embeddings that point the same way. Knows no sentence."""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch

from ..errors import TextError
from ..inference.fill_mask import check_count, target_ids
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
    table = masked_lm.model.get_input_embeddings().weight.float()  # (V, H)
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


def token_id_of(masked_lm: MaskedLM, word: str | int, *, after_space: bool = True) -> int:
    """The one token that a word is, tokenised as it would stand in a text; an id is only checked.

    Raises:
        TextError: no such id, or a word of no, several or unknown tokens.
    """
    if isinstance(word, int):
        if not 0 <= word < masked_lm.vocabulary_size:
            raise TextError(f"This model has no token {word}; its ids go from 0 to {masked_lm.vocabulary_size - 1}.")
        return word
    name = word.strip()
    ids = target_ids(masked_lm, name, after_space=after_space) if name else ()
    if not ids:
        raise TextError("There is no word to look at; type one.")
    if masked_lm.tokenizer.unk_token_id in ids:
        raise TextError(f'The model\'s vocabulary cannot write "{name}"; try another word.')
    if len(ids) > 1:
        pieces = " ".join(readable_pieces(masked_lm, ids))
        raise TextError(f'"{name}" is {len(ids)} tokens to this model ({pieces}); choose a word that is one.')
    return ids[0]
