"""A data file -> what it is (``sniff``, ``preview``) and its clean texts (``read_corpus``, ``read_texts``).

Rows = all records after the header line = used + empty + duplicate; blank lines are no records. A text is cleaned
(see ``texts.clean_text``) and compared in lower case, so that no duplicate crosses the split. The file is read in
two passes of bounded memory. Knows no tokenizer: ``truncated`` stays 0 until one counts it.
"""

import io
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import IO

import pandas as pd

from bertdemo.mlm.data.bulk import copy_texts
from bertdemo.mlm.data.dialect import Dialect
from bertdemo.mlm.data.encoding import HEAD_BYTES, survey_file
from bertdemo.mlm.data.table import Table, listed, open_table, sniff_head
from bertdemo.mlm.data.texts import Texts, clean_cell, index_lines, same_text_key, split_texts
from bertdemo.mlm.errors import DataError, SettingsError

__all__ = [
    "Corpus",
    "DataReport",
    "Dialect",
    "Preview",
    "Texts",
    "chosen_dialect",
    "preview",
    "read_corpus",
    "read_texts",
    "sniff",
    "split_texts",
]

MIN_ROWS = 8
_SHOWN_ROWS = 5
_SHOWN_CHARS = 200
_SAMPLE_TEXTS = 200

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class DataReport:
    """How many rows there are and what became of them: rows = used + empty + duplicate.

    ``truncated`` is part of ``used``; ``ragged`` rows (more or fewer fields than columns) are part of all three.
    """

    rows: int
    used: int
    empty: int
    duplicate: int
    truncated: int
    ragged: int
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Preview:
    """What a file holds. ``complete`` False: from its beginning, and the counts are scaled to its size ("about").

    ``text_columns``: those with free text, best first. ``sample_rows``: the first 5, long cells shortened. ``rows``:
    all there are; the report counts none of them where there is no text column to read. ``sample_texts``: the first of
    the distinct, clean texts.
    """

    name: str
    dialect: Dialect
    rows: int
    columns: tuple[str, ...]
    text_column: str | None
    text_columns: tuple[str, ...]
    sample_rows: tuple[tuple[str, ...], ...]
    sample_texts: tuple[str, ...]
    report: DataReport
    complete: bool

    def to_frame(self) -> pd.DataFrame:
        """The sample rows under the file's own column names."""
        return pd.DataFrame(list(self.sample_rows), columns=list(self.columns))


@dataclass(frozen=True)
class Corpus:
    """The clean texts of one column, split into what is trained on and what is held out. ``sha256``: of the file."""

    name: str
    sha256: str
    column: str
    train: Sequence[str]
    held_out: Sequence[str]
    report: DataReport
    dialect: Dialect


def sniff(
    path: PathLike, *, encoding: str | None = None, delimiter: str | None = None, header: bool | None = None
) -> Dialect:
    """The file's dialect: the encoding judged by all its bytes, the rest by its beginning. What is given is not sought;
    delimiter ``""``: each line is a text, ``"paragraph"``: each paragraph.

    Raises:
        DataError: the file cannot be read or is not a table in text form, or what is given cannot be.
    """
    return sniff_head(survey_file(path), encoding=encoding, delimiter=delimiter, header=header)


def chosen_dialect(path: PathLike, encoding: str | None, delimiter: str | None, header: bool | None) -> Dialect | None:
    """What somebody named over what is found, as ``sniff``; None where nothing was named."""
    if encoding is None and delimiter is None and header is None:
        return None
    return sniff(path, encoding=encoding, delimiter=delimiter, header=header)


def preview(
    path: PathLike, *, dialect: Dialect | None = None, column: str | None = None, max_bytes: int | None = HEAD_BYTES
) -> Preview:
    """What the file holds, from its first ``max_bytes`` or (None) from all of it.

    ``dialect`` overrides what would be detected, ``column`` the text column that would be guessed.

    Raises:
        DataError: the file cannot be read, or ``column`` is not there or holds no text.
    """
    table = open_table(path, dialect=dialect, column=column, max_bytes=max_bytes)
    whole = max_bytes is None or table.complete
    texts: Sequence[str] = ()
    if table.text_column is None:
        with table.open_rows(whole=whole) as records:
            rows, report = sum(1 for _ in records), DataReport(0, 0, 0, 0, 0, 0, table.warnings)
        rows = rows if whole else round(rows * table.factor(rows))
    else:
        texts, report = _read_rows(table, whole=whole)
        report = report if whole else _scaled(report, table.factor(report.rows))
        rows = report.rows
    first = table.first_records[table.dialect.header + table.dialect.subheaders :][:_SHOWN_ROWS]
    return Preview(
        name=table.name,
        dialect=table.dialect,
        rows=rows,
        columns=table.layout.columns,
        text_column=table.text_column,
        text_columns=table.text_columns,
        sample_rows=tuple(tuple(map(_shown, table.align(row)[0])) for row in first),
        sample_texts=tuple(texts[:_SAMPLE_TEXTS]),
        report=report,
        complete=whole,
    )


