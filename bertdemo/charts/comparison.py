"""The whole vocabulary at one mask: every word a point, its probability before across and after upward.

Knows the values of a comparison and Plotly, no model and no page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from bertdemo.mlm.analysis.compare import ComparedCandidate, MaskComparison
from bertdemo.mlm.wording import fine_percent

from .look import BASE, OTHERS, TUNED, axis, layout, plain

MAX_POINTS = 2_000  # sent to the page, the movers aside
HEAD = 500  # of each model's most probable words, always among them
MAX_NAMED = 8  # movers with a name in the picture, on each side of the diagonal

_HEIGHT, _PLOT_HEIGHT, _LINE = 480, 370, 28  # px: the figure, its inside, and one name under another
_NAMES_SHARE = 0.22  # of the width, beyond 100%: room for the names of the words that fell
_LEAST = -30.0  # log10: where a probability of nothing is drawn
_SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Sample:
    """Which of the S shared words are drawn."""

    places: NDArray[np.int64]  # (P,) ascending, into the arrays of the comparison
    total: int  # S

    @property
    def whole(self) -> bool:
        return len(self.places) == self.total

    @property
    def caption(self) -> str:
        if self.whole:
            return f"Each of the {self.total:,} words is one point."
        return (
            f"{len(self.places):,} of {self.total:,} words are drawn: those that moved most, the {HEAD} most probable "
            "of each model, and a random choice of the others, the same every time."
        )


def vocabulary_sample(mask: MaskComparison, *, most: int = MAX_POINTS, head: int = HEAD, seed: int = 0) -> Sample:
    """All words, or where these are more than ``most`` both models' likeliest ones and a seeded choice of the rest.

    Log-probabilities (-1, -2, -3, -4) in both models, ``most=3``, ``head=1`` -> place 0 and two of 1, 2, 3.
    """
    total = len(mask.before_log_probabilities)
    if total <= most:
        return Sample(np.arange(total), total)
    sides = (mask.before_log_probabilities, mask.after_log_probabilities)
    likely = np.unique(np.concatenate([np.argsort(-side, kind="stable")[: min(head, most // 2)] for side in sides]))
    others = np.setdiff1d(np.arange(total), likely, assume_unique=True)
    chosen = np.random.default_rng(seed).choice(others, most - len(likely), replace=False)
    return Sample(np.sort(np.concatenate([likely, chosen])), total)


def vocabulary_figure(
    mask: MaskComparison, vocabulary: Sequence[str], *, labels: tuple[str, str], sample: Sample
) -> go.Figure:
    """The words of ``sample`` as dots, the movers on top as triangles with their names; ``labels`` name the models."""
    before = _logarithms(np.exp(mask.before_log_probabilities[sample.places], dtype=np.float64))
    after = _logarithms(np.exp(mask.after_log_probabilities[sample.places], dtype=np.float64))
    rose = [word for word in mask.movers if (word.change_points or 0.0) > 0]
    fell = [word for word in mask.movers if (word.change_points or 0.0) < 0]
    moved = [_place(word) for word in (*rose, *fell)]
    ends = _ends([*before.tolist(), *after.tolist(), *(value for place in moved for value in place)])
    names = [plain(vocabulary[place]) for place in sample.places.tolist()]
    marker: dict[str, object] = {"color": OTHERS, "symbol": "circle", "size": 5, "opacity": 0.5}
    traces = [
        _diagonal(ends),
        _dots(before, after, names, name="other words", marker=marker),
        _movers(rose, name="more likely after", color=TUNED, symbol="triangle-up"),
        _movers(fell, name="less likely after", color=BASE, symbol="triangle-down"),
    ]
    figure = go.Figure(traces, _layout(ends, labels, named=bool(fell)))
    for words, color, side in ((rose, TUNED, "left"), (fell, BASE, "right")):
        for annotation in _named(words[:MAX_NAMED], ends, color=color, side=side):
            figure.add_annotation(**annotation)
    return figure


def _logarithms(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log10(np.maximum(probabilities, 10**_LEAST))


def _place(word: ComparedCandidate) -> tuple[float, float]:
    chances = np.array([word.before.probability or 0.0, word.after.probability or 0.0])
    before, after = _logarithms(chances).tolist()
    return before, after


def _ends(logarithms: Sequence[float]) -> tuple[float, float]:
    """Both axes' range, with a little air."""
    low = min(logarithms, default=-1.0)
    return low - 0.04 * abs(low) - 0.1, 0.04 * abs(low)


