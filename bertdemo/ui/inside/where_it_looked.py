"""'Where it looked': the blank's attention over the words, by layer and head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr
import numpy as np
import pandas as pd

from bertdemo.charts.insight import attention_figure
from bertdemo.mlm.analysis.attention_maps import AttentionView, MaskAttention, attention_from_mask
from bertdemo.mlm.wording import percent

from ..markup import ShadedWord, model_heading, quiet, shaded_words, table
from ..plot import figure, figure_value
from ..question import Question
from ..services import unchecked
from .view import Shown, View, folded, result_html

MEAN = "mean of all"


class WhereItLooked(View):
    name = "Where it looked"
    line = (
        "How the blank's attention spread over the text, by layer and head: where it looked, not why. "
        "Compare it with “Why this word?”."
    )

    def __init__(self) -> None:
        with gr.Row(elem_classes="look-controls"):
            self.layer, self.head = (
                unchecked(
                    gr.Dropdown([MEAN], value=MEAN, label=name, min_width=150, elem_id=f"attention-{name.lower()}")
                )
                for name in ("Layer", "Head")
            )
            hidden = gr.Checkbox(False, label="Hide special tokens", min_width=150)
            renormalised = gr.Checkbox(False, label="Make the rest add up to 100%", min_width=150)
        self.strips = result_html()
        self.pictures = []
        self.captions = []
        for _ in range(2):
            self.captions.append(result_html())
            self.pictures.append(figure(elem_classes=["look-result"]))
        fold, self.rows = folded("As a table")
        self.controls = {
            "layer": self.layer,
            "head": self.head,
            "hidden": hidden,
            "renormalised": renormalised,
            "rows_open": fold.opened,
        }
        self.outputs = [self.layer, self.head, self.strips, *self.captions, *self.pictures, self.rows]
        self.folds = [fold]

    def show(
        self, question: Question, *, layer: str, head: str, hidden: bool, renormalised: bool, rows_open: bool = True
    ) -> Shown:
        looks = [
            attention_from_mask(model, question.read_by(number), mask_index=question.blank)
            for number, model in enumerate(question.models)
        ]
        layers, heads = (min(look.weights.shape[axis] for look in looks) for axis in (0, 1))
        chosen_layer, chosen_head = _chosen(layer, layers), _chosen(head, heads)
        settings: dict[str, Any] = {
            "head": chosen_head,
            "hide_special": bool(hidden),
            "renormalise": bool(hidden and renormalised),
        }
        views = [look.view(layer=chosen_layer, **settings) for look in looks]
        columns = list(zip(question.labels, question.kinds, looks, views, strict=True))
        strips = "".join(
            f"{model_heading(label, kind, count=len(columns))}{_strip(look, view, kind, renormalised=renormalised)}"
            for label, kind, look, view in columns
        )
        shown: Shown = {
            self.layer: _choice(layers, chosen_layer),
            self.head: _choice(heads, chosen_head),
            self.strips: strips,
            **dict.fromkeys(self.captions, ""),
            **dict.fromkeys(self.pictures),
        }
        heads_shown = "mean of all heads" if chosen_head is None else f"head {chosen_head + 1}"
        for caption, picture, (label, kind, look, _) in zip(self.captions, self.pictures, columns, strict=False):
            whose = f" of {label}" if len(columns) > 1 else ""
            shown[caption] = quiet(f"All {len(look.weights)} layers{whose}, one a row; {heads_shown}.")
            shown[picture] = _figure(look, label, kind, settings)
        if rows_open:
            shown[self.rows] = "".join(_table(label, look, view) for label, _, look, view in columns)
        return shown


def _figure(look: MaskAttention, label: str, kind: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    kept = [place for place, special in enumerate(look.special) if not (settings["hide_special"] and special)]
    rows = [look.view(layer=number, **settings).weights[kept] for number in range(len(look.weights))]
    drawn = attention_figure([look.prepared.tokens[place] for place in kept], np.stack(rows), kind=kind)
    words = f"Heat map: the share of the attention of {label} on each word, a row a layer"
    return figure_value(drawn, label=words, file="where-it-looked")


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
    return f"{shaded_words(shaded, label='Share of the attention on each token', kind=kind)}{quiet(sentence)}"


def _table(label: str, look: MaskAttention, view: AttentionView) -> str:
    frame = pd.DataFrame({"token": look.prepared.tokens, "share": view.weights.astype(float)})
    return table(frame, label=label, caption=label, formats={"share": percent})