def read_corpus(
    path: PathLike,
    *,
    column: str | None = None,
    dialect: Dialect | None = None,
    limit: int | None = None,
    held_out_share: float = 0.1,
    held_out_max: int = 500,
    seed: int = 0,
) -> Corpus:
    """Read the whole file, or up to its ``limit``-th usable row, and split it.

    Raises:
        DataError: as ``preview``; also no free text, or fewer than 8 usable rows.
        SettingsError: a limit or share outside what it can be.
    """
    table, texts, report = _read_table(path, column=column, dialect=dialect, limit=limit)
    if report.used < MIN_ROWS:
        limited = f", limit {limit}" if limit else ""
        raise DataError(
            f"{table.name!r} has only {report.used} usable rows in column {table.text_column!r} ({report.empty} "
            f"empty, {report.duplicate} duplicate{limited}); at least {MIN_ROWS} are needed, so add rows."
        )
    parts = split_texts(texts, held_out_share=held_out_share, held_out_max=held_out_max, seed=seed)
    sha256 = table.facts.sha256 or ""
    return Corpus(table.name, sha256, table.text_column or "", *parts, report, table.dialect)


def read_texts(
    path: PathLike, *, column: str | None = None, dialect: Dialect | None = None, limit: int | None = None
) -> tuple[Texts, DataReport, str, Dialect]:
    """All usable texts in the file's order, with the report, the column and the dialect they were read by.

    Raises:
        DataError: as ``preview``; also no free text, or no usable row.
        SettingsError: a limit below 1.
    """
    table, texts, report = _read_table(path, column=column, dialect=dialect, limit=limit)
    if not texts:
        raise DataError(f"{table.name!r} has no usable row in column {table.text_column!r}; choose another column.")
    return texts, report, table.text_column or "", table.dialect


def _read_table(
    path: PathLike, *, column: str | None, dialect: Dialect | None, limit: int | None
) -> tuple[Table, Texts, DataReport]:
    if limit is not None and limit < 1:
        raise SettingsError(f"A limit of {limit} rows leaves nothing; give 1 or more, or none.")
    table = open_table(path, dialect=dialect, column=column, max_bytes=None)
    if table.text_column is None:
        raise DataError(
            f"{table.name!r} has no column with free text (columns: {listed(table.layout.columns)}); "
            "choose a file with reviews, comments or other sentences."
        )
    return table, *_read_rows(table, whole=True, limit=limit)


def _read_rows(table: Table, *, whole: bool, limit: int | None = None) -> tuple[Texts, DataReport]:
    """The distinct texts of the file or (``whole=False``) of its head, up to the ``limit``-th, and what became of all
    rows."""
    ragged = dropped = 0
    file = copy_texts(table) if whole and limit is None else None
    if file is None:
        file = tempfile.TemporaryFile() if whole else io.BytesIO()  # noqa: SIM115 (closed below)
        ragged, dropped = _write_texts(table, file, whole=whole, limit=limit)
    with file:
        texts, rows, empty = index_lines(file)
    counted = (
        (table.facts.nuls, "NUL characters were removed."),
        (table.facts.damaged, "characters could not be decoded and were read as Windows-1252 or replaced."),
        (dropped, "rows had more fields than columns; the surplus fits no text column and was dropped."),
    )
    warnings = (*table.warnings, *(f"{count:,} {what}" for count, what in counted if count))
    return texts, DataReport(rows, len(texts), empty, rows - empty - len(texts), 0, ragged, warnings)


def _write_texts(table: Table, file: IO[bytes], *, whole: bool, limit: int | None) -> tuple[int, int]:
    """Write one clean text a line, record by record, up to the ``limit``-th distinct one; how many rows were ragged,
    and of how many fields had to be dropped."""
    ragged = dropped = 0
    width, index = len(table.layout.columns), table.text_column_index or 0
    seen: set[int] = set()
    with table.open_rows(whole=whole) as records:
        for record in records:
            fields, lost = (record, False) if len(record) == width else table.align(record)
            ragged, dropped = ragged + (len(record) != width), dropped + lost
            text = clean_cell(fields[index])
            file.write(text.encode("utf-8", "replace") + b"\n")
            if limit is not None and text:
                seen.add(hash(same_text_key(text)))
                if len(seen) == limit:
                    break
    return ragged, dropped


def _scaled(report: DataReport, factor: float) -> DataReport:
    used, empty, duplicate, ragged = (
        round(count * factor) for count in (report.used, report.empty, report.duplicate, report.ragged)
    )
    return replace(report, rows=used + empty + duplicate, used=used, empty=empty, duplicate=duplicate, ragged=ragged)


def _shown(cell: str) -> str:
    line = " ".join(cell.split())
    return line if len(line) <= _SHOWN_CHARS else line[:_SHOWN_CHARS] + "…"
