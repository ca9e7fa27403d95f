"""How a table is written down: its delimiter, its quotes, what stands above it, and whether its first line is a header.

Works on decoded text from the beginning of a file; knows no bytes and no file. The delimiter is the one that gives the
most records the same number of fields; failing that, the one under which all columns but one are numbers, dates,
categories or short names (texts with unquoted commas); failing that, each line is a text. DuckDB's sniffer is as good
on regular files, but takes an unclosed quote for an ordinary character and leaves rows out that broke at a comma.
"""

import codecs
import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise, takewhile
from statistics import fmean
from typing import TYPE_CHECKING, Any

from bertdemo.mlm.data.columns import Kind, cell_kind, count_words, profile_column
from bertdemo.mlm.data.encoding import BINARY, LONGEST_RECORD
from bertdemo.mlm.data.header import find_header
from bertdemo.mlm.errors import DataError

if TYPE_CHECKING:
    from _csv import Reader

SAMPLE_CHARS = 300_000
MAX_COLUMNS = 16_384  # as many as a spreadsheet has
PARAGRAPH = "paragraph"  # in place of a delimiter: each paragraph is a text
NAMED = ("json", "parquet")  # formats whose columns always have names
_WRAPPED_CHARS = 200  # a line of more is a text of its own
_MAX_ANCHORED = 64  # searching for the one broken column costs the square of the width
_SAMPLE_RECORDS = 2000
_NO_DELIMITER = "\uffff"  # no character, so no text has it
_DELIMITERS = (",", ";", "\t", "|", "^", "~")
_ESCAPED = re.compile(r"\\(\r\n|.|\Z)", re.DOTALL)


@dataclass(frozen=True)
class Dialect:
    """How a table is written down.

    Attributes:
        encoding: a Python codec name, such as ``utf-8``, ``utf-8-sig``, ``utf-16``, ``cp1252``.
        delimiter: the character itself; None: each line is a text.
        quote: ``"`` or ``'``, or None where quotes are ordinary characters.
        header: whether the first record names the columns.
        escape: a backslash where it takes the meaning from the quote, delimiter or line end that follows.
        spaced: whether a quoted cell may follow a space after the delimiter.
        skipped_lines: title and comment lines above the table, blank ones not counted.
        subheaders: records below the header that are no rows either, such as types or the wording of questions.
        paragraphs: whether each paragraph is a text, up to a blank line (without a delimiter).
        format: ``csv``, plain text included, or ``json``, ``excel``, ``parquet``, which have no delimiter and no
            quotes, the last two no encoding ("") either.
    """

    encoding: str
    delimiter: str | None
    quote: str | None
    header: bool
    escape: str | None = None
    spaced: bool = False
    skipped_lines: int = 0
    subheaders: int = 0
    paragraphs: bool = False
    format: str = "csv"

    def __post_init__(self) -> None:
        if self.format in BINARY:
            return
        try:
            is_text = codecs.lookup(self.encoding)._is_text_encoding
        except (LookupError, ValueError):
            is_text = False
        if not is_text:
            raise DataError(f"{self.encoding!r} is not a text encoding; give one such as utf-8 or cp1252.")
        if self.delimiter is not None and (len(self.delimiter) != 1 or self.delimiter in "\"'\\\r\n\x00 \uffff"):
            raise DataError(f"{self.delimiter!r} cannot be a delimiter; give one character such as , or ;.")
        if self.quote not in (None, '"', "'"):
            raise DataError(f"{self.quote!r} cannot be the quote; it is a double or single quote or none.")
        if self.escape not in (None, "\\"):
            raise DataError(f"{self.escape!r} cannot be the escape; it is a backslash or none.")

    def reader(self, lines: Iterable[str], *, strict: bool = False) -> "Reader":
        """A ``csv.reader`` over lines with their ends: as fast as pandas' engine, and it keeps rows of any width."""
        csv.field_size_limit(max(csv.field_size_limit(), LONGEST_RECORD))
        return csv.reader(
            map(self._real_escapes, lines) if self.escape else lines,
            delimiter=self.delimiter or _NO_DELIMITER,
            quotechar=self.quote or '"',
            quoting=csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE,
            escapechar=self.escape,
            skipinitialspace=self.spaced,
            strict=strict,
        )

    def records(self, lines: Iterable[str]) -> Iterable[list[str]]:
        """All records of lines with their ends; blank ones and titles are among them."""
        return _paragraphs(lines) if self.paragraphs else self.reader(lines)

    @property
    def rows_are(self) -> str:
        """What makes a row: ``record``, ``line`` or ``paragraph``."""
        if self.format != "csv" or self.delimiter:
            return "record"
        return "paragraph" if self.paragraphs else "line"

    def named(self) -> dict[str, Any]:
        """``format``, ``encoding``, ``delimiter``, ``header`` and ``rows_are``; None where there is no such thing."""
        return {
            "format": self.format if self.rows_are == "record" else "text",
            "encoding": self.encoding or None,
            "delimiter": self.delimiter,
            "header": None if self.format in NAMED else self.header,
            "rows_are": self.rows_are,
        }

    def _real_escapes(self, line: str) -> str:
        """The line with backslashes doubled that escape nothing, since csv would drop them (``C:\\temp``, ``\\N``)."""
        special = ("\\", "\r\n", "\n", "\r", self.quote, self.delimiter)

        def kept(match: re.Match[str]) -> str:
            return match[0].replace("\r\n", "\n") if match[1] in special else "\\" + match[0]

        return _ESCAPED.sub(kept, line) if "\\" in line else line


