"""The pictures of the lessons: lines as an SVG and shares as bars, from plain numbers to a string of HTML.

Drawn here and not by a chart library: they are small, hold still, take the page's colours in light and dark, and thirty
pupils can look at them without loading anything. Every text is escaped. Knows no lesson.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 380, 240
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 12, 38
MAX_TICKS = 5


@dataclass(frozen=True)
class Line:
    """One line: its name, its CSS class ("usual" or "slip"), its points, and whether to mark each of them."""

    name: str
    kind: str
    xs: Sequence[float]
    ys: Sequence[float]
    marked: bool = False


@dataclass(frozen=True)
class Bar:
    """One bar: its name, its CSS class, its value, and how the value is written."""

    name: str
    kind: str
    value: float
    shown: str


def ticks(low: float, high: float, *, most: int = MAX_TICKS) -> list[float]:
    """Round numbers from ``low`` or below to ``high`` or above, at most about ``most`` of them.

    >>> ticks(0.2, 3.9), ticks(0, 60)
    ([0.0, 1.0, 2.0, 3.0, 4.0], [0.0, 20.0, 40.0, 60.0])
    """
    rough = max((high - low) / most, 1e-9)
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


def lines_svg(lines: Sequence[Line], *, title: str, x_label: str, from_zero: bool = False) -> str:
    """Lines over one pair of axes, described in words by ``title`` for those who cannot see them."""
    xs, ys = [x for line in lines for x in line.xs], [y for line in lines for y in line.ys]
    if not xs:
        return ""
    columns, rows = ticks(min(xs), max(xs)), ticks(0.0 if from_zero else min(ys), max(ys))
    plot = _Plot(columns[0], columns[-1], rows[0], max(rows[-1], rows[0] + 1e-9))
    grid = "".join(_row_tick(plot, value) for value in rows) + "".join(_column_tick(plot, value) for value in columns)
    label = f'<text class="chart-label" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 4}">{escape(x_label)}</text>'
    drawn = "".join(_line(plot, line) for line in lines)
    return (
        f'<svg class="lesson-chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"{grid}{label}{drawn}</svg>"
    )


@dataclass(frozen=True)
class _Plot:
    """The area of a chart: values -> places in the SVG."""

    low_x: float
    high_x: float
    low_y: float
    high_y: float

    def x(self, value: float) -> float:
        return round(LEFT + (value - self.low_x) / (self.high_x - self.low_x or 1) * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        return round(HEIGHT - BOTTOM - (value - self.low_y) / (self.high_y - self.low_y) * (HEIGHT - TOP - BOTTOM), 1)


def _row_tick(plot: _Plot, value: float) -> str:
    y = plot.y(value)
    line = f'<line class="chart-grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>'
    return f'{line}<text class="chart-y" x="{LEFT - 6}" y="{y + 4}">{value:g}</text>'


def _column_tick(plot: _Plot, value: float) -> str:
    return f'<text class="chart-x" x="{plot.x(value)}" y="{HEIGHT - BOTTOM + 16}">{value:g}</text>'


def _line(plot: _Plot, line: Line) -> str:
    places = [(plot.x(x), plot.y(y)) for x, y in zip(line.xs, line.ys, strict=True)]
    path = " ".join(f"{x},{y}" for x, y in places)
    marks = "".join(f'<circle cx="{x}" cy="{y}" r="4"/>' for x, y in places) if line.marked else ""
    return f'<g class="chart-line {escape(line.kind)}"><polyline points="{path}"/>{marks}</g>'


def key_html(names: Sequence[tuple[str, str]]) -> str:
    """A key from (CSS class, name)."""
    items = "".join(f'<li><span class="chart-swatch {escape(kind)}"></span>{escape(name)}</li>' for kind, name in names)
    return f'<ul class="chart-key">{items}</ul>'


def bars_html(bars: Sequence[Bar], *, full: float | None = None) -> str:
    """Bars on one scale from zero to ``full`` (the largest value if None), each with its value beside it."""
    most = full or max((bar.value for bar in bars), default=0.0) or 1.0
    items = "".join(
        f'<li class="{escape(bar.kind)}"><span>{escape(bar.name)}</span>'
        f'<span class="lesson-bar"><span style="width:{100 * bar.value / most:.2f}%"></span></span>'
        f"<span>{escape(bar.shown)}</span></li>"
        for bar in bars
    )
    return f'<ul class="lesson-bars">{items}</ul>'


def table_html(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A plain table; the first cell of each row names it."""
    top = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in row[1:])}</tr>'
        for row in rows
    )
    return (
        f'<div class="table-scroll" tabindex="0"><table class="plain-table"><thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
