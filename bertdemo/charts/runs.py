"""Several training runs in one figure: their smoothed training losses as lines, their held-out losses as markers.

Takes values, returns a Plotly figure that reads on light and on dark pages. Knows no run on disk and no page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from bertdemo.mlm.training.events import TrainingHistory

from .look import axis, layout, plain, smoothed, thinned

LONGEST_NAME = 40  # characters of a run's name
_LEGEND_LINE = 24  # px
_LOOKS = (  # colour, dash and marker: never colour alone
    ("#c2620f", "solid", "circle"),
    ("#4f79bd", "dash", "diamond"),
    ("#12877a", "dot", "square"),
    ("#a05fb5", "dashdot", "triangle-up"),
    ("#c0436a", "longdash", "cross"),
    ("#7d8520", "longdashdot", "x"),
)


@dataclass(frozen=True)
class RunSeries:
    """One run: the loss of each step, None where it was no number, and (step, loss) of each held-out evaluation."""

    name: str
    steps: Sequence[int]
    losses: Sequence[float | None]
    held_out: Sequence[tuple[int, float]] = ()

    @classmethod
    def of(cls, name: str, history: TrainingHistory) -> RunSeries:
        held_out = [(record["step"], record["loss"]) for record in history.evaluated if record["loss"] is not None]
        return cls(name, history.steps, history.losses, held_out)


def overlay_figure(runs: Sequence[RunSeries]) -> go.Figure:
    """The runs over each other, by step; runs beyond the sixth repeat the first looks."""
    figure = go.Figure()
    for number, run in enumerate(runs):
        colour, dash, symbol = _LOOKS[number % len(_LOOKS)]
        name, group = plain(run.name, most=LONGEST_NAME), str(number)
        steps, losses = thinned(run.steps, smoothed(run.losses))
        line = {"color": colour, "dash": dash, "width": 2.5}
        figure.add_scatter(
            x=steps, y=losses, name=name, legendgroup=group, mode="lines", line=line, hovertemplate="%{y:.3f} training"
        )
        figure.add_scatter(
            x=[step for step, _ in run.held_out],
            y=[loss for _, loss in run.held_out],
            **{"name": name, "legendgroup": group, "showlegend": False, "mode": "markers"},
            marker={"color": colour, "symbol": symbol, "size": 11},
            hovertemplate="%{y:.3f} held out",
        )
    above = 14 + _LEGEND_LINE * len(runs)  # names in a column on a phone
    drawn = layout(height=340 + above, legend=True, xaxis=axis("step"), yaxis=axis("loss (nats)"))
    drawn["margin"] |= {"t": above}
    return figure.update_layout({**drawn, "hovermode": "x unified"})
