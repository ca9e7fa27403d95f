"""The records of a file, whatever its format: CSV and plain text, JSON, an Excel workbook, a Parquet file.

The first record names the columns where the dialect says that there is a header, and always for JSON and Parquet. All
are read one after another: memory is bounded by the longest record, in a workbook by its table of texts. Says nothing
of what the columns hold.
"""

import csv
import io
import json
import os
import re
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from bertdemo.mlm.data.dialect import Dialect, declared_delimiter
from bertdemo.mlm.data.encoding import (
    LONGEST_RECORD,
    FileFacts,
    codec,
    decoding,
    head_text,
    open_data,
    readable,
    unpacked_limit,
)
from bertdemo.mlm.errors import DataError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SAMPLE_RECORDS = 2000  # from which columns are judged; of binary formats all that a preview reads
WORKBOOK_BYTES = 300_000_000  # unpacked: openpyxl keeps all distinct texts of a workbook in memory
_DATABASE_MEMORY, _PARQUET_MEMORY, _MAX_THREADS = "200MB", "1GB", 4  # of Parquet 2048 rows are read at once
_BLOCK = 1 << 20
_DEEPEST = 3  # levels of JSON objects that become columns of their own
_BETWEEN = re.compile(r"[\s,\x1e]*")


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
            for record in self._dialect.records(lines):
                quoted = not self._dialect.paragraphs
                if quoted and self._ended and self._complete:  # csv asked for one more line: a quote is open
                    raise self._unclosed()
                if quoted and len(recent) > 1 and not self._ended and not self._dialect.escape:
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
        if self._dialect.paragraphs:
            return DataError(f"{self._name!r} has a paragraph of more than 100 MB; read each line as a text instead.")
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


def head_records(facts: FileFacts, dialect: Dialect) -> RecordReader:
    lines = io.StringIO(head_text(facts, dialect.encoding), newline="")
    return RecordReader(lines, dialect, name=facts.path.name, complete=facts.complete)


@contextmanager
def open_records(
    facts: FileFacts, dialect: Dialect, *, whole: bool, only: int | None = None
) -> Iterator[Iterator[list[str]]]:
    """All records of the file, or those in its beginning; closed on leaving. ``only``: the one column that is needed.

    Raises:
        DataError: while they are read, where the file is damaged, too large, or a package is missing.
    """
    with decoding(facts.path, dialect.encoding), readable(facts.path):
        if dialect.format == "excel":
            records = _padded(islice(_sheet_records(facts), dialect.skipped_lines, None))
            yield _counted(records if whole else islice(records, SAMPLE_RECORDS), facts)
        elif dialect.format == "parquet":
            with _parquet(facts) as database:
                limit = None if whole else SAMPLE_RECORDS
                yield _counted(_parquet_records(database, limit=limit, only=only), facts)
        elif not whole or facts.complete:
            lines = io.StringIO(head_text(facts, dialect.encoding), newline="")
            yield _text_records(lines, facts, dialect, complete=facts.complete)
        else:
            name, errors = codec(dialect.encoding)
            with open_data(facts.path) as file, io.TextIOWrapper(file, name, errors, newline="") as text:
                yield _text_records(text, facts, dialect, complete=True)


def _text_records(lines: TextIO, facts: FileFacts, dialect: Dialect, *, complete: bool) -> Iterator[list[str]]:
    if dialect.format == "json":
        return _json_records(lines, facts.path.name, complete=complete)
    return iter(RecordReader(lines, dialect, name=facts.path.name, complete=complete))


def _counted(records: Iterator[list[str]], facts: FileFacts) -> Iterator[list[str]]:
    """Stops where the texts are far more than what the file could hold in good faith."""
    chars, limit = 0, unpacked_limit(facts.size)
    for record in records:
        chars += sum(map(len, record)) + len(record)
        if chars > limit:
            raise DataError(f"{facts.path.name!r} unpacks to more than {limit // 10**6} MB; export its texts as CSV.")
        yield record


def _json_records(text: TextIO, name: str, *, complete: bool) -> Iterator[list[str]]:
    """The names of all keys among the first records, then each record's values under them."""
    values = _json_values(text, name, complete=complete)
    begun = list(islice(values, 2))
    alone = begun[0][0] if len(begun) == 1 and complete else None
    if isinstance(alone, dict) and all(isinstance(cell, dict | list) for cell in alone.values()):
        raise DataError(f"{name!r} is one JSON object; save it as an array of objects, or as an object a line.")
    flat = (_flat(value, name, line) for value, line in chain(begun, values))
    first = list(islice(flat, SAMPLE_RECORDS))
    if not first and not complete:
        raise DataError(f"{name!r} begins with a very long JSON record; save an array of objects, or an object a line.")
    names = list(dict.fromkeys(key for record in first for key in record))
    yield names
    for record in chain(first, flat):
        yield [record.get(key, "") for key in names]


