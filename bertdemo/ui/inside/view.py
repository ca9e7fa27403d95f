"""What every view of "Look inside" is made of: its name, its components, and the function that answers a question.

Knows no view in particular and nothing of how they are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import gradio as gr
from gradio.blocks import Block

from ..events import Fold

Shown = dict[Block, Any]


class View:
    """One way of looking, on one page: making it lays its components out where that is done.

    ``show(question, **controls)`` answers with {component: value}, and raises ``BertDemoError`` for what the reader can
    mend. It is called anew when the reader uses a control or opens a fold; ``opened`` of a fold is a control like any
    other, so that what is closed need not be computed.
    """

    name: ClassVar[str]
    line: ClassVar[str]  # explains the view in one plain sentence
    needs_blank: ClassVar[bool] = True

    controls: Mapping[str, Block]  # by the names of the arguments of ``show``
    outputs: Sequence[Block]
    triggers: Sequence[Block] | None = None  # None: all controls; name a button where typing alone is to do nothing
    folds: Sequence[Fold] = ()
    show: Callable[..., Shown]


def result_html() -> gr.HTML:
    """A part of an answer, which pales while it does not belong to the text above."""
    return gr.HTML(apply_default_css=False, elem_classes="look-result")


def folded(label: str) -> tuple[Fold, gr.HTML]:
    """A part that is computed only while the reader has it open."""
    fold = Fold(label)
    with fold.accordion:
        return fold, result_html()
