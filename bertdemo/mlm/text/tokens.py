"""How a tokenizer's pieces read to a person, and which of them make up one word.

Works on token ids alone, so that edited ids are never tokenised again. Three ways of writing pieces are known:
WordPiece ("##ing" continues a word), byte-level BPE ("Ġlove" begins one) and SentencePiece ("▁love" begins one).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from ..models.masked_lm import MaskedLM

BYTE_SPACE, PIECE_SPACE = "Ġ", "▁"
VISIBLE_SPACE = "␣"  # for a piece that is nothing but white space


def space_marker(masked_lm: MaskedLM) -> str:
    """What marks a piece that follows a space: "Ġ", "▁", or "" where continuing pieces are marked instead."""
    pieces = masked_lm.spaced_pieces
    return next((mark for mark in (BYTE_SPACE, PIECE_SPACE) if any(piece.startswith(mark) for piece in pieces)), "")


def begins_with_space(masked_lm: MaskedLM) -> bool:
    """Whether the tokenizer reads a space before every text, as SentencePiece does: "love" is "▁love"."""
    mark = space_marker(masked_lm)
    return bool(mark) and masked_lm.tokenizer.tokenize("a")[0].startswith(mark)


def is_uncased(masked_lm: MaskedLM) -> bool:
    """Whether the tokenizer lower-cases every text."""
    normalizer = getattr(getattr(masked_lm.tokenizer, "backend_tokenizer", None), "normalizer", None)
    return normalizer is not None and normalizer.normalize_str("A") == "a"


def readable_pieces(masked_lm: MaskedLM, token_ids: Sequence[int]) -> tuple[str, ...]:
    """Pieces as a person reads them: without the mark of a leading space; "##ing" keeps its sign of continuing.

    RoBERTa's ids of ``<s>``, ``I``, ``Ġlove``, ``Ġit`` -> ``("<s>", "I", "love", "it")``. Part of a character is left
    as the tokenizer writes it.
    """
    mark = space_marker(masked_lm)
    pieces = raw_pieces(masked_lm, token_ids)
    if not mark:
        return pieces
    special = masked_lm.special_ids
    return tuple(
        piece if token_id in special else _without_space(masked_lm, piece, mark)
        for token_id, piece in zip(token_ids, pieces, strict=True)
    )


def word_ids(masked_lm: MaskedLM, token_ids: Sequence[int]) -> tuple[int | None, ...]:
    """The number of the word that each piece belongs to; None for special tokens other than masks and unknowns.

    ``[CLS] the dog bark ##ed . [SEP]`` -> ``(None, 0, 1, 2, 2, 3, None)``.
    """
    mark = space_marker(masked_lm)
    outside = masked_lm.special_ids - {masked_lm.mask_token_id, masked_lm.tokenizer.unk_token_id}
    words: list[int | None] = []
    word, previous = -1, ""
    for token_id, piece in zip(token_ids, raw_pieces(masked_lm, token_ids), strict=True):
        if token_id in outside:
            words.append(None)
            previous = ""
            continue
        after_mark = previous == mark and token_id != masked_lm.mask_token_id  # "▁" and the unknown word behind it
        apart = mark and token_id in masked_lm.special_ids and not after_mark
        if apart or not (previous and continues_word(previous, piece, mark=mark)):
            word += 1
        words.append(word)
        previous = "" if apart else piece
    return tuple(words)


def continues_word(previous: str, piece: str, *, mark: str) -> bool:
    """Whether the piece goes on with the word of the one before it.

    >>> continues_word("bark", "##ed", mark=""), continues_word("Ġdog", ",", mark="Ġ")
    (True, False)
    """
    if not mark:
        return piece.startswith("##")
    if piece.startswith(mark):
        return False
    return previous == mark or (_in_word(previous[-1], mark) and _in_word(piece[:1], mark))


def _in_word(character: str, mark: str) -> bool:
    if not character or character.isalnum():
        return bool(character)
    # In byte-level pieces what lies beyond ASCII is part of a longer character, mostly a letter.
    return ord(character) > 0x7E if mark == BYTE_SPACE else unicodedata.category(character).startswith("M")


def raw_pieces(masked_lm: MaskedLM, token_ids: Sequence[int]) -> tuple[str, ...]:
    """The tokenizer's own pieces; ids that pad the embedding table beyond its words have no name and get one."""
    pieces = masked_lm.tokenizer.convert_ids_to_tokens(list(token_ids))
    return tuple(piece or f"[id {token_id}]" for token_id, piece in zip(token_ids, pieces, strict=True))


def _without_space(masked_lm: MaskedLM, piece: str, mark: str) -> str:
    if mark == PIECE_SPACE:
        return piece.replace(mark, " ").strip() or VISIBLE_SPACE
    text = masked_lm.tokenizer.convert_tokens_to_string([piece])
    return piece if "\N{REPLACEMENT CHARACTER}" in text else text.strip() or VISIBLE_SPACE