def _json_values(text: TextIO, name: str, *, complete: bool) -> Iterator[tuple[Any, int]]:
    """The values of an array, or those that stand one behind the other, each with its line. Numbers stay as written."""
    decoder = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str, strict=False)
    buffer, line = text.read(_BLOCK).removeprefix("\ufeff"), 1
    array = buffer.lstrip().startswith("[")
    place = buffer.index("[") + 1 if array else 0
    line += buffer.count("\n", 0, place)
    while True:
        between = _BETWEEN.match(buffer, place)
        assert between is not None  # it matches anything
        start = between.end()
        try:
            if array and buffer[start : start + 1] == "]":
                if (buffer[start + 1 :] + text.read(_BLOCK)).strip():
                    raise DataError(
                        f"{name!r} goes on behind its JSON array on line {line}; save one array of objects."
                    )
                return
            value, end = decoder.raw_decode(buffer, start)
        except RecursionError as exc:
            raise DataError(f"{name!r} nests too deeply on line {line} to be a table.") from exc
        except ValueError as exc:
            at = exc.pos if isinstance(exc, json.JSONDecodeError) else start
            perhaps_cut = at >= len(buffer) - 10 or "Unterminated" in str(exc)
            more = text.read(max(_BLOCK, len(buffer) - place)) if perhaps_cut and len(buffer) < LONGEST_RECORD else ""
            if more:
                buffer, place = buffer[place:] + more, 0
                continue
            if not buffer[start:].strip() and not (array and complete):
                return
            if perhaps_cut and not complete:
                return
            line += buffer.count("\n", place, start)
            said = str(exc).partition(":")[0]
            raise DataError(f"{name!r} is not JSON in the record on line {line} ({said}); mend it there.") from exc
        line += buffer.count("\n", place, start)
        yield value, line
        line += buffer.count("\n", start, end)
        place = end


def _flat(value: Any, name: str, line: int) -> dict[str, str]:
    """A record's cells by their keys: ``{"a": {"b": 1}}`` -> ``{"a.b": "1"}``; a text alone is called "text"."""
    if isinstance(value, str):
        return {"text": value}
    if not isinstance(value, dict):
        raise DataError(f"{name!r} holds no JSON object on line {line}; save an array of objects, or an object a line.")
    cells: dict[str, str] = {}
    waiting = [(value, "", 1)]
    while waiting:
        part, prefix, depth = waiting.pop()
        for key, cell in part.items():
            if isinstance(cell, dict) and cell and depth < _DEEPEST:
                waiting.append((cell, f"{prefix}{key}.", depth + 1))
            else:
                cells[prefix + key] = _json_cell(cell)
    return cells


def _json_cell(cell: Any) -> str:
    if cell is None or isinstance(cell, str):
        return cell or ""
    return json.dumps(cell, ensure_ascii=False)


def _sheet_records(facts: FileFacts) -> Iterator[list[str]]:
    """The rows of the first sheet that holds any, blank ones left out."""
    with _workbook(facts) as sheets:
        for sheet in sheets:
            sheet.reset_dimensions()  # programs write wrong ones
            rows = ([_cell(value) for value in row] for row in sheet.iter_rows(values_only=True))
            filled = (row for row in rows if any(map(str.strip, row)))
            if first := next(filled, None):
                yield first
                yield from filled
                return


