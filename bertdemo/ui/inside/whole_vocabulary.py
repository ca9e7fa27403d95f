"""'Whole vocabulary': both models' probability of every word at one blank, the words that moved named; and the numbers.

Without a second model there is nothing to compare, and the view says how to choose one.
"""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr
import pandas as pd

from bertdemo.charts.comparison import vocabulary_figure, vocabulary_sample
from bertdemo.mlm.analysis.compare import ComparedCandidate, MaskComparison, TokenStats
from bertdemo.mlm.wording import fine_percent, percent

from ..markup import Html, bits, equal_choices, notes_list, quiet, said, signed, table, times
from ..plot import figure, figure_value
from ..question import Question, compare_both
from .view import Shown, View, folded, result_html

WORDS = 10  # of each model's top list under "Numbers"
ONE_MODEL = 'This compares two models; choose a second one under "Compare with".'


class WholeVocabulary(View):
    name = "Whole vocabulary"
    line = "Every word that the models know: on the diagonal nothing changed, above it a word is expected more."

    def __init__(self) -> None:
        with gr.Row(elem_classes="compare-vocabulary"):
            with gr.Column(min_width=320, scale=3):
                self.picture = figure(elem_classes=["look-result", "compare-scatter"])
            with gr.Column(min_width=300, scale=2):
                self.movers = result_html()
        fold, self.numbers = folded("Numbers")
        self.controls = {"numbers_open": fold.opened}
        self.outputs = [self.picture, self.movers, self.numbers]
        self.folds = [fold]

    def show(self, question: Question, *, numbers_open: bool = True) -> Shown:
        if len(question.models) < 2:
            return {self.picture: None, self.movers: said(ONE_MODEL), self.numbers: said(ONE_MODEL)}
        comparison = compare_both(question, top_k=WORDS)
        mask = comparison.masks[question.blank]
        labels = (question.labels[0], question.labels[1])
        sample = vocabulary_sample(mask)
        drawn = vocabulary_figure(mask, comparison.vocabulary, labels=labels, sample=sample)
        label = f"Dots: every word's probability before and after. {mask.summary}"
        shown: Shown = {
            self.picture: figure_value(drawn, label=label, file="whole-vocabulary"),
            self.movers: f"{said(mask.summary)}{movers_html(mask)}{quiet(sample.caption)}",
        }
        if numbers_open:
            shown[self.numbers] = numbers_html(mask, labels=labels, notes=comparison.notes)
        return shown


def movers_html(mask: MaskComparison) -> str:
    """What the picture shows, in words: the movers, the greatest first."""
    if not mask.movers:
        return "<p>Every word lies on the diagonal: none is more or less probable than before.</p>"
    rows = [
        (
            *(word.token, _probability(word.before), _probability(word.after)),
            Html(f"{_arrow(word)} {times(word.log2_ratio)}"),
        )
        for word in mask.movers
    ]
    frame = pd.DataFrame(rows, columns=["word", "before", "after", "times"])
    return table(frame, label="The words that moved most", caption="The words that moved most", look="compare-movers")


def numbers_html(mask: MaskComparison, *, labels: tuple[str, str], notes: Sequence[str]) -> str:
    """Divergence, entropy and coverage with what each means, and both top lists in both models."""
    facts = [
        ("Jensen-Shannon divergence", f"{bits(mask.js_divergence)} bits", "0 is the same, 1 nothing in common"),
        (
            "Entropy",
            f"{bits(mask.entropy_before)} → {bits(mask.entropy_after)} bits",
            f"as open as a choice among {equal_choices(mask.entropy_before)} → {equal_choices(mask.entropy_after)} "
            "equally likely words",
        ),
        (
            f"The {WORDS} first guesses cover",
            f"{percent(mask.covered_before)} → {percent(mask.covered_after)}",
            "of all that each model could have said",
        ),
    ]
    if mask.met_before < 1 or mask.met_after < 1:
        met = f"{percent(mask.met_before)} → {percent(mask.met_after)}"
        facts.append(("Words that both models have hold", met, "of each model's probability"))
    items = "".join(
        f"<div><dt>{name}</dt><dd><strong>{value}</strong> <span class='quiet'>{meaning}</span></dd></div>"
        for name, value, meaning in facts
    )
    listed = notes_list(notes) if notes else ""
    return f"<dl class='compare-facts'>{items}</dl>{listed}{_candidates_table(mask, labels=labels)}"


def _candidates_table(mask: MaskComparison, *, labels: tuple[str, str]) -> str:
    before, after = labels
    heads = ("word", f"rank, {before}", f"rank, {after}", f"p, {before}", f"p, {after}", "points", "log2 ratio")
    frame = pd.DataFrame([_candidate_row(candidate) for candidate in mask.candidates], columns=heads, dtype=object)
    meaning = "log2 ratio 1 is twice as probable after, −1 half as probable"
    label = "Both top lists in both models"
    return table(frame, label=label, caption=f"{label}; {meaning}")


def _candidate_row(word: ComparedCandidate) -> tuple[object, ...]:
    chances = (_probability(side) for side in (word.before, word.after))
    change, ratio = (signed(number, places=2) for number in (word.change_points, word.log2_ratio))
    return word.token, word.before.rank, word.after.rank, *chances, change, ratio


def _probability(side: TokenStats) -> str:
    return "not in its vocabulary" if side.probability is None else fine_percent(side.probability)


def _arrow(word: ComparedCandidate) -> str:
    up = (word.change_points or 0.0) > 0
    kind, sign = ("tuned", "▲") if up else ("base", "▼")
    return f"<span class='compare-{kind}' role='img' aria-label='{'more' if up else 'less'} probable'>{sign}</span>"
