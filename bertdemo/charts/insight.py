"""Inside one prediction: what each word did to it, how it forms by layer, and where its mask looked.

Figures of plain values; no model and no page. They are transparent and their colours hold on white and on dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from .palette import BASE, GRID, MODEL_COLORS, TEXT, plain

_NOTHING = "rgba(128, 140, 160, 0.08)"
_DASHES = {"base": "solid", "tuned": "dash"}
_SYMBOLS = {
    "base": ("circle", "square", "triangle-up", "x", "hexagon"),
    "tuned": ("diamond", "cross", "triangle-down", "star", "bowtie"),
}
_BAR, _ROW, _LEGEND_LINE = 30, 34, 22  # px


@dataclass(frozen=True)
class Series:
    """One model's numbers, in the order of the names they belong to; ``kind`` is "base" or "tuned"."""

    label: str
    kind: str
    values: Sequence[float]


def erasure_figure(words: Sequence[str], series: Sequence[Series]) -> go.Figure:
    """Signed bars, a row a word in the order of the text: how often the answer halved (left) or doubled (right)."""
    names = [f"{place}" for place in range(len(words))]  # two equal words are two rows
    bars = [
        go.Bar(
            x=list(one.values),
            y=names,
            orientation="h",
            name=plain(one.label, most=28),
            marker={"color": MODEL_COLORS[one.kind]},
            customdata=[plain(word) for word in words],
            hovertemplate="without “%{customdata}”: %{x:+.2f} bits<extra>%{fullData.name}</extra>",
        )
        for one in series
    ]
    rows = {"tickvals": names, "ticktext": [plain(word) for word in words], "autorange": "reversed"}
    layout = _layout(height=70 + _BAR * len(words) * max(1, len(series)), legend=len(series) > 1)
    layout["xaxis"] = {**_axis("change in bits"), "zeroline": True}
    layout["xaxis"] |= {"zerolinecolor": TEXT, "zerolinewidth": 2}
    layout["yaxis"] = {**_axis(""), **rows, "showgrid": False}
    return go.Figure(bars, layout)


def rank_figure(layers: Sequence[str], series: Sequence[Series], *, answers: Sequence[str]) -> go.Figure:
    """An answer's rank layer by layer; 1 is on top, the scale is logarithmic. One answer a series.

    A model may have several: the pieces of a word, in their order.
    """
    kinds = [one.kind for one in series]
    symbols = [_SYMBOLS[kind][kinds[:place].count(kind) % 5] for place, kind in enumerate(kinds)]
    lines = [
        go.Scatter(
            x=list(layers)[: len(one.values)],
            y=list(one.values),
            mode="lines+markers",
            name=f"{plain(answer)} ({plain(one.label, most=20)})",
            line={"color": MODEL_COLORS[one.kind], "width": 3, "dash": _DASHES[one.kind]},
            marker={"size": 10, "symbol": symbol},
            hovertemplate="%{x}: rank %{y:,d}<extra>%{fullData.name}</extra>",
        )
        for one, answer, symbol in zip(series, answers, symbols, strict=True)
    ]
    top = max([max(one.values, default=1.0) for one in series], default=1.0)
    layout = _layout(height=280 + _LEGEND_LINE * max(0, len(lines) - 2), legend=True)  # names in a column on a phone
    layout["xaxis"] = {**_axis(""), "showgrid": False}
    ends = [np.log10(top * 1.6), -0.12]
    layout["yaxis"] = {**_axis("rank"), "type": "log", "range": ends, "tickformat": ",d", "dtick": 1}
    return go.Figure(lines, layout)


def attention_figure(tokens: Sequence[str], weights: NDArray[np.float32]) -> go.Figure:
    """weights (layers, T), a row a layer: how much of the mask's attention lay on each token."""
    layers = [f"layer {number}" for number in range(1, len(weights) + 1)]
    cells = go.Heatmap(
        z=np.asarray(weights, dtype=np.float64).round(5).tolist(),
        x=list(range(len(tokens))),
        y=layers,
        customdata=[[plain(token) for token in tokens]] * len(layers),
        colorscale=[[0, _NOTHING], [1, BASE]],
        zmin=0,
        xgap=2,
        ygap=2,
        showscale=False,
        hovertemplate="%{y} on “%{customdata}”: %{z:.1%}<extra></extra>",
    )
    layout = _layout(height=90 + _ROW * len(layers), legend=False)
    names = {"tickvals": list(range(len(tokens))), "ticktext": [plain(token, most=12) for token in tokens]}
    names |= {"tickfont": {"size": 13}}
    layout["xaxis"] = {**_axis(""), **names, "showgrid": False, "side": "top"}
    layout["yaxis"] = {**_axis(""), "showgrid": False, "autorange": "reversed"}
    layout["margin"] |= {"t": 40, "b": 10}
    return go.Figure(cells, layout)


def _axis(title: str) -> dict[str, Any]:
    axis = {"gridcolor": GRID, "zeroline": False, "fixedrange": True, "automargin": True, "ticks": ""}
    return {**axis, "title": {"text": title, "standoff": 8}} if title else axis


def _layout(*, height: int, legend: bool) -> dict[str, Any]:
    return {
        "template": "none",
        "height": height,
        "margin": {"l": 60, "r": 12, "t": 36 if legend else 12, "b": 56},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"size": 14, "color": TEXT},
        "showlegend": legend,
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "itemclick": False},
        "dragmode": False,
        "hovermode": "closest",
        "bargap": 0.3,
    }
