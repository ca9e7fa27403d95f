"""The candidate bars in a real browser: hostile words stay text, and the second dot moves from before to after."""

from __future__ import annotations

import gradio as gr
import pytest

from bertdemo.ui.fill.bars import build_bars
from bertdemo.ui.markup import Bar, BarGroup, BarRow, bar_list, legend

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=alert(1)> ${alert(2)} {{value}}"


def dumbbells() -> str:
    row = BarRow(HOSTILE, [Bar("base", 0.1, "10.0%"), Bar("tuned", 0.4, "40.0%")], joined=True, change="+30.0 points")
    return bar_list(
        [BarGroup([row], HOSTILE)], end=0.4, axis=True, above=legend([HOSTILE, "tuned"], ["before", "after"])
    )


def test_new_bars_show_text_and_move_from_before_to_after(serve, new_page) -> None:
    with gr.Blocks() as blocks:
        bars = build_bars()
        gr.Button("fill").click(dumbbells, None, bars)
    page = new_page(serve(blocks), width=375)
    page.emulate_media(reduced_motion="no-preference")
    page.evaluate(
        """() => { const animate = Element.prototype.animate;
        Element.prototype.animate = function (...all) {
          window.moved = this.className;
          return animate.apply(this, all);
        }; }"""
    )
    page.get_by_role("button", name="fill").click(timeout=60_000)
    page.wait_for_function("window.moved === 'dot after'")
    assert page.inner_text(".bars-word") == HOSTILE
    assert page.inner_text(".bars-group h2") == HOSTILE
    assert page.inner_text(".bars-change") == "+30.0 points"
    assert page.locator(".bars img").count() == 0
    before, after = (page.locator(f".pair .dot.{kind}") for kind in ("before", "after"))
    page.wait_for_function("document.getAnimations().every((a) => a.playState === 'finished')")
    assert after.bounding_box()["x"] > before.bounding_box()["x"]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
