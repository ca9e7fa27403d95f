"""The answer of two models on the first screen: the change in a sentence, then a row a word in the order asked for.

Turns the values of a comparison into rows and lines; computes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import gradio as gr

from bertdemo.mlm.analysis.compare import ComparedCandidate, Comparison

from .candidate_bars import CandidateRow, MaskRows, Score, blank_title, percent

BY_CHANGE, BY_AFTER = "change", "after"


def order_control() -> gr.Radio:
    """The switch; it is of use only while two models are compared."""
    return gr.Radio(
        [BY_CHANGE, BY_AFTER],
        value=BY_CHANGE,
        label="Sort by",
        visible=False,
        elem_classes="row-order",
        elem_id="sort-by",
    )


def in_order(candidates: Sequence[ComparedCandidate], order: str) -> list[ComparedCandidate]:
    """The greatest change of probability first, up or down, or the most probable after; ties stay as they were."""

    def key(candidate: ComparedCandidate) -> float:
        if order == BY_AFTER:
            return candidate.after.probability or 0.0
        return abs(candidate.change_points or 0.0)

    return sorted(candidates, key=key, reverse=True)


def compared_rows(comparison: Comparison, order: str) -> list[MaskRows]:
    """Both top lists of every mask; words that only one of two vocabularies has are left out, as the notes say."""
    count = len(comparison.masks)
    return [
        MaskRows(_rows(in_order(mask.candidates, order)), blank_title(number, count))
        for number, mask in enumerate(comparison.masks)
    ]


def _rows(candidates: Sequence[ComparedCandidate]) -> list[CandidateRow]:
    rows = []
    for candidate in candidates:
        before, after = candidate.before, candidate.after
        if before.probability is not None and after.probability is not None:
            pair = Score(after.probability, after.rank)
            rows.append(CandidateRow(candidate.token, None, before.probability, before.rank, pair))
    return rows


def gist_html(comparison: Comparison) -> str:
    """The line above the rows."""
    return f'<p class="gist">{escape(comparison.summary)}</p>'


def both_covered(comparison: Comparison) -> str:
    """How much of all that it could have said each model's own top list holds."""
    lines = [
        f"Each model's own first guesses cover {percent(mask.covered_before)} of all that it could have said before, "
        f"{percent(mask.covered_after)} after."
        for mask in comparison.masks
    ]
    return lines[0] if len(lines) == 1 else " ".join(f"Blank {n}: {line}" for n, line in enumerate(lines, 1))
