"""The first screen: a text with blanks, what a model would put there, and the same from a second model beside it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import gradio as gr
from gradio.blocks import Block

from bertdemo.mlm.models.blend import BlendPairs

from ..download import DownloadView, build_download
from ..events import Fold, only_if_set, when_typed
from ..inside.look_inside import VIEWS, LookInside, build_look_inside
from ..question import ask
from ..services import MODEL_EVENT, NO_MODEL, PAGE_EVENT, READ_EVENT, Services, comparison_choices, model_choices
from .answer import FillView, add_full_stop
from .bars import BY_AFTER, BY_CHANGE, build_bars
from .blend import answer_between, build_slider, offer_slider
from .export import build_export, shared
from .token_strip import token_strip

FIRST_TEXT = "I really really [MASK] this show!"
EXAMPLES = (
    ("It's okay", "It's okay. I really really [MASK] this show!"),
    ("It sucks!", "It sucks! I really really [MASK] this show!"),
    ("It's awesome", "It's awesome and full of mystery! I really really [MASK] this show!"),
    ("A capital", "The capital of France is [MASK]."),
    ("Two blanks", "She put the [MASK] in the [MASK] and closed the door."),
    ("A door", "He opened the [MASK]."),
    ("…and a page", "He opened the [MASK] and read the first page."),
    ("No blank yet", "The children played in the garden until it was dark."),
)
MAX_WORDS = 50


class FillMaskTab(NamedTuple):
    """The components that other tabs refresh or fill."""

    text: gr.Textbox
    models: gr.Dropdown
    compared: gr.Dropdown


class Form(NamedTuple):
    """What the reader sets; the names are those of the handlers' arguments."""

    text: gr.Textbox
    strip: gr.HTML
    model: gr.Dropdown
    compared: gr.Dropdown
    top_k: gr.Slider


def refresh_models(services: Services, model: str, compared: str) -> tuple[gr.Dropdown, gr.Dropdown]:
    """The lists with the runs that there are now; what was chosen stays chosen."""
    choices = model_choices(services)
    return (
        gr.Dropdown(choices=choices, value=model or services.default_model),
        gr.Dropdown(choices=comparison_choices(choices), value=compared or NO_MODEL),
    )


def open_page(
    services: Services, query: Mapping[str, str], *, model: str, compared: str, top_k: int
) -> dict[str, object]:
    """What the page's link asks for, by the names of :class:`Form` and "view", with the lists of models.

    Without a text in the link the box is left alone: whoever is quick has written in it meanwhile.
    """
    link = shared(query)
    models, comparisons = refresh_models(services, link.model or model, link.compared or compared)
    view = link.view if link.view in [view.name for view in VIEWS] else None
    asked: dict[str, object] = {"strip": link.strip, "model": models, "compared": comparisons}
    asked |= {"top_k": link.top_k or top_k, "view": view}
    return {"text": link.text, **asked} if link.text else asked


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
            model, compared, top_k, downloads = _build_models(services)
            form = Form(text, strip, model, compared, top_k)
    share, pairs = build_slider(), BlendPairs()
    order = _build_order()
    bars = build_bars(elem_id="fill-bars")
    summary = gr.HTML(apply_default_css=False, elem_id="fill-summary")
    fold = Fold("As a table, with numbers", elem_classes="as-table")
    with fold.accordion:
        table = gr.Dataframe(interactive=False, show_label=False, buttons=["copy"], elem_id="fill-table")
        entropies = gr.HTML(apply_default_css=False)
    source: dict[str, Block] = {name: part for name, part in form._asdict().items() if name != "top_k"}
    look = build_look_inside(partial(ask, services), source=source)
    view = FillView(notes, full_stop, strip, order, bars, summary, table, entropies, look.blank)
    build_export(services, pairs, source=source, top_k=form.top_k, share=share, view=look.choice)
    fill = _filling(services, form, pairs, view=view, fold=fold, share=share)
    _wire(services, form, fill, view=view, fold=fold, examples=examples, look=look)
    only_if_set(demo.load(**_opening(services, form, look)).then(**fill), look.choice).then(**look.refresh)
    share.input(**fill)
    chosen = {"model": form.model, "compared": form.compared}
    offered = {"inputs_kwargs": chosen, "outputs": share, **MODEL_EVENT, **PAGE_EVENT}
    changed = [form.model.change, form.compared.change, *(download.arrived.change for download in downloads)]
    models = gr.on(changed, partial(offer_slider, services), **offered)
    only_if_set(models.then(**fill), look.choice).then(**look.refresh)
    return FillMaskTab(text, form.model, form.compared)


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


