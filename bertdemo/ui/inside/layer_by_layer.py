"""'Layer by layer': the model's own head on every layer at the blank, and the final answer's way up."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import gradio as gr

from bertdemo.charts.insight import Series, rank_figure
from bertdemo.mlm.analysis.layer_lens import LayerLens, LensLayer, layer_lens, lens_by_piece

from ..fill.candidate_bars import percent, visible
from ..plot import figure, figure_value
from .view import Parts, Question, View, said
from .word_strip import model_heading

WORDS = 5


def build() -> Parts:
    word = gr.Textbox("", label="Follow the word", placeholder="the final answer", max_lines=1, elem_id="lens-word")
    tables = gr.HTML(apply_default_css=False, elem_classes="look-result")
    picture = figure(elem_classes=["look-plot", "look-result"])
    return Parts([word], [tables, picture])


def show(question: Question, word: str) -> Sequence[object]:
    columns = [
        (label, kind, _lenses(question, number, (word or "").strip()))
        for number, (label, kind) in enumerate(zip(question.labels, question.kinds, strict=True))
    ]
    tables = "".join(
        f"{model_heading(label, kind, count=len(columns))}{_word(lenses, kind)}" for label, kind, lenses in columns
    )
    lines = [(label, kind, lens) for label, kind, lenses in columns for lens in lenses]
    series = [Series(label, kind, [float(layer.answer_rank) for layer in lens.layers]) for label, kind, lens in lines]
    longest = max((lens.layers for _, _, lens in lines), key=len)
    answers = [lens.answer for _, _, lens in lines]
    drawn = rank_figure([layer.name for layer in longest], series, answers=answers)
    label = f"Lines: the rank of {', '.join(dict.fromkeys(answers))} layer by layer; rank 1 is on top"
    return [tables, figure_value(drawn, label=label, file="layer-by-layer")]


def _lenses(question: Question, number: int, word: str) -> tuple[LayerLens, ...]:
    """One lens, or one for each piece of the reader's word."""
    model, prepared = question.models[number], question.read_by(number)
    if word:
        return lens_by_piece(model, prepared, word, mask_index=question.blank, top_k=WORDS)
    return (layer_lens(model, prepared, mask_index=question.blank, top_k=WORDS),)


def _word(lenses: Sequence[LayerLens], kind: str) -> str:
    """The tables of a word, piece after piece."""
    if len(lenses) == 1:
        return f"{said(_led(lenses[0]))}{_table(lenses[0], kind)}"
    pieces = " ".join(lens.answer for lens in lenses)
    explained = (
        f"{pieces}: {len(lenses)} pieces, read one after the other; each is given those before it, and those behind it "
        "are blank. That is a different question from one piece."
    )
    parts = "".join(
        f"<details class='lens-piece'><summary>Piece {place} of {len(lenses)}: {escape(_led(lens))}</summary>"
        f"{_table(lens, kind)}</details>"
        for place, lens in enumerate(lenses, start=1)
    )
    return f"<p class='quiet'>{escape(explained)}</p>{parts}"


def _led(lens: LayerLens) -> str:
    """From which layer on the answer leads."""
    led = len(lens.layers)
    while led and lens.layers[led - 1].answer_rank == 1:
        led -= 1
    if led == len(lens.layers):
        return f"“{lens.answer}” ends at rank {lens.layers[-1].answer_rank:,}."
    return f"“{lens.answer}” is the first guess from {lens.layers[led].name} on."


def _table(lens: LayerLens, kind: str) -> str:
    heads = "".join(f'<th scope="col">{place}</th>' for place in range(1, len(lens.layers[0].candidates) + 1))
    heads = f'<th scope="col">layer</th><th scope="col">rank of “{visible(lens.answer)}”</th>{heads}'
    most = max(layer.candidates[0].probability for layer in lens.layers)
    rows = "".join(_row(layer, lens, most=most) for layer in lens.layers)
    return (
        '<p class="lens-what">First guesses by layer; the last row is the real answer.</p>'
        '<div class="bars-scroll" tabindex="0" role="region" aria-label="First guesses by layer">'
        f'<table class="lens {kind}">'
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
