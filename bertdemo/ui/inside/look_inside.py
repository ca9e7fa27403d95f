"""'Look inside': one row of choices under the bars, one view open at a time, computed only while it is open.

To add an insight: write a function of values in ``bertdemo.mlm``; a module with one ``View`` (see ``view``), whose
``__init__`` lays out its components and whose ``show`` turns a ``Question`` and the values of its controls into
{component: value}; then name that class in ``VIEWS`` below. Nothing else changes: opening and closing, computing anew
when the text, the models, the blank or a control changes, and telling the reader what is wrong are done here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from html import escape
from typing import Any, NamedTuple

import gradio as gr
from gradio.blocks import Block

from bertdemo.mlm.errors import BertDemoError, TextError

from ..events import when_typed
from ..question import Question
from ..services import MODEL_EVENT, PAGE_EVENT, unchecked, user_errors
from .every_word import EveryWord
from .layer_by_layer import LayerByLayer
from .nearest import Nearest
from .own_words import OwnWords
from .pairs import Pairs
from .several_blanks import SeveralBlanks
from .view import Shown, View
from .where_it_looked import WhereItLooked
from .whole_vocabulary import WholeVocabulary
from .why_this_word import WhyThisWord

VIEWS: tuple[type[View], ...] = (
    WhyThisWord,  # the first is where to begin, and it becomes more technical from one to the next
    OwnWords,
    EveryWord,
    Pairs,
    SeveralBlanks,
    WhereItLooked,
    LayerByLayer,
    Nearest,
    WholeVocabulary,
)

Ask = Callable[..., Question]  # ask(**values of the source, blank=0) -> Question
EVENT: dict[str, Any] = {**MODEL_EVENT, **PAGE_EVENT, "trigger_mode": "always_last"}


class LookInside(NamedTuple):
    """``blank`` is filled by whoever fills the masks; spread ``refresh`` into ``.then(...)`` after that."""

    choice: gr.Radio
    blank: gr.Radio
    refresh: dict[str, Any]


class Panel(NamedTuple):
    """A view on the page, the column that hides it, and the line above all views that says what is wrong."""

    view: View
    column: gr.Column
    message: gr.HTML


def build_look_inside(ask: Ask, *, source: Mapping[str, Block], views: Sequence[type[View]] = VIEWS) -> LookInside:
    """The row of choices and the views under it; ``ask`` makes a Question of the values of ``source``."""
    with gr.Column(elem_classes="look"):
        choice = gr.Radio(
            [view.name for view in views],
            label="Look inside",
            info=f"Begin with “{views[0].name}”; the last ones are the most technical.",
            elem_id="look-inside",
            elem_classes="pills",
        )
        blank = unchecked(
            gr.Radio(
                [("1", 0)], value=0, label="Which blank", visible=False, elem_id="which-blank", elem_classes="pills"
            )
        )
        message = gr.HTML(apply_default_css=False, elem_classes="look-message")
        panels = [_build_panel(view, choice, message) for view in views]
    asked = {**source, "blank": blank}
    controls = {_key(number, name): part for number, panel in enumerate(panels) for name, part in _parts(panel)}
    refresh = {
        "fn": partial(look, ask, panels),
        "inputs_kwargs": {**asked, **controls, "choice": choice},
        "outputs": [message, *(part for panel in panels for part in (panel.column, *panel.view.outputs))],
        **EVENT,
    }
    gr.on([choice.change, blank.input], **refresh)
    for panel in panels:
        _wire_panel(ask, panel, asked)
    return LookInside(choice, blank, refresh)


def look(ask: Ask, panels: Sequence[Panel], *, choice: str | None, **values: Any) -> Shown:
    """Show the chosen view alone, and fill it; ``values``: those of the source and of all controls."""
    shown: Shown = {panel.column: gr.Column(visible=panel.view.name == choice) for panel in panels}
    controls = [
        {name: values.pop(_key(number, name)) for name, _ in _parts(panel)} for number, panel in enumerate(panels)
    ]
    for panel, own in zip(panels, controls, strict=True):
        if panel.view.name == choice:
            return {**shown, **fill(ask, panel, **values, **own)}
    return {**shown, panels[0].message: ""}


def fill(ask: Ask, panel: Panel, **values: Any) -> Shown:
    """What is wrong or "", and the view's answer; ``values``: those of the source and of the view's own controls."""
    own = {name: values.pop(name) for name, _ in _parts(panel)}
    with user_errors():
        try:
            question = ask(**values)
            if panel.view.needs_blank and not question.prepared.mask_positions:
                raise TextError("There is no blank to look at; hide a word of the text first.")
            return {panel.message: "", **panel.view.show(question, **own)}
        except BertDemoError as error:
            return {panel.message: f'<p class="look-wrong" role="status">{escape(str(error))}</p>'}


def _key(number: int, name: str) -> str:
    """What a view's control is called among those of all views."""
    return f"view{number}_{name}"


def _parts(panel: Panel) -> list[tuple[str, Block]]:
    return list(panel.view.controls.items())


def _build_panel(view: type[View], choice: gr.Radio, message: gr.HTML) -> Panel:
    with gr.Column(visible=False, elem_classes="look-panel") as column:
        with gr.Row(elem_classes="look-head"):
            gr.HTML(f"<p>{escape(view.line)}</p>", apply_default_css=False, elem_classes="look-line")
            close = gr.Button("Close", size="sm")
        close.click(_close, None, choice, **PAGE_EVENT)
        return Panel(view(), column, message)


def _close() -> None:
    """No view is chosen."""


def _wire_panel(ask: Ask, panel: Panel, asked: Mapping[str, Block]) -> None:
    """A text is read when typing pauses, everything else at once."""
    view = panel.view
    answer: dict[str, Any] = {
        "fn": partial(fill, ask, panel),
        "inputs_kwargs": {**asked, **view.controls},
        "outputs": [panel.message, *view.outputs],
        **EVENT,
    }
    for trigger in view.controls.values() if view.triggers is None else view.triggers:
        if isinstance(trigger, gr.Textbox):
            when_typed(trigger).then(**answer)
        elif isinstance(trigger, gr.Button):
            trigger.click(**answer)
        elif not isinstance(trigger, gr.State):
            trigger.input(**answer)  # type: ignore[attr-defined]
    for fold in view.folds:
        fold.when_opened().then(**answer)
