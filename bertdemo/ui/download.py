"""A model that is not on this machine yet: how much of it has come, how much is left, and a button that stops it.

Choosing such a model begins its download; whoever asks it for an answer meanwhile waits for the same one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from html import escape
from typing import NamedTuple

import gradio as gr

from bertdemo.mlm.errors import BertDemoError
from bertdemo.mlm.models.downloads import Download, running_download
from bertdemo.mlm.models.hub import begin_download, is_here, is_hub_id

from .notes import note_html
from .services import PAGE_EVENT, READ_EVENT, Services, Updates

LOOK_SECONDS = 0.5  # between two looks at how far it is


class DownloadView(NamedTuple):
    """``arrived`` changes when a model has come, so that what waited for it can be answered."""

    line: gr.HTML
    stop: gr.Button
    arrived: gr.State


def show_download(services: Services, view: DownloadView, model: str) -> Iterator[Updates]:
    """Begin or join the download of the chosen model, and tell of it to its end; nothing for a model that is here."""
    repository = _absent(services, model)
    if repository is None:
        yield _shown(view, "")
        return
    download = begin_download(repository)
    while not download.is_over:
        yield _shown(view, progress_html(download), stoppable=True)
        time.sleep(LOOK_SECONDS)
    try:
        download.result()
        yield {**_shown(view, ""), view.arrived: repository}
    except BertDemoError as error:
        yield _shown(view, note_html(str(error), wrong=True))


def stop_download(services: Services, model: str) -> None:
    """The running event then says that it was stopped."""
    repository = _absent(services, model)
    download = running_download(repository) if repository else None
    if download is not None:
        download.stop()


def progress_html(download: Download) -> str:
    """``google-bert/bert-base-uncased: 120.0 MB of 440.4 MB are here, 320.4 MB left``."""
    name = escape(download.repository)
    if not download.total:
        return f'<p class="note" role="status">{name}: asking the Hugging Face hub…</p>'
    done, total = (count / 1e6 for count in (download.done, download.total))
    words = f"{name}: {done:.1f} MB of {total:.1f} MB are here, {max(0.0, total - done):.1f} MB left"
    bar = f'<progress max="{download.total}" value="{min(download.done, download.total)}"></progress>'
    return f'<p class="note" role="status">{words}</p>{bar}'


def _absent(services: Services, model: str) -> str | None:
    """The hub id of a model that would have to be downloaded, else None."""
    try:
        source = services.resolve(model).source
    except BertDemoError:
        return None
    return source if is_hub_id(source) and not is_here(source) else None


def _shown(view: DownloadView, line: str, *, stoppable: bool = False) -> Updates:
    return {view.line: line, view.stop: gr.Button(visible=stoppable)}


def build_download(services: Services, model: gr.Dropdown) -> DownloadView:
    """Below a list of models."""
    line = gr.HTML(elem_classes="download", apply_default_css=False)
    stop = gr.Button("Stop the download", size="sm", visible=False, elem_classes="stop-download")
    view = DownloadView(line, stop, gr.State(""))
    places = {"concurrency_id": "download", "concurrency_limit": 16, "trigger_mode": "always_last"}
    model.change(partial(show_download, services, view), model, list(view), **{**PAGE_EVENT, **places})
    view.stop.click(partial(stop_download, services), model, None, **READ_EVENT)
    return view