@contextmanager
def _workbook(facts: FileFacts) -> Iterator[list[Any]]:
    """The sheets of a workbook, to be read row by row. Raises DataError where they cannot be."""
    name = facts.path.name
    try:
        import openpyxl
    except ImportError as exc:
        raise DataError(
            f"{name!r} is an Excel workbook, which needs the package openpyxl: pip install openpyxl, or save it as CSV."
        ) from exc
    try:
        with zipfile.ZipFile(facts.path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > min(WORKBOOK_BYTES, unpacked_limit(facts.size)):
            raise DataError(f"{name!r} unpacks to {unpacked // 10**6} MB, too much for a workbook; save it as CSV.")
        with facts.path.open("rb") as file:  # of a path it would look at the ending
            workbook = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
            sheets = list(workbook.worksheets)
            yield [sheet for sheet in sheets if sheet.sheet_state == "visible"] or sheets
    except DataError:
        raise
    except Exception as exc:  # of a damaged workbook openpyxl raises whatever comes
        raise DataError(f"{name!r} cannot be read as an Excel workbook; save the sheet as CSV.") from exc


def _cell(value: Any) -> str:
    """A cell as the sheet shows it, about: 4.0 as "4", a day without the time."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, datetime) and value.time() == datetime.min.time():
        return str(value.date())
    return str(value)


def _padded(records: Iterator[list[str]]) -> Iterator[list[str]]:
    """The records at the width of the widest of the first ones: a sheet leaves blank cells at a row's end out."""
    rows = map(_stripped, records)
    first = list(islice(rows, SAMPLE_RECORDS))
    width = max(map(len, first), default=0)
    for row in chain(first, rows):
        yield row + [""] * (width - len(row))


def _stripped(record: list[str]) -> list[str]:
    return record[: next((end for end in range(len(record), 0, -1) if record[end - 1].strip()), 0)]


def look_into(facts: FileFacts) -> tuple[int | None, tuple[str, ...]]:
    """How many records a binary file says it holds, names included (None: it says nothing), and what is left out."""
    if facts.format == "excel":
        with _workbook(facts) as sheets:
            left_out = f"Of the workbook's {len(sheets)} sheets only the first that holds rows is read."
            return max(sheet.max_row or 0 for sheet in sheets) or None, (left_out,) if len(sheets) > 1 else ()
    with _parquet(facts) as database:
        found = database.execute("SELECT count(*) + 1 FROM file").fetchone()
    return (found[0] if found else None), ()


@contextmanager
def _parquet(facts: FileFacts) -> Iterator["DuckDBPyConnection"]:
    """A database whose view ``file`` is the Parquet file. Raises DataError for whatever it finds wrong."""
    import duckdb

    try:
        with sandbox(facts.path, memory=_PARQUET_MEMORY) as (database, folder):
            database.execute(f"CREATE VIEW file AS SELECT * FROM read_parquet({quoted(str(folder / 'rows'))})")
            yield database
    except duckdb.Error as exc:
        name = facts.path.name
        raise DataError(f"{name!r} is damaged, or too large to be read as Parquet; export its table as CSV.") from exc


def _parquet_records(database: "DuckDBPyConnection", *, limit: int | None, only: int | None) -> Iterator[list[str]]:
    """The names of the columns, then each row as texts; bytes, such as pictures, are left out."""
    columns = database.execute("DESCRIBE file").fetchall()
    yield [name for name, *_ in columns]
    cells = [
        f"coalesce(CAST({quoted(name, mark=chr(34))} AS VARCHAR), '')"
        if kind != "BLOB" and only in (None, place)
        else "''"
        for place, (name, kind, *_) in enumerate(columns)
    ]
    found = database.execute(f"SELECT {', '.join(cells)} FROM file" + (f" LIMIT {limit}" if limit else ""))
    while rows := found.fetchmany(256):
        yield from map(list, rows)


@contextmanager
def sandbox(path: Path, *written: str, memory: str = _DATABASE_MEMORY) -> Iterator[tuple["DuckDBPyConnection", Path]]:
    """A DuckDB that sees one folder, with a link ``rows`` to the file in it, and may write what is named there.

    No network, no extension, no other path, whatever a file is called.
    """
    import duckdb  # 0.2 s, for large and for Parquet files alone

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        here = Path(folder).resolve()
        settings: dict[str, str | bool | int | float | list[str]] = {
            "threads": min(_MAX_THREADS, os.cpu_count() or 1),
            "memory_limit": memory,
            "temp_directory": "",
        }
        (here / "rows").symlink_to(path.resolve())
        with duckdb.connect(":memory:", config=settings) as database:
            # After two seconds it would draw on standard output, where nothing but JSON may be.
            database.execute("SET enable_progress_bar = false")
            allowed = ", ".join(quoted(str(here / name)) for name in ("rows", *written))
            database.execute(f"SET allowed_paths = [{allowed}]")
            database.execute("SET enable_external_access = false")
            database.execute("SET lock_configuration = true")
            yield database, here


def quoted(text: str, *, mark: str = "'") -> str:
    """A text in SQL, or with the double quote as the mark a name."""
    return mark + text.replace(mark, mark * 2) + mark
