"""'Where it looked': the blank's attention over the words, by layer and head."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import gradio as gr
import numpy as np

from bertdemo.charts.insight import attention_figure
from bertdemo.mlm.analysis.attention_maps import AttentionView, MaskAttention, attention_from_mask

from ..fill.candidate_bars import percent
from ..plot import figure, figure_value
from ..services import unchecked
from .view import Parts, Question, View
from .word_strip import ShadedWord, model_heading, table, word_strip

MEAN = "mean of all"


def build() -> Parts:
    with gr.Row(elem_classes="look-controls"):
        layer = unchecked(gr.Dropdown([MEAN], value=MEAN, label="Layer", min_width=150, elem_id="attention-layer"))
        head = unchecked(gr.Dropdown([MEAN], value=MEAN, label="Head", min_width=150, elem_id="attention-head"))
        hidden = gr.Checkbox(False, label="Hide special tokens", min_width=150)
        renormalised = gr.Checkbox(False, label="Make the rest add up to 100%", min_width=150)
    strips = gr.HTML(apply_default_css=False, elem_classes="look-result")
    about = gr.HTML(apply_default_css=False, elem_classes="look-result")
    picture = figure(elem_classes=["look-plot", "look-result"])
    with gr.Accordion("As a table", open=False):
        rows = gr.HTML(apply_default_css=False, elem_classes="look-result")
    return Parts([layer, head, hidden, renormalised], [layer, head, strips, about, picture, rows])


def show(question: Question, layer: str, head: str, hidden: bool, renormalised: bool) -> Sequence[object]:
    looks = [
        attention_from_mask(model, question.read_by(number), mask_index=question.blank)
        for number, model in enumerate(question.models)
    ]
    layers, heads = (min(look.weights.shape[axis] for look in looks) for axis in (0, 1))
    chosen_layer, chosen_head = _chosen(layer, layers), _chosen(head, heads)
    settings = {"head": chosen_head, "hide_special": bool(hidden), "renormalise": bool(hidden and renormalised)}
    views = [look.view(layer=chosen_layer, **settings) for look in looks]
    columns = list(zip(question.labels, question.kinds, looks, views, strict=True))
    strips = "".join(
        f"{model_heading(label, kind, count=len(columns))}{_strip(look, view, kind, renormalised=renormalised)}"
        for label, kind, look, view in columns
    )
    kept = [place for place, special in enumerate(looks[0].special) if not (hidden and special)]
    by_layer = np.stack([looks[0].view(layer=number, **settings).weights[kept] for number in range(layers)])
    drawn = attention_figure([looks[0].prepared.tokens[place] for place in kept], by_layer)
    label = f"Heat map: the share of the attention of {question.labels[0]} on each word, a row a layer"
    tables = "".join(_table(label, look, view) for label, _, look, view in columns)
    return [
        _choice(layers, chosen_layer),
        _choice(heads, chosen_head),
        strips,
        f"<p class='lens-what'>{escape(_about(question.labels, layers, head=chosen_head))}</p>",
        figure_value(drawn, label=label, file="where-it-looked"),
        tables,
    ]


def _about(labels: Sequence[str], layers: int, *, head: int | None) -> str:
    """What the picture shows: it has all layers at once, and of two models the first."""
    heads = "mean of all heads" if head is None else f"head {head + 1}"
    whose = f" of {labels[0]}" if len(labels) > 1 else ""
    return f"All {layers} layers{whose}, one a row; {heads}."


def _chosen(value: str | None, count: int) -> int | None:
    """'3' -> 2; None for the mean, and for a number that another model had."""
    return int(value) - 1 if value and value.isascii() and value.isdigit() and 1 <= int(value) <= count else None


def _choice(count: int, chosen: int | None) -> gr.Dropdown:
    names = [MEAN, *map(str, range(1, count + 1))]
    return gr.Dropdown(choices=names, value=MEAN if chosen is None else str(chosen + 1))


def _strip(look: MaskAttention, view: AttentionView, kind: str, *, renormalised: bool) -> str:
    words, tokens = look.prepared.word_ids, look.prepared.tokens
    most = float(view.weights.max()) or 1.0
    shaded = [
        ShadedWord(
            token,
            float(weight) / most,
            percent(float(weight)),
            f"{token}: {percent(float(weight))}",
            joined=bool(place) and words[place] is not None and words[place] == words[place - 1],
        )
        for place, (token, weight) in enumerate(zip(tokens, view.weights, strict=True))
        if not (view.hidden_share and look.special[place])
    ]
    sentence = "Shares of all attention; they add up to 100%."
    if view.hidden_share:
        rest = "the rest was made to add up to 100%" if renormalised else "the rest is as it was"
        sentence = f"{percent(view.hidden_share)} lay on special tokens, which are hidden; {rest}."
    return (
        f"{word_strip(shaded, label='Share of the attention on each token', kind=kind)}<p class='quiet'>{sentence}</p>"
    )


def _table(label: str, look: MaskAttention, view: AttentionView) -> str:
    rows = [[token, percent(float(weight))] for token, weight in zip(look.prepared.tokens, view.weights, strict=True)]
    return table(["token", "share"], rows, caption=label)


VIEW = View(
    name="Where it looked",
    line="How the blank's attention spread over the text, by layer and head: where it looked, not why. "
    "Compare it with “Why this word?”.",
    build=build,
    show=show,
)
