"""The runs so far: a table to choose from, what can be done with the one that is shown, and several in one chart."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from html import escape
from typing import NamedTuple

import gradio as gr
from gradio.events import Dependency

from ..services import PAGE_EVENT, READ_EVENT, Services, has_other_best, unchecked
from . import run_actions
from .runs_table import run_table, runs_html, state_html

MOST_RUNS = 100  # listed
_CLICK_DOWNLOAD = "() => setTimeout(() => document.querySelector('#run-zip a, a#run-zip, #run-zip')?.click(), 150)"


class Actions(NamedTuple):
    """What depends on the run that is shown: components when built, updates when returned."""

    title: object
    download: object
    resume: object
    more: object
    name: object
    delete: object
    publish: object
    best: object
    confirm: object
    named: object  # the run whose name is in the field


class Publishing(NamedTuple):
    repository: gr.Textbox
    token: gr.Textbox
    private: gr.Checkbox


class Question(NamedTuple):
    """Asked before a run is deleted; ``about`` is its id, whatever run is shown when the answer comes."""

    confirm: object
    words: object
    about: object


class Overlay(NamedTuple):
    chosen: object
    plot: object


class RunsPanel(NamedTuple):
    table: gr.HTML
    actions: Actions
    note: gr.HTML
    zip: gr.DownloadButton
    rename: gr.Button
    question: Question
    delete_now: gr.Button
    keep: gr.Button
    publishing: Publishing
    overlay: Overlay


def list_runs(services: Services, shown: str) -> str:
    runs = services.store.list()
    return runs_html([run.record for run in runs[:MOST_RUNS]], shown=shown, total=len(runs))


def chosen_run(event: gr.EventData) -> tuple[str, str]:
    """The run to show, and no note: what was said was about another one."""
    return str(event.run_id), ""


def show_actions(services: Services, owner: str, run_id: str, named: str = "") -> Actions:
    """Only what makes sense for this run, and only what this browser may do.

    A name that is being typed stays when the run enters another state: the field is filled anew for another run only.
    """
    run = run_actions.find_run(services.store, run_id)
    mine = run_actions.may_change(services, run, owner)
    over = run is not None and run_actions.is_over(run)
    models = run.models() if run is not None else {}
    title = f"<p><strong>{escape(run.record.name)}</strong> {state_html(run.record.state)}</p>" if run else ""
    return Actions(
        title=title,
        download=gr.Button(visible=over),
        resume=gr.Button(visible=mine and run_actions.can_resume(run)),
        more=gr.Accordion(visible=mine),
        name=gr.skip() if run is not None and named == run_id else gr.Textbox(run.record.name if run else ""),
        delete=gr.Button(interactive=over),
        publish=gr.Button(interactive=bool(models)),
        best=gr.Checkbox(False, visible=run is not None and has_other_best(run)),
        confirm=gr.Row(visible=False),
        named=run_id,
    )


def ask_to_delete(services: Services, run_id: str) -> Question:
    run = run_actions.find_run(services.store, run_id)
    name = escape(run.record.name) if run else "this run"
    words = f"<p>Delete “{name}” with its model and its curve? This cannot be undone.</p>"
    return Question(gr.Row(visible=True), words, run_id)


def show_overlay(services: Services, run_ids: list[str] | None) -> gr.Plot:
    figure = run_actions.overlay(services, run_ids)
    return gr.Plot(figure, visible=figure is not None)


def refresh_overlay(services: Services, run_ids: list[str] | None) -> Overlay:
    """The runs to choose from, and the chart of those that were chosen and are still there, as they are now."""
    choices = run_actions.overlay_choices(services)
    known = {run_id for _, run_id in choices}
    there = [run_id for run_id in run_ids or [] if run_id in known]
    return Overlay(
        gr.Dropdown(choices, value=there, multiselect=True), show_overlay(services, there) if run_ids else gr.skip()
    )


def build_runs_panel() -> RunsPanel:
    table = run_table()
    with gr.Row(elem_classes="run-actions"):
        title = gr.HTML(elem_id="run-shown", apply_default_css=False)
        download = gr.Button(
            "Download as zip", size="sm", visible=False, scale=0, min_width=160, elem_id="download-run"
        )
        resume = gr.Button("Resume", size="sm", visible=False, scale=0, min_width=120, elem_id="resume-run")
    note = gr.HTML(elem_id="run-note", apply_default_css=False)
    file = gr.DownloadButton("Download", visible="hidden", elem_id="run-zip")
    with gr.Accordion("Rename, publish or delete this run", open=False, visible=False) as more:
        name, rename = _build_rename()
        publishing, best, publish = _build_publishing()
        delete = gr.Button("Delete this run…", size="sm", elem_id="delete-run", min_width=180)
        with gr.Row(visible=False, elem_classes="confirm") as confirm:
            words = gr.HTML(apply_default_css=False)
            delete_now = gr.Button("Delete for good", size="sm", elem_classes="danger", scale=0, min_width=150)
            keep = gr.Button("Keep it", size="sm", scale=0, min_width=110)
    with gr.Accordion("Several runs in one chart", open=False):
        overlay = _build_overlay()
    question = Question(confirm, words, gr.State(""))
    actions = Actions(title, download, resume, more, name, delete, publish, best, confirm, gr.State(""))
    return RunsPanel(table, actions, note, file, rename, question, delete_now, keep, publishing, overlay)


def _build_overlay() -> Overlay:
    chosen = gr.Dropdown(
        [],
        label="Runs",
        info=f"Up to {run_actions.MOST_OVERLAID}. Lines: training loss, smoothed; marks: held-out loss.",
        multiselect=True,
        max_choices=run_actions.MOST_OVERLAID,
        elem_id="overlaid-runs",
    )
    return Overlay(unchecked(chosen), gr.Plot(visible=False, show_label=False, elem_id="overlay"))


def _build_rename() -> tuple[gr.Textbox, gr.Button]:
    with gr.Row(elem_classes="field-and-button"):
        name = gr.Textbox(label="Name", max_length=80, min_width=220, elem_id="run-name")
        return name, gr.Button("Rename", size="sm", scale=0, min_width=120)


def _build_publishing() -> tuple[Publishing, gr.Checkbox, gr.Button]:
    with gr.Row(elem_classes="field-and-button"):
        repository = gr.Textbox(
            label="Publish on the Hugging Face hub as",
            info="A new repository; none is overwritten.",
            placeholder="your-name/your-model",
            max_length=96,
            min_width=240,
        )
        token = gr.Textbox(
            label="Token with write access",
            type="password",
            info="Used once, kept nowhere.",
            max_length=200,
            min_width=220,
        )
        with gr.Column(min_width=160, scale=0):
            private = gr.Checkbox(True, label="private")
            best = gr.Checkbox(False, label="the best epoch's weights", visible=False)
        publish = gr.Button("Publish", size="sm", scale=0, min_width=120)
    return Publishing(repository, token, private), best, publish


def wire_runs_panel(
    demo: gr.Blocks, services: Services, panel: RunsPanel, *, owner: gr.BrowserState, chart: gr.HTML
) -> tuple[Dependency, ...]:
    """The table and the actions follow the run that is shown and its state.

    Returns what happens when a run has got another name, or is gone.
    """
    asked = [owner, chart]
    listed: Callable[[gr.Blocks], object] = partial(_refresh, services, panel, asked)
    table = {"fn": partial(list_runs, services), "inputs": chart, "outputs": panel.table, **READ_EVENT}
    demo.load(partial(run_actions.newest_run, services), None, chart, **READ_EVENT).then(**table)
    listed(chart.state_changed)
    panel.table.chosen(chosen_run, None, [chart, panel.note], **READ_EVENT)
    actions = panel.actions
    listed(actions.resume.click(partial(run_actions.resume, services), asked, panel.note, **READ_EVENT).then)
    new_name = {"fn": partial(run_actions.rename, services), "inputs": [*asked, actions.name], "outputs": panel.note}
    renamed = gr.on([panel.rename.click, actions.name.submit], **new_name, **READ_EVENT)
    listed(renamed.then)
    actions.delete.click(partial(ask_to_delete, services), chart, list(panel.question), **READ_EVENT)
    panel.keep.click(lambda: gr.Row(visible=False), None, actions.confirm, **READ_EVENT)
    doomed = [*asked, panel.question.about]
    gone = panel.delete_now.click(partial(run_actions.delete, services), doomed, [chart, panel.note], **READ_EVENT)
    listed(gone.then)
    _wire_files(services, panel, owner=owner, chart=chart)
    return renamed, gone


def _refresh(services: Services, panel: RunsPanel, asked: list, event: Callable) -> None:
    """After ``event``: the table, what can be done, and the choice of curves."""
    event(partial(show_actions, services), [*asked, panel.actions.named], list(panel.actions), **READ_EVENT)
    event(partial(list_runs, services), asked[1], panel.table, **READ_EVENT)
    event(partial(refresh_overlay, services), panel.overlay.chosen, list(panel.overlay), **READ_EVENT)


def _wire_files(services: Services, panel: RunsPanel, *, owner: gr.BrowserState, chart: gr.HTML) -> None:
    """Work on files may take a while: a few at once."""
    slow = {**PAGE_EVENT, "concurrency_id": "file", "concurrency_limit": 4}
    made = panel.actions.download.click(partial(run_actions.make_zip, services), chart, [panel.zip, panel.note], **slow)
    made.success(None, js=_CLICK_DOWNLOAD, **PAGE_EVENT)
    asked = [owner, chart, *panel.publishing, panel.actions.best]
    cleared = [panel.note, panel.publishing.token]
    panel.actions.publish.click(partial(run_actions.publish, services), asked, cleared, **slow)
    chosen, plot = panel.overlay
    chosen.input(partial(show_overlay, services), chosen, plot, **READ_EVENT)
