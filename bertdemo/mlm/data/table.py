"""A file whose beginning has been understood: its dialect, its columns, and which of them holds the texts.

Opens the file to be read again in full. Counts no rows and cleans no texts.
"""

import codecs
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice

from bertdemo.mlm.data.columns import REFUSED, Kind
from bertdemo.mlm.data.dialect import MOST_COLUMNS, Dialect, sniff_text
from bertdemo.mlm.data.encoding import FileFacts, readable, survey_file
from bertdemo.mlm.data.records import Layout, RecordReader
from bertdemo.mlm.errors import DataError

_SAMPLE_RECORDS = 2000


@dataclass(frozen=True)
class Table:
    """``text_at``: the place of the text column, None where none holds free text. ``text_columns``: best first.

    ``first_records``: a few, the header among them.
    """

    facts: FileFacts
    dialect: Dialect
    layout: Layout
    text_at: int | None
    text_columns: tuple[str, ...]
    first_records: tuple[list[str], ...]

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return self.facts.path.name

    @property
    def text_column(self) -> str | None:
        """The name of the column at ``text_at``."""
        return None if self.text_at is None else self.layout.columns[self.text_at]

    def align(self, record: list[str]) -> tuple[list[str], bool]:
        """``Layout.align`` at the text column."""
        return self.layout.align(record, self.text_at, self.dialect.delimiter or ",")

    @contextmanager
    def open_records(self, *, whole: bool) -> Iterator[RecordReader]:
        """All records of the file or of its head, the header among them; closed on leaving."""
        with _decoding(self.facts, self.dialect), readable(self.facts.path):
            if not whole or self.facts.complete:
                yield _head_records(self.facts, self.dialect)
                return
            name, errors = _codec(self.dialect.encoding)
            with self.facts.path.open(encoding=name, errors=errors, newline="") as lines:
                yield RecordReader(lines, self.dialect, name=self.name)


def open_table(
    path: str | os.PathLike[str], *, dialect: Dialect | None, column: str | None, max_bytes: int | None
) -> Table:
    """Understand a file from its first megabyte, its encoding from ``max_bytes`` or (None) all of it.

    Raises:
        DataError: not a table in text form, without rows, or ``column`` is missing or holds no text.
    """
    facts = survey_file(path, max_bytes=max_bytes)
    if dialect is None:
        dialect = sniff_head(facts)
    elif dialect.encoding == "ascii":  # true of the beginning that was previewed; now more is known
        dialect = replace(dialect, encoding=facts.encoding)
    with _decoding(facts, dialect):
        records = tuple(islice(_head_records(facts, dialect), _SAMPLE_RECORDS))
    if len(records) <= dialect.header:
        what = "a header line and no rows" if records else "no rows"
        raise DataError(f"{facts.path.name!r} holds {what}; add rows with text.")
    width = max(map(len, records))
    if width > MOST_COLUMNS:
        raise DataError(f"{facts.path.name!r} has {width:,} columns; save at most {MOST_COLUMNS:,} of them as CSV.")
    layout = Layout.of(records, dialect)
    texts = [profile for profile in layout.profiles if profile.kind is Kind.TEXT]
    names = tuple(profile.name for profile in sorted(texts, key=lambda profile: -profile.score))
    wanted = column if column is not None else next(iter(names), None)
    text_at = None if wanted is None else _place_of(wanted, layout, names, facts.path.name)
    return Table(facts, dialect, layout, text_at, names, records[:10])


def _place_of(wanted: str, layout: Layout, text_columns: tuple[str, ...], name: str) -> int:
    """The place of the column called ``wanted``, with or without outer spaces; DataError if it holds no text."""
    wanted = " ".join(str(wanted).split())
    if wanted not in layout.columns:
        raise DataError(f"{name!r} has no column {wanted!r}; its columns are {listed(layout.columns)}.")
    place = layout.columns.index(wanted)
    kind = layout.profiles[place].kind
    if kind in REFUSED:
        mend = f"choose {listed(text_columns)}" if text_columns else "no other column has free text either"
        raise DataError(f"Column {wanted!r} of {name!r} holds {kind}, not text; {mend}.")
    return place


def sniff_head(facts: FileFacts) -> Dialect:
    """The dialect of the surveyed file."""
    text = _head_text(facts, facts.encoding)
    return sniff_text(text, encoding=facts.encoding, suffix=facts.path.suffix, complete=facts.complete)


def listed(names: Sequence[str]) -> str:
    """Column names for a sentence: at most ten, none long.

    >>> listed(["id", "review"])
    "'id', 'review'"
    """
    shown = ", ".join(repr(name[:40]) for name in names[:10])
    return shown + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _codec(encoding: str) -> tuple[str, str]:
    """The codec and error handler to read with: ASCII as UTF-8, whose stray bytes ``RecordReader`` repairs."""
    name = codecs.lookup(encoding).name
    if name in ("ascii", "utf-8"):
        return "utf-8", "surrogateescape"
    return name, "surrogateescape" if name == "utf-8-sig" else "replace"


def _head_text(facts: FileFacts, encoding: str) -> str:
    name, errors = _codec(encoding)
    return codecs.getincrementaldecoder(name)(errors).decode(facts.head, final=facts.complete)


def _head_records(facts: FileFacts, dialect: Dialect) -> RecordReader:
    lines = io.StringIO(_head_text(facts, dialect.encoding), newline="")
    return RecordReader(lines, dialect, name=facts.path.name, complete=facts.complete)


@contextmanager
def _decoding(facts: FileFacts, dialect: Dialect) -> Iterator[None]:
    try:
        yield
    except UnicodeError as exc:
        name = facts.path.name
        raise DataError(f"{name!r} cannot be decoded as {dialect.encoding}; choose another encoding.") from exc
