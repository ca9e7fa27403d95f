"""Which tokens make up one word, for whole batches at once: for masking whole words.

A word is a run of letters and digits. WordPiece says itself what continues one ("##ed"). Byte-level BPE and
SentencePiece mark what follows a space; within a run without spaces a word ends where letters end, so "barked." is
"▁bark" + "ed" and ".". Pieces of scripts that are written without spaces (Chinese, Japanese, Thai, Lao, Khmer,
Burmese) are words of their own, since nothing here knows where words end in them; in byte-level pieces the parts of one
character stay together. Asks tokenizers, never weights.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, fields
from functools import cache

import torch
from torch import Tensor

from ..models.masked_lm import MaskedLM
from .tokens import BYTE_SPACE, raw_pieces, space_marker

# First and last code point of what is written without spaces between words
_UNSPACED = (
    *((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF)),  # Thai and Lao, Burmese, Khmer
    *((0x2E80, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF)),  # ideographs, kana, and their punctuation
)
# A UTF-8 character's first byte that many scripts share -> the second ones that mean a script without spaces
_SECOND_BYTES = {0xE0: range(0xB8, 0xBC), 0xE1: (0x80, 0x81, 0x82, 0x9E, 0x9F)}


@dataclass(frozen=True)
class _Piece:
    """How a piece joins with its neighbours; all False for a special token, which joins with nothing."""

    begins_in_letter: bool = False
    ends_in_letter: bool = False  # the last character's first bytes decide where the others stand in the next piece
    begins_inside: bool = False  # with the rest of a character of the piece before
    all_inside: bool = False  # is nothing but that: what it ends in, the piece knows in which the character begins
    is_space: bool = False  # a bare mark, whose word is still to come
    goes_on: bool = False  # has no mark of its own: belongs to a bare one before it
    lone_head: int = 0  # ends in nothing but this first byte of a character, where that does not tell the script
    unspaced_behind: int = 0  # begins with a byte that behind such a first byte means a script without spaces


class WordPieces:
    """How the pieces of one vocabulary join; made once for a run, since it looks at every piece."""

    def __init__(self, masked_lm: MaskedLM) -> None:
        ids = range(max(masked_lm.tokenizer.get_vocab().values()) + 1)
        mark, special = space_marker(masked_lm), masked_lm.special_ids
        pieces = [
            _Piece() if token_id in special else _joins(piece, mark=mark)
            for token_id, piece in zip(ids, raw_pieces(masked_lm, ids), strict=True)
        ]
        self._tables = {
            field.name: torch.tensor([getattr(piece, field.name) for piece in pieces]) for field in fields(_Piece)
        }

    def first_of_word(self, token_ids: Tensor) -> Tensor:
        """token_ids (B, T) -> (B, T) int64: where in its row the word of each token begins.

        ``[CLS] the dog bark ##ed . [SEP]`` -> ``0 1 2 3 3 5 6``.
        """
        of = {name: table[token_ids] for name, table in self._tables.items()}  # each (B, T)
        places = torch.arange(token_ids.shape[1]).expand_as(token_ids)
        character = places.masked_fill(of["all_inside"], 0).cummax(dim=1).values  # where the last character begins
        heads, tails = of["lone_head"][:, :-1], of["unspaced_behind"][:, 1:]
        of["ends_in_letter"][:, :-1] &= (heads == 0) | (heads != tails)
        ends_in_letter = of["ends_in_letter"].gather(1, character)
        continues = of["begins_inside"].clone()
        continues[:, 1:] |= ends_in_letter[:, :-1] & of["begins_in_letter"][:, 1:]
        continues[:, 1:] |= of["is_space"][:, :-1] & of["goes_on"][:, 1:]
        return places.masked_fill(continues, 0).cummax(dim=1).values


def _joins(piece: str, *, mark: str) -> _Piece:
    if not mark:
        return _Piece(begins_in_letter=piece.startswith("##"), ends_in_letter=True)
    text = piece.lstrip(mark)
    if not text:
        return _Piece(is_space=True)
    unmarked = text == piece
    raw = _raw_bytes(text) if mark == BYTE_SPACE else None
    if raw is None:
        return _Piece(unmarked and _in_word(text[0]), _in_word(text[-1]), goes_on=unmarked)
    inside, whole = _characters(raw)
    behind = next((head for head, seconds in _SECOND_BYTES.items() if raw[0] in seconds), 0)
    if not whole:
        return _Piece(begins_inside=True, all_inside=True, unspaced_behind=behind)
    begins = unmarked and not inside and _in_word(whole[0])
    lone = raw[-1] if raw[-1] in _SECOND_BYTES else 0
    return _Piece(begins, _in_word(whole[-1]), inside, goes_on=unmarked, lone_head=lone, unspaced_behind=behind)


def _characters(raw: bytes) -> tuple[bool, str]:
    """Bytes -> whether they begin inside a character, and their characters from the next one on; for one that does not
    end here, another that begins with the same bytes.

    >>> _characters("ét".encode()), _characters("ét".encode()[1:]), _characters("з".encode()[:1])
    ((False, 'ét'), (True, 't'), (False, 'Р'))
    """
    inside = next((place for place, byte in enumerate(raw) if byte & 0xC0 != 0x80), len(raw))
    for filler in (b"", *(bytes([fill]) * count for fill in (0xA0, 0x90) for count in (1, 2, 3))):
        try:
            return inside > 0, (raw[inside:] + filler).decode()
        except UnicodeDecodeError:
            continue
    return inside > 0, "-"  # bytes that are no text


def written_without_spaces(character: str) -> bool:
    """Whether the character is of a script that puts no spaces between words: "我", but not "é"."""
    return any(low <= ord(character) <= high for low, high in _UNSPACED)


def _in_word(character: str) -> bool:
    if written_without_spaces(character):
        return False
    return character.isalnum() or unicodedata.category(character).startswith("M")


def _raw_bytes(piece: str) -> bytes | None:
    """The bytes that a byte-level piece stands for; None for one that was added as plain text."""
    table = _byte_of()
    return bytes(table[character] for character in piece) if all(map(table.__contains__, piece)) else None


@cache
def _byte_of() -> dict[str, int]:
    """Byte-level BPE's way to write bytes as visible characters (Radford et al. 2019): those that are visible in
    Latin-1 are themselves, the others follow from 256 on."""
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = [byte for byte in range(256) if byte not in visible]
    return {chr(byte): byte for byte in visible} | {chr(256 + place): byte for place, byte in enumerate(hidden)}
