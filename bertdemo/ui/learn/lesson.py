"""What every lesson is made of, and how they are listed. Knows no single lesson."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from ..services import Services

# In the browser: show one lesson and mark its button. Nothing is asked of the server.
OPEN_JS = """() => {
  for (const lesson of document.querySelectorAll('#learn .lesson'))
    lesson.classList.toggle('open', lesson.id === 'lesson-%(key)s');
  for (const button of document.querySelectorAll('#learn .lesson-link'))
    button.setAttribute('aria-current', String(button.id === 'open-%(key)s'));
  document.getElementById('open-%(key)s').scrollIntoView({ block: 'nearest', inline: 'center' });
}"""


@dataclass(frozen=True)
class Opening:
    """What a lesson computes when it is opened, so that nothing is computed for lessons that nobody reads."""

    fn: Callable[..., Any]
    inputs: Sequence[Any] = ()
    outputs: Sequence[Any] = ()
    event: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Lesson:
    """``build`` lays the lesson out inside the current column and says what opening it computes, if anything."""

    key: str
    title: str
    gist: str  # one line under the title in the list
    build: Callable[[gr.Blocks, Services], Opening | None]


def text(html: str) -> gr.HTML:
    """Our own text, written here and therefore safe; every value in it has been escaped."""
    return gr.HTML(f'<div class="lesson-text">{html}</div>', apply_default_css=False)


def next_seed(seed: float | None) -> int:
    return int(seed or 0) + 1
