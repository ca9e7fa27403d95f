"""'Look inside': one row of choices under the bars, one view open at a time, computed only while it is open.

To add an insight: write a function of values in ``bertdemo.mlm``; a module with one ``View`` (see ``views.view``):
``build`` lays out its components, ``show`` turns a ``Question`` and the values of its controls into those of its
outputs; then name that ``View`` in ``VIEWS`` below. Nothing else changes: opening and closing, computing anew when the
text, the models, the blank or a control changes, and telling the reader what is wrong are done here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from html import escape
from typing import Any, NamedTuple

import gradio as gr
from gradio.components import Component

from bertdemo.mlm.errors import BertDemoError, TextError

from ..services import MODEL_EVENT, PAGE_EVENT, unchecked, user_errors
from . import (
    every_word,
    layer_by_layer,
    nearest,
    own_words,
    pairs,
    several_blanks,
    where_it_looked,
    whole_vocabulary,
    why_this_word,
)
from .view import Parts, Question, View

VIEWS: tuple[View, ...] = (
    every_word.VIEW,
    why_this_word.VIEW,
    layer_by_layer.VIEW,
    where_it_looked.VIEW,
    own_words.VIEW,
    several_blanks.VIEW,
    nearest.VIEW,
    whole_vocabulary.VIEW,
    pairs.VIEW,
)

Ask = Callable[..., Question]  # ask(*values of the source, blank=0) -> Question
EVENT: dict[str, Any] = {**MODEL_EVENT, **PAGE_EVENT, "trigger_mode": "always_last"}


class LookInside(NamedTuple):
    """``blank`` is filled by whoever fills the masks; spread ``refresh`` into ``.then(...)`` after that."""

    choice: gr.Radio
    blank: gr.Radio
    refresh: dict[str, Any]


class Panel(NamedTuple):
    view: View
    column: gr.Column
    parts: Parts


class Panels:
    """The handlers of all views: what the components hold comes in flat, what they are to hold goes out flat."""

    def __init__(self, ask: Ask, panels: Sequence[Panel]) -> None:
        self._ask = ask
        self._panels = panels

    def look(self, choice: str | None, blank: int, *values: Any) -> list[object]:
        """Show the chosen view alone, and fill it; ``values``: all controls, then the source of questions."""
        columns = [gr.Column(visible=panel.view.name == choice) for panel in self._panels]
        message, outputs = "", []
        for panel in self._panels:
            own, values = values[: len(panel.parts.controls)], values[len(panel.parts.controls) :]
            outputs.append((panel, own))
        filled: list[object] = []
        for panel, own in outputs:
            if panel.view.name == choice:
                message, *shown = self.fill(panel, blank, *own, *values)
                filled += shown
            else:
                filled += [gr.skip()] * len(panel.parts.outputs)
        return [message, *columns, *filled]

    def fill(self, panel: Panel, blank: int, *values: Any) -> list[object]:
        """[what is wrong or "", then the outputs]; ``values``: the view's controls, then the source of questions."""
        count = len(panel.parts.controls)
        with user_errors():
            try:
                question = self._ask(*values[count:], blank=blank or 0)
                if panel.view.needs_blank and not question.prepared.mask_positions:
                    raise TextError("There is no blank to look at; hide a word of the text first.")
                return ["", *panel.view.show(question, *values[:count])]
            except BertDemoError as error:
                message = f'<p class="look-wrong" role="status">{escape(str(error))}</p>'
                return [message, *[gr.skip()] * len(panel.parts.outputs)]


def build_look_inside(ask: Ask, *, source: Sequence[Component], views: Sequence[View] = VIEWS) -> LookInside:
    """The row of choices and the views under it; ``ask`` makes a Question of the values of ``source``."""
    with gr.Column(elem_classes="look"):
        choice = gr.Radio([view.name for view in views], label="Look inside", elem_id="look-inside")
        blank = unchecked(gr.Radio([("1", 0)], value=0, label="Which blank", visible=False, elem_id="which-blank"))
        message = gr.HTML(apply_default_css=False, elem_classes="look-message")
        panels = [_build_panel(view, choice) for view in views]
    handlers = Panels(ask, panels)
    controls = [control for panel in panels for control in panel.parts.controls]
    outputs = [output for panel in panels for output in panel.parts.outputs]
    refresh = {
        "fn": handlers.look,
        "inputs": [choice, blank, *controls, *source],
        "outputs": [message, *(panel.column for panel in panels), *outputs],
        **MODEL_EVENT,
        **PAGE_EVENT,
    }
    gr.on([choice.change, blank.input], **refresh, trigger_mode="always_last")
    for panel in panels:
        _wire_panel(handlers, panel, source=[blank, *panel.parts.controls, *source], message=message)
    return LookInside(choice, blank, refresh)


def _build_panel(view: View, choice: gr.Radio) -> Panel:
    with gr.Column(visible=False, elem_classes="look-panel") as column:
        with gr.Row(elem_classes="look-head"):
            gr.HTML(f"<p>{escape(view.line)}</p>", apply_default_css=False, elem_classes="look-line")
            close = gr.Button("Close", size="sm")
        close.click(_close, None, choice, **PAGE_EVENT)
        return Panel(view, column, view.build())


def _close() -> None:
    """No view is chosen."""


def _wire_panel(handlers: Panels, panel: Panel, *, source: list[Component], message: gr.HTML) -> None:
    triggers = panel.parts.controls if panel.parts.triggers is None else panel.parts.triggers
    changed = [_event(trigger) for trigger in triggers]
    if changed:
        gr.on(changed, partial(handlers.fill, panel), source, [message, *panel.parts.outputs], **EVENT)


def _event(trigger: Component) -> Any:
    """What the reader does with a trigger. A text that is put in at once, as when pasted, is no ``input`` to Gradio."""
    if isinstance(trigger, gr.Button):
        return trigger.click
    return trigger.change if isinstance(trigger, gr.Textbox) else trigger.input
