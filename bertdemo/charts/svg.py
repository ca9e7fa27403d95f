"""Lines and points as SVG text, for pages that stand alone and must be small: no script, no Plotly.

Colours are those of every figure; letters take the colour of the text around them, so it reads on light and on dark.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 640, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 16, 40, 44  # px around the plot
_TICKS = 5


@dataclass(frozen=True)
class SvgLine:
    """A named line through points (x, y), in their order; points that are not finite are left out."""

    name: str
    color: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False
    marked: bool = False


def lines_svg(
    lines: Sequence[SvgLine], *, label: str, x_title: str, y_title: str, x_ticks: Sequence[float] | None = None
) -> str:
    """An ``<svg>`` element; ``label`` says what is in it to who cannot see it."""
    drawn = [(line, _finite(line.points)) for line in lines]
    xs, ys = ([point[side] for _, points in drawn for point in points] for side in (0, 1))
    if not xs:
        return ""
    across, up = _Scale(min(xs), max(xs), _LEFT, _WIDTH - _RIGHT), _padded(min(ys), max(ys))
    parts = [_grid(across, up, x_ticks or _ticks(across.low, across.high))]
    parts += [_line(line, points, across, up) for line, points in drawn if points]
    parts += [_legend(lines)]
    titles = (
        f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2:.0f}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(x_title)}</text>'
        f'<text transform="translate(14 {(_TOP + _HEIGHT - _BOTTOM) / 2:.0f}) rotate(-90)" text-anchor="middle">'
        f"{escape(y_title)}</text>"
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label)}" font-family="sans-serif"'
        f' font-size="13" fill="currentColor" style="width:100%;max-width:{_WIDTH}px;height:auto">'
        f"{''.join(parts)}{titles}</svg>"
    )


@dataclass(frozen=True)
class _Scale:
    """Values from ``low`` to ``high`` -> pixels from ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return self.start + share * (self.end - self.start)


def _finite(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [point for point in points if all(map(math.isfinite, point))]


def _padded(low: float, high: float) -> _Scale:
    air = 0.06 * (high - low) or 0.1
    return _Scale(low - air, high + air, _HEIGHT - _BOTTOM, _TOP)


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers between the two.

    >>> _ticks(2.71, 3.02)
    [2.8, 2.9, 3.0]
    """
    rough = (high - low) / _TICKS or 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((power * times for times in (1, 2, 5, 10) if power * times >= rough), power * 10)
    first = math.ceil(low / step)
    return [round(number * step, 10) for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _grid(across: _Scale, up: _Scale, x_ticks: Sequence[float]) -> str:
    lines = []
    for value in _ticks(up.low, up.high):
        y = up(value)
        lines.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="currentColor" opacity="0.2"/>'
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
        )
    for value in x_ticks:
        lines.append(
            f'<text x="{across(value):.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{value:g}</text>'
        )
    return "".join(lines)


def _line(line: SvgLine, points: Sequence[tuple[float, float]], across: _Scale, up: _Scale) -> str:
    places = [(across(x), up(y)) for x, y in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dash = ' stroke-dasharray="7 5"' if line.dashed else ""
    drawn = f'<polyline points="{path}" fill="none" stroke="{line.color}" stroke-width="2.5"{dash}'
    marks = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{line.color}"><title>{first:g}: {second:.3f}</title></circle>'
        for (x, y), (first, second) in zip(places, points, strict=True)
    )
    return f'{drawn} opacity="1"/>{marks if line.marked else ""}'


def _legend(lines: Sequence[SvgLine]) -> str:
    parts, x = [], float(_LEFT)
    for line in lines:
        dash = ' stroke-dasharray="7 5"' if line.dashed else ""
        parts.append(
            f'<line x1="{x:.0f}" x2="{x + 26:.0f}" y1="20" y2="20" stroke="{line.color}" stroke-width="3"{dash}/>'
            f'<text x="{x + 32:.0f}" y="24">{escape(line.name)}</text>'
        )
        x += 52 + 7.5 * len(line.name)
    return "".join(parts)
