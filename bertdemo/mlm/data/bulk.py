"""The texts of a large, regular file, read and cleaned by DuckDB on all cores: four times as fast as the csv module.

DuckDB is asked to be strict: at the first record that is not regular it gives up, and the caller reads the file record
by record, since its lenient modes lose text without a word. It sees one folder, with a link to the one file in it, and
nothing else: no network, no extension, no other path, whatever a file is called.
"""

import os
import re
import tempfile
from pathlib import Path
from typing import IO

from bertdemo.mlm.data.table import Table
from bertdemo.mlm.data.texts import clean_cell

_MEMORY = "200MB"
_MAX_THREADS = 4
# Cells that need no more than to be copied: ASCII, single spaces between words, no mark-up, too long to be "N/A".
_UNCLEAN = r"[<&]|[^ -~]|  |^ | $"


def copy_texts(table: Table) -> IO[bytes] | None:
    """A temporary file with one clean text a line, blank where the row holds none; None: read it record by record."""
    dialect = table.dialect
    plain = dialect.encoding in ("ascii", "utf-8", "utf-8-sig") and not table.facts.damaged and not table.facts.nuls
    if table.facts.complete or not plain or dialect.escape or dialect.spaced or table.text_column_index is None:
        return None
    import duckdb  # 0.2 s, for large files alone

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        here = Path(folder).resolve()
        settings: dict[str, str | bool | int | float | list[str]] = {
            "threads": min(_MAX_THREADS, os.cpu_count() or 1),
            "memory_limit": _MEMORY,
            "temp_directory": "",
        }
        try:
            (here / "rows").symlink_to(table.facts.path.resolve())
            with duckdb.connect(":memory:", config=settings) as database:
                database.create_function("clean_cell", clean_cell, ["VARCHAR"], "VARCHAR")
                # After two seconds it would draw on standard output, where nothing but JSON may be.
                database.execute("SET enable_progress_bar = false")
                allowed = ", ".join(_quoted(str(here / name)) for name in ("rows", "texts"))
                database.execute(f"SET allowed_paths = [{allowed}]")
                database.execute("SET enable_external_access = false")
                database.execute("SET lock_configuration = true")
                database.execute(_statement(table, here))
            return (here / "texts").open("rb")  # the folder goes, the open file stays until it is closed
        except (duckdb.Error, OSError):
            return None


def _statement(table: Table, folder: Path) -> str:
    """Copy the cleaned text column. A row that repeats the header is an error, since it is no row."""
    dialect, index = table.dialect, table.text_column_index
    columns = ", ".join(f"'c{place}': 'VARCHAR'" for place in range(len(table.layout.columns)))
    quote = _quoted(dialect.quote or "")
    name = table.first_records[0][index] if dialect.header and index is not None else None
    cell = f"coalesce(c{index}, '')"
    return f"""
        COPY (
            SELECT CASE
                WHEN {cell} = {_quoted(name or chr(0xFFFF))} THEN error('header')
                WHEN length({cell}) < 9 OR regexp_matches({cell}, {_quoted(_UNCLEAN)}) THEN clean_cell({cell})
                ELSE {cell} END
            FROM read_csv(
                {_quoted(str(folder / "rows"))}, auto_detect = false, compression = 'none', columns = {{{columns}}},
                delim = {_quoted(dialect.delimiter or chr(0xFFFF))}, quote = {quote}, escape = {quote}, comment = '',
                header = false, skip = {table.lines_above}, nullstr = {_quoted(chr(0xFFFF))}
            )
        ) TO {_quoted(str(folder / "texts"))}
        (FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIMITER {_quoted(chr(1))}, NULLSTR '', USE_TMP_FILE false)"""


def _quoted(text: str) -> str:
    return "'" + re.sub("'", "''", text) + "'"
