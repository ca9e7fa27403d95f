"""Tours through the page: a list to choose from, and a small card that goes along. All of it runs in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

_SCRIPT = Path(__file__).with_name("tour.js")


def tour_guide(value: str, tours: dict[str, Any]) -> gr.HTML:
    """``value``: HTML with a ``.tour-start[data-tour]`` for each of ``tours``, whose texts are plain text."""
    return gr.HTML(
        value,
        js_on_load=_SCRIPT.read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_classes=["tour-guide"],
        tours=tours,
    )
