"""Records of a delimited text, one at a time, and where each cell of a record belongs.

Repairs what can be repaired (NULs, stray bytes, texts broken by their own commas) and counts it; refuses an unclosed
quote with its line. Knows decoded lines, not files; memory is bounded by the longest record.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bertdemo.mlm.data.columns import ColumnProfile, Kind, cell_kind, profile_column
from bertdemo.mlm.data.dialect import Dialect, declared_delimiter, find_anchor
from bertdemo.mlm.data.encoding import LONGEST_RECORD
from bertdemo.mlm.data.texts import clean_text
from bertdemo.mlm.errors import DataError

_ESCAPED_BYTES = re.compile("[\udc80-\udcff]+")
_TYPED = (Kind.NUMBER, Kind.DATE, Kind.LINK)


class RecordReader:
    """Iterates over the non-blank records of ``lines``, the header among them.

    ``nuls`` and ``repaired`` count, while it runs, the NUL characters taken out and the characters that could not be
    decoded. Blank lines are no records. With ``complete=False`` the last record may be cut off and is left out.

    Raises:
        DataError: a quote is never closed, or is closed in the middle of a cell lines later; a record beyond 100 MB.
    """

    def __init__(self, lines: Iterable[str], dialect: Dialect, *, name: str, complete: bool = True) -> None:
        self.nuls = 0
        self.repaired = 0
        self._lines = lines
        self._dialect = dialect
        self._name = name
        self._complete = complete
        self._line = 0
        self._start = 0
        self._recent: list[str] = []
        self._chars = 0
        self._ended = False

    def __iter__(self) -> Iterator[list[str]]:
        return self._records() if self._complete else _without_last(self._records())

    def _records(self) -> Iterator[list[str]]:
        recent = self._recent
        try:
            for record in self._dialect.reader(self._repaired_lines()):
                if self._ended and self._complete:  # csv asked for one more line: a quote is open
                    raise self._unclosed()
                if self._line - self._start > 1 and not self._ended:
                    self._check_closing_quotes()
                blank = len(record) < 2 and all(line.isspace() or not line for line in recent)
                self._start = self._line
                self._chars = 0
                recent.clear()
                if not blank:
                    yield record
        except csv.Error as exc:
            raise DataError(f"{self._name!r} cannot be split near line {self._line} ({exc}).") from exc

    def _repaired_lines(self) -> Iterator[str]:
        escape = self._dialect.escape
        for line in self._lines:
            self._line += 1
            if self._line == 1:
                line = line.removeprefix("\ufeff")  # noqa: PLW2901
                if self._dialect.delimiter and declared_delimiter(line) == self._dialect.delimiter:
                    self._start = 1
                    continue
            if not line.isascii():
                line = self._decoded(line)  # noqa: PLW2901
            if "\x00" in line:
                self.nuls += line.count("\x00")
                line = line.replace("\x00", "")  # noqa: PLW2901
            if escape and '\\"' in line:
                line = line.replace('\\"', '""')  # noqa: PLW2901
            self._recent.append(line)
            self._chars += len(line)
            if self._chars > LONGEST_RECORD:
                raise self._unclosed()
            yield line
        self._ended = True

    def _decoded(self, line: str) -> str:
        """``line`` with the bytes that were not UTF-8 read as Windows-1252, as most files of mixed origin are."""
        self.repaired += line.count("\ufffd")

        def as_windows(match: re.Match[str]) -> str:
            self.repaired += len(match[0])
            return match[0].encode("utf-8", "surrogateescape").decode("cp1252", "replace")

        return _ESCAPED_BYTES.sub(as_windows, line)

    def _check_closing_quotes(self) -> None:
        """In a record of several lines, text right after a closing quote means that another one never closed."""
        edge = re.escape(self._dialect.delimiter or "\n")
        lines = [re.sub(rf'" +(?={edge}|[\r\n]|\Z)', '"', line) for line in self._recent]
        try:
            list(self._dialect.reader(lines, strict=True))
        except csv.Error as exc:
            raise self._unclosed() from exc

    def _unclosed(self) -> DataError:
        before = '"'.join("".join(self._recent).replace('""', "  ").split('"')[:-1]) if self._ended else ""
        line = self._start + 1 + before.count("\n") + before.count("\r") - before.count("\r\n")
        return DataError(
            f"{self._name!r} has a quote that opens on line {line} and is not closed; "
            'close it, or write quotes inside a quoted cell twice ("").'
        )


def _without_last(records: Iterator[list[str]]) -> Iterator[list[str]]:
    """All records but the last, which may be cut off; a lone row after the first record is kept all the same."""
    held: list[str] | None = None
    count = 0
    for record in records:
        if held is not None:
            yield held
        held = record
        count += 1
    if held is not None and count <= 2:
        yield held


@dataclass(frozen=True)
class Layout:
    """The columns of a table: names (unique, never blank) and profiles, both of the table's width."""

    columns: tuple[str, ...]
    profiles: tuple[ColumnProfile, ...]

    @classmethod
    def of(cls, records: Sequence[list[str]], dialect: Dialect) -> "Layout":
        """Read off from a sample of records, the header included."""
        body = records[1:] if dialect.header else records
        names = _padded_names(records[0], body) if dialect.header else None
        width = len(names) if names else _usual_width(body)
        columns = unique_names(names) if names else tuple(map(str, range(width)))
        exact = [record for record in body if len(record) == width]
        if 2 * len(exact) < len(body):
            anchor = find_anchor(body, width)
            draft = cls(columns, tuple(ColumnProfile(name, Kind.PHRASE, 0.0, frozenset()) for name in columns))
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
        base = " ".join(raw.split()) or f"Unnamed: {place}"
        name, count = base, 0
        while name in names:
            count += 1
            name = f"{base}.{count}"
        names[name] = None
    return tuple(names)
