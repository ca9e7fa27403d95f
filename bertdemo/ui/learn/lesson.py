"""What lessons are made of: how they are listed and opened, their text, and several short steps of which one is shown.

Knows no single lesson.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import gradio as gr
from gradio.blocks import Block

from ..services import Services

# In the browser: show one lesson and mark its button. Nothing is asked of the server.
OPEN_JS = """() => {
  for (const lesson of document.querySelectorAll('#learn .lesson'))
    lesson.classList.toggle('open', lesson.id === 'lesson-%(key)s');
  for (const button of document.querySelectorAll('#learn .lesson-link'))
    button.setAttribute('aria-current', String(button.id === 'open-%(key)s'));
  document.getElementById('open-%(key)s').scrollIntoView({ block: 'nearest', inline: 'center' });
}"""


# Several steps of which one is shown: back and next, or any step by its name. In the browser alone.
_STEP_JS = """
let at = 0;
const show = (to) => {
  const steps = [...element.querySelectorAll('.step')];
  if (!steps.length) return;
  at = Math.max(0, Math.min(steps.length - 1, to));
  steps.forEach((step, place) => { step.classList.toggle('now', place === at); });
  element.querySelectorAll('.step-name').forEach((name, place) => {
    if (place === at) name.setAttribute('aria-current', 'step'); else name.removeAttribute('aria-current');
  });
  element.querySelector('.step-back').disabled = at === 0;
  element.querySelector('.step-next').disabled = at === steps.length - 1;
};
element.addEventListener('click', (event) => {
  const names = [...element.querySelectorAll('.step-name')];
  if (event.target.closest('.step-name')) show(names.indexOf(event.target.closest('.step-name')));
  else if (event.target.closest('.step-next')) show(at + 1);
  else if (event.target.closest('.step-back')) show(at - 1);
});
watch('value', () => show(at));
show(0);
"""


@dataclass(frozen=True)
class Opening:
    """What a lesson computes when it is opened, so that nothing is computed for lessons that nobody reads."""

    fn: Callable[..., Any]
    inputs: Mapping[str, Block]  # by the handler's arguments
    outputs: Sequence[Block]
    event: dict[str, Any] = field(default_factory=dict)

    @property
    def wiring(self) -> dict[str, Any]:
        """Spread into ``.click(...)`` and the like."""
        return {"fn": self.fn, "inputs_kwargs": dict(self.inputs), "outputs": list(self.outputs), **self.event}


@dataclass(frozen=True)
class Lesson:
    """``build`` lays the lesson out inside the current column and says what opening it computes, if anything."""

    key: str
    title: str
    gist: str  # one line under the title in the list
    build: Callable[[Services], Opening | None]


def text(html: str) -> gr.HTML:
    """Our own text, written here and therefore safe; every value in it has been escaped."""
    return gr.HTML(f'<div class="lesson-text">{html}</div>', apply_default_css=False)


def next_seed(seed: float | None) -> int:
    return int(seed or 0) + 1


def stepper(value: str = "") -> gr.HTML:
    """The component that shows :func:`steps_html`; a new value leaves the reader at the step where they are."""
    return gr.HTML(value, js_on_load=_STEP_JS, apply_default_css=False, elem_classes=["stepper"])


def steps_html(steps: Sequence[tuple[str, str]]) -> str:
    """(name, HTML) of each step; the names are escaped, the HTML is ours."""
    names = "".join(
        f'<li><button type="button" class="step-name"{" aria-current=step" if not place else ""}>'
        f"<b>{place + 1}</b> <span>{escape(name)}</span></button></li>"
        for place, (name, _html) in enumerate(steps)
    )
    shown = "".join(
        f'<section class="step{" now" if not place else ""}" aria-label="{escape(name)}">'
        f"<h3>{place + 1} {escape(name)}</h3>{html}</section>"
        for place, (name, html) in enumerate(steps)
    )
    return (
        f'<nav aria-label="Steps"><ol class="step-names">{names}</ol></nav><div class="steps">{shown}</div>'
        '<div class="step-buttons"><button type="button" class="step-back" disabled>Back</button>'
        '<button type="button" class="step-next">Next</button></div>'
    )
