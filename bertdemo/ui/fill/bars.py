"""The answer of fill-mask as bars and as a table: a bar a word for one model, two joined dots for before and after.

Takes what ``inference`` and ``analysis`` return and decides the order of the words, no number. Every text is escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import gradio as gr
import pandas as pd
from pandas.io.formats.style import Styler

from bertdemo.mlm.analysis.compare import ComparedCandidate, Comparison
from bertdemo.mlm.inference.fill_mask import Candidate, FilledText, MaskPrediction
from bertdemo.mlm.wording import percent, points

from ..markup import Bar, BarGroup, BarRow, bar_list, equal_choices, legend, log_probability, printable, scale_end

BY_CHANGE, BY_AFTER = "change", "after"
# Moves the second dot from where the word was to where it is now; nothing else on the page moves by itself.
_GROW_JS = """
watch('value', () => {
  if (matchMedia('(prefers-reduced-motion: reduce)').matches) return;
  element.querySelectorAll('.pair .dot.after').forEach((dot) => {
    dot.animate([{ left: 'var(--before)' }, { left: 'var(--after)' }], { duration: 700, easing: 'ease-out' });
  });
});
"""


def build_bars(*, elem_id: str | None = None) -> gr.HTML:
    """The component that shows the bars."""
    return gr.HTML(js_on_load=_GROW_JS, apply_default_css=False, elem_id=elem_id, elem_classes=["candidate-bars"])


def in_order(candidates: Sequence[ComparedCandidate], order: str) -> list[ComparedCandidate]:
    """The greatest change of probability first, up or down, or the most probable after; ties stay as they were."""

    def key(candidate: ComparedCandidate) -> float:
        if order == BY_AFTER:
            return candidate.after.probability or 0.0
        return abs(candidate.change_points or 0.0)

    return sorted(candidates, key=key, reverse=True)


def filled_bars(masks: Sequence[MaskPrediction], *, names: Sequence[str], kind: str) -> str:
    """A bar a word in the colour of ``kind``; all blanks on one scale, each under its own of ``names``."""
    end = scale_end([candidate.probability for mask in masks for candidate in mask.candidates])
    groups = [
        BarGroup([_bar_row(candidate, kind) for candidate in mask.candidates], name)
        for name, mask in zip(names, masks, strict=True)
    ]
    return bar_list(groups, end=end, axis=True)


def compared_bars(comparison: Comparison, *, names: Sequence[str], labels: Sequence[str], order: str) -> str:
    """The change in a sentence, then two dots a word; a word that only one vocabulary has is left out."""
    both = [[word for word in in_order(mask.candidates, order) if _in_both(word)] for mask in comparison.masks]
    end = scale_end([side.probability or 0.0 for words in both for word in words for side in (word.before, word.after)])
    groups = [BarGroup([_pair_row(word) for word in words], name) for name, words in zip(names, both, strict=True)]
    key = legend(labels, ("before", "after"))
    gist = f'<p class="gist">{escape(comparison.summary)}</p>'
    return gist + bar_list(groups, end=end, axis=True, above=key)


def filled_table(filled: FilledText, *, names: Sequence[str]) -> Styler:
    """The same words with ids and natural logarithms, to be sorted and copied."""
    frame = _by_blank(filled.to_frame(), names)
    frame["log p"] = frame["probability"]
    shown = frame.rename(columns={"token": "word", "token_id": "id"})
    columns = ["blank", "word", "id", "rank", "probability", "log p"]
    return _styled(shown[columns], {"probability": percent, "log p": log_probability})


def compared_table(comparison: Comparison, *, names: Sequence[str], labels: Sequence[str]) -> Styler:
    """Both top lists in both models."""
    frame = _by_blank(comparison.to_frame(), names)
    frame["points"] = 100 * (frame["after_probability"] - frame["before_probability"])
    before, after = labels if labels[0] != labels[1] else (f"{labels[0]} before", f"{labels[1]} after")
    columns = ["blank", "word", f"rank, {before}", f"rank, {after}", f"p, {before}", f"p, {after}", "points"]
    sides = ["before_rank", "after_rank", "before_probability", "after_probability"]
    shown = frame[["blank", "token", *sides, "points"]].set_axis(columns, axis=1)
    written = {columns[2]: "{:,.0f}", columns[3]: "{:,.0f}", columns[4]: percent, columns[5]: percent}
    return _styled(shown, {**written, "points": "{:+.1f}"})


def _by_blank(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """With the name of each row's blank, and tokens that can be printed."""
    places = dict(zip(frame["position"].unique(), names, strict=True))
    return frame.assign(blank=frame["position"].map(places), token=frame["token"].map(printable))


def _styled(frame: pd.DataFrame, written: dict[str, Any]) -> Styler:
    if not frame["blank"].any():
        frame = frame.drop(columns="blank")
    return frame.style.format(written, na_rep="–")


def entropies_html(filled: FilledText, names: Sequence[str]) -> str:
    """How open each answer is, beside the table."""
    lines = "".join(
        f"<li>{escape(name) or 'The answer'}: entropy {mask.entropy_bits:.2f} bits, "
        f"as open as a choice among {equal_choices(mask.entropy_bits)} equally likely words.</li>"
        for name, mask in zip(names, filled.masks, strict=True)
    )
    return f'<ul class="entropies">{lines}</ul>'


def _bar_row(word: Candidate, kind: str) -> BarRow:
    hover = f"id {word.token_id}, rank {word.rank:,}, log p {log_probability(word.probability)}"
    return BarRow(word.token, [Bar(kind, word.probability, percent(word.probability))], hover=hover)


def _in_both(word: ComparedCandidate) -> bool:
    return word.before.probability is not None and word.after.probability is not None


def _pair_row(word: ComparedCandidate) -> BarRow:
    chances = [(side.probability or 0.0, side.rank or 0) for side in (word.before, word.after)]
    hover = "; ".join(
        f"{when}: rank {rank:,}, log p {log_probability(chance)}"
        for when, (chance, rank) in zip(("before", "after"), chances, strict=True)
    )
    bars = [Bar(kind, chance, percent(chance)) for kind, (chance, _) in zip(("base", "tuned"), chances, strict=True)]
    return BarRow(word.token, bars, hover=hover, joined=True, change=points(chances[0][0], chances[1][0]))
