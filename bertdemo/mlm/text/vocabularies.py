"""Where the vocabularies of two models meet: the same ids, or else the same text in the same place of a word.

Asks the tokenizers, never the weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..models.masked_lm import MaskedLM
from .tokens import BYTE_SPACE, space_marker


@dataclass(frozen=True)
class SharedVocabulary:
    """S tokens that two models have in common, and what each calls them."""

    before_ids: NDArray[np.int64]  # (S,)
    after_ids: NDArray[np.int64]  # (S,)
    whole: bool  # both have these tokens and no others, under the same ids


def shared_vocabulary(before: MaskedLM, after: MaskedLM) -> SharedVocabulary:
    """Every id where the two vocabularies are one; otherwise the tokens whose text and place in a word agree.

    WordPiece "love" meets "Ġlove", "##ing" meets "ing", and "." meets ".". Special tokens do not meet, nor do "Love"
    and "love".
    """
    if _same_tokens(before, after):
        ids = np.arange(before.vocabulary_size)
        return SharedVocabulary(ids, ids, whole=True)
    first, second = _ids_by_text(before), _ids_by_text(after)
    pairs = sorted((token_id, second[text]) for text, token_id in first.items() if text in second)
    columns = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return SharedVocabulary(columns[:, 0], columns[:, 1], whole=False)


def _same_tokens(before: MaskedLM, after: MaskedLM) -> bool:
    if before.vocabulary_size != after.vocabulary_size:
        return False
    return before.tokenizer is after.tokenizer or before.tokenizer.get_vocab() == after.tokenizer.get_vocab()


def _ids_by_text(masked_lm: MaskedLM) -> dict[tuple[str, bool], int]:
    """(text, whether it is joined to what stands before) -> id, special tokens left out."""
    mark = space_marker(masked_lm)
    found: dict[tuple[str, bool], int] = {}
    for piece, token_id in masked_lm.tokenizer.get_vocab().items():
        if token_id in masked_lm.special_ids or token_id >= masked_lm.vocabulary_size:
            continue
        text, joined = _text_and_place(piece, mark)
        if mark == BYTE_SPACE and not text.isascii():
            text = masked_lm.tokenizer.convert_tokens_to_string([text])
        if text and "\N{REPLACEMENT CHARACTER}" not in text:
            found.setdefault((text, joined), token_id)
    return found


def _text_and_place(piece: str, mark: str) -> tuple[str, bool]:
    """The text of a piece, and whether it is joined to what stands before; WordPiece does not say so for punctuation.

    >>> _text_and_place("##ing", ""), _text_and_place("Ġlove", "Ġ"), _text_and_place(".", "")
    (('ing', True), ('love', False), ('.', True))
    """
    if mark:
        return (piece[len(mark) :], False) if piece.startswith(mark) else (piece, True)
    if len(piece) > 2 and piece.startswith("##"):
        return piece[2:], True
    return piece, not piece[:1].isalnum()
