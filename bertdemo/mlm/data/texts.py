"""Clean texts, and many of them in little memory.

``Texts`` keeps rows as UTF-8 in one buffer (a temporary file once it is large) and makes a ``str`` only when a row
is asked for. Knows no file format, no column and no model.
"""

import html
import mmap
import random
import re
import unicodedata
from array import array
from collections.abc import Iterator, Sequence
from typing import IO, overload

import numpy as np
from numpy.typing import NDArray

from bertdemo.mlm.errors import DataError, SettingsError

IN_MEMORY_BYTES = 64_000_000
_BLOCK = 1 << 22
_LINE_FEED = 10

# What spreadsheets, databases and pandas write for "no value"; compared case-folded.
MISSING = frozenset(
    ("", "nan", "-nan", "null", "none", "n/a", "na", "<na>", "#n/a", "#n/a n/a", "#na", "\\n", "nat", "nil")
)

# A tag's name is followed by its end, a slash or attributes, so that "<I love it>" keeps its words.
_ATTRIBUTES = r"""(?:\s+[\w:-]+\s*=\s*(?:"[^"<>]*"|'[^'<>]*'|[^\s"'<>]+)|\s+(?:hidden|noshade|nowrap))*"""
BLOCK_TAG = re.compile(
    r"</?(?:br|p|div|ul|ol|li|h[1-6]|hr|img|table|tr|td|th|blockquote|pre|section|center)"
    rf"{_ATTRIBUTES}\s*/?>",
    re.IGNORECASE,
)
INLINE_TAG = re.compile(
    rf"</?(?:b|i|u|s|em|strong|span|a|font|small|sub|sup|code|q|strike|del|ins|mark){_ATTRIBUTES}\s*/?>",
    re.IGNORECASE,
)
# Invisible in print and dropped or unknown to tokenizers: control characters, zero-width space, byte order mark.
_INVISIBLE = re.compile("[\x00-\x08\x0e-\x1b\x7f\u200b\ufeff]+")


def clean_text(raw: str) -> str:
    """The text as a reader would see it: tags out, entities read once, one space between words.

    Tags go before entities are read, so that a written-out ``&lt;b&gt;`` stays what its author meant.

    >>> clean_text("Fish &amp; chips:<br /><b>great</b>!\\n")
    'Fish & chips: great!'
    """
    if "<" in raw:
        raw = INLINE_TAG.sub("", BLOCK_TAG.sub(" ", raw))
    if "&" in raw:
        raw = html.unescape(raw)
    if not raw.isprintable():
        raw = _INVISIBLE.sub("", raw)
    return " ".join(raw.split())


def is_missing(text: str) -> bool:
    """Whether a cleaned cell says that there is no value.

    >>> is_missing("N/A"), is_missing("not available")
    (True, False)
    """
    return len(text) <= 8 and text.casefold() in MISSING


def clean_cell(raw: str) -> str:
    """``clean_text`` of a cell, or nothing where it says that there is no value."""
    text = clean_text(raw)
    return "" if is_missing(text) else text


def same_text_key(text: str) -> str:
    """What two cleaned texts share when a reader would call them the same: letters, not case or encoding form.

    >>> same_text_key("GREAT Film") == same_text_key("great film")
    True
    """
    folded = text.casefold()
    return folded if folded.isascii() else unicodedata.normalize("NFC", folded)


class Texts(Sequence[str]):
    """A read-only sequence of N texts over one UTF-8 buffer, a line each; selections share the buffer.

    ``texts[i]`` decodes one row; ``texts[a:b]`` and ``select`` are views. Made by ``index_lines``.
    """

    def __init__(self, buffer: bytes | mmap.mmap, ends: NDArray[np.int64], rows: NDArray[np.int64]) -> None:
        self._buffer = buffer
        self._ends = ends  # of all lines in the buffer, the line feed not counted
        self._rows = rows  # those lines that are these texts

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> "Texts": ...
    def __getitem__(self, index: int | slice) -> "str | Texts":
        if isinstance(index, slice):
            return Texts(self._buffer, self._ends, self._rows[index])
        row = self._rows[index]
        start = self._ends[row - 1] + 1 if row else 0
        return self._buffer[start : self._ends[row]].decode("utf-8")

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(len(self)))

    def __repr__(self) -> str:
        return f"Texts({len(self):,} rows)"

    def select(self, indices: Sequence[int] | NDArray[np.integer]) -> "Texts":
        """The rows at ``indices``, in that order, as a view."""
        return Texts(self._buffer, self._ends, self._rows[np.asarray(indices, dtype=np.int64)])


def index_lines(file: IO[bytes]) -> tuple[Texts, int, int]:
    """``(texts, rows, empty)`` of a file with one clean row a line, blank where it holds no value: its distinct texts.

    The file is read from its beginning, in blocks, and may be closed afterwards. Texts are compared by 64-bit hashes:
    two that differ are taken for one with a probability of about n²/2⁶⁵, 3 in 100 million for a million rows. One
    sort of all hashes (24 bytes a row) is as fast as a set[int] of them, which needs 70.
    """
    hashes, ends = array("q"), [np.zeros(0, dtype=np.int64)]
    size, rest = 0, b""
    file.seek(0)
    while block := file.read(_BLOCK):
        lines, feed, rest = (rest + block).rpartition(b"\n")
        if feed:
            ends.append(np.flatnonzero(np.frombuffer(lines + feed, dtype=np.uint8) == _LINE_FEED) + size)
            size += len(lines) + 1
            hashes.extend(map(hash, same_text_key(lines.decode("utf-8")).split("\n")))
    found = np.frombuffer(hashes, dtype=np.int64)
    first = np.unique(found, return_index=True)[1]
    first = np.sort(first[found[first] != hash("")])
    if size > IN_MEMORY_BYTES:
        buffer: bytes | mmap.mmap = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    else:
        file.seek(0)
        buffer = file.read()
    return Texts(buffer, np.concatenate(ends), first), len(found), int((found == hash("")).sum())


def split_texts(
    texts: Sequence[str], *, held_out_share: float, held_out_max: int, seed: int
) -> tuple[Sequence[str], Sequence[str]]:
    """``(train, held_out)`` of N texts, each in the order given, the same for the same seed; views of ``Texts``.

    ``held_out_share`` of N are held out, at least 1 and at most ``held_out_max``.

    >>> [len(part) for part in split_texts(tuple("abcdefgh"), held_out_share=0.1, held_out_max=500, seed=0)]
    [7, 1]

    Raises:
        DataError: fewer than 2 texts.
        SettingsError: the share is not between 0 and 1, or the maximum is below 1.
    """
    if not 0 < held_out_share < 1 or held_out_max < 1:
        raise SettingsError("The held-out share must lie between 0 and 1, and its maximum be 1 or more.")
    count = len(texts)
    if count < 2:
        raise DataError("At least 2 texts are needed to hold one out; add rows.")
    held_count = min(max(1, round(count * held_out_share)), held_out_max, count - 1)
    held = sorted(random.Random(seed).sample(range(count), held_count))
    kept = np.delete(np.arange(count), held).tolist()
    if isinstance(texts, Texts):
        return texts.select(kept), texts.select(held)
    return tuple(texts[index] for index in kept), tuple(texts[index] for index in held)
