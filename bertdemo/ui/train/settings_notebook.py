"""The chosen file and settings as a Jupyter notebook, before anything is trained."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.blocks import Block

from bertdemo.runs.notebook_file import NotebookSource, notebook_json
from bertdemo.runs.record import DataSource, slug

from ..fill.export import browser_call
from ..services import FILE_EVENT, PAGE_EVENT, Services, user_errors
from .form import request_of


def settings_notebook(services: Services, /, **form: Any) -> dict[str, str]:
    """What the form says, as a notebook for the browser to save."""
    with user_errors():
        request = request_of(services, **form)
        dialect = None if request.dialect is None else asdict(request.dialect)
        name, path = request.data_name, str(request.data)
        data = DataSource(name, path, column=request.column, limit=request.limit, dialect=dialect)
        title = request.name or Path(name).stem
        source = NotebookSource(title, services.resolve(request.model), data, request.settings, {})
        return {"name": f"{slug(title)}.ipynb", "type": "application/x-ipynb+json", "text": notebook_json(source)}


def build_settings_notebook(services: Services, form: dict[str, Block]) -> None:
    """The button; ``form``: what Start submits."""
    button = gr.Button("These settings as a notebook", size="sm", elem_id="settings-notebook", scale=0, min_width=240)
    file = gr.JSON(visible=False)
    made = button.click(partial(settings_notebook, services), inputs_kwargs=form, outputs=file, **FILE_EVENT)
    made.success(None, file, None, js=browser_call("saveFile"), **PAGE_EVENT)
