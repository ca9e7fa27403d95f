"""A file whose beginning has been understood: its dialect, its columns, and which of them holds the texts.

Opens the file to be read again in full, one record at a time, and says where each cell of a record belongs. Repairs
what can be repaired (stray bytes, texts broken by their own commas) and counts it; refuses an unclosed quote with its
line. Memory is bounded by the longest record. Counts no rows and cleans no texts.
"""

import codecs
import csv
import io
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice, pairwise

from bertdemo.mlm.data.columns import REFUSED, UNUSUAL, ColumnProfile, Kind, cell_kind, profile_column
from bertdemo.mlm.data.dialect import MAX_COLUMNS, Dialect, declared_delimiter, find_anchor, sniff_text
from bertdemo.mlm.data.encoding import LONGEST_RECORD, FileFacts, readable, survey_file
from bertdemo.mlm.data.texts import clean_text
from bertdemo.mlm.errors import DataError

_SAMPLE_RECORDS = 2000
_TYPED = (Kind.NUMBER, Kind.DATE, Kind.LINK)
_LOOKS_WRONG = re.compile("[\ufffd\x80-\x9f]")
_NOT_ASCII = re.compile("[^\x00-\x7f]")


def _as_windows(error: UnicodeError) -> tuple[str, int]:
    """Reads the bytes that are not UTF-8 as Windows-1252, as most files of mixed origin are."""
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("cp1252", "replace"), error.end


codecs.register_error("bertdemo_windows", _as_windows)


class RecordReader:
    """Iterates over the non-blank records of ``lines``, from the header on (or the first row, where there is none).

    With ``complete=False`` the last record may be cut off and is left out.

    Raises:
        DataError: a quote is never closed, or is closed in the middle of a cell lines later; a record beyond 100 MB.
    """

    def __init__(self, lines: Iterable[str], dialect: Dialect, *, name: str, complete: bool = True) -> None:
        self.line = 0  # the last one read
        self._lines = lines
        self._dialect = dialect
        self._name = name
        self._complete = complete
        self._start = 0
        self._recent: list[str] = []
        self._chars = 0
        self._ended = False

    def __iter__(self) -> Iterator[list[str]]:
        return self.all_records() if self._complete else _without_last(self.all_records())

    def all_records(self) -> Iterator[list[str]]:
        """The last one, too, even if it may be cut off."""
        recent = self._recent
        lines = self._below_titles()
        self._start = self.line
        try:
            for record in self._dialect.reader(lines):
                if self._ended and self._complete:  # csv asked for one more line: a quote is open
                    raise self._unclosed()
                if len(recent) > 1 and not self._ended and not self._dialect.escape:
                    self._check_closing_quotes()
                blank = len(record) < 2 and all(line.isspace() or not line for line in recent)
                self._start = self.line
                self._chars = 0
                recent.clear()
                if not blank:
                    yield record
        except csv.Error as exc:
            raise DataError(f"{self._name!r} cannot be split near line {self.line} ({exc}).") from exc

    def _below_titles(self) -> Iterator[str]:
        skipped = self._dialect.skipped_lines
        for line in self._lines:
            self.line += 1
            if self.line == 1:
                line = line.removeprefix("\ufeff")  # noqa: PLW2901
                if self._dialect.delimiter and declared_delimiter(line) == self._dialect.delimiter:
                    self._start = 1
                    continue
            if skipped:
                skipped -= not line.isspace()
                self._start = self.line
                continue
            self._recent.append(line)
            self._chars += len(line)
            if self._chars > LONGEST_RECORD:
                raise self._unclosed()
            yield line
        self._ended = True

    def _check_closing_quotes(self) -> None:
        """In a record of several lines, text right after a closing quote means that another one never closed."""
        quote, edge = self._dialect.quote, re.escape(self._dialect.delimiter or "\n")
        lines = [re.sub(rf"{quote} +(?={edge}|[\r\n]|\Z)", str(quote), line) for line in self._recent]
        try:
            list(self._dialect.reader(lines, strict=True))
        except csv.Error as exc:
            raise self._unclosed() from exc

    def _unclosed(self) -> DataError:
        quote = self._dialect.quote or '"'
        before = quote.join("".join(self._recent).replace(quote * 2, "  ").split(quote)[:-1]) if self._ended else ""
        line = self._start + 1 + before.count("\n") + before.count("\r") - before.count("\r\n")
        return DataError(
            f"{self._name!r} has a quote that opens on line {line} and is not closed; "
            f"close it, or write quotes inside a quoted cell twice ({quote * 2})."
        )


