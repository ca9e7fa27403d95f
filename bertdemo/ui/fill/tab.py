"""The first screen: a text with blanks, what a model would put there, and the same from a second model beside it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import gradio as gr

from ..inside.look_inside import VIEWS, LookInside, build_look_inside
from ..services import MODEL_EVENT, NO_MODEL, PAGE_EVENT, READ_EVENT, Services, comparison_choices, model_choices
from .answer import FillView, add_full_stop, answer
from .candidate_bars import candidate_bars
from .compared_rows import order_control
from .reading import ask
from .share import build_share, shared
from .token_strip import token_strip

FIRST_TEXT = "I really really [MASK] this show!"
EXAMPLES = (
    ("It's okay", "It's okay. I really really [MASK] this show!"),
    ("It sucks!", "It sucks! I really really [MASK] this show!"),
    ("It's awesome", "It's awesome and full of mystery! I really really [MASK] this show!"),
    ("A capital", "The capital of France is [MASK]."),
    ("Two blanks", "She put the [MASK] in the [MASK] and closed the door."),
    ("No blank yet", "The children played in the garden until it was dark."),
)
MOST_WORDS = 50


class FillMaskTab(NamedTuple):
    """The components that other tabs refresh or fill."""

    text: gr.Textbox
    models: gr.Dropdown
    compared: gr.Dropdown


class Form(NamedTuple):
    """What the reader sets; handlers take the values in this order."""

    text: gr.Textbox
    strip: gr.HTML
    models: gr.Dropdown
    compared: gr.Dropdown
    top_k: gr.Slider


def refresh_models(services: Services, model: str, compared: str) -> tuple[gr.Dropdown, gr.Dropdown]:
    """The lists with the runs that there are now; what was chosen stays chosen."""
    return (
        gr.Dropdown(choices=model_choices(services), value=model or services.default_model),
        gr.Dropdown(choices=comparison_choices(services), value=compared or NO_MODEL),
    )


def open_page(
    services: Services, query: Mapping[str, str], model: str, compared: str, top_k: int
) -> tuple[object, ...]:
    """(text, strip, model, compared, words shown, view): what the page's link asks for, with the lists of models.

    Without a text in the link the box is left alone: whoever is quick has written in it meanwhile.
    """
    link = shared(query)
    models, comparisons = refresh_models(services, link.model or model, link.compared or compared)
    view = link.view if link.view in [view.name for view in VIEWS] else None
    return link.text or gr.skip(), link.strip, models, comparisons, link.top_k or top_k, view


def build_fill_mask_tab(demo: gr.Blocks, services: Services) -> FillMaskTab:
    with gr.Row(elem_classes="fill-form"):
        with gr.Column(scale=3, min_width=300):
            text = _build_text()
            examples = _build_examples()
            with gr.Row(elem_classes="fill-notes"):
                notes = gr.HTML(apply_default_css=False, elem_id="fill-notes")
                full_stop = gr.Button("Add the full stop", size="sm", visible=False, elem_id="add-full-stop")
            strip = token_strip()
        with gr.Column(scale=1, min_width=240, elem_classes="fill-models"):
            models, compared, top_k = _build_models(services)
    view = FillView(
        notes=notes,
        full_stop=full_stop,
        strip=strip,
        order=order_control(),
        bars=candidate_bars(),
        summary=gr.HTML(apply_default_css=False, elem_id="fill-summary"),
        table=_build_table(),
        blank=None,
    )
    form = Form(text, strip, models, compared, top_k)
    look = build_look_inside(partial(ask, services), source=list(form[:4]))
    build_share(services, source=list(form[:4]), top_k=top_k, view=look.choice)
    _wire(demo, services, form, view=view._replace(blank=look.blank), examples=examples, look=look)
    return FillMaskTab(text, models, compared)


def _build_text() -> gr.Textbox:
    return gr.Textbox(
        FIRST_TEXT,
        label="Text",
        info="Write [MASK], or three underscores, where a word is missing; as many as you like.",
        lines=2,
        max_lines=8,
        elem_id="fill-text",
    )


def _build_examples() -> list[tuple[gr.Button, str]]:
    with gr.Row(elem_classes="examples"):
        return [(gr.Button(label, size="sm", min_width=40), example) for label, example in EXAMPLES]


def _build_models(services: Services) -> tuple[gr.Dropdown, gr.Dropdown, gr.Slider]:
    models = gr.Dropdown(
        model_choices(services),
        value=services.default_model,
        label="Model, or a hub id",
        allow_custom_value=True,
        elem_id="fill-model",
    )
    compared = gr.Dropdown(
        comparison_choices(services),
        value=NO_MODEL,
        label="Compare with",
        allow_custom_value=True,
        elem_id="fill-compared",
    )
    return models, compared, gr.Slider(1, MOST_WORDS, value=5, step=1, label="Words shown")


def _build_table() -> gr.HTML:
    with gr.Accordion("As a table, with numbers", open=False, elem_classes="as-table"):
        return gr.HTML(apply_default_css=False)


def _wire(
    demo: gr.Blocks,
    services: Services,
    form: Form,
    *,
    view: FillView,
    examples: list[tuple[gr.Button, str]],
    look: LookInside,
) -> None:
    fill = {
        "fn": partial(answer, services),
        "inputs": [*form, view.blank, view.order],
        "outputs": list(view),
        **MODEL_EVENT,
        **PAGE_EVENT,
    }
    changes = [form.text.change, form.models.change, form.compared.change, form.top_k.change]
    gr.on(changes, **fill, trigger_mode="always_last").then(**look.refresh)
    view.order.input(**fill, trigger_mode="always_last")
    form.strip.tapped(**fill, trigger_mode="always_last").then(**look.refresh)
    for button, example in examples:
        chosen = button.click(partial(_example, example), None, [form.text, form.strip], **PAGE_EVENT)
        chosen.then(**fill).then(**look.refresh)
    view.full_stop.click(
        partial(add_full_stop, services), [form.text, form.strip, form.models], [form.text, form.strip], **PAGE_EVENT
    )

    # No partial has a request, so this handler stands here.
    def opening(model: str, compared: str, top_k: int, request: gr.Request) -> tuple[object, ...]:
        return open_page(services, dict(request.query_params), model, compared, top_k)

    asked = [form.models, form.compared, form.top_k]
    opened = demo.load(opening, asked, [form.text, form.strip, *asked, look.choice], **READ_EVENT)
    opened.then(**fill).then(**look.refresh)  # with what stands in the box by then


def _example(text: str) -> tuple[str, None]:
    """The text with nothing hidden by hand, even where the box held it already."""
    return text, None
