"""What the models answered as files: a table of candidates and a JSON object, at full precision.

Takes what ``prediction`` and ``comparison`` return, and gives texts. Knows no page.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence

from bertdemo.mlm.analysis.compare import Comparison, TokenStats
from bertdemo.mlm.inference.fill_mask import FilledText, fill_record

_ONE = ("blank", "position", "rank", "token", "token_id", "probability", "log_probability")
_TWO = (
    *("blank", "position", "token", "rank_before", "probability_before"),
    *("rank_after", "probability_after", "log2_ratio"),
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def filled_csv(filled: FilledText) -> str:
    """A line a candidate: blank (from 1), position, rank, token, id, probability, natural log of it."""
    rows = [
        (number, mask.position, *(word.rank, word.token, word.token_id, word.probability), _log(word.probability))
        for number, mask in enumerate(filled.masks, start=1)
        for word in mask.candidates
    ]
    return _csv(_ONE, rows)


def compared_csv(comparison: Comparison) -> str:
    """A line a word of either model's top list, with its standing in both; empty where a model does not have it."""
    rows = [
        (number, mask.position, word.token, *_standing(word.before), *_standing(word.after), word.log2_ratio)
        for number, mask in enumerate(comparison.masks, start=1)
        for word in mask.candidates
    ]
    return _csv(_TWO, rows)


def answers_json(
    filled: FilledText, comparison: Comparison | None, *, models: Sequence[str], originals: dict[int, int]
) -> str:
    """The command line's objects, with what is needed to ask again: models, text and token ids."""
    asked = {
        "models": list(models),
        "text": filled.prepared.text,
        "token_ids": list(filled.prepared.token_ids),
        "hidden": {str(place): token_id for place, token_id in originals.items()},
    }
    compared = {"comparison": comparison.to_record()} if comparison else {}
    return json.dumps({**asked, **fill_record(filled), **compared}, ensure_ascii=False, indent=2)


def safe_cell(value: object) -> object:
    """A text that a spreadsheet would run as a formula gets an apostrophe in front.

    >>> safe_cell("=1+1"), safe_cell("love"), safe_cell(-0.5)
    ("'=1+1", 'love', -0.5)
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _standing(standing: TokenStats) -> tuple[int | None, float | None]:
    return standing.rank, standing.probability


def _log(probability: float) -> float | None:
    return math.log(probability) if probability > 0 else None


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\r\n")
    table.writerow(header)
    table.writerows([safe_cell(cell) for cell in row] for row in rows)
    return text.getvalue()
