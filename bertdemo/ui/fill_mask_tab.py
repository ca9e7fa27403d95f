"""The first screen: a text with blanks, what a model would put there, and the same from a second model beside it."""

from __future__ import annotations

from functools import partial
from html import escape
from typing import NamedTuple

import gradio as gr

from bertdemo.mlm.comparison import Comparison, compare
from bertdemo.mlm.errors import BertDemoError
from bertdemo.mlm.prediction import FilledText, fill_masks

from .components.candidate_bars import CandidateRow, MaskRows, Score, bars_html, candidate_bars, percent, table_html
from .components.token_chips import chips_html, token_chips
from .context import MODEL_EVENT, PAGE_EVENT, Services, user_errors
from .look_inside import build_look_inside
from .model_list import NO_MODEL, comparison_choices, model_choices
from .reading import ask
from .row_order import BY_CHANGE, in_order, order_control

FIRST_TEXT = "I really really [MASK] this show!"
EXAMPLES = (
    "It's okay. I really really [MASK] this show!",
    "It sucks! I really really [MASK] this show!",
    "It's awesome and full of mystery! I really really [MASK] this show!",
    "The capital of France is [MASK].",
    "She put the [MASK] in the [MASK] and closed the door.",
)
MOST_WORDS = 50


class FillMaskTab(NamedTuple):
    """The components that other tabs refresh or fill."""

    text: gr.Textbox
    models: gr.Dropdown
    compared: gr.Dropdown


class FillView(NamedTuple):
    """What an answer fills: components when built, their values when returned."""

    notes: object
    full_stop: object
    chips: object
    order: object
    bars: object
    summary: object
    table: object


def answer(services: Services, text: str, model: str, compared: str, top_k: int, order: str = BY_CHANGE) -> FillView:
    """Fill the text with one model or compare two; what is wrong with the text is said in place, not in a toast."""
    with user_errors():
        try:
            registry = services.registry
            first = registry.shared(registry.resolve(model or "", allow_folders=services.allow_folders))
            filled = fill_masks(first, text, top_k=int(top_k))
            if not compared or compared == NO_MODEL:
                rows = [_rows(filled, number) for number in range(len(filled.masks))]
                return _view(filled, rows, labels=(), summary=_coverage(filled), tuned=model != services.default_model)
            second = registry.shared(registry.resolve(compared, allow_folders=services.allow_folders))
            comparison = compare(first, second, text, top_k=int(top_k))
        except BertDemoError as error:
            return _refusal(str(error))
        pairs = [_pair_rows(comparison, number, order=order) for number in range(len(comparison.masks))]
        shown = _view(filled, pairs, labels=(model, compared), gist=comparison.gist, summary=_both_covered(comparison))
        return shown._replace(notes=_note_list(comparison.notes))


def _rows(filled: FilledText, number: int) -> MaskRows:
    rows = [CandidateRow(c.token, c.token_id, c.probability, c.rank) for c in filled.masks[number].candidates]
    return MaskRows(rows, _title(number, len(filled.masks)))


def _pair_rows(comparison: Comparison, number: int, *, order: str) -> MaskRows:
    """Words that only one of two vocabularies has are left out of the picture; the notes say so."""
    rows = []
    for candidate in in_order(comparison.masks[number].candidates, order):
        before, after = candidate.before, candidate.after
        if before.probability is not None and after.probability is not None:
            pair = Score(after.probability, after.rank)
            rows.append(CandidateRow(candidate.token, None, before.probability, before.rank, pair))
    return MaskRows(rows, _title(number, len(comparison.masks)))


def _title(number: int, count: int) -> str:
    return f"Blank {number + 1}" if count > 1 else ""


def _coverage(filled: FilledText) -> str:
    lines = []
    for mask in filled.masks:
        count = len(mask.candidates)
        words = "1 word covers" if count == 1 else f"{count} words cover"
        lines.append(f"{words} {percent(mask.covered)} of all that it could have said.")
    return lines[0] if len(set(lines)) == 1 else " ".join(f"Blank {n}: {line}" for n, line in enumerate(lines, 1))


def _both_covered(comparison: Comparison) -> str:
    lines = [
        f"The first guesses of each model cover {percent(mask.covered_before)} of all that it could have said before, "
        f"{percent(mask.covered_after)} after."
        for mask in comparison.masks
    ]
    return lines[0] if len(lines) == 1 else " ".join(f"Blank {n}: {line}" for n, line in enumerate(lines, 1))


