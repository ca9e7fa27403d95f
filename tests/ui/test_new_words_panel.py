"""The page lists the words that a model must spell, and one press asks for them as tokens."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from bertdemo.mlm.models.registry import ModelRegistry
from bertdemo.ui.train.data_panel import AS_DETECTED, name_on_page
from bertdemo.ui.train.new_words import GIVEN, NewWords, _given, show_words


class Services(SimpleNamespace):
    __hash__ = object.__hash__


@pytest.fixture
def services(tiny_bert_folder: Path) -> Any:
    registry = ModelRegistry(None, bundled=tiny_bert_folder)
    return Services(registry=registry, resolve=registry.resolve)


@pytest.fixture
def view() -> NewWords:
    with gr.Blocks():
        return NewWords(gr.HTML(), gr.Button())


def _form(data: Path, **changes: Any) -> dict[str, Any]:
    reading = dict.fromkeys(("encoding", "delimiter", "header"), AS_DETECTED)
    form = {"path": str(data), "file": name_on_page(str(data)), "column": "review", "model": "mini-bert"}
    form |= {"new_words": 0, **reading}
    return {**form, **changes}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "reviews.csv"
    path.write_text("review\n" + "".join(f'"{number} times we love anime and the old show"\n' for number in range(40)))
    return path


def test_words_are_listed_with_their_pieces_and_uses(services: Any, view: NewWords, data: Path) -> None:
    shown = show_words(services, view, **_form(data))
    assert "<b>anime</b>: a ##n ##i ##m ##e, 36 times" in shown[view.listed]  # of the rows that are learned from
    assert "made once, from other texts" in shown[view.listed]
    assert shown[view.give].visible
    assert shown[view.give].value == "Give the model the first 20 as tokens"
    chosen = show_words(services, view, **_form(data, new_words=7))
    assert chosen[view.give].value.startswith("The first 7 become tokens")


def test_a_model_that_is_not_here_is_not_downloaded_for_a_list(services: Any, view: NewWords, data: Path) -> None:
    shown = show_words(services, view, **_form(data, model="google-bert/bert-base-uncased"))
    assert "once the model is on this machine" in shown[view.listed]
    assert not shown[view.give].visible


@pytest.mark.parametrize("changes", [{"path": None, "file": ""}, {"column": None}, {"model": "no such model at all"}])
def test_what_is_wrong_elsewhere_is_not_said_twice(
    services: Any, view: NewWords, data: Path, changes: dict[str, Any]
) -> None:
    shown = show_words(services, view, **_form(data, **changes))
    assert shown[view.listed] == ""
    assert not shown[view.give].visible


def test_a_press_sets_the_number_and_another_takes_it_back() -> None:
    assert _given(0) == GIVEN
    assert _given(GIVEN) == 0
