"""How a table is written down: its delimiter, its quotes, and whether its first line is a header.

Works on decoded text from the beginning of a file; knows no bytes and no file. The delimiter is the one of four that
gives the most records the same number of fields; failing that, the one under which all columns but one are numbers,
dates or categories (texts with unquoted commas); failing that, each line is a text.
"""

import codecs
import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from bertdemo.mlm.data.columns import Kind, cell_kind, count_words, profile_column
from bertdemo.mlm.data.encoding import LONGEST_RECORD
from bertdemo.mlm.data.header import has_header
from bertdemo.mlm.errors import DataError

SAMPLE_CHARS = 300_000
MOST_COLUMNS = 16_384  # as many as a spreadsheet has
_MOST_ANCHORED = 64  # searching for the one broken column costs the square of the width
_SAMPLE_RECORDS = 2000
_NO_DELIMITER = "\x00"  # NULs are taken out of the text before it is split, so this one never occurs
_DELIMITERS = (",", ";", "\t", "|")


@dataclass(frozen=True)
class Dialect:
    """How a table is written down.

    Attributes:
        encoding: a Python codec name, such as ``utf-8``, ``utf-8-sig``, ``utf-16``, ``cp1252``.
        delimiter: the character itself; None: each line is a text.
        quote: ``"``, or None where quotes are ordinary characters.
        header: whether the first record names the columns.
        escape: a backslash where quotes inside quoted cells are written ``\\"`` instead of doubled.
        spaced: whether a quoted cell may follow a space after the delimiter.
    """

    encoding: str
    delimiter: str | None
    quote: str | None
    header: bool
    escape: str | None = None
    spaced: bool = False

    def __post_init__(self) -> None:
        try:
            is_text = codecs.lookup(self.encoding)._is_text_encoding
        except (LookupError, ValueError):
            is_text = False
        if not is_text:
            raise DataError(f"{self.encoding!r} is not a text encoding; give one such as utf-8 or cp1252.")
        if self.delimiter is not None and (len(self.delimiter) != 1 or self.delimiter in '"\r\n\x00 '):
            raise DataError(f"{self.delimiter!r} cannot be a delimiter; give one character such as , or ;.")
        if self.quote not in (None, '"'):
            raise DataError(f"{self.quote!r} cannot be the quote; it is a double quote or none.")
        if self.escape not in (None, "\\"):
            raise DataError(f"{self.escape!r} cannot be the escape; it is a backslash or none.")

    def reader(self, lines: Iterable[str], *, strict: bool = False) -> Iterator[list[str]]:
        """A ``csv.reader`` over lines with their ends, without NULs, escapes already doubled."""
        csv.field_size_limit(max(csv.field_size_limit(), LONGEST_RECORD))
        return csv.reader(
            lines,
            delimiter=self.delimiter or _NO_DELIMITER,
            quotechar='"',
            quoting=csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE,
            skipinitialspace=self.spaced,
            strict=strict,
        )


@dataclass(frozen=True)
class _Reading:
    """A sample read in one dialect. ``width``: the commonest number of fields; ``share``: of records that have it."""

    dialect: Dialect
    records: list[list[str]]
    width: int
    share: float
    quoted: int

    @property
    def rank(self) -> tuple[bool, float, int]:
        """First the header agrees with the rows, then cells with a clear type, then more columns."""
        cells = [cell.strip() for record in self.records[1:200] for cell in record[:200]]
        plain = sum(cell_kind(cell[:100]) is not Kind.PHRASE for cell in cells)
        return len(self.records[0]) == self.width, round(plain / max(len(cells), 1), 1), self.width


def sniff_text(text: str, *, encoding: str, suffix: str = "", complete: bool = True) -> Dialect:
    """The dialect of a table whose beginning is ``text``.

    Args:
        text: decoded, line ends untouched.
        encoding: copied into the result.
        suffix: of the file's name, such as ``.csv``; decides only what a single column is called.
        complete: False when the text may end in the middle of a record.

    >>> sniff_text("stars;text\\n5;Good, really good.\\n1;Bad, sadly.\\n", encoding="ascii").delimiter
    ';'
    """
    complete = complete and len(text) <= SAMPLE_CHARS
    text = text[:SAMPLE_CHARS].removeprefix("\ufeff").replace("\x00", "")
    if separator := declared_delimiter(text):
        readings = [_read(text.partition("\n")[2], separator, encoding, complete)]
        return _with_header(readings[0])
    readings = [_read(text, delimiter, encoding, complete) for delimiter in _DELIMITERS]
    tables = [reading for reading in readings if reading.width > 1 and _is_table(reading)]
    if tables:
        return _with_header(max(tables, key=lambda reading: reading.rank))
    anchored = (_anchored(reading) for reading in readings)
    if found := next((reading for reading in anchored if reading), None):
        return _with_header(found)
    comma = readings[0]
    single = comma.records and comma.width == 1 and comma.share >= (0.9 if comma.quoted else 1)
    if single and (comma.quoted or suffix.lower() == ".csv"):
        return _with_header(comma)
    return _with_header(_read(text, None, encoding, complete))


def declared_delimiter(text: str) -> str | None:
    """The delimiter in Excel's own first line ``sep=;``, or None."""
    match = re.match(r'"?sep=([,;\t|])"?\s*[\r\n]', text, re.IGNORECASE)
    return match[1] if match else None


