"""How a tokenizer's pieces read to a person, which of them make up one word, and where two vocabularies meet.

Works on token ids alone, so that edited ids are never tokenised again. Three ways of writing pieces are known:
WordPiece ("##ing" continues a word), byte-level BPE ("Ġlove" begins one) and SentencePiece ("▁love" begins one). Asks
tokenizers, never weights.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import BatchEncoding, PreTrainedTokenizerBase

from ..errors import TextError
from ..models.masked_lm import MaskedLM

BYTE_SPACE, PIECE_SPACE = "Ġ", "▁"
VISIBLE_SPACE = "␣"  # for a piece that is nothing but white space


def encode(tokenizer: PreTrainedTokenizerBase, text: str | list[str], **options: Any) -> BatchEncoding:
    """What the tokenizer makes of a text or of several; says so where its vocabulary has no token for the unknown.

    Raises:
        TextError: the tokenizer cannot write some character and has no [UNK] to put in its place.
    """
    try:
        return tokenizer(text, verbose=False, **options)
    except Exception as error:  # the tokenizers library raises a bare Exception
        if type(error) is not Exception:
            raise
        raise TextError(
            f"This model's tokenizer has no token for something in the text ({error}); use words of its vocabulary, or"
            " another model."
        ) from error


def decode(masked_lm: MaskedLM, token_ids: Sequence[int]) -> str:
    """The text that these tokens make up, special ones included."""
    text = masked_lm.tokenizer.decode(list(token_ids))
    assert isinstance(text, str)  # a list where several rows are given
    return text


def piece_id(masked_lm: MaskedLM, piece: str) -> int | None:
    """The id of a piece, written as the vocabulary writes it; None where it is not in there."""
    token_id = masked_lm.tokenizer.convert_tokens_to_ids(piece)
    return token_id if isinstance(token_id, int) and token_id != masked_lm.tokenizer.unk_token_id else None


def space_marker(masked_lm: MaskedLM) -> str:
    """What marks a piece that follows a space: "Ġ", "▁", or "" where continuing pieces are marked instead."""
    pieces = masked_lm.spaced_pieces
    return next((mark for mark in (BYTE_SPACE, PIECE_SPACE) if any(piece.startswith(mark) for piece in pieces)), "")


def begins_with_space(masked_lm: MaskedLM) -> bool:
    """Whether the tokenizer reads a space before every text, as SentencePiece does: "love" is "▁love"."""
    mark = space_marker(masked_lm)
    return bool(mark) and masked_lm.tokenizer.tokenize("a")[0].startswith(mark)


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
