"""Inside one prediction: what each word did to it, how it forms by layer, and where its mask looked.

Figures of plain values; no model and no page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from bertdemo.mlm.wording import fine_percent

from .look import MODEL_COLORS, TEXT, axis, layout, plain

_NOTHING = "rgba(128, 140, 160, 0.08)"
_DASHES = {"base": "solid", "tuned": "dash"}
_SYMBOLS = {
    "base": ("circle", "square", "triangle-up", "x", "hexagon"),
    "tuned": ("diamond", "cross", "triangle-down", "star", "bowtie"),
}
_BAR, _ROW, _COLUMN, _LEGEND_LINE = 30, 34, 20, 22  # px
_LONGEST_TOKEN = 12  # characters of a word over a column


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
    rows: dict[str, Any] = {"tickvals": names, "ticktext": [plain(word) for word in words], "autorange": "reversed"}
    height = 70 + _BAR * len(words) * max(1, len(series)) + _LEGEND_LINE * max(0, len(series) - 1)
    drawn = layout(height=height, legend=len(series) > 1, bargap=0.3)
    drawn["xaxis"] = axis("change in bits", zeroline=True, zerolinecolor=TEXT, zerolinewidth=2, nticks=6)
    drawn["yaxis"] = axis(**rows, showgrid=False)
    return go.Figure(bars, drawn)


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
    drawn = layout(height=280 + _LEGEND_LINE * (len(lines) - 1), legend=True)  # names in a column on a phone
    drawn["margin"] |= {"t": 14 + _LEGEND_LINE * len(lines)}
    drawn["xaxis"] = axis(showgrid=False)
    ends = [np.log10(top * 1.6), -0.12]
    drawn["yaxis"] = axis("rank", type="log", range=ends, tickformat=",d", dtick=1)
    return go.Figure(lines, drawn)


def attention_figure(tokens: Sequence[str], weights: NDArray[np.float32], *, kind: str = "base") -> go.Figure:
    """weights (layers, T), a row a layer: how much of the mask's attention lay on each token."""
    layers = [f"{number}" for number in range(1, len(weights) + 1)]
    names = [plain(token) for token in tokens]
    shares = [[[name, fine_percent(float(share))] for name, share in zip(names, row, strict=True)] for row in weights]
    cells = go.Heatmap(
        z=np.asarray(weights, dtype=np.float64).round(5).tolist(),
        x=list(range(len(tokens))),
        y=layers,
        customdata=shares,
        colorscale=[[0, _NOTHING], [1, MODEL_COLORS[kind]]],
        zmin=0,
        xgap=2,
        ygap=2,
        showscale=False,
        hovertemplate="layer %{y} on “%{customdata[0]}”: %{customdata[1]}<extra></extra>",
    )
    longest = max((len(token) for token in tokens), default=1)
    above = 16 + 8 * min(longest, _LONGEST_TOKEN)  # px: the words stand upright, so that none is drawn over another
    drawn = layout(height=above + 20 + _ROW * len(layers), legend=False)
    named = [plain(token, most=_LONGEST_TOKEN) for token in tokens]
    words: dict[str, Any] = {"tickvals": list(range(len(tokens))), "ticktext": named}
    drawn["xaxis"] = axis(**words, tickangle=-90, tickfont={"size": 13}, showgrid=False, side="top")
    drawn["yaxis"] = axis("layer", type="category", showgrid=False, autorange="reversed")
    drawn["margin"] |= {"t": above, "b": 10}
    drawn["width"] = 76 + _COLUMN * len(tokens)  # as wide as its words need: a narrow page scrolls it
    return go.Figure(cells, drawn)
