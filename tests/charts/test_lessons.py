"""The curves of the lessons: both trainings over the same axes, told apart by more than colour."""

from __future__ import annotations

from bertdemo.charts.lessons import Line, lines_figure

HOSTILE = "<img src=x onerror=alert(1)>\"'&"


def test_both_lines_are_drawn_as_they_are_and_look_different() -> None:
    usual, slip = Line("a", "usual", [0, 10, 20], [1.0, 3.0, None]), Line("b", "slip", [0, 10], [2.0, 1.0], marked=True)
    drawn = lines_figure([usual, slip], title="Loss", from_zero=True)
    first, second = drawn.data
    assert (list(first.x), list(first.y)) == ([0, 10, 20], [1.0, 3.0, None])
    assert first.line.color != second.line.color
    assert first.line.dash != second.line.dash
    assert (first.mode, second.mode) == ("lines", "lines+markers")
    assert drawn.layout.yaxis.rangemode == "tozero"
    assert lines_figure([usual], title="Loss").layout.yaxis.rangemode == "normal"


def test_a_figure_has_its_height_before_it_is_drawn_and_no_text_becomes_markup() -> None:
    drawn = lines_figure([Line(HOSTILE, "usual", [], [])], title=HOSTILE)
    assert drawn.layout.height > 100
    assert "<img" not in drawn.data[0].name + drawn.layout.title.text
