"""The candidate bars in a real browser: hostile words stay text, and the second dot moves from before to after."""

from __future__ import annotations

import gradio as gr
import pytest

from bertdemo.ui.fill.candidate_bars import CandidateRow, MaskRows, Score, bars_html, candidate_bars

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=alert(1)> ${alert(2)} {{value}}"


def dumbbells() -> str:
    row = CandidateRow(HOSTILE, 2293, 0.1, 4, Score(0.4, 1))
    return bars_html([MaskRows([row], title=HOSTILE)], labels=[HOSTILE, "tuned"])


def test_new_bars_show_text_and_move_from_before_to_after(serve, new_page) -> None:
    with gr.Blocks() as blocks:
        bars = candidate_bars()
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
    page.wait_for_function("window.moved === 'bars-dot after'")
    assert page.inner_text(".bars-word") == HOSTILE
    assert page.inner_text(".bars-mask h2") == HOSTILE
    assert page.inner_text(".bars-change") == "+30.0 points"
    assert page.locator(".bars img").count() == 0
    before, after = (page.locator(f".pair .bars-dot.{kind}") for kind in ("before", "after"))
    page.wait_for_function("document.getAnimations().every((a) => a.playState === 'finished')")
    assert after.bounding_box()["x"] > before.bounding_box()["x"]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
