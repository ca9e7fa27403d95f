"""'Your own words': what the models give the words that the reader names, in the reader's order."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import gradio as gr

from bertdemo.mlm.analysis.compare import percent
from bertdemo.mlm.inference.fill_mask import TargetScore, fill_masks

from ..fill.candidate_bars import visible
from .view import Parts, Question, View, said

FIRST_WORDS = "love, like, hate, unbelievable"


def build() -> Parts:
    words = gr.Textbox(FIRST_WORDS, label="Your words, separated by commas", max_lines=2, elem_id="own-words")
    among = gr.Checkbox(
        False, label="Share among these words only", info="As if nothing else could be said; not their probability."
    )
    return Parts([words, among], [gr.HTML(apply_default_css=False, elem_classes="look-result")])


def show(question: Question, words: str, among: bool) -> Sequence[object]:
    asked = list(dict.fromkeys(word.strip() for word in (words or "").split(",") if word.strip()))
    if not asked:
        return [said("Type one or more words, separated by commas.")]
    sides = [
        fill_masks(model, question.read_by(number), top_k=1, targets=asked).masks[question.blank].targets
        for number, model in enumerate(question.models)
    ]
    shares = [_shares(targets) if among else [target.probability for target in targets] for targets in sides]
    end = max((share for side in shares for share in side if share), default=1.0)
    rows = "".join(
        _row(targets, [side[place] for side in shares], kinds=question.kinds, end=end, ranked=not among)
        for place, targets in enumerate(zip(*sides, strict=True))
    )
    legend = "".join(
        f"<li><span class='look-dot {kind}' aria-hidden='true'></span>{escape(label)}</li>"
        for label, kind in zip(question.labels, question.kinds, strict=True)
    )
    head = f"<ul class='bars-legend'>{legend}</ul>" if len(sides) > 1 else ""
    what = "Shares among these words only." if among else "Probabilities among all words of the vocabulary."
    return [f"{head}<ol class='lanes'>{rows}</ol><p class='quiet'>{what}</p>"]


def _shares(targets: Sequence[TargetScore]) -> list[float | None]:
    total = sum(target.probability or 0.0 for target in targets)
    return [None if target.probability is None else target.probability / total if total else 0.0 for target in targets]


def _row(
    targets: Sequence[TargetScore],
    shares: Sequence[float | None],
    *,
    kinds: Sequence[str],
    end: float,
    ranked: bool,
) -> str:
    """One word: its pieces, a lane a model, and what is special about it."""
    first = targets[0]
    pieces = " ".join(first.pieces)
    split = f"<small>{visible(pieces)}</small>" if len(first.pieces) > 1 else ""
    lanes = "".join(
        f"<span class='lane {kind}' style='--at:{100 * (share or 0.0) / end:.2f}%'>"
        f"<span class='lane-bar' aria-hidden='true'></span>"
        f"<span class='lane-number'>{_number(target, share, ranked=ranked)}</span></span>"
        for target, share, kind in zip(targets, shares, kinds, strict=True)
    )
    notes = dict.fromkeys(target.note for target in targets if target.note)
    said_notes = "".join(f"<small class='lane-note'>{escape(note)}</small>" for note in notes)
    return f"<li><span class='lane-word'><bdi>{visible(first.word)}</bdi>{split}</span>{lanes}{said_notes}</li>"


def _number(target: TargetScore, share: float | None, *, ranked: bool) -> str:
    if share is None:
        return "no answer"
    rank = f", rank {target.rank:,}" if ranked and target.rank is not None else ""
    return f"{percent(share)}{rank}"


VIEW = View(
    name="Your own words",
    line="Words that you name, in your order. A word of several pieces is scored piece after piece and says so.",
    build=build,
    show=show,
)
