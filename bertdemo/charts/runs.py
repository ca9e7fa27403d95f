"""Several training runs in one figure: their smoothed training losses as lines, their held-out losses as markers.

Takes values, returns a Plotly figure that reads on light and on dark pages. Knows no run on disk and no page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from .palette import FONT

MOST_POINTS = 400  # of one curve: more cannot be told apart on a screen
SMOOTHED_SHARE, FEWEST_SMOOTHED = 0.05, 8  # of a run's steps, averaged into each point
GRID, TEXT = "rgba(128, 136, 150, 0.35)", "#7a8494"  # 4:1 or so on white and on the dark page alike
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


def overlay_figure(runs: Sequence[RunSeries]) -> go.Figure:
    """The runs over each other, by step; runs beyond the sixth repeat the first looks."""
    figure = go.Figure()
    for number, run in enumerate(runs):
        colour, dash, symbol = _LOOKS[number % len(_LOOKS)]
        name, group = _plain(run.name), str(number)
        window = max(FEWEST_SMOOTHED, round(len(run.losses) * SMOOTHED_SHARE))
        steps, losses = thinned(run.steps, smoothed(run.losses, window=window))
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
    return figure.update_layout(_layout())


def smoothed(losses: Sequence[float | None], *, window: int) -> list[float | None]:
    """The mean of each value and those up to ``window`` - 1 before it; None where none of them is known.

    >>> smoothed([4.0, 2.0, None, 1.0], window=2)
    [4.0, 3.0, 2.0, 1.0]
    """
    means: list[float | None] = []
    total, count = 0.0, 0
    for end, loss in enumerate(losses):
        gone = losses[end - window] if end >= window else None
        total += (loss or 0.0) - (gone or 0.0)
        count += (loss is not None) - (gone is not None)
        means.append(total / count if count else None)
    return means


def thinned(steps: Sequence[int], losses: Sequence[float | None]) -> tuple[list[int], list[float | None]]:
    """At most ``MOST_POINTS`` of the points, evenly, the last among them."""
    size = -(-len(steps) // MOST_POINTS) or 1
    places = range((len(steps) - 1) % size, len(steps), size) if steps else range(0)
    return [steps[place] for place in places], [_rounded(losses[place]) for place in places]


def _rounded(loss: float | None) -> float | None:
    return None if loss is None else round(loss, 4)


def _plain(name: str) -> str:
    """Plotly reads some HTML in names: none of it is left."""
    return name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _layout() -> dict[str, object]:
    axis = {"gridcolor": GRID, "zeroline": False, "linecolor": GRID}
    return {
        "template": "none",
        "height": 380,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "color": TEXT, "size": 14},
        "margin": {"l": 56, "r": 16, "t": 8, "b": 48},
        "hovermode": "x unified",
        "showlegend": True,  # a single run, too, is named
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "xaxis": {**axis, "title": {"text": "step"}},
        "yaxis": {**axis, "title": {"text": "loss (nats)"}},
    }