def _build_models(services: Services) -> tuple[gr.Dropdown, gr.Dropdown, gr.Slider, list[DownloadView]]:
    choices = model_choices(services)
    models = gr.Dropdown(
        choices,
        value=services.default_model,
        label="Model, or a Hugging Face name",
        allow_custom_value=True,
        elem_id="fill-model",
    )
    downloads = [build_download(services, models)]
    compared = gr.Dropdown(
        comparison_choices(choices),
        value=NO_MODEL,
        label="Compare with",
        allow_custom_value=True,
        elem_id="fill-compared",
    )
    downloads.append(build_download(services, compared))
    return models, compared, gr.Slider(1, MAX_WORDS, value=5, step=1, label="Words shown"), downloads


def _build_order() -> gr.Radio:
    """Of use only while two models are compared."""
    return gr.Radio(
        [BY_CHANGE, BY_AFTER],
        value=BY_CHANGE,
        label="Sort by",
        visible=False,
        elem_classes="pills row",
        elem_id="sort-by",
    )


def _filling(
    services: Services, form: Form, pairs: BlendPairs, *, view: FillView, fold: Fold, share: gr.Slider
) -> dict[str, Any]:
    """The event that answers anew with whatever the page shows by then."""
    more = {"blank": view.blank, "order": view.order, "table_open": fold.opened, "share": share}
    return {
        "fn": partial(answer_between, services, pairs, view),
        "inputs_kwargs": {**form._asdict(), **more},
        "outputs": view.all,
        **MODEL_EVENT,
        **PAGE_EVENT,
        "trigger_mode": "always_last",
    }


def _wire(
    services: Services,
    form: Form,
    fill: dict[str, Any],
    *,
    view: FillView,
    fold: Fold,
    examples: list[tuple[gr.Button, str]],
    look: LookInside,
) -> None:
    answered = [when_typed(form.text).then(**fill), form.top_k.change(**fill), form.strip.tapped(**fill)]
    for button, example in examples:
        chosen = button.click(partial(_example, example), None, [form.text, form.strip], **PAGE_EVENT)
        answered.append(chosen.then(**fill))
    for event in answered:
        only_if_set(event, look.choice).then(**look.refresh)
    view.order.input(**fill)
    fold.when_opened().then(**fill)
    stopped: dict[str, Block] = {"text": form.text, "strip": form.strip, "model": form.model}
    view.full_stop.click(
        partial(add_full_stop, services), inputs_kwargs=stopped, outputs=[form.text, form.strip], **PAGE_EVENT
    )


def _opening(services: Services, form: Form, look: LookInside) -> dict[str, Any]:
    # No partial has a request, so this handler stands here.
    def opening(request: gr.Request, *, model: str, compared: str, top_k: int) -> dict[Block, object]:
        asked = open_page(services, dict(request.query_params), model=model, compared=compared, top_k=top_k)
        parts = {**form._asdict(), "view": look.choice}
        return {parts[name]: value for name, value in asked.items()}

    asked = {"model": form.model, "compared": form.compared, "top_k": form.top_k}
    return {"fn": opening, "inputs_kwargs": asked, "outputs": [*form, look.choice], **READ_EVENT}


def _example(text: str) -> tuple[str, None]:
    """The text with nothing hidden by hand, even where the box held it already."""
    return text, None
