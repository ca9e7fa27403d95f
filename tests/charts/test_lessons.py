"""The lessons' pictures: honest axes, whole SVG, and every text escaped."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from bertdemo.charts.lessons import Bar, Line, bars_html, key_html, lines_svg, table_html, ticks
from bertdemo.charts.palette import smoothed

HOSTILE = "<img src=x onerror=alert(1)>\"'&"


@pytest.mark.parametrize(("low", "high"), [(0, 1), (4.21, 5.18), (0.0, 0.003), (-3, 17), (2.0, 2.0), (0, 150)])
def test_ticks_are_few_rising_and_cover_the_values(low: float, high: float) -> None:
    found = ticks(low, high)
    assert found == sorted(set(found))
    assert found[0] <= low
    assert found[-1] >= high
    assert 1 <= len(found) <= 8


def test_higher_values_are_drawn_higher_and_later_ones_further_right() -> None:
    svg = lines_svg([Line("a", "usual", [0, 10, 20], [1.0, 3.0, 2.0], marked=True)], title="t", x_label="step")
    points = [tuple(map(float, pair.split(","))) for pair in re.search('points="([^"]+)"', svg)[1].split()]
    assert points[0][0] < points[1][0] < points[2][0]
    assert points[1][1] < points[2][1] < points[0][1]
    assert len(ElementTree.fromstring(svg).findall(".//circle")) == 3


def test_a_single_point_and_no_point_can_be_drawn() -> None:
    ElementTree.fromstring(lines_svg([Line("a", "usual", [0], [1.5])], title="t", x_label="step"))
    assert lines_svg([Line("a", "usual", [], [])], title="t", x_label="step") == ""


def test_bars_share_one_scale_from_zero() -> None:
    html = bars_html([Bar("a", "usual", 40.0, "40"), Bar("b", "slip", 10.0, "10"), Bar("c", "slip", 0.0, "0")])
    assert re.findall("width:([0-9.]+)%", html) == ["100.00", "25.00", "0.00"]
    assert "width:40.00%" in bars_html([Bar("a", "usual", 0.4, "40%")], full=1.0)
    assert "width:0.00%" in bars_html([Bar("a", "usual", 0.0, "0")])


def test_no_text_becomes_markup() -> None:
    drawn = lines_svg([Line(HOSTILE, "usual", [0, 1], [0, 1])], title=HOSTILE, x_label=HOSTILE)
    ElementTree.fromstring(drawn)
    for html in (drawn, key_html([("usual", HOSTILE)]), table_html([HOSTILE], [(HOSTILE, HOSTILE)])):
        assert "<img" not in html
    assert "<img" not in bars_html([Bar(HOSTILE, "usual", 1.0, HOSTILE)])


def test_smoothing_takes_only_what_came_before() -> None:
    weighted = (7 / 8) ** 2 * 4 + 7 / 8 * 2
    ends = [4.0, (7 / 8 * 4 + 2) / (7 / 8 + 1), weighted / ((7 / 8) ** 2 + 7 / 8 + 1)]
    assert smoothed([4.0, 2.0, 0.0]) == pytest.approx(ends)
    assert smoothed([None, 2.0, None]) == [None, 2.0, None]
    assert smoothed([1.0] * 8000)[-1] == pytest.approx(1.0)
    jump = smoothed([0.0] * 4000 + [1.0] * 4000)
    assert jump[4099] == pytest.approx(1 - (1 - 1 / 200) ** 100, rel=1e-6)
    assert smoothed([]) == []