def _paragraphs(lines: Iterable[str]) -> Iterator[list[str]]:
    """What stands between two blank lines, its line ends as spaces."""
    block: list[str] = []
    for line in lines:
        if line.strip():
            block.append(line.strip())
        elif block:
            yield [" ".join(block)]
            block = []
    if block:
        yield [" ".join(block)]


@dataclass(frozen=True)
class _Reading:
    """A sample read in one dialect. ``width``: the commonest number of fields; ``share``: of records that have it."""

    dialect: Dialect
    records: list[list[str]]
    ends: list[int]  # the line with which each record ends
    width: int
    share: float
    quoted: int

    @property
    def rank(self) -> tuple[bool, float, int]:
        """First the header agrees with the rows, then cells with a clear type, then more columns."""
        cells = [cell.strip() for record in self.records[1:200] for cell in record[:200]]
        plain = sum(cell_kind(cell[:100]) is not Kind.PHRASE for cell in cells)
        return len(self.records[0]) == self.width, round(plain / max(len(cells), 1), 1), self.width


def sniff_text(
    text: str,
    *,
    encoding: str,
    suffix: str = "",
    complete: bool = True,
    delimiter: str | None = None,
    header: bool | None = None,
) -> Dialect:
    """The dialect of a table whose beginning is ``text``.

    Args:
        text: decoded, line ends untouched.
        encoding: copied into the result.
        suffix: of the file's name, such as ``.csv``; decides only what a single column is called.
        complete: False when the text may end in the middle of a record.
        delimiter: the one to use; ``""``: each line is a text; ``"paragraph"``: each paragraph; None: to be found.
        header: None: to be found.

    >>> sniff_text("stars;text\\n5;Good, really good.\\n1;Bad, sadly.\\n", encoding="ascii").delimiter
    ';'
    """
    complete = complete and len(text) <= SAMPLE_CHARS
    text = text[:SAMPLE_CHARS].removeprefix("\ufeff").replace("\x00", "")
    declared = declared_delimiter(text)
    lines = list(_lines(text))[bool(declared) :]
    wanted = declared if delimiter is None else delimiter
    if wanted == PARAGRAPH:
        return Dialect(encoding, None, None, header=bool(header), paragraphs=True)
    reading = _chosen_reading(lines, encoding, suffix=suffix, complete=complete, delimiter=wanted)
    if wanted is None and not reading.dialect.delimiter and suffix.lower() != ".csv" and _are_wrapped(lines):
        return Dialect(encoding, None, None, header=bool(header), paragraphs=True)
    return _with_header(reading, lines, header)