def _diagonal(ends: tuple[float, float]) -> go.Scatter:
    line = {"color": OTHERS, "width": 2, "dash": "dash"}
    return go.Scatter(x=ends, y=ends, mode="lines", line=line, showlegend=False, hoverinfo="skip")


def _dots(
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    names: Sequence[str],
    *,
    name: str,
    marker: dict[str, object],
) -> go.Scatter:
    chances = [[fine_percent(10**value) for value in pair] for pair in zip(before, after, strict=True)]
    return go.Scatter(
        x=before.round(3).tolist(),
        y=after.round(3).tolist(),
        text=list(names),
        customdata=chances,
        mode="markers",
        marker=marker,
        hovertemplate="<b>%{text}</b><br>before %{customdata[0]}<br>after %{customdata[1]}<extra></extra>",
        name=name,
    )


def _movers(words: Sequence[ComparedCandidate], *, name: str, color: str, symbol: str) -> go.Scatter:
    places = np.array([_place(word) for word in words]).reshape(-1, 2)
    names = [plain(word.token) for word in words]
    edge = {"width": 1, "color": "white"}
    marker = {"color": color, "symbol": symbol, "size": 14, "opacity": 1.0, "line": edge}
    return _dots(places[:, 0], places[:, 1], names, name=name, marker=marker)


def _named(
    words: Sequence[ComparedCandidate], ends: tuple[float, float], *, color: str, side: str
) -> list[dict[str, object]]:
    """Names in a column where no points are, the likeliest after on top, a thin line from each to its point."""
    low, high = ends
    step = _LINE / _PLOT_HEIGHT * (high - low)
    edge = low + 0.02 * (high - low) if side == "left" else _right_end(ends, named=True)
    placed = sorted(words, key=lambda word: _place(word)[1], reverse=True)
    return [
        {
            "x": _place(word)[0],
            "y": _place(word)[1],
            "ax": edge,
            "ay": high - (row + 0.5) * step,
            "axref": "x",
            "ayref": "y",
            "text": f"<b>{plain(word.token)}</b>",
            "xanchor": side,
            "yanchor": "middle",
            "arrowhead": 0,
            "arrowwidth": 1.2,
            "arrowcolor": color,
            "standoff": 6,
            "font": {"size": 16},
        }
        for row, word in enumerate(placed)
    ]


def _right_end(ends: tuple[float, float], *, named: bool) -> float:
    return ends[1] + (_NAMES_SHARE / (1 - _NAMES_SHARE) * (ends[1] - ends[0]) if named else 0.0)


def _layout(ends: tuple[float, float], labels: tuple[str, str], *, named: bool) -> dict[str, Any]:
    exponents = list(range(0, int(np.floor(ends[0])), -2 if ends[0] > -14 else -4))
    edge = ends[0] + 0.06 * (ends[1] - ends[0])  # in the corner one axis' label would stand on the other's
    exponents = [exponent for exponent in exponents if exponent > edge]
    ticks = {"tickvals": exponents, "ticktext": [_tick(exponent) for exponent in exponents]}
    titles = [f"before: {plain(labels[0], most=28)}", f"after: {plain(labels[1], most=28)}"]
    drawn = layout(height=_HEIGHT, legend=True)
    drawn["margin"] |= {"t": 64}  # two lines of legend on a phone
    drawn["xaxis"] = axis(titles[0], **ticks, range=[ends[0], _right_end(ends, named=named)], tickangle=0)
    drawn["yaxis"] = axis(titles[1], **ticks, range=list(ends))
    return drawn


def _tick(exponent: int) -> str:
    """A power of ten as a reader says it.

    >>> _tick(0), _tick(-2), _tick(-4), _tick(-6)
    ('100%', '1%', '0.01%', '1 in 10⁶')
    """
    return f"1 in 10{str(-exponent).translate(_SUPERSCRIPT)}" if exponent < -4 else f"{100 * 10.0**exponent:g}%"
