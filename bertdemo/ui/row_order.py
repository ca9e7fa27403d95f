"""The order of compared words, which the reader chooses: by what changed most, or by what is expected now."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr

from bertdemo.mlm.mask_comparison import ComparedCandidate

BY_CHANGE, BY_AFTER = "change", "after"


def order_control() -> gr.Radio:
    """The switch; it is of use only while two models are compared."""
    return gr.Radio([BY_CHANGE, BY_AFTER], value=BY_CHANGE, label="Sort by", visible=False, elem_classes="row-order")


def in_order(candidates: Sequence[ComparedCandidate], order: str) -> list[ComparedCandidate]:
    """The greatest change of probability first, up or down, or the most probable after; ties stay as they were."""

    def key(candidate: ComparedCandidate) -> float:
        if order == BY_AFTER:
            return candidate.after.probability or 0.0
        return abs(candidate.change_points or 0.0)

    return sorted(candidates, key=key, reverse=True)
