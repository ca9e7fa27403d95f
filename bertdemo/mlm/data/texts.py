"""Clean texts, and many of them in little memory.

``Texts`` keeps rows as UTF-8 in one buffer (a temporary file once it is large) and makes a ``str`` only when a row
is asked for. Knows no file format, no column and no model.
"""

import html
import io
import mmap
import random
import re
import tempfile
import unicodedata
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, overload

from bertdemo.mlm.errors import DataError, SettingsError

IN_MEMORY_BYTES = 256_000_000

# What spreadsheets, databases and pandas write for "no value"; compared case-folded.
MISSING = frozenset(
    ("", "nan", "-nan", "null", "none", "n/a", "na", "<na>", "#n/a", "#n/a n/a", "#na", "\\n", "nat", "nil")
)

_BLOCK_TAG = re.compile(
    r"</?(?:br|p|div|ul|ol|li|h[1-6]|hr|img|table|tr|td|th|blockquote|pre|section|center)(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)
_INLINE_TAG = re.compile(
    r"</?(?:b|i|u|s|em|strong|span|a|font|small|sub|sup|code|q|strike|del|ins|mark)(?:\s[^<>]*)?/?>",
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
        raw = _INLINE_TAG.sub("", _BLOCK_TAG.sub(" ", raw))
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


def same_text_key(text: str) -> str:
    """What two cleaned texts share when a reader would call them the same: letters, not case or encoding form.

    >>> same_text_key("GREAT Film") == same_text_key("great film")
    True
    """
    folded = text.casefold()
    return folded if folded.isascii() else unicodedata.normalize("NFC", folded)


class SeenTexts:
    """The texts met so far, as 64-bit hashes in one flat table: 12 to 24 bytes a text instead of an object each.

    Two different texts are taken for one with a probability of about n²/2⁶⁵: 3 in 100 million for a million rows.
    """

    def __init__(self) -> None:
        self._table = array("Q", bytes(8 * 1024))
        self._count = 0

    def add(self, text: str) -> bool:
        """Remember ``text`` (already cleaned); True when it had not been met before."""
        value = hash(same_text_key(text)) & 0xFFFF_FFFF_FFFF_FFFF or 1
        if not self._insert(value):
            return False
        self._count += 1
        if 3 * self._count > 2 * len(self._table):
            self._grow()
        return True

    def _insert(self, value: int) -> bool:
        table, last = self._table, len(self._table) - 1
        slot = value & last
        while (there := table[slot]) != 0:
            if there == value:
                return False
            slot = (slot + 1) & last
        table[slot] = value
        return True

    def _grow(self) -> None:
        old, self._table = self._table, array("Q", bytes(16 * len(self._table)))
        for value in old:
            if value:
                self._insert(value)


class Texts(Sequence[str]):
    """A read-only sequence of N texts over one UTF-8 buffer; selections share the buffer.

    ``texts[i]`` decodes one row; ``texts[a:b]`` and ``select`` are views. Made by ``TextsBuilder``.
    """

    def __init__(self, buffer: bytes | mmap.mmap, ends: array, rows: Sequence[int] | None = None) -> None:
        self._buffer = buffer
        self._ends = ends
        self._rows = range(len(ends)) if rows is None else rows

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
        start = self._ends[row - 1] if row else 0
        return self._buffer[start : self._ends[row]].decode("utf-8")

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(len(self)))

    def __repr__(self) -> str:
        return f"Texts({len(self):,} rows)"

    def select(self, indices: Iterable[int]) -> "Texts":
        """The rows at ``indices``, in that order, as a view."""
        return Texts(self._buffer, self._ends, array("Q", (self._rows[index] for index in indices)))


class TextsBuilder:
    """Collects texts one by one; beyond ``IN_MEMORY_BYTES`` they lie in an unnamed temporary file, mapped to read."""

    def __init__(self) -> None:
        self._file: IO[bytes] = io.BytesIO()
        self._ends = array("Q")
        self._size = 0

    def append(self, text: str) -> None:
        data = text.encode("utf-8", "replace")
        if self._size <= IN_MEMORY_BYTES < self._size + len(data):
            self._move_to_disk()
        self._file.write(data)
        self._size += len(data)
        self._ends.append(self._size)

    def build(self) -> Texts:
        """The texts appended so far; the builder is not used again."""
        if isinstance(self._file, io.BytesIO):
            return Texts(self._file.getvalue(), self._ends)
        self._file.flush()
        mapped = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        self._file.close()
        return Texts(mapped, self._ends)

    def _move_to_disk(self) -> None:
        memory, self._file = self._file, tempfile.TemporaryFile()  # noqa: SIM115 (closed by build)
        memory.seek(0)
        while block := memory.read(1 << 20):
            self._file.write(block)


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
    chosen = frozenset(held)
    kept = (index for index in range(count) if index not in chosen)
    if isinstance(texts, Texts):
        return texts.select(kept), texts.select(held)
    return tuple(texts[index] for index in kept), tuple(texts[index] for index in held)