def _are_wrapped(lines: Sequence[str]) -> bool:
    """Whether the lines are those of paragraphs between blank lines: most do not end where a sentence does."""
    filled = [line.strip() for line in lines]
    inner = [line for line, below in pairwise(filled) if line and below]  # a paragraph goes on behind these
    ended = sum(line.rstrip("\"'”’»)").endswith((".", "!", "?", "…", "。", "！", "？")) for line in inner)
    paragraphs = sum(1 for line, below in pairwise([*filled, ""]) if line and not below)
    if paragraphs < 2 or len(inner) < paragraphs or max(map(len, inner)) > _WRAPPED_CHARS:
        return False
    return ended < len(inner) / 2


def _chosen_reading(lines: list[str], encoding: str, *, suffix: str, complete: bool, delimiter: str | None) -> _Reading:
    if delimiter is not None:
        return _read(lines, delimiter or None, encoding, complete)
    text = "".join(lines)
    used = [sign for sign in _DELIMITERS if sign == "," or text.count(sign) > len(lines) / 3]
    readings = [_read(lines, delimiter, encoding, complete) for delimiter in used]
    tables = [reading for reading in readings if reading.width > 1 and _is_table(reading)]
    if tables:
        return max(tables, key=lambda reading: reading.rank)
    anchored = (_anchored(reading) for reading in readings)
    if found := next((reading for reading in anchored if reading), None):
        return found
    comma = readings[0]
    single = comma.records and comma.width == 1 and comma.share >= (0.9 if comma.quoted else 1)
    if single and (comma.quoted or suffix.lower() == ".csv"):
        return comma
    return _read(lines, None, encoding, complete)


def declared_delimiter(text: str) -> str | None:
    """The delimiter in the first line that Excel writes for itself: ``sep=;``."""
    match = re.match(r'"?sep=([^\r\n"])"?[\r\n]', text, re.IGNORECASE)
    return match[1] if match else None


def _read(lines: list[str], delimiter: str | None, encoding: str, complete: bool) -> _Reading:
    """The sample under this delimiter, with the quotes and escapes that go with it."""
    text = "".join(lines)
    dialect, quoted = _quoting(text, delimiter, encoding)
    plain = _parsed(lines, dialect, quoted, complete)
    if re.search(rf"\\[\r\n{dialect.quote or ''}]", text):
        escaped = _parsed(lines, replace(dialect, escape="\\"), quoted, complete)
        wide = escaped.width >= plain.width or f"\\{dialect.quote}" in text
        if len(escaped.records) > 2 and escaped.share >= plain.share and wide:
            return escaped
    if delimiter and dialect.quote and f"{delimiter} {dialect.quote}" in text:
        spaced = _parsed(lines, replace(dialect, spaced=True), quoted, complete)
        if spaced.share > plain.share or len(spaced.records) < text.count(f"{delimiter} {dialect.quote}"):
            return spaced
    return plain


def _parsed(lines: list[str], dialect: Dialect, quoted: int, complete: bool) -> _Reading:
    reader = dialect.reader(lines)
    both = [(record, reader.line_num) for record in islice(reader, _SAMPLE_RECORDS) if record]
    if not complete and 1 < len(both) < _SAMPLE_RECORDS:
        both.pop()
    if not both:
        return _Reading(dialect, [[""]], [0], 1, 1.0, quoted)
    records = [record for record, _ in both]
    width = Counter(map(len, records)).most_common(1)[0][0]
    above = sum(1 for _ in takewhile(lambda record: len(record) < width, records[:30]))
    share = sum(len(record) == width for record in records) / (len(records) - above)
    return _Reading(dialect, records, [end for _, end in both], width, share, quoted)


