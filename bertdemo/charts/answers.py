"""The answers of the Python interface as figures: bars, joined dots for two models, surprisals, lengths, a report.

They take the engine's results and compute nothing but positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from bertdemo.mlm.analysis.compare import Comparison
from bertdemo.mlm.inference.fill_mask import FilledText
from bertdemo.mlm.inference.pseudo_likelihood import SentenceScore
from bertdemo.mlm.wording import percent
from bertdemo.runs.report_file import RunReport

from .look import BASE, GRID, HELD_OUT, OTHERS, TUNED, axis, layout, plain

_ROW, _FRAME = 30, 110  # px: a word, and what stands around the words of a blank


def filled_figure(filled: FilledText) -> go.Figure:
    """A bar a word, the likeliest on top, a picture under the other for several masks."""
    figure = _stacked([len(mask.candidates) for mask in filled.masks])
    for row, mask in enumerate(filled.masks, start=1):
        words = [plain(word.token) for word in mask.candidates]
        chances = [word.probability for word in mask.candidates]
        shown = {"text": [percent(chance) for chance in chances], "textposition": "outside", "cliponaxis": False}
        places = list(range(len(words)))
        figure.add_bar(x=chances, y=places, orientation="h", marker_color=BASE, row=row, col=1, **shown)
        _name_words(figure, words, row=row)
    return figure


def compared_figure(comparison: Comparison) -> go.Figure:
    """Two dots a word, before and after, joined by a line; a word that one vocabulary lacks has one dot."""
    figure = _stacked([len(mask.candidates) for mask in comparison.masks], legend=True)
    for row, mask in enumerate(comparison.masks, start=1):
        sides = [("before", BASE, "circle"), ("after", TUNED, "diamond")]
        for place, word in enumerate(mask.candidates):
            line = {"color": OTHERS, "width": 2}
            ends = [word.before.probability, word.after.probability]
            figure.add_scatter(
                **{
                    "x": ends,
                    "y": [place] * 2,
                    "mode": "lines",
                    "line": line,
                    "showlegend": False,
                    "hoverinfo": "skip",
                },
                row=row,
                col=1,
            )
        for name, color, symbol in sides:
            chances = [getattr(word, name).probability for word in mask.candidates]
            marker = {"color": color, "symbol": symbol, "size": 12}
            looks = {"mode": "markers", "marker": marker, "name": name, "showlegend": row == 1}
            figure.add_scatter(x=chances, y=list(range(len(chances))), **looks, row=row, col=1)
        _name_words(figure, [plain(word.token) for word in mask.candidates], row=row)
    return figure


def scored_figure(scored: SentenceScore) -> go.Figure:
    """A bar a token, in the order of the text."""
    places = list(range(len(scored.tokens)))
    bits = [token.surprisal_bits for token in scored.tokens]
    guesses = [plain(token.prediction or "–") for token in scored.tokens]
    hover = "%{y:.2f} bits; it would have said %{text}<extra></extra>"
    bars = go.Bar(x=places, y=bits, text=guesses, textposition="none", marker_color=BASE, hovertemplate=hover)
    names: dict[str, Any] = {"tickvals": places, "ticktext": [plain(token.token) for token in scored.tokens]}
    return go.Figure(bars, layout(height=320, legend=False, xaxis=axis(**names), yaxis=axis("surprisal (bits)")))


def lengths_figure(lengths: Sequence[int]) -> go.Figure:
    """How many texts have so many words."""
    axes = {"xaxis": axis("words in a text"), "yaxis": axis("texts")}
    return go.Figure(go.Histogram(x=list(lengths), marker_color=HELD_OUT), layout(height=300, legend=False, **axes))


def reported_figure(report: RunReport) -> go.Figure:
    """Right first guesses at [MASK], before and after, on held-out rows and on general English."""
    changes = {"held-out rows": report.held_out, **({"general English": report.general} if report.general else {})}
    bars = [
        go.Bar(
            x=list(changes), y=[getattr(change, name).top1 for change in changes.values()], name=name, marker_color=of
        )
        for name, of in (("before", BASE), ("after", TUNED))
    ]
    share = axis("first guess right at [MASK]", tickformat=".0%", rangemode="tozero")
    return go.Figure(bars, layout(height=320, legend=True, xaxis=axis(), yaxis=share, barmode="group"))


def _stacked(words: Sequence[int], *, legend: bool = False) -> go.Figure:
    """A picture for each mask, as high as it has words."""
    heights = [count * _ROW + _FRAME for count in words]
    titles = [f"blank {number}" for number in range(1, len(words) + 1)] if len(words) > 1 else None
    figure = make_subplots(rows=len(words), cols=1, row_heights=heights, subplot_titles=titles)
    style: dict[str, Any] = layout(height=sum(heights), legend=legend)
    figure.update_layout({**style, "hovermode": "closest"}, showlegend=legend)
    figure.update_xaxes(tickformat=".0%", rangemode="tozero", gridcolor=GRID, zeroline=False)
    return figure


def _name_words(figure: go.Figure, words: Sequence[str], *, row: int) -> None:
    names: dict[str, Any] = {"tickvals": list(range(len(words))), "ticktext": list(words), "autorange": "reversed"}
    figure.update_yaxes(**axis(**names), row=row, col=1)
