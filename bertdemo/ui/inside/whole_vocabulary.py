"""'Whole vocabulary': both models' probability of every word at one blank, the words that moved named; and the numbers.

Without a second model there is nothing to compare, and the view says how to choose one.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import gradio as gr

from bertdemo.charts.comparison import vocabulary_figure, vocabulary_sample
from bertdemo.mlm.analysis.compare import ComparedCandidate, MaskComparison, TokenStats, compare, percent

from ..fill.candidate_bars import visible
from .quantities import bits, equal_choices, signed, times
from .view import Parts, Question, View, said

WORDS = 10  # of each model's top list under "Numbers"
ONE_MODEL = 'This compares two models; choose a second one under "Compare with".'


def build() -> Parts:
    with gr.Row(elem_classes="compare-vocabulary"):
        figure = gr.Plot(
            show_label=False, visible=False, elem_classes="look-plot compare-scatter", min_width=320, scale=3
        )
        with gr.Column(min_width=300, scale=2):
            movers = gr.HTML(apply_default_css=False, elem_classes="look-result")
    with gr.Accordion("Numbers", open=False):
        numbers = gr.HTML(apply_default_css=False, elem_classes="look-result")
    return Parts([], [figure, movers, numbers])


def show(question: Question) -> Sequence[object]:
    if len(question.models) < 2:
        return [gr.Plot(visible=False), said(ONE_MODEL), said(ONE_MODEL)]
    comparison = compare(*question.models, question.prepared, top_k=WORDS)
    mask = comparison.masks[question.blank]
    labels = (question.labels[0], question.labels[1])
    sample = vocabulary_sample(mask)
    figure = vocabulary_figure(mask, comparison.vocabulary, labels=labels, sample=sample)
    beside = f"{said(mask.summary)}{movers_html(mask)}<p class='quiet'>{escape(sample.caption)}</p>"
    return [gr.Plot(figure, visible=True), beside, numbers_html(mask, labels=labels, notes=comparison.notes)]


def movers_html(mask: MaskComparison) -> str:
    """What the picture shows, in words: the movers, the greatest first."""
    if not mask.movers:
        return "<p>Every word lies on the diagonal: none is more or less probable than before.</p>"
    rows = "".join(
        f"<tr><th scope='row'><bdi>{visible(word.token)}</bdi></th><td>{_probability(word.before)}</td>"
        f"<td>{_probability(word.after)}</td><td>{_arrow(word)} {times(word.log2_ratio)}</td></tr>"
        for word in mask.movers
    )
    head = "".join(f"<th scope='col'>{name}</th>" for name in ("word", "before", "after", "times"))
    return (
        "<div class='bars-scroll compare-movers' tabindex='0' role='region' aria-label='The words that moved most'>"
        f"<table class='bars-table'><caption>The words that moved most</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


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
    said_notes = "".join(f"<li>{escape(note)}</li>" for note in notes)
    listed = f"<ul class='notes'>{said_notes}</ul>" if notes else ""
    return f"<dl class='compare-facts'>{items}</dl>{listed}{_candidates_table(mask, labels=labels)}"


def _candidates_table(mask: MaskComparison, *, labels: tuple[str, str]) -> str:
    before, after = (escape(label) for label in labels)
    heads = ("word", f"rank, {before}", f"rank, {after}", f"p, {before}", f"p, {after}", "points", "log2 ratio")
    head = "".join(f"<th scope='col'>{name}</th>" for name in heads)
    rows = "".join(_candidate_row(candidate) for candidate in mask.candidates)
    return (
        "<div class='bars-scroll' tabindex='0' role='region' aria-label='Both top lists in both models'>"
        f"<table class='bars-table'><caption>Both top lists in both models; log2 ratio 1 is twice as probable after, "
        f"−1 half as probable</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _candidate_row(candidate: ComparedCandidate) -> str:
    sides = (candidate.before, candidate.after)
    change, ratio = candidate.change_points, candidate.log2_ratio
    cells = ["–" if side.rank is None else f"{side.rank:,}" for side in sides]
    cells += [_probability(side) for side in sides]
    cells += [signed(change, places=2), signed(ratio, places=2)]
    data = "".join(f"<td>{cell}</td>" for cell in cells)
    return f"<tr><th scope='row'><bdi>{visible(candidate.token)}</bdi></th>{data}</tr>"


def _probability(side: TokenStats) -> str:
    return "not in its vocabulary" if side.probability is None else percent(side.probability)


def _arrow(word: ComparedCandidate) -> str:
    up = (word.change_points or 0.0) > 0
    kind, sign = ("tuned", "▲") if up else ("base", "▼")
    return f"<span class='compare-{kind}' aria-label='{'more' if up else 'less'} probable'>{sign}</span>"


VIEW = View(
    name="Whole vocabulary",
    line="Every word that the models know: on the diagonal nothing changed, above it a word is expected more.",
    build=build,
    show=show,
)