def _without_last(records: Iterator[list[str]]) -> Iterator[list[str]]:
    """All records but the last, which may be cut off; a lone row after the first record is kept all the same."""
    yield from islice(records, 2)
    yield from (record for record, _ in pairwise(records))


@dataclass(frozen=True)
class Layout:
    """The columns of a table: names (unique, never blank) and profiles, both of the table's width."""

    columns: tuple[str, ...]
    profiles: tuple[ColumnProfile, ...]

    @classmethod
    def of(cls, records: Sequence[list[str]], dialect: Dialect) -> "Layout":
        """Read off from a sample of records, the header included."""
        body = records[dialect.header + dialect.subheaders :]
        names = _padded_names(records[0], body) if dialect.header else None
        width = len(names) if names else _usual_width(body)
        columns = unique_names(names) if names else tuple(map(str, range(width)))
        exact = [record for record in body if len(record) == width]
        if 2 * len(exact) < len(body):
            anchor = find_anchor(body, width, named=dialect.header)
            draft = cls(columns, tuple(ColumnProfile(name, Kind.PHRASE) for name in columns))
            exact = [draft.align(record, anchor)[0] for record in body]
        profiles = tuple(
            profile_column(name, [record[place] for record in exact]) for place, name in enumerate(columns)
        )
        return cls(columns, profiles)

    def align(self, record: list[str], text_at: int | None, delimiter: str = ",") -> tuple[list[str], bool]:
        """The record at the table's width, and whether fields had to be dropped for it.

        Missing fields become blank. Surplus ones are joined back at ``text_at`` when the columns around it then hold
        what they should; otherwise those at the end are dropped.
        """
        width = len(self.columns)
        surplus = len(record) - width
        if surplus <= 0:
            return record + [""] * -surplus, False
        if not any(map(str.strip, record[width:])):
            return record[:width], False
        if text_at is not None:
            end = text_at + surplus + 1
            joined = [*record[:text_at], delimiter.join(record[text_at:end]), *record[end:]]
            if self._fits(joined):
                return joined, False
        return record[:width], True

    def _fits(self, record: list[str]) -> bool:
        return all(
            cell_kind(clean_text(cell)) in (profile.kind, Kind.EMPTY)
            for cell, profile in zip(record, self.profiles, strict=True)
            if profile.kind in _TYPED
        )


def _padded_names(header: list[str], body: Sequence[list[str]]) -> list[str]:
    """The header at the width of the rows, where nearly all rows agree on a larger one.

    One name too few is a column of row names in front (as R writes it), unless the last column is blank. Texts that
    all broke once, at a comma of theirs, are no column.
    """
    width = _usual_width(body)
    agree = sum(len(record) == width for record in body) >= 0.9 * len(body)
    missing = width - len(header)
    if missing <= 0 or not agree or _commas_of_prose(header, body):
        return header
    blank_end = not any(record[-1].strip() for record in body if len(record) == width)
    distinct = len({record[0] for record in body}) > 0.9 * len(body)
    if missing == 1 and distinct and not blank_end:
        return ["", *header]
    return header + [""] * missing


def _commas_of_prose(header: list[str], body: Sequence[list[str]]) -> bool:
    """Whether a field mostly begins with a space, as after a comma in a sentence, and no name in the header does."""
    if any(name.startswith(" ") for name in header):
        return False
    spaced = Counter(place for record in body for place, cell in enumerate(record) if cell.startswith(" "))
    return max(spaced.values(), default=0) > len(body) / 2