def _view(
    filled: FilledText,
    masks: list[MaskRows],
    *,
    labels: tuple[str, ...],
    summary: str,
    gist: str = "",
    tuned: bool = False,
) -> FillView:
    stop = filled.suggestions[0] if filled.suggestions else None
    return FillView(
        notes=_note_list(filled.notes),
        full_stop=gr.Button(visible=stop is not None),
        chips=chips_html(filled.tokens, filled.prepared.token_ids, masks=filled.prepared.mask_positions),
        order=gr.Radio(visible=len(labels) > 1),
        bars=(f'<p class="gist">{escape(gist)}</p>' if gist else "") + bars_html(masks, labels=labels, tuned=tuned),
        summary=f'<p class="quiet">{escape(summary)}</p>',
        table=table_html(masks, labels=labels),
    )


def _refusal(sentence: str) -> FillView:
    """Say what is missing and leave the rest of the page where it is, so that nothing jumps while someone types."""
    return FillView(_note_list((sentence,)), gr.Button(visible=False), *[gr.skip()] * 5)


def _note_list(notes: tuple[str, ...]) -> gr.HTML:
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return gr.HTML(f'<ul class="notes" role="status">{items}</ul>', visible=bool(notes))


def add_full_stop(services: Services, text: str, model: str) -> str:
    """The text as the input doctor suggests it."""
    with user_errors():
        registry = services.registry
        filled = fill_masks(
            registry.shared(registry.resolve(model, allow_folders=services.allow_folders)), text, top_k=1
        )
        return filled.suggestions[0].text if filled.suggestions else text


def refresh_models(services: Services, model: str, compared: str) -> tuple[gr.Dropdown, gr.Dropdown]:
    """The lists with the runs that there are now; what was chosen stays chosen."""
    return (
        gr.Dropdown(choices=model_choices(services), value=model or services.default_model),
        gr.Dropdown(choices=comparison_choices(services), value=compared or NO_MODEL),
    )


def build_fill_mask_tab(demo: gr.Blocks, services: Services) -> FillMaskTab:
    with gr.Row(elem_classes="fill-form"):
        with gr.Column(scale=3):
            text = gr.Textbox(
                FIRST_TEXT,
                label="Text",
                info="Write [MASK] (or ___) where a word is missing; as many as you like.",
                lines=3,
                max_lines=8,
                elem_id="fill-text",
            )
            with gr.Row(elem_classes="examples"):
                examples = [gr.Button(example, size="sm", elem_classes="example") for example in EXAMPLES]
        with gr.Column(scale=1, min_width=240):
            model = gr.Dropdown(
                model_choices(services),
                value=services.default_model,
                label="Model",
                info="One of the list, or any hub id you type.",
                allow_custom_value=True,
            )
            compared = gr.Dropdown(
                comparison_choices(services), value=NO_MODEL, label="Compare with", allow_custom_value=True
            )
            top_k = gr.Slider(1, MOST_WORDS, value=5, step=1, label="Words shown")
    view = FillView(
        notes=gr.HTML(visible=False, apply_default_css=False),
        full_stop=gr.Button("Add the full stop", size="sm", visible=False),
        chips=token_chips(),
        order=order_control(),
        bars=candidate_bars(),
        summary=gr.HTML(apply_default_css=False),
        table=_hidden_table(),
    )
    look = build_look_inside(partial(ask, services), source=[text, model, compared])
    _wire(
        demo,
        services,
        inputs=[text, model, compared, top_k, view.order],
        view=view,
        examples=examples,
        refresh=look.refresh,
    )
    return FillMaskTab(text, model, compared)


def _hidden_table() -> gr.HTML:
    with gr.Accordion("As a table", open=False):
        return gr.HTML(apply_default_css=False)


def _wire(
    demo: gr.Blocks, services: Services, *, inputs: list, view: FillView, examples: list[gr.Button], refresh: dict
) -> None:
    text, model, compared, top_k, order = inputs
    fill = {"fn": partial(answer, services), "inputs": inputs, "outputs": list(view), **MODEL_EVENT, **PAGE_EVENT}
    changes = [text.change, model.change, compared.change, top_k.change, order.input]
    gr.on(changes, **fill, trigger_mode="always_last").then(**refresh)
    for button in examples:
        button.click(lambda example=button.value: example, outputs=text, **PAGE_EVENT)
    view.full_stop.click(partial(add_full_stop, services), [text, model], text, **PAGE_EVENT)
    refresh = partial(refresh_models, services)
    demo.load(refresh, [model, compared], [model, compared], **PAGE_EVENT).then(**fill)
