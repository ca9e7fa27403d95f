"""'Layer by layer': the model's own head on every layer at the blank, and the final answer's way up."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import gradio as gr

from bertdemo.charts.insight import Series, rank_figure
from bertdemo.mlm.insight import LayerLens, LensLayer, layer_lens

from ..components.candidate_bars import percent, visible
from .view import Parts, Question, View, said
from .word_strip import model_heading

WORDS = 5


def build() -> Parts:
    word = gr.Textbox("", label="Follow the word", placeholder="the final answer", max_lines=1, elem_id="lens-word")
    tables = gr.HTML(apply_default_css=False, elem_classes="look-result")
    figure = gr.Plot(show_label=False, elem_classes=["look-plot", "look-result"])
    return Parts([word], [tables, figure])


def show(question: Question, word: str) -> Sequence[object]:
    chosen = (word or "").strip() or None
    lenses = [
        layer_lens(model, question.read_by(number), mask_index=question.blank, top_k=WORDS, word=chosen)
        for number, model in enumerate(question.models)
    ]
    columns = list(zip(question.labels, question.kinds, lenses, strict=True))
    tables = "".join(
        f"{model_heading(label, kind, count=len(columns))}{_sentence(lens)}{_table(lens, kind)}"
        for label, kind, lens in columns
    )
    series = [Series(label, kind, [float(layer.answer_rank) for layer in lens.layers]) for label, kind, lens in columns]
    longest = max((lens.layers for lens in lenses), key=len)
    figure = rank_figure([layer.name for layer in longest], series, answers=[lens.answer for lens in lenses])
    return [tables, gr.Plot(figure)]


def _sentence(lens: LayerLens) -> str:
    """From which layer on the answer leads."""
    led = len(lens.layers)
    while led and lens.layers[led - 1].answer_rank == 1:
        led -= 1
    if led == len(lens.layers):
        return said(f"“{lens.answer}” ends at rank {lens.layers[-1].answer_rank:,}.")
    return said(f"“{lens.answer}” is the first guess from {lens.layers[led].name} on.")


def _table(lens: LayerLens, kind: str) -> str:
    heads = "".join(f'<th scope="col">{place}</th>' for place in range(1, len(lens.layers[0].candidates) + 1))
    heads = f'<th scope="col">layer</th><th scope="col">rank of “{visible(lens.answer)}”</th>{heads}'
    most = max(layer.candidates[0].probability for layer in lens.layers)
    rows = "".join(_row(layer, lens, most=most) for layer in lens.layers)
    return (
        '<div class="bars-scroll" tabindex="0" role="region" aria-label="First guesses by layer">'
        f'<table class="lens {kind}"><caption>First guesses by layer; the last row is the real answer</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _row(layer: LensLayer, lens: LayerLens, *, most: float) -> str:
    """One layer; ``most`` is the probability that is shaded darkest."""
    cells = "".join(
        f'<td style="--shade:{100 * candidate.probability / most:.0f}%" '
        f'class="{"answer" if candidate.token_id == lens.answer_id else ""}"><bdi>{visible(candidate.token)}</bdi> '
        f"<small>{percent(candidate.probability)}</small></td>"
        for candidate in layer.candidates
    )
    name = f"{escape(layer.name)}{' = answer' if layer is lens.layers[-1] else ''}"
    return f'<tr><th scope="row">{name}</th><td class="lens-rank">{layer.answer_rank:,}</td>{cells}</tr>'


VIEW = View(
    name="Layer by layer",
    line="What the model would say if it stopped after each layer; early ones were never trained to be read this way.",
    build=build,
    show=show,
)
