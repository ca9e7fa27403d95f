"""The overlay of several runs: what the reader can tell apart, and what is sent."""

from __future__ import annotations

import json

import pytest

from bertdemo.charts.look import MAX_POINTS, smoothed, thinned
from bertdemo.charts.runs import RunSeries, overlay_figure


def series(name: str, count: int = 60) -> RunSeries:
    losses = [3.0 - step / count for step in range(count)]
    return RunSeries(name, list(range(1, count + 1)), losses, [(0, 3.1), (count, 2.2)])


def test_each_run_is_a_line_and_its_held_out_marks() -> None:
    figure = overlay_figure([series("a"), series("b")])
    lines = [trace for trace in figure.data if trace.mode == "lines"]
    marks = [trace for trace in figure.data if trace.mode == "markers"]
    assert [trace.name for trace in lines] == ["a", "b"]
    assert lines[0].line.color != lines[1].line.color
    assert lines[0].line.dash != lines[1].line.dash
    assert list(marks[0].x) == [0, 60]
    assert marks[0].marker.symbol != marks[1].marker.symbol


def test_it_reads_on_light_and_dark_pages() -> None:
    layout = overlay_figure([series("a")]).layout
    assert layout.paper_bgcolor == layout.plot_bgcolor == "rgba(0,0,0,0)"


def test_a_name_is_text() -> None:
    figure = overlay_figure([series("<b>x</b><a href='//e'>y</a>")])
    assert "<" not in figure.data[0].name


def test_long_runs_are_thinned_and_end_where_they_ended() -> None:
    figure = overlay_figure([series("long", 100_000)])
    assert len(figure.data[0].x) <= MAX_POINTS
    assert figure.data[0].x[-1] == 100_000
    assert len(figure.to_json()) < 60_000


def test_gaps_and_nothing_at_all() -> None:
    assert smoothed([None, 2.0, None]) == [None, 2.0, None]
    assert thinned([], []) == ([], [])
    assert len(overlay_figure([]).data) == 0
    nan_free = json.loads(overlay_figure([RunSeries("a", [1, 2], [None, 1.0])]).to_json())
    assert nan_free["data"][0]["y"][-1] == 1.0


def test_smoothing_is_an_exponential_mean_that_takes_only_what_came_before() -> None:
    losses = [4.0, 2.0, None, 1.0]
    weights = [(7 / 8) ** age for age in (2, 1, 0)]  # a missing loss does not count as a step
    expected = sum(w * loss for w, loss in zip(weights, (4.0, 2.0, 1.0), strict=True)) / sum(weights)
    assert smoothed(losses)[-1] == pytest.approx(expected)
    assert smoothed(losses)[:2] == smoothed(losses[:2])
    assert smoothed([]) == []
    assert smoothed([3.0] * 5000) == pytest.approx([3.0] * 5000)
