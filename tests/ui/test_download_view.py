"""A model that is not here yet: the page tells how far its download is, and stops it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import huggingface_hub.constants
import pytest
from stand_in_hub import REPOSITORY, StandInHub, serving, wait_for

from bertdemo.mlm.models.downloads import Download, running_download
from bertdemo.mlm.models.registry import ModelRegistry
from bertdemo.ui import download as module
from bertdemo.ui.download import DownloadView, progress_html, show_download, stop_download
from bertdemo.ui.services import model_choices


@pytest.fixture
def hub(tiny_bert_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[StandInHub]]:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    with serving(tiny_bert_folder, cache=tmp_path / "cache", monkeypatch=monkeypatch) as handler:
        yield handler


@pytest.fixture
def services(tiny_bert_folder: Path) -> Any:
    return SimpleNamespace(resolve=ModelRegistry(None, bundled=tiny_bert_folder).resolve)


@pytest.fixture
def view() -> DownloadView:
    with gr.Blocks():
        return DownloadView(gr.HTML(), gr.Button(), gr.State(""))


def test_it_tells_what_is_here_and_left_until_all_is(hub: type[StandInHub], services: Any, view: DownloadView) -> None:
    hub.held = threading.Event()
    told = show_download(services, view, REPOSITORY)
    lines = [next(told)]
    wait_for(lambda: (running := running_download(REPOSITORY)) is not None and running.done > 10_000)
    lines.append(next(told))
    assert "MB left" in lines[-1][view.line]
    assert lines[-1][view.stop].visible
    hub.held.set()
    *_, last = told
    assert last[view.line] == ""
    assert last[view.arrived] == REPOSITORY
    assert not last[view.stop].visible
    assert [update[view.line] for update in show_download(services, view, REPOSITORY)] == [""]  # it is here now


def test_a_press_stops_it_and_the_line_says_so(hub: type[StandInHub], services: Any, view: DownloadView) -> None:
    hub.held = threading.Event()
    told = show_download(services, view, REPOSITORY)
    next(told)
    stop_download(services, REPOSITORY)
    *_, last = told
    assert "was stopped" in last[view.line]
    hub.held.set()


def test_offline_says_so_at_once(
    hub: type[StandInHub], services: Any, view: DownloadView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    *_, last = show_download(services, view, REPOSITORY)
    assert "HF_HUB_OFFLINE" in last[view.line]
    assert hub.requests == 0


@pytest.mark.parametrize("model", ["mini-bert", "", "../x", "no such model at all"])
def test_nothing_is_fetched_for_what_is_here_or_is_no_model(
    hub: type[StandInHub], services: Any, view: DownloadView, model: str
) -> None:
    assert [update[view.line] for update in show_download(services, view, model)] == [""]
    assert hub.requests == 0


def test_bytes_are_told_in_megabytes_and_what_the_hub_says_cannot_break_the_page() -> None:
    download = Download("<b>/x")
    assert "asking" in progress_html(download)
    download.total = 440_400_000
    download.add(120_000_000)
    assert "120.0 MB of 440.4 MB are here, 320.4 MB left" in progress_html(download)
    download.add(400_000_000)  # more than was stated
    assert "0.0 MB left" in progress_html(download)
    assert "<b>" not in progress_html(download)


def test_well_known_models_stand_below_the_bundled_one_and_the_runs() -> None:
    services: Any = SimpleNamespace(default_model="mini-bert", runs=lambda *_owner: [])
    labels, references = zip(*model_choices(services), strict=True)
    assert references[:2] == ("mini-bert", "google-bert/bert-base-uncased")
    assert len(references) == 9
    assert all("to download" in label or label.endswith(" here") for label in labels[1:])
