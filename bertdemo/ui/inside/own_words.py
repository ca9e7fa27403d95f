"""'Your own words': what the models give the words that the reader names, in the reader's order."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr

from bertdemo.mlm.inference.fill_mask import TargetScore, fill_masks
from bertdemo.mlm.wording import fine_percent

from ..markup import Bar, BarGroup, BarRow, bar_list, legend, quiet, said
from ..question import Question
from .view import Shown, View, result_html

FIRST_WORDS = "love, like, hate, unbelievable"


class OwnWords(View):
    name = "Your own words"
    line = "Words that you name, in your order. A word of several pieces is scored piece after piece and says so."

    def __init__(self) -> None:
        words = gr.Textbox(FIRST_WORDS, label="Your words, separated by commas", max_lines=2, elem_id="own-words")
        among = gr.Checkbox(
            False, label="Share among these words only", info="As if nothing else could be said; not their probability."
        )
        self.bars = result_html()
        self.controls = {"words": words, "among": among}
        self.outputs = [self.bars]

    def show(self, question: Question, *, words: str, among: bool) -> Shown:
        asked = list(dict.fromkeys(word.strip() for word in (words or "").split(",") if word.strip()))
        if not asked:
            return {self.bars: said("Type one or more words, separated by commas.")}
        sides = [
            fill_masks(model, question.read_by(number), top_k=1, targets=asked).masks[question.blank].targets
            for number, model in enumerate(question.models)
        ]
        shares = [_shares(targets) if among else [target.probability for target in targets] for targets in sides]
        end = max((share for side in shares for share in side if share), default=1.0)
        rows = [
            _row(targets, [side[place] for side in shares], kinds=question.kinds, ranked=not among)
            for place, targets in enumerate(zip(*sides, strict=True))
        ]
        what = "Shares among these words only." if among else "Probabilities among all words of the vocabulary."
        bars = bar_list([BarGroup(rows)], end=end, above=legend(question.labels, question.kinds))
        return {self.bars: f"{bars}{quiet(what)}"}


def _shares(targets: Sequence[TargetScore]) -> list[float | None]:
    total = sum(target.probability or 0.0 for target in targets)
    return [None if target.probability is None else target.probability / total if total else 0.0 for target in targets]


def _row(
    targets: Sequence[TargetScore], shares: Sequence[float | None], *, kinds: Sequence[str], ranked: bool
) -> BarRow:
    """One word: its pieces, a bar a model, and what is special about it."""
    first = targets[0]
    bars = [
        Bar(kind, share or 0.0, _number(target, share, ranked=ranked))
        for target, share, kind in zip(targets, shares, kinds, strict=True)
    ]
    pieces = " ".join(first.pieces) if len(first.pieces) > 1 else ""
    notes = dict.fromkeys(target.note for target in targets if target.note)
    return BarRow(first.word, bars, under=pieces, notes=list(notes))


def _number(target: TargetScore, share: float | None, *, ranked: bool) -> str:
    if share is None:
        return "no answer"
    rank = f", rank {target.rank:,}" if ranked and target.rank is not None else ""
    return f"{fine_percent(share)}{rank}"
