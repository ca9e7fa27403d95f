"""'Layer by layer': the model's own head on every layer at the blank, and the final answer's way up."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import gradio as gr

from bertdemo.charts.insight import Series, rank_figure
from bertdemo.mlm.analysis.layer_lens import LayerLens, LensLayer, layer_lens, lens_by_piece
from bertdemo.mlm.wording import percent

from ..markup import model_heading, quiet, said, visible
from ..plot import figure, figure_value
from ..question import Question
from .view import Shown, View, result_html

WORDS = 5


class LayerByLayer(View):
    name = "Layer by layer"
    line = "What the model would say if it stopped after each layer; early ones were never trained to be read this way."

    def __init__(self) -> None:
        word = gr.Textbox("", label="Follow the word", placeholder="the final answer", max_lines=1, elem_id="lens-word")
        self.tables = result_html()
        self.picture = figure(elem_classes=["look-result"])
        self.controls = {"word": word}
        self.outputs = [self.tables, self.picture]

    def show(self, question: Question, *, word: str) -> Shown:
        columns: list[tuple[str, str, tuple[LayerLens, ...]]] = []
        for number, (label, kind) in enumerate(zip(question.labels, question.kinds, strict=True)):
            first = columns[0][2][0].answer_id if columns else None
            columns.append((label, kind, _lenses(question, number, (word or "").strip(), first=first)))
        tables = "".join(
            f"{model_heading(label, kind, count=len(columns))}{_word(lenses, kind)}" for label, kind, lenses in columns
        )
        lines = [(label, kind, lens) for label, kind, lenses in columns for lens in lenses]
        series = [
            Series(label, kind, [float(layer.answer_rank) for layer in lens.layers]) for label, kind, lens in lines
        ]
        longest = max((lens.layers for _, _, lens in lines), key=len)
        answers = [lens.answer for _, _, lens in lines]
        drawn = rank_figure([layer.name for layer in longest], series, answers=answers)
        label = f"Lines: the rank of {', '.join(dict.fromkeys(answers))} layer by layer; rank 1 is on top"
        return {self.tables: tables, self.picture: figure_value(drawn, label=label, file="layer-by-layer")}


def _lenses(question: Question, number: int, word: str, *, first: int | None) -> tuple[LayerLens, ...]:
    """One lens, or one for each piece of the reader's word; else both models follow the ``first`` one's answer."""
    model, prepared = question.models[number], question.read_by(number)
    if word:
        return lens_by_piece(model, prepared, word, mask_index=question.blank, top_k=WORDS)
    same = first if first is not None and question.same_ids(number, first) else None
    return (layer_lens(model, prepared, mask_index=question.blank, top_k=WORDS, word=same),)


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
    return f"{quiet(explained)}{parts}"


def _led(lens: LayerLens) -> str:
    """From which layer on the answer leads."""
    led = len(lens.layers)
    while led and lens.layers[led - 1].answer_rank == 1:
        led -= 1
    if led == len(lens.layers):
        return f"“{lens.answer}” ends at rank {lens.layers[-1].answer_rank:,}."
    return f"“{lens.answer}” is the first guess from {lens.layers[led].name} on."


def _table(lens: LayerLens, kind: str) -> str:
    """A heat map with words in it, which is why it is none of the page's plain tables."""
    heads = "".join(f'<th scope="col">{place}</th>' for place in range(1, len(lens.layers[0].candidates) + 1))
    heads = f'<th scope="col">layer</th><th scope="col">rank of “{visible(lens.answer)}”</th>{heads}'
    most = max(layer.candidates[0].probability for layer in lens.layers)
    rows = "".join(_row(layer, lens, most=most) for layer in lens.layers)
    return (
        '<p class="quiet">First guesses by layer; the last row is the real answer.</p>'
        '<div class="table-scroll" tabindex="0" role="region" aria-label="First guesses by layer">'
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