def _read(text: str, delimiter: str | None, encoding: str, complete: bool) -> _Reading:
    dialect, quoted = _quoting(text, delimiter, encoding)
    reader = dialect.reader(_lines(text.replace('\\"', '""') if dialect.escape else text))
    records = [record for record in islice(reader, _SAMPLE_RECORDS) if record]
    if not complete and len(records) > 1 and len(records) < _SAMPLE_RECORDS:
        records.pop()
    if not records:
        return _Reading(dialect, [[""]], 1, 1.0, quoted)
    width, count = Counter(map(len, records)).most_common(1)[0]
    return _Reading(dialect, records, width, count / len(records), quoted)


def _lines(text: str) -> Iterator[str]:
    """Lines with their ends, split at \\n, \\r and \\r\\n only (not where ``str.splitlines`` sees more ends)."""
    return (match[0] for match in re.finditer(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z", text))


def _quoting(text: str, delimiter: str | None, encoding: str) -> tuple[Dialect, int]:
    """How quotes are used under this delimiter, and how many cells are properly quoted.

    Where quotes begin cells but seldom close them, they are ordinary characters. A few that do not close are left to
    the reader, which refuses them with their line.
    """
    dialect = Dialect(encoding, delimiter, '"', header=False)
    good, needed, bad = _count_quotes(text, delimiter)
    if bad and '\\"' in text:
        escaped = _count_quotes(text.replace('\\"', '""'), delimiter)
        if escaped[2] < bad:
            return replace(dialect, escape="\\"), escaped[0]
    if delimiter and f'{delimiter} "' in text:
        spaced = _count_quotes(text, delimiter, spaced=True)
        if spaced[1] > needed and spaced[2] <= bad:
            return replace(dialect, spaced=True), spaced[0]
    stray = bad > max(2, good) if delimiter in (",", ";", "|") else bad > 0 and not needed
    if delimiter is None and not needed and good < text.count("\n") / 2:
        stray = True
    return (replace(dialect, quote=None), 0) if stray else (dialect, good)


def _count_quotes(text: str, delimiter: str | None, *, spaced: bool = False) -> tuple[int, int, int]:
    """Cells quoted well, those among them that need it, and cells that begin with a quote and do not end with one."""
    edge = re.escape(delimiter) if delimiter else r"\n"
    begin = rf'(?:\A|[\r\n]|{edge}){" *" if spaced else ""}"'
    # Possessive, so that a quote that does not close costs one look and no search back.
    whole = re.compile(rf'{begin}((?:[^"]|"")*+)"(?= *(?:{edge}|[\r\n]|\Z))')
    cells = whole.findall(text)
    needed = sum(1 for cell in cells if '""' in cell or "\n" in cell or (delimiter or "\n") in cell)
    return len(cells), needed, len(re.findall(begin, whole.sub("", text)))


def _is_table(reading: _Reading) -> bool:
    first = reading.records[0]
    if reading.share >= 0.85:
        return True
    return reading.share >= 0.6 and len(first) == reading.width and _looks_like_names(first)


def _looks_like_names(cells: Sequence[str]) -> bool:
    return all(len(cell) <= 40 and count_words(cell) <= 4 and not cell.endswith((".", "!")) for cell in cells)


def _anchored(reading: _Reading) -> _Reading | None:
    """The reading when the rows break only in one column: the text, whose delimiters nobody quoted."""
    first = reading.records[0]
    widths = sorted(map(len, reading.records))
    common = widths[len(widths) // 20]
    named = _looks_like_names(first) and len(first) > 1
    for width in dict.fromkeys((len(first) if named else common, common)):
        rows = [record for record in reading.records[named:] if len(record) >= width]
        if not 2 <= width <= _MOST_ANCHORED or len(rows) < max(2, 0.9 * (len(reading.records) - named)):
            continue
        if find_anchor(rows, width) is not None:
            return replace(reading, width=width)
    return None


def find_anchor(records: Sequence[Sequence[str]], width: int) -> int | None:
    """The column at which records of ``width`` or more fields must be joined for all others to have a clear type.

    >>> find_anchor([["5", "Good", " really good"], ["1", "Bad"], ["2", "Dull", " long", " loud"]], 2)
    1
    """
    if width > _MOST_ANCHORED:
        return None
    long_enough = [record for record in records if len(record) >= width]
    return next((place for place in range(width) if _all_typed(long_enough, place, width)), None)


def _all_typed(rows: Sequence[Sequence[str]], text_at: int, width: int) -> bool:
    """Whether every column but ``text_at`` holds numbers, dates, links or few categories, counted from both ends."""
    places = [*range(text_at), *range(text_at + 1 - width, 0)]
    for place in places:
        cells = [row[place] for row in rows]
        profile = profile_column("", cells)
        few = len(profile.values) <= max(2, min(20, len(cells) // 3))
        if profile.kind not in (Kind.NUMBER, Kind.DATE, Kind.LINK) and not (profile.kind is Kind.WORD and few):
            return False
    return True


def _with_header(reading: _Reading) -> Dialect:
    too_wide = reading.width > MOST_COLUMNS  # to be refused, so not worth the look
    return replace(reading.dialect, header=not too_wide and has_header(reading.records, reading.width))
