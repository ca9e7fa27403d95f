"""The Learn tab in a real browser: one lesson at a time, guess before answer, terms that open, a tour that leaves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gradio as gr
import pytest

from bertdemo.mlm.models.loading import bundled_assets
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.models.registry import ModelRegistry
from bertdemo.runs.manager import RunManager
from bertdemo.runs.store import RunStore
from bertdemo.ui.learn.tab import build_learn_tab
from bertdemo.ui.services import Services

pytestmark = pytest.mark.browser


def test_a_class_goes_through_the_lessons(
    tmp_path: Path, tiny_bert: MaskedLM, serve: Callable[[gr.Blocks], str], new_page: Callable
) -> None:
    store = RunStore(tmp_path)
    registry = ModelRegistry(tmp_path, bundled=Path(tiny_bert.ref.source), run_lookup=store.find_model)
    sample = bundled_assets() / "sample_reviews.csv"
    services = Services(registry, RunManager(store, registry), store, tmp_path, sample)
    with gr.Blocks() as demo:
        build_learn_tab(services, demo.load)
    page = new_page(serve(demo), width=375, height=800)

    # Guess first: nothing is given away before the guess.
    page.wait_for_selector(".guess-sentence")
    assert page.locator(".bars-word").count() == 0
    page.click("#guess-reveal")
    page.wait_for_selector("#guess-verdict .notes")
    assert page.locator(".bars-word").count() == 0
    page.fill("#guess-word input, #guess-word textarea", "love")
    page.click("#guess-reveal")
    page.wait_for_selector("#guess-verdict .verdict")
    assert page.locator(".bars-word").count() == 5

    # One lesson is open at a time, and computes what it shows when it is opened.
    page.click("#open-masks")
    page.wait_for_selector(".draw-token")
    assert page.locator(".lesson:visible").count() == 1
    page.click("#open-loss")
    page.wait_for_selector("#lesson-loss .step.now")
    page.click("#lesson-loss .step-next")
    assert page.locator("#lesson-loss .step.now h3").inner_text() == "2 Pieces"

    # A term opens its explanation, and Escape closes it.
    page.locator("#lesson-loss .step.now .term").first.click()
    card = page.locator("#lesson-loss .term-card:popover-open")
    card.wait_for()
    assert card.inner_text().startswith("word piece")
    page.keyboard.press("Escape")
    assert card.count() == 0

    # A tour drives the real controls, can be left at any stop, and is remembered when it was finished.
    page.click("#open-tours")
    page.wait_for_selector(".tour-guide[data-ready]")  # the script is attached a moment after the buttons are drawn
    page.click(".tour-start[data-tour='targets']")
    page.wait_for_selector("#lesson-loss[class*='open'] .steps[data-tour-framed]")
    page.evaluate("document.querySelector('#lesson-loss .steps').id = 'before'")
    page.click("#walk-again")  # what is framed is built anew, and framed again
    page.wait_for_selector("#lesson-loss .steps[data-tour-framed]:not(#before)")
    page.keyboard.press("Escape")
    assert page.locator(".tour-card, [data-tour-framed]").count() == 0
    page.click("#open-tours")
    assert page.locator(".tour-done:visible").count() == 0
    page.click(".tour-start[data-tour='targets']")
    for _ in range(3):
        page.click(".tour-next")
    assert page.locator(".tour-card").count() == 0
    page.click("#open-tours")
    assert page.locator(".tour-done:visible").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
