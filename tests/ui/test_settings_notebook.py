"""The Train tab's settings as a notebook, before anything is trained."""

from __future__ import annotations

import json
from pathlib import Path

import gradio as gr
import pytest
from explorer_services import explorer_services

from bertdemo.ui.services import Services
from bertdemo.ui.train.data_panel import AS_DETECTED
from bertdemo.ui.train.form import build_form
from bertdemo.ui.train.settings_notebook import settings_notebook

DETECTED = dict.fromkeys(("encoding", "delimiter", "header"), AS_DETECTED)


@pytest.fixture
def services(tmp_path: Path, tiny_bert_folder: Path) -> Services:
    return explorer_services(tmp_path / "home", model=tiny_bert_folder)


def saved(services: Services, path: str | None, **typed: object) -> dict[str, str]:
    with gr.Blocks():
        form = {name: field.value for name, field in build_form(services).items()} | typed
    return settings_notebook(services, path=path, file="", column="review", **DETECTED, **form)


def test_it_holds_what_was_typed(services: Services, tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    path.write_text("review\n" + "".join(f"This is review number {row}, and I like it.\n" for row in range(12)))
    file = saved(services, str(path), epochs=7, learning_rate=0.00123, limit="9", name="Seven times")
    assert file["name"] == "seven-times.ipynb"
    code = "".join("".join(cell["source"]) for cell in json.loads(file["text"])["cells"] if cell["cell_type"] == "code")
    for line in ("EPOCHS = 7", "LEARNING_RATE = 0.00123", "LIMIT = 9", "FILE = 'reviews.csv'", "RUN = {}"):
        assert line in code
    assert not services.store.list()


def test_what_is_missing_is_said(services: Services) -> None:
    with pytest.raises(gr.Error, match=r"no data yet|nothing to train on"):
        saved(services, None)
