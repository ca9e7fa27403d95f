"""What a data file holds, as one JSON object: the whole file is read. For the command line and the web API."""

from __future__ import annotations

from dataclasses import asdict
from os import PathLike
from typing import Any

from ..data.corpus import Dialect, preview, read_texts
from ..errors import SettingsError
from ..models.masked_lm import MaskedLM
from ..settings import DEFAULT_MAX_LENGTH
from .batching import tokenize_all, unknown_share, unknown_tokens


def inspect_file(
    path: str | PathLike[str],
    *,
    column: str | None = None,
    dialect: Dialect | None = None,
    masked_lm: MaskedLM | None = None,
    max_length: int | None = None,
) -> dict[str, Any]:
    """``encoding``, ``delimiter``, ``header``, ``rows``, ``columns``, ``text_column`` (or None) and the ``report``.

    ``dialect``: how the file is to be read, over what would be found. With a model, ``report["truncated"]`` counts the
    rows that its tokenizer makes longer than ``max_length``, and ``unknown_share`` is that of [UNK] among the tokens.

    Raises:
        DataError: the file cannot be read, or ``column`` is not there or holds no text.
    """
    found = preview(path, dialect=dialect, column=column, max_bytes=None)
    record = {
        "file": found.name,
        "encoding": found.dialect.encoding,
        "delimiter": found.dialect.delimiter,
        "header": found.dialect.header,
        "rows": found.rows,
        "columns": len(found.columns),
        "column_names": list(found.columns),
        "skipped_lines": found.dialect.skipped_lines,
        "text_column": found.text_column,
        "text_columns": list(found.text_columns),
        "report": {**asdict(found.report), "warnings": list(found.report.warnings)},
    }
    if masked_lm is not None and found.text_column is not None:
        limit = length_limit(masked_lm, max_length)
        texts = read_texts(path, column=found.text_column, dialect=dialect)[0]
        rows = tokenize_all(masked_lm.tokenizer, texts, max_length=limit)
        record["report"]["truncated"] = rows.truncated
        record["unknown_share"] = unknown_share(masked_lm, rows)
        record["report"]["warnings"] += unknown_tokens(masked_lm, rows)
    return record


def length_limit(masked_lm: MaskedLM, wanted: int | None) -> int:
    """Tokens per row: what was asked for, else the usual 256 or what the model can read, if that is less."""
    if wanted is None:
        return min(DEFAULT_MAX_LENGTH, masked_lm.max_length)
    if not 4 <= wanted <= masked_lm.max_length:
        raise SettingsError(
            f"The maximum length must be from 4 to {masked_lm.max_length} for this model, not {wanted}."
        )
    return wanted
