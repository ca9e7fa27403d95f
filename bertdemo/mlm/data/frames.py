"""A whole data file as a pandas DataFrame, read as the rest of the package reads it: ragged rows mended, cells texts.

Cleans nothing; ``corpus`` does.
"""

from __future__ import annotations

from os import PathLike

import pandas as pd

from .dialect import Dialect
from .table import open_table


def read_frame(path: str | PathLike[str], *, column: str | None = None, dialect: Dialect | None = None) -> pd.DataFrame:
    """All rows below the header, every cell a text, under the file's column names (or "0", "1", ... without a header).

    Raises:
        DataError: the file cannot be read, or ``column`` is not there or holds no text.
    """
    table = open_table(path, dialect=dialect, column=column, max_bytes=None)
    with table.open_rows(whole=True, every_column=True) as rows:
        return pd.DataFrame([table.align(row)[0] for row in rows], columns=list(table.layout.columns))
