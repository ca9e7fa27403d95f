"""A file whose beginning has been understood: its dialect, its columns, and which of them holds the texts.

Opens the file to be read again in full, one record at a time, and says where each cell of a record belongs; texts
broken by their own commas are joined again. Counts no rows and cleans no texts.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice

from bertdemo.mlm.data.columns import REFUSED, UNUSUAL, ColumnProfile, Kind, cell_kind, profile_column
from bertdemo.mlm.data.dialect import MAX_COLUMNS, NAMED, PARAGRAPH, Dialect, find_anchor, sniff_text
from bertdemo.mlm.data.encoding import FileFacts, decoding, head_text, survey_file
from bertdemo.mlm.data.formats import SAMPLE_RECORDS, head_records, look_into, open_records
from bertdemo.mlm.data.header import find_header
from bertdemo.mlm.data.texts import clean_text
from bertdemo.mlm.errors import DataError

_TYPED = (Kind.NUMBER, Kind.DATE, Kind.LINK)
_LABELS = {"excel": "an Excel workbook", "parquet": "a Parquet file", "json": "JSON"}
_LOOKS_WRONG = re.compile("[\ufffd\x80-\x9f]")
_NOT_ASCII = re.compile("[^\x00-\x7f]")


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
    total: int | None = None  # records that a binary file says it holds

    @property
    def complete(self) -> bool:
        """Whether the beginning of the file is all of it."""
        return self.facts.complete if not self.facts.binary else (self.total or 0) <= SAMPLE_RECORDS

    def factor(self, rows: int) -> float:
        """About how many times as many rows as in its beginning the whole file holds."""
        if self.total:
            return max(1.0, (self.total - self._above) / max(1, rows))
        return self.facts.size / len(self.facts.head)

    @property
    def _above(self) -> int:
        return self.dialect.skipped_lines + self.dialect.header + self.dialect.subheaders

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
        reader = head_records(self.facts, self.dialect)
        for _ in islice(reader.all_records(), self.dialect.header + self.dialect.subheaders):
            pass
        return reader.line

    @contextmanager
    def open_rows(self, *, whole: bool, every_column: bool = False) -> Iterator[Iterator[list[str]]]:
        """All records of the file or of its head below the header, which may be repeated there; closed on leaving.
        Cells beside the text column may be blank unless ``every_column`` is asked for: Parquet keeps columns apart."""
        header = self.first_records[0] if self.dialect.header else None
        below = self.dialect.header + self.dialect.subheaders
        only = None if every_column else self.text_column_index
        with open_records(self.facts, self.dialect, whole=whole, only=only) as records:
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
    if facts.binary and dialect.format != facts.format:
        raise DataError(f"{facts.path.name!r} is {_LABELS[facts.format]}, which cannot be read as {dialect.format}.")
    total, left_out = look_into(facts) if facts.binary else (None, ())
    with open_records(facts, dialect, whole=False) as opened:
        records = tuple(islice(opened, SAMPLE_RECORDS))
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
    warnings = [*left_out, *_doubts(facts, dialect)]
    if index is not None and layout.profiles[index].kind in UNUSUAL:
        kind = layout.profiles[index].kind
        warnings.append(f"Column {layout.columns[index]!r} holds {kind}, not sentences; it is used since it was named.")
    return Table(facts, dialect, layout, index, names, records[:10], tuple(warnings), total)


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
    text = "" if facts.binary else head_text(facts, dialect.encoding)
    agrees = dialect.encoding == facts.encoding or text == head_text(facts, facts.encoding)
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
    name, label = facts.path.name, _LABELS.get(facts.format)
    if facts.binary and (encoding or delimiter is not None):
        raise DataError(f"{name!r} is {label}, which has neither encoding nor delimiter to choose; leave them out.")
    if facts.format in NAMED and delimiter is None:  # with one it is read as text, whatever it looks like
        if header is not None:
            raise DataError(f"{name!r} is {label}, whose columns have names of their own; leave out the header.")
        return Dialect(encoding or facts.encoding, None, None, header=True, format=facts.format)
    if facts.format == "excel":
        return _sniff_sheet(facts, header)
    encoding = encoding or facts.encoding
    sign = None if delimiter == PARAGRAPH else delimiter or None
    Dialect(encoding, sign, None, header=False)  # refuses what cannot be
    with decoding(facts.path, encoding):
        text = head_text(facts, encoding)
    suffix, complete = facts.path.suffix, facts.complete
    return sniff_text(text, encoding=encoding, suffix=suffix, complete=complete, delimiter=delimiter, header=header)


def _sniff_sheet(facts: FileFacts, header: bool | None) -> Dialect:
    """Where the header of a workbook's sheet is."""
    draft = Dialect("", None, None, header=False, format="excel")
    with open_records(facts, draft, whole=False) as records:
        first = list(records)
    if not first:
        return draft
    above, found, subheaders = find_header(first, len(first[0]))
    header = found if header is None else header
    return replace(draft, header=header, skipped_lines=above, subheaders=subheaders * header)


def listed(names: Sequence[str]) -> str:
    """Column names for a sentence: at most ten, none long.

    >>> listed(["id", "review"])
    "'id', 'review'"
    """
    shown = ", ".join(repr(name[:40]) for name in names[:10])
    return shown + (f" and {len(names) - 10} more" if len(names) > 10 else "")