def _lines(text: str) -> Iterator[str]:
    """Lines with their ends, split at \\n, \\r and \\r\\n only (not where ``str.splitlines`` sees more ends)."""
    return (match[0] for match in re.finditer(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z", text))


def _quoting(text: str, delimiter: str | None, encoding: str) -> tuple[Dialect, int]:
    """How quotes are used under this delimiter, and how many cells are properly quoted.

    Where quotes begin cells but seldom close them, they are ordinary characters. A few that do not close are left to
    the reader, which refuses them with their line.
    """
    dialect = Dialect(encoding, delimiter, '"', header=False)
    text = text.replace('\\"', '""').replace("\\'", "''")
    good, needed, bad = _count_quotes(text, delimiter, '"')
    single = _count_quotes(text, delimiter, "'") if delimiter and not good else (0, 0, 0)
    if single[1] > single[2] and single[0] > text.count("\n") / 2:
        return replace(dialect, quote="'"), single[0]
    stray = bad > max(2, good) if delimiter in (",", ";", "|") else bad > 0 and not needed
    if delimiter is None and not needed and good < text.count("\n") / 2:
        stray = True
    return (replace(dialect, quote=None), 0) if stray else (dialect, good)


def _count_quotes(text: str, delimiter: str | None, quote: str) -> tuple[int, int, int]:
    """Cells quoted well, those among them that need it, and cells that begin with a quote and do not end with one."""
    if quote not in text:
        return 0, 0, 0
    edge = re.escape(delimiter) if delimiter else r"\n"
    begin = rf"(?:\A|[\r\n]|{edge}) *{quote}"
    # Possessive, so that a quote that does not close costs one look and no search back.
    whole = re.compile(rf"{begin}((?:[^{quote}]|{quote}{quote})*+){quote}(?= *(?:{edge}|[\r\n]|\Z))")
    cells = whole.findall(text)
    needed = sum(1 for cell in cells if quote * 2 in cell or "\n" in cell or (delimiter or "\n") in cell)
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
        if not 2 <= width <= _MAX_ANCHORED or len(rows) < max(2, 0.9 * (len(reading.records) - named)):
            continue
        if find_anchor(rows, width, named=named) is not None:
            return replace(reading, width=width)
    return None


def find_anchor(records: Sequence[Sequence[str]], width: int, *, named: bool = False) -> int | None:
    """The column at which records of ``width`` or more fields must be joined for all others to have a clear type.

    ``named``: a header says how many columns there are, so that one of short names will do as well.

    >>> find_anchor([["5", "Good", " really good"], ["1", "Bad"], ["2", "Dull", " long", " loud"]], 2)
    1
    """
    if width > _MAX_ANCHORED:
        return None
    rows = [record for record in records if len(record) >= width]
    costs = {place: _words_elsewhere(rows, place, width) for place in range(width)}
    best = min(costs, key=costs.__getitem__)
    return best if costs[best] <= (3 if named else 0) else None


def _words_elsewhere(rows: Sequence[Sequence[str]], text_at: int, width: int) -> float:
    """Mean words in the wordiest column but ``text_at``, counted from both ends; 0 for numbers, dates, categories."""
    most = 0.0
    for place in [*range(text_at), *range(text_at + 1 - width, 0)]:
        cells = [row[place] for row in rows]
        profile = profile_column("", cells)
        few = len(profile.values) <= max(2, min(20, len(cells) // 3))
        if profile.kind in (Kind.NUMBER, Kind.DATE, Kind.LINK) or (profile.kind is Kind.WORD and few):
            continue
        spaced = sum(cell.startswith(" ") for cell in cells) > len(cells) / 5  # as after a comma in a sentence
        most = max(most, 99.0 if spaced else fmean(map(count_words, profile.values or ("",))))
    return most


def _with_header(reading: _Reading, lines: list[str], header: bool | None) -> Dialect:
    if reading.width > MAX_COLUMNS:  # to be refused, so not worth the look
        return replace(reading.dialect, header=False)
    above, found, subheaders = find_header(reading.records, reading.width)
    skipped = sum(not line.isspace() for line in lines[: reading.ends[above - 1]]) if above else 0
    header = found if header is None else header
    return replace(reading.dialect, header=header, skipped_lines=skipped, subheaders=subheaders * header)
