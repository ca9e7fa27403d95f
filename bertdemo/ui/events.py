"""Work in proportion: what a page waits for before it asks the server, and what it never asks for while it is closed.

Both lean on one thing of Gradio's page: an event whose ``js`` returns a promise goes on when that promise does, and
never where it never does. ``tests/browser/test_explorer.py`` fails if that changes.
"""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.events import Dependency

from .services import PAGE_EVENT

PAUSE = 200  # ms without a key before a text is read
# A pause of its own for each box; the promises of earlier keys are forgotten and what hangs on them with them.
_PAUSED_JS = """() => new Promise((resolve) => {
  const waiting = (window.bertdemoWaiting ??= {});
  clearTimeout(waiting[%(box)d]);
  waiting[%(box)d] = setTimeout(resolve, %(pause)d);
})"""
_IF_SET_JS = "(value) => value ? [] : new Promise(() => {})"


def when_typed(*boxes: gr.Textbox | gr.Number) -> Dependency:
    """What to chain on with ``.then``: the text of a box has changed, and no key was pressed for a moment.

    ``change`` and not ``input``, which Gradio does not send for a text that is pasted. Wire nothing else to the
    ``change`` of these boxes: the page works such events off one by one and would wait for every pause.
    """
    pause = _PAUSED_JS % {"box": boxes[0]._id, "pause": PAUSE}
    return gr.on([box.change for box in boxes], None, None, None, js=pause, **PAGE_EVENT)


def only_if_set(before: Dependency, component: Block) -> Dependency:
    """What to chain on after ``before`` where it is of use only while ``component`` has a value."""
    return before.then(None, component, None, js=_IF_SET_JS, **PAGE_EVENT)


class Fold:
    """A closed accordion. Give ``opened`` to the handler that fills it: False, and there is nothing to compute."""

    def __init__(self, label: str, **look: Any) -> None:
        self.opened = gr.State(False)
        self.accordion = gr.Accordion(label, open=False, **look)
        self.accordion.collapse(bool, None, self.opened, **PAGE_EVENT)

    def when_opened(self) -> Dependency:
        return self.accordion.expand(lambda: True, None, self.opened, **PAGE_EVENT)
