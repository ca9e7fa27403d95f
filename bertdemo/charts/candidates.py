"""The answer of fill-mask as a picture to keep: a bar a word for one model, two joined dots for before and after.

Knows plain values and Plotly, no model and no page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from .palette import GRID, MODEL_COLORS, plain

_ROW, _MARGIN = 34, 120  # px
_LINK = "rgba(128, 140, 160, 0.8)"
_MAX_TEXT = 90  # characters of the sentence above the picture


@dataclass(frozen=True)
class WordProbabilities:
    """A word, and its probability in each model."""

    word: str
    probabilities: tuple[float, ...]


def candidates_figure(
    text: str, blanks: Sequence[tuple[str, Sequence[WordProbabilities]]], *, labels: Sequence[str], kinds: Sequence[str]
) -> go.Figure:
    """``blanks``: a title ("" where there is one blank) and its words, in the order to show them; one or two models."""
    rows = [
        row for title, words in blanks for row in [*([(title, None)] if title else []), *((w.word, w) for w in words)]
    ]
    names = [f"<b>{plain(name)}</b>" if probabilities is None else plain(name) for name, probabilities in rows]
    drawn = [
        (place, probabilities.probabilities)
        for place, (_, probabilities) in enumerate(rows)
        if probabilities is not None
    ]
    draw = _bars if len(labels) == 1 else _dots
    layout = _layout(text, names=names, legend=len(labels) > 1)
    return go.Figure(draw(drawn, labels, kinds), layout)


def _bars(drawn: list[tuple[int, tuple[float, ...]]], labels: Sequence[str], kinds: Sequence[str]) -> list[go.Bar]:
    x, y = [probabilities[0] for _, probabilities in drawn], [place for place, _ in drawn]
    written = {"text": [f"{chance:.1%}" for chance in x], "textposition": "outside", "cliponaxis": False}
    return [
        go.Bar(x=x, y=y, orientation="h", name=plain(labels[0]), marker={"color": MODEL_COLORS[kinds[0]]}, **written)
    ]


def _dots(drawn: list[tuple[int, tuple[float, ...]]], labels: Sequence[str], kinds: Sequence[str]) -> list[go.Scatter]:
    """A line a word from before to after, and under it two traces of dots."""
    y = [place for place, _ in drawn]
    link_x = [x for _, probabilities in drawn for x in (*probabilities, None)]
    link_y = [value for place in y for value in (place, place, None)]
    link = go.Scatter(x=link_x, y=link_y, mode="lines", line={"color": _LINK, "width": 3}, showlegend=False)
    sides = [
        go.Scatter(
            x=[probabilities[number] for _, probabilities in drawn],
            y=y,
            mode="markers",
            name=plain(label, most=28),
            marker={
                "size": 13,
                "color": MODEL_COLORS[kind],
                "symbol": ("circle-open", "circle")[number],
                "line": {"width": 3, "color": MODEL_COLORS[kind]},
            },
        )
        for number, (label, kind) in enumerate(zip(labels, kinds, strict=True))
    ]
    return [link, *sides]


def _layout(text: str, *, names: Sequence[str], legend: bool) -> dict[str, Any]:
    axis = {"gridcolor": GRID, "zeroline": False, "automargin": True}
    axis |= {"ticks": "outside", "ticklen": 6, "tickcolor": "rgba(0,0,0,0)"}  # room between a name and its bar
    return {
        "template": "none",
        "height": _MARGIN + _ROW * len(names),
        "title": {"text": plain(text, most=_MAX_TEXT), "x": 0.02, "font": {"size": 18}},
        "margin": {"l": 90, "r": 70, "t": 90 if legend else 60, "b": 45},
        "font": {"size": 15},
        "showlegend": legend,
        "legend": {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom"},
        "bargap": 0.35,
        "xaxis": {**axis, "tickformat": ".0%", "rangemode": "tozero"},
        "yaxis": {
            **axis,
            "tickvals": list(range(len(names))),
            "ticktext": list(names),
            "range": [len(names) - 0.4, -0.6],
            "showgrid": False,
        },
    }
