"""The first screen: a text with blanks, what a model would put there, and the same from a second model beside it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from html import escape
from typing import Any, NamedTuple

import gradio as gr

from bertdemo.mlm.comparison import Comparison, compare
from bertdemo.mlm.errors import BertDemoError
from bertdemo.mlm.prediction import FilledText, fill_masks

from .compared_rows import BY_CHANGE, both_covered, compared_rows, gist_html, order_control
from .components.candidate_bars import (
    CandidateRow,
    MaskRows,
    bars_html,
    blank_title,
    candidate_bars,
    percent,
    table_html,
)
from .components.token_strip import strip_edit, token_strip
from .context import MODEL_EVENT, PAGE_EVENT, Services, user_errors
from .look_inside import VIEWS, LookInside, build_look_inside
from .model_list import NO_MODEL, comparison_choices, model_choices
from .reading import about, ask, load_model, read, standings, strip_of
from .share import build_share, shared
from .views.quantities import equal_choices
from .views.view import Question

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
NO_BLANK = "Nothing is hidden yet: press a word below, or write [MASK] (or ___) in the text."


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


class FillView(NamedTuple):
    """What an answer fills: components when built, their values when returned."""

    notes: object
    full_stop: object
    strip: object
    order: object
    bars: object
    summary: object
    table: object
    blank: object


def answer(
    services: Services,
    text: str,
    strip: object,
    model: str,
    compared: str,
    top_k: int,
    blank: int,
    order: str = BY_CHANGE,
) -> FillView:
    """Fill every blank with one model or compare two; what is wrong with the text is said in place, not in a toast."""
    with user_errors():
        try:
            question = ask(services, text, strip, model, compared, blank=blank or 0)
            new_strip = strip_of(question, text=text, strip=strip, said=standings(question))
            if not question.prepared.mask_positions:
                return _refusal(NO_BLANK, strip=new_strip)
            filled = fill_masks(question.models[0], question.prepared, top_k=int(top_k))
            if len(question.models) == 1:
                return _one_model(question, filled, strip=new_strip)
            comparison = compare(*question.models, question.prepared, top_k=int(top_k))
            return _two_models(question, filled, comparison, strip=new_strip, order=order)
        except BertDemoError as error:
            return _refusal(str(error))


def _one_model(question: Question, filled: FilledText, *, strip: dict[str, Any]) -> FillView:
    count = len(filled.masks)
    rows = [
        MaskRows(
            [CandidateRow(c.token, c.token_id, c.probability, c.rank) for c in mask.candidates],
            blank_title(number, count),
        )
        for number, mask in enumerate(filled.masks)
    ]
    bars, table = bars_html(rows, tuned=question.tuned), f"{table_html(rows)}{_entropies(filled)}"
    return _view(question, filled, strip=strip, bars=bars, summary=_coverage(filled), table=table)


def _two_models(
    question: Question, filled: FilledText, comparison: Comparison, *, strip: dict[str, Any], order: str
) -> FillView:
    rows = compared_rows(comparison, order)
    bars, table = (draw(rows, labels=question.labels) for draw in (bars_html, table_html))
    shown = _view(
        question, filled, strip=strip, bars=gist_html(comparison) + bars, summary=both_covered(comparison), table=table
    )
    only_here = [note for note in comparison.notes if note not in filled.notes]
    return shown._replace(notes=_notes([*only_here, *filled.notes])) if only_here else shown


def _coverage(filled: FilledText) -> str:
    lines = []
    for mask in filled.masks:
        count = len(mask.candidates)
        words = "1 word covers" if count == 1 else f"{count} words cover"
        lines.append(f"{words} {percent(mask.covered)} of all that it could have said.")
    return lines[0] if len(set(lines)) == 1 else " ".join(f"Blank {n}: {line}" for n, line in enumerate(lines, 1))


def _entropies(filled: FilledText) -> str:
    """How open each answer is, beside the table."""
    lines = "".join(
        f"<li>{blank_title(number, len(filled.masks)) or 'The answer'}: entropy {mask.entropy_bits:.2f} bits, "
        f"as open as a choice among {equal_choices(mask.entropy_bits)} equally likely words.</li>"
        for number, mask in enumerate(filled.masks)
    )
    return f'<ul class="entropies">{lines}</ul>'


def _view(
    question: Question, filled: FilledText, *, strip: dict[str, Any], bars: str, summary: str, table: str
) -> FillView:
    suggestions = filled.suggestions
    notes = [*filled.notes, *(suggestion.message for suggestion in suggestions)]
    return FillView(
        notes=_notes(notes) if notes else f'<p class="quiet">{escape(about(question.models[0], filled.prepared))}</p>',
        full_stop=gr.Button(visible=bool(suggestions)),
        strip=strip,
        order=gr.Radio(visible=len(question.models) > 1),
        bars=bars,
        summary=f'<p class="quiet">{escape(summary)}</p>',
        table=table,
        blank=_blanks(question),
    )


def _blanks(question: Question) -> gr.Radio:
    """Which blank the views look at; each is named by its number and the piece before it."""
    tokens, masks = question.prepared.tokens, question.prepared.mask_positions
    choices = [(f"{number + 1}, after “{tokens[place - 1]}”", number) for number, place in enumerate(masks)]
    return gr.Radio(choices=choices, value=question.blank, visible=len(masks) > 1)


def _refusal(sentence: str, *, strip: dict[str, Any] | None = None) -> FillView:
    """Say what is missing and leave the last answer where it is, paler, so that nothing jumps while someone types."""
    return FillView(
        notes=_notes([sentence], kind="notes stale"),
        full_stop=gr.Button(visible=False),
        strip=strip or gr.skip(),
        order=gr.skip(),
        bars=gr.skip(),
        summary=gr.skip(),
        table=gr.skip(),
        blank=gr.skip(),
    )


def _notes(notes: list[str], *, kind: str = "notes") -> str:
    return f'<ul class="{kind}" role="status">{"".join(f"<li>{escape(note)}</li>" for note in notes)}</ul>'


def add_full_stop(services: Services, text: str, strip: object, model: str) -> tuple[str, object]:
    """The text, and the strip's ids if words are hidden in it, as the input doctor suggests them."""
    with user_errors():
        question = read(load_model(services, model), text, strip)
        suggestions = question.prepared.suggestions
        if not suggestions:
            return text, gr.skip()
        if not question.originals:
            return suggestions[0].text, gr.skip()
        edit, stopped = strip_edit(strip), text.rstrip() + suggestions[0].text[-1]
        ids = {"ids": list(suggestions[0].token_ids or ()), "tokens": None, "version": edit.version if edit else 0}
        originals = {str(place): {"id": token_id} for place, token_id in question.originals.items()}
        return stopped, {"text": stopped, **ids, "originals": originals, "edited": True}


