"""The curves of the lessons: a usual training and one with a slip, over the same axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from .look import HELD_OUT, WRONG, axis, layout, plain

_LOOKS = {"usual": (HELD_OUT, "solid"), "slip": (WRONG, "dash")}


@dataclass(frozen=True)
class Line:
    """One line: its name, whether it is the "usual" training or the "slip", its points, and whether to mark them."""

    name: str
    kind: str
    xs: Sequence[float]
    ys: Sequence[float | None]
    marked: bool = False


def lines_figure(lines: Sequence[Line], *, title: str, from_zero: bool = False) -> go.Figure:
    """Lines by step; ``from_zero`` begins the scale of the loss there, so that heights can be compared."""
    drawn = [
        go.Scatter(
            x=list(line.xs),
            y=list(line.ys),
            name=plain(line.name, most=40),
            mode="lines+markers" if line.marked else "lines",
            line={"color": _LOOKS[line.kind][0], "dash": _LOOKS[line.kind][1], "width": 2.5},
            marker={"size": 8},
            hovertemplate="step %{x}: %{y:.2f}<extra>%{fullData.name}</extra>",
        )
        for line in lines
    ]
    style = layout(height=260, legend=False, xaxis=axis("step"), yaxis=axis())
    style["title"] = {"text": f"<b>{plain(title, most=60)}</b>", "x": 0, "font": {"size": 15}}
    style["margin"] |= {"l": 44, "t": 40}
    style["yaxis"]["rangemode"] = "tozero" if from_zero else "normal"
    return go.Figure(drawn, style)
