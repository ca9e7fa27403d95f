"""Services for tests of the fill tab: real models and a real store in a folder of the test's own."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import gradio as gr

from bertdemo.runs.store import Workspace
from bertdemo.ui.fill.answer import FillView
from bertdemo.ui.services import Services


def explorer_services(home: Path, *, model: Path) -> Services:
    """The page opens with the checkpoint in ``model``; nothing is trained, so there is no manager."""
    workspace = Workspace(home)
    manager = SimpleNamespace(live=tuple)
    return Services(workspace.registry, manager, workspace.store, home, home / "none.csv", default_model=str(model))


def fill_view() -> FillView:
    """The components that an answer fills, on no page."""
    with gr.Blocks():
        return FillView(
            notes=gr.HTML(),
            full_stop=gr.Button(),
            strip=gr.HTML(),
            order=gr.Radio(),
            bars=gr.HTML(),
            summary=gr.HTML(),
            table=gr.Dataframe(),
            entropies=gr.HTML(),
            blank=gr.Radio(),
        )
