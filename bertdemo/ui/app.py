"""The whole page: header, tabs, and the endpoints for programs. Building it loads no model."""

from __future__ import annotations

from html import escape
from pathlib import Path

import gradio as gr

from bertdemo.mlm.models.loading import BUNDLED_MODEL

from .api import add_endpoints
from .fill.tab import build_fill_mask_tab
from .learn.tab import build_learn_tab
from .operator import add_operator_endpoints, build_operator_tab
from .services import PAGE_EVENT, Services
from .theme import BEGIN_JS, TOGGLE_DARK_JS, TOGGLE_PROJECTOR_JS
from .train.tab import build_train_tab

TITLE = "bertdemo"
BUNDLED = f"{BUNDLED_MODEL}, a very small BERT (16 million weights; BERT-base has 110)"
TAGLINE = "See what a masked language model expects in the blank, and teach it something new."
DAY = 24 * 3600
MAX_WAITING = 300  # requests; beyond that the page and gradio_client say that the queue is full
TOLD_EVERY = 1.0  # seconds between two messages about a request's place in the queue
AT_ONCE = 4  # of each small handler that says nothing else


def build_app(services: Services) -> gr.Blocks:
    """The page on these services; temporary files of uploads are deleted a day after their last use."""
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(3600, DAY)) as demo:
        with gr.Row(elem_classes="page-head"):
            gr.HTML(_title(services.default_model), elem_classes="page-title", apply_default_css=False)
            with gr.Row(elem_classes="page-switches"):
                large = gr.Button("Large type", size="sm", variant="secondary")
                dark = gr.Button("Light or dark", size="sm", variant="secondary")
        demo.load(None, js=BEGIN_JS, **PAGE_EVENT)
        large.click(None, js=TOGGLE_PROJECTOR_JS, **PAGE_EVENT)
        dark.click(None, js=TOGGLE_DARK_JS, **PAGE_EVENT)
        with gr.Tabs() as tabs:
            with gr.Tab("Fill mask", id="fill-mask"):
                fill_mask = build_fill_mask_tab(demo, services)
            with gr.Tab("Train", id="train"):
                build_train_tab(demo, services, fill_mask, tabs=tabs)
            with gr.Tab("Learn", id="learn") as learn:
                build_learn_tab(services, learn.select, tabs=tabs, sentence=fill_mask.text)
            if services.access.has_operator:
                with gr.Tab("Operator", id="operator") as operator:
                    build_operator_tab(services, operator.select)
        add_endpoints(services)
        if services.access.has_operator:
            add_operator_endpoints(services)
    return demo.queue(status_update_rate=TOLD_EVERY, max_size=MAX_WAITING, default_concurrency_limit=AT_ONCE)


def _title(model: str) -> str:
    """What this is, and which model speaks: a line that stays on every tab."""
    speaks = BUNDLED if model == BUNDLED_MODEL else f"the model {Path(model).name}"
    return f'<h1>{TITLE}</h1><p>{TAGLINE}</p><p class="speaks">It opens with {escape(speaks)}.</p>'
