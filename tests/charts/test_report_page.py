"""The report as one file: all that it promises, small, without a script, and every text harmless."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser

import pytest

from bertdemo.charts.svg import SvgLine, lines_svg

HOSTILE = "<img src=x onerror=alert(1)>"


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)


def test_lines_are_drawn_to_scale_and_labelled() -> None:
    svg = lines_svg(
        [SvgLine(HOSTILE, "#123456", [(0, 1.0), (1, math.nan), (2, 3.0)], marked=True)],
        label=HOSTILE,
        x_title="step",
        y_title="loss",
    )
    parsed = Tags()
    parsed.feed(svg)
    assert "img" not in parsed.seen
    assert svg.count("<circle") == 2  # what is no number has no place
    (left, low), (right, high) = re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', svg)
    assert float(left) < float(right)
    assert float(low) > float(high)  # up is smaller in SVG


@pytest.mark.parametrize("points", [[], [(1, 2.0)], [(0, 5.0), (1, 5.0)], [(0, math.inf)]])
def test_few_or_equal_points_are_no_fault(points: list[tuple[float, float]]) -> None:
    svg = lines_svg([SvgLine("a", "#123456", points)], label="a", x_title="x", y_title="y")
    assert "nan" not in svg
    assert "inf" not in svg