def refresh_models(services: Services, model: str, compared: str) -> tuple[gr.Dropdown, gr.Dropdown]:
    """The lists with the runs that there are now; what was chosen stays chosen."""
    return (
        gr.Dropdown(choices=model_choices(services), value=model or services.default_model),
        gr.Dropdown(choices=comparison_choices(services), value=compared or NO_MODEL),
    )


def open_page(
    services: Services, query: Mapping[str, str], text: str, model: str, compared: str, top_k: int
) -> tuple[object, ...]:
    """(text, strip, model, compared, words shown, view): what the page's link asks for, with the lists of models."""
    link = shared(query)
    models, comparisons = refresh_models(services, link.model or model, link.compared or compared)
    view = link.view if link.view in [view.name for view in VIEWS] else None
    return link.text or text, link.strip, models, comparisons, link.top_k or top_k, view


def build_fill_mask_tab(demo: gr.Blocks, services: Services) -> FillMaskTab:
    with gr.Row(elem_classes="fill-form"):
        with gr.Column(scale=3, min_width=300):
            text = _build_text()
            examples = _build_examples()
        with gr.Column(scale=1, min_width=240, elem_classes="fill-models"):
            models, compared, top_k = _build_models(services)
    with gr.Row(elem_classes="fill-notes"):
        notes = gr.HTML(apply_default_css=False, elem_id="fill-notes")
        full_stop = gr.Button("Add the full stop", size="sm", visible=False, elem_id="add-full-stop")
    strip = token_strip()
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
        label="Model",
        info="One of the list, or any hub id you type.",
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

    def opening(text: str, model: str, compared: str, top_k: int, request: gr.Request) -> tuple[object, ...]:
        return open_page(services, dict(request.query_params), text, model, compared, top_k)  # no partial has a request

    opened = demo.load(
        opening,
        [form.text, form.models, form.compared, form.top_k],
        [*form, look.choice],
        **PAGE_EVENT,
    )
    opened.then(**fill).then(**look.refresh)


def _example(text: str) -> tuple[str, None]:
    """The text with nothing hidden by hand, even where the box held it already."""
    return text, None