def _usual_width(records: Sequence[list[str]]) -> int:
    """The commonest number of fields, or what 19 in 20 records reach where texts broke into many."""
    if not records:
        return 1
    widths = sorted(map(len, records))
    width, count = Counter(widths).most_common(1)[0]
    return width if count >= 0.6 * len(records) else widths[len(widths) // 20]


def unique_names(header: Sequence[str]) -> tuple[str, ...]:
    """Column names without outer spaces; blank ones are numbered, repeated ones get a suffix.

    >>> unique_names(["", " text ", "text"])
    ('Unnamed: 0', 'text', 'text.1')
    """
    names: dict[str, None] = {}
    for place, raw in enumerate(header):
        base = " ".join(raw.replace("\x00", "").split()) or f"Unnamed: {place}"
        name, count = base, 0
        while name in names:
            count += 1
            name = f"{base}.{count}"
        names[name] = None
    return tuple(names)


@dataclass(frozen=True)
class Table:
    """``text_column_index``: None where no column holds free text. ``text_columns``: their names, best first.

    ``first_records``: a few, the header among them. ``warnings``: what cannot be read with confidence.
    """

    facts: FileFacts
    dialect: Dialect
    layout: Layout
    text_column_index: int | None
    text_columns: tuple[str, ...]
    first_records: tuple[list[str], ...]
    warnings: tuple[str, ...]

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return self.facts.path.name

    @property
    def text_column(self) -> str | None:
        """The name of the text column."""
        return None if self.text_column_index is None else self.layout.columns[self.text_column_index]

    def align(self, record: list[str]) -> tuple[list[str], bool]:
        """``Layout.align`` at the text column."""
        return self.layout.align(record, self.text_column_index, self.dialect.delimiter or ",")

    @property
    def lines_above(self) -> int:
        """Lines from the file's beginning to its first row, all blank, title and header lines among them."""
        reader = _head_records(self.facts, self.dialect)
        for _ in islice(reader.all_records(), self.dialect.header + self.dialect.subheaders):
            pass
        return reader.line

    @contextmanager
    def open_rows(self, *, whole: bool) -> Iterator[Iterator[list[str]]]:
        """All records of the file or of its head below the header, which may be repeated there; closed on leaving."""
        header = self.first_records[0] if self.dialect.header else None
        below = self.dialect.header + self.dialect.subheaders
        with _decoding(self.facts, self.dialect), readable(self.facts.path):
            if not whole or self.facts.complete:
                records: Iterable[list[str]] = _head_records(self.facts, self.dialect)
                yield (record for record in islice(records, below, None) if record != header)
                return
            name, errors = _codec(self.dialect.encoding)
            with self.facts.path.open(encoding=name, errors=errors, newline="") as lines:
                records = RecordReader(lines, self.dialect, name=self.name)
                yield (record for record in islice(records, below, None) if record != header)


def open_table(
    path: str | os.PathLike[str], *, dialect: Dialect | None, column: str | None, max_bytes: int | None
) -> Table:
    """Understand a file from its first megabyte, its encoding from ``max_bytes`` or (None) all of it.

    Raises:
        DataError: not a table in text form, without rows, or ``column`` is missing or holds numbers, dates or nothing.
    """
    facts = survey_file(path, max_bytes=max_bytes)
    if dialect is None:
        dialect = sniff_head(facts)
    elif dialect.encoding == "ascii":  # true of the beginning that was previewed; now more is known
        dialect = replace(dialect, encoding=facts.encoding)
    with _decoding(facts, dialect):
        records = tuple(islice(_head_records(facts, dialect), _SAMPLE_RECORDS))
    if len(records) <= dialect.header + dialect.subheaders:
        what = "a header line and no rows" if records else "no rows"
        raise DataError(f"{facts.path.name!r} holds {what}; add rows with text.")
    width = max(map(len, records))
    if width > MAX_COLUMNS:
        raise DataError(f"{facts.path.name!r} has {width:,} columns; save at most {MAX_COLUMNS:,} of them as CSV.")
    layout = Layout.of(records, dialect)
    texts = [profile for profile in layout.profiles if profile.kind is Kind.TEXT]
    names = tuple(profile.name for profile in sorted(texts, key=lambda profile: -profile.score))
    wanted = column if column is not None else next(iter(names), None)
    index = None if wanted is None else _column_index(wanted, layout, names, facts.path.name)
    warnings = [*_doubts(facts, dialect)]
    if index is not None and layout.profiles[index].kind in UNUSUAL:
        kind = layout.profiles[index].kind
        warnings.append(f"Column {layout.columns[index]!r} holds {kind}, not sentences; it is used since it was named.")
    return Table(facts, dialect, layout, index, names, records[:10], tuple(warnings))


def _column_index(wanted: str, layout: Layout, text_columns: tuple[str, ...], name: str) -> int:
    """Where the column called ``wanted``, with or without outer spaces, is; DataError if it cannot hold texts."""
    wanted = " ".join(str(wanted).split())
    if wanted not in layout.columns:
        raise DataError(f"{name!r} has no column {wanted!r}; its columns are {listed(layout.columns)}.")
    index = layout.columns.index(wanted)
    kind = layout.profiles[index].kind
    if kind in REFUSED:
        mend = f"choose {listed(text_columns)}" if text_columns else "no other column has free text either"
        raise DataError(f"Column {wanted!r} of {name!r} holds {kind}, not text; {mend}.")
    return index


def _doubts(facts: FileFacts, dialect: Dialect) -> Iterator[str]:
    """What was skipped, and whether characters look wrong: undefined ones, or all beyond ASCII if the encoding is but a
    guess or not the one that was found."""
    text = _head_text(facts, dialect.encoding)
    agrees = dialect.encoding == facts.encoding or text == _head_text(facts, facts.encoding)
    sure = agrees and not facts.doubtful
    wrong = len((_LOOKS_WRONG if sure else _NOT_ASCII).findall(text))
    if wrong > (len(text) / 5000 if sure else 0):  # a stray one says nothing about the others
        about = round(wrong * max(1.0, facts.size / len(facts.head)))
        mend = "if not, name the right encoding" if agrees else f"the bytes look like {facts.encoding}"
        yield f"About {about:,} characters look wrong: is this really {dialect.encoding}? ({mend.capitalize()}.)"
    if dialect.skipped_lines:
        yield f"Title and comment lines above the table, skipped: {dialect.skipped_lines}."
    if dialect.subheaders:
        yield f"Lines below the header that hold no values, skipped: {dialect.subheaders}."


def sniff_head(
    facts: FileFacts, *, encoding: str | None = None, delimiter: str | None = None, header: bool | None = None
) -> Dialect:
    """The dialect of the surveyed file; what is given is not sought."""
    encoding = encoding or facts.encoding
    blank = Dialect(encoding, delimiter or None, None, header=False)  # refuses what cannot be
    with _decoding(facts, blank):
        text = _head_text(facts, encoding)
    suffix, complete = facts.path.suffix, facts.complete
    return sniff_text(text, encoding=encoding, suffix=suffix, complete=complete, delimiter=delimiter, header=header)


def listed(names: Sequence[str]) -> str:
    """Column names for a sentence: at most ten, none long.

    >>> listed(["id", "review"])
    "'id', 'review'"
    """
    shown = ", ".join(repr(name[:40]) for name in names[:10])
    return shown + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _codec(encoding: str) -> tuple[str, str]:
    """The codec and error handler to read with: ASCII as UTF-8, whose stray bytes are taken for Windows-1252."""
    name = codecs.lookup(encoding).name
    if name in ("ascii", "utf-8"):
        return "utf-8", "bertdemo_windows"
    return name, "bertdemo_windows" if name == "utf-8-sig" else "replace"


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
