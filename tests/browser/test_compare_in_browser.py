"""Before and after in a real browser: the picture of the whole vocabulary in the page's colours, and the pairs."""

from __future__ import annotations

from collections.abc import Callable

import gradio as gr
import pytest
import torch

from bertdemo.mlm.analysis.counterfactuals import CAUTION
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.text.prompt import prepare_text
from bertdemo.ui.inside.look_inside import build_look_inside
from bertdemo.ui.inside.pairs import Pairs
from bertdemo.ui.inside.whole_vocabulary import WholeVocabulary
from bertdemo.ui.question import Question

pytestmark = pytest.mark.browser


@pytest.fixture
def blocks(tiny_bert: MaskedLM, trainable: Callable[[MaskedLM], MaskedLM]) -> gr.Blocks:
    """Only the two views, over a model and a copy that was taught one word."""
    taught = trainable(tiny_bert)
    with torch.no_grad():
        taught.model.get_output_embeddings().bias[taught.tokenizer.convert_tokens_to_ids("awesome")] += 8.0

    def ask(text: str, *, blank: int = 0) -> Question:
        return Question((tiny_bert, taught), ("base", "taught"), prepare_text(tiny_bert, text), blank)

    with gr.Blocks() as page:
        text = gr.Textbox("it was [MASK] .", label="Text")
        build_look_inside(ask, source={"text": text}, views=(WholeVocabulary, Pairs))
    return page


def test_the_vocabulary_and_the_pairs_show_what_changed(blocks, serve, new_page) -> None:
    page = new_page(serve(blocks), width=375, dark=True)
    page.get_by_text("Whole vocabulary", exact=True).click(timeout=60_000)
    page.wait_for_selector(".compare-scatter .scatterlayer .point", timeout=60_000)
    assert page.locator(".compare-scatter .annotation-text").first.text_content() == "awesome"
    assert page.locator(".compare-movers tbody tr").first.inner_text().startswith("awesome")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    page.get_by_text("Pairs", exact=True).click()
    page.wait_for_selector(".pairs-lane.tuned .dot")
    assert CAUTION in page.inner_text(".pairs-caution")
    before = page.inner_text(".pairs-contrast h2")
    page.locator("#pair-templates textarea").fill("the {dog|cat} can [MASK")
    page.wait_for_timeout(300)
    assert page.inner_text(".pairs-contrast h2") == before  # typing alone computes nothing
    page.locator("#pair-templates textarea").fill("the {dog|cat can [MASK]")
    page.get_by_role("button", name="Compare the pairs").click()
    page.wait_for_selector(".look-wrong")
    assert "do not pair up" in page.inner_text(".look-wrong")
    page.locator("#pair-templates textarea").fill("the {dog|cat} can [MASK] .")
    page.get_by_role("button", name="Compare the pairs").click()
    page.wait_for_function("document.querySelector('.pairs-contrast h2').innerText === 'dog or cat'")
    assert page.locator(".look-wrong").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
