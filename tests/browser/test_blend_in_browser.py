"""The slider between two models in a real browser: the bars follow it by keyboard, from after back to before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gradio as gr
import pytest
import torch
from explorer_services import explorer_services

from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.ui.fill.tab import build_fill_mask_tab

pytestmark = pytest.mark.browser


def test_the_bars_follow_the_slider_to_before_and_beyond(
    serve: Callable,
    new_page: Callable,
    tmp_path: Path,
    tiny_bert: MaskedLM,
    trainable: Callable[[MaskedLM], MaskedLM],
) -> None:
    taught = trainable(tiny_bert)
    with torch.no_grad():
        taught.model.get_output_embeddings().bias[taught.tokenizer.convert_tokens_to_ids("awesome")] += 8.0
    for part in (taught.model, taught.tokenizer):
        part.save_pretrained(tmp_path / "taught")
    services = explorer_services(tmp_path / "home", model=Path(tiny_bert.ref.source))
    with gr.Blocks() as blocks:
        build_fill_mask_tab(blocks, services)
    page = new_page(serve(blocks), width=375)
    page.wait_for_selector(".candidate-bars .bars-word", timeout=60_000)
    assert not page.locator("#blend-share").is_visible()
    page.fill("#fill-compared input", str(tmp_path / "taught"))
    page.keyboard.press("Enter")
    slider = page.locator("#blend-share input[type=range]")
    slider.wait_for(state="visible", timeout=60_000)
    page.wait_for_function("document.querySelector('.gist')?.innerText.includes('awesome')")
    slider.focus()
    for _ in range(20):
        page.keyboard.press("ArrowLeft")
    page.wait_for_function("document.querySelector('.gist').innerText.includes('Nothing changed')")
    assert "taught at 0" in page.inner_text("#fill-bars .legend")
    for _ in range(2):
        page.keyboard.press("ArrowLeft")
    page.wait_for_function("document.querySelector('#fill-notes').innerText.includes('extrapolated')")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.fill("#fill-compared input", "none")
    page.keyboard.press("Enter")
    slider.wait_for(state="hidden")
