"""The texts of a large, regular file, read and cleaned by DuckDB on all cores: four times as fast as the csv module.

DuckDB is asked to be strict: at the first record that is not regular it gives up, and the caller reads the file record
by record, since its lenient modes lose text without a word.
"""

from pathlib import Path
from typing import IO

from bertdemo.mlm.data.formats import quoted, sandbox
from bertdemo.mlm.data.table import Table
from bertdemo.mlm.data.texts import clean_cell

# Cells that need no more than to be copied: ASCII, single spaces between words, no mark-up, too long to be "N/A".
_UNCLEAN = r"[<&]|[^ -~]|  |^ | $"


def copy_texts(table: Table) -> IO[bytes] | None:
    """A temporary file with one clean text a line, blank where the row holds none; None: read it record by record."""
    dialect, facts = table.dialect, table.facts
    plain = dialect.encoding in ("ascii", "utf-8", "utf-8-sig") and not (facts.damaged or facts.nuls or facts.packed)
    if facts.complete or not plain or dialect.escape or dialect.spaced or table.text_column_index is None:
        return None
    if dialect.format != "csv" or dialect.paragraphs:
        return None
    import duckdb

    try:
        with sandbox(facts.path, "texts") as (database, here):
            database.create_function("clean_cell", clean_cell, ["VARCHAR"], "VARCHAR")
            database.execute(_statement(table, here))
            return (here / "texts").open("rb")  # the folder goes, the open file stays until it is closed
    except (duckdb.Error, OSError):
        return None


def _statement(table: Table, folder: Path) -> str:
    """Copy the cleaned text column. A row that repeats the header is an error, since it is no row."""
    dialect, index = table.dialect, table.text_column_index
    columns = ", ".join(f"'c{place}': 'VARCHAR'" for place in range(len(table.layout.columns)))
    quote = quoted(dialect.quote or "")
    name = table.first_records[0][index] if dialect.header and index is not None else None
    cell = f"coalesce(c{index}, '')"
    return f"""
        COPY (
            SELECT CASE
                WHEN {cell} = {quoted(name or chr(0xFFFF))} THEN error('header')
                WHEN length({cell}) < 9 OR regexp_matches({cell}, {quoted(_UNCLEAN)}) THEN clean_cell({cell})
                ELSE {cell} END
            FROM read_csv(
                {quoted(str(folder / "rows"))}, auto_detect = false, compression = 'none', columns = {{{columns}}},
                delim = {quoted(dialect.delimiter or chr(0xFFFF))}, quote = {quote}, escape = {quote}, comment = '',
                header = false, skip = {table.lines_above}, nullstr = {quoted(chr(0xFFFF))}
            )
        ) TO {quoted(str(folder / "texts"))}
        (FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIMITER {quoted(chr(1))}, NULLSTR '', USE_TMP_FILE false)"""
