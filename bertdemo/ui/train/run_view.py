"""What the Train tab shows of a run: its state, what it changed, what can be done with it, its place among the others.

One handler answers for all of it whenever another run is shown or the shown one enters another state; what takes
longer, the report, follows. Changes no run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from html import escape
from typing import NamedTuple, TypeAlias

import gradio as gr
import plotly.graph_objects as go

from bertdemo.charts.runs import RunSeries, overlay_figure
from bertdemo.mlm.errors import BertDemoError
from bertdemo.mlm.training.events import TrainingHistory
from bertdemo.runs.next_steps import NEXT_STEPS
from bertdemo.runs.people import owns
from bertdemo.runs.record import ENDED_STATES, FROM_SCRATCH, LIVE_STATES, RESUMABLE_STATES, run_label, run_labels
from bertdemo.runs.report_file import can_report, kept_report, make_report
from bertdemo.runs.run import Run

from ..events import Fold
from ..notes import note_html
from ..plot import figure, figure_value
from ..services import Services, Updates, asker, comparison_choices, has_other_best, model_choices, unchecked
from .report_html import report_html
from .runs_table import run_table, runs_html, state_html

MAX_LISTED = 100  # runs in the table
MAX_OVERLAID = 6  # as many as have a look of their own
LAST, BEST = "last epoch", "best epoch"
READY = "Start begins at once; a run goes on when you close this page."
_QUEUE = "Another run is at work, so Start puts yours in the queue"
_NOTHING = "When a run has ended, its guesses on rows that it never saw are compared here with those of its base model."
_OVERLAID = "Lines: the smoothed training loss of each run by step; marks: its held-out loss"
_COMPARING = "Comparing both models on the held-out rows…"

Reporter: TypeAlias = Callable[[Run], None]  # makes a run's report, unless it is kept


class Watch(NamedTuple):
    """``asked`` is the run of another browser that Stop was pressed for once."""

    start: gr.Button
    stop: gr.Button
    note: gr.HTML
    chart: gr.HTML
    asked: gr.State


class Report(NamedTuple):
    html: gr.HTML
    weights: gr.Radio
    compare: gr.Button


class Actions(NamedTuple):
    """What can be done with the run that is shown; ``named`` is the run whose name is in the field."""

    title: gr.HTML
    download: gr.Button
    notebook: gr.Button
    report: gr.Button
    resume: gr.Button
    share: gr.Button
    note: gr.HTML
    more: gr.Accordion
    name: gr.Textbox
    rename: gr.Button
    named: gr.State


class Publishing(NamedTuple):
    repository: gr.Textbox
    token: gr.Textbox
    private: gr.Checkbox
    best: gr.Checkbox
    publish: gr.Button


class Deletion(NamedTuple):
    """A question comes first; ``about`` is the run that it was asked about, whatever run is shown by then."""

    ask: gr.Button
    row: gr.Row
    words: gr.HTML
    now: gr.Button
    keep: gr.Button
    about: gr.State


class Overlay(NamedTuple):
    fold: Fold
    chosen: gr.Dropdown
    plot: gr.HTML


class RunView(NamedTuple):
    """All of it. ``models`` are lists of models, ``compared`` a list with "none" in front, wherever they stand."""

    watch: Watch
    report: Report
    table: gr.HTML
    actions: Actions
    publishing: Publishing
    deletion: Deletion
    overlay: Overlay
    models: tuple[gr.Dropdown, ...] = ()
    compared: tuple[gr.Dropdown, ...] = ()

    @property
    def outputs(self) -> list[gr.blocks.Block]:
        """All that :func:`show_run` may fill."""
        actions, overlay = self.actions, self.overlay
        files = [actions.download, actions.notebook, actions.report]
        named = [actions.title, *files, actions.resume, actions.share, actions.more, actions.name, actions.named]
        more = [self.deletion.ask, self.deletion.row, self.publishing.publish, self.publishing.best]
        lists = [*self.models, *self.compared, overlay.chosen, overlay.plot]
        return [self.watch.stop, self.watch.note, self.watch.asked, *self.report, self.table, *named, *more, *lists]


def show_run(
    services: Services,
    view: RunView,
    *,
    run_id: str,
    named: str = "",
    overlaid: list[str] | None = None,
    overlay_open: bool = False,
) -> Updates:
    """The run as it is now; only what this browser may do with it is offered."""
    run = services.find_run(run_id)
    mine = run is not None and services.may_change(run)
    shown = {view.table: list_runs(services, run_id), **_state(services, view.watch, run, mine=mine)}
    shown |= show_report(view.report, run) | _actions(view, run, mine=mine, named=named)
    shown[view.actions.share] = _share_button(run, visible=mine and services.access.private)
    if run is None or run.record.state not in LIVE_STATES:  # then there may be a model more, or one less
        shown |= model_lists(services, view)
    if overlay_open:
        shown |= refresh_overlay(services, view.overlay, overlaid=overlaid)
    return shown


def list_runs(services: Services, shown: str) -> str:
    runs = services.runs()
    return runs_html([run.record for run in runs[:MAX_LISTED]], shown=shown, total=len(runs))


def list_anew(services: Services, view: RunView, *, run_id: str) -> Updates:
    """Another run than the one that is shown began, ended or joined the queue."""
    lists = {view.table: list_runs(services, run_id), **model_lists(services, view)}
    run = services.find_run(run_id)
    over = run is None or run.record.state not in LIVE_STATES
    return lists | (
        _state(services, view.watch, run, mine=False) if over else {}
    )  # whether Start begins at once has changed


def _title(run: Run) -> str:
    record = run.record
    where = f", in {record.precision} on {record.device}" if record.device else ""
    return f"<p><strong>{escape(run_label(record))}</strong> {state_html(record.state)}{escape(where)}</p>"


def model_lists(services: Services, view: RunView) -> Updates:
    """With the runs that there are now; what is chosen in them stays chosen."""
    choices = model_choices(services)
    lists: Updates = {models: gr.Dropdown(choices) for models in view.models}
    return lists | {compared: gr.Dropdown(comparison_choices(choices)) for compared in view.compared}


def is_others(run: Run) -> bool:
    """Whether another browser started the run, as in a class behind a tunnel, where everybody may change it."""
    return bool(asker()) and bool(run.record.owner) and not owns(run.record.owner, asker())


def _state(services: Services, watch: Watch, run: Run | None, *, mine: bool) -> Updates:
    if run is not None and run.record.state in LIVE_STATES:  # what was said of its start stays
        return {watch.stop: gr.Button(interactive=mine), watch.asked: ""}
    waiting = len(services.manager.live())
    ready = f"{_QUEUE}, as number {waiting}." if waiting else READY
    return {watch.stop: gr.Button(interactive=False), watch.note: note_html(ready), watch.asked: ""}


def _actions(view: RunView, run: Run | None, *, mine: bool, named: str) -> Updates:
    """A name that is being typed stays when the run enters another state: it is filled in anew for another run only."""
    actions, over = view.actions, run is not None and run.record.state not in LIVE_STATES
    shown: Updates = {
        actions.title: _title(run) if run else "",
        **_files(actions, run, over=over),
        actions.resume: gr.Button(visible=mine and run is not None and can_resume(run)),
        actions.more: gr.Accordion(visible=mine),
        actions.named: run.id if run else "",
        view.deletion.ask: gr.Button(interactive=over),
        view.deletion.row: gr.Row(visible=False),
        view.publishing.publish: gr.Button(interactive=run is not None and bool(run.models())),
        view.publishing.best: gr.Checkbox(False, visible=run is not None and has_other_best(run)),
    }
    if run is None or named != run.id:
        shown[actions.name] = run.record.name if run else ""
    return shown


def _share_button(run: Run | None, *, visible: bool) -> gr.Button:
    shared = run is not None and run.record.shared
    return gr.Button("Show to its owner only" if shared else "Show to everyone here", visible=visible)


def _files(actions: Actions, run: Run | None, *, over: bool) -> Updates:
    """What can be taken home of a run that is over; a pretraining is no notebook."""
    shown: Updates = {}
    for button, suffix in ((actions.download, "zip"), (actions.notebook, "ipynb"), (actions.report, "html")):
        useful = over and (suffix != "ipynb" or (run is not None and run.record.model.source != FROM_SCRATCH))
        shown[button] = gr.Button(visible=useful, link=f"runs/{run.id}.{suffix}" if run else None)
    return shown


def can_resume(run: Run) -> bool:
    """With a checkpoint it goes on, without one it begins anew; a pretraining is continued by its command."""
    return run.record.state in RESUMABLE_STATES and run.record.model.source != FROM_SCRATCH


# --- what it changed


def new_reporter(services: Services) -> Reporter:
    """One report at a time: two models are loaded for it, and whoever asks second finds it kept."""
    one_at_a_time = threading.Lock()

    def report(run: Run) -> None:
        with one_at_a_time:
            if kept_report(run) is None:
                make_report(run, services.registry, general=services.general)

    return report


def show_report(view: Report, run: Run | None) -> Updates:
    """What can be said at once: the report that is kept, or that it is coming."""
    if run is None or run.record.state not in ENDED_STATES or not can_report(run):
        return _report(view, f'<p class="quiet">{_NOTHING}</p>', None)
    report = kept_report(run)
    if report is None:
        return _report(view, f'<p class="quiet" role="status">{_COMPARING}</p>', run)
    return _report(view, report_html(report, base=run.record.model.label, tuned=run_label(run.record)), run)


def complete_report(services: Services, reporter: Reporter, view: Report, *, run_id: str) -> Updates:
    """The same, made if need be."""
    run = services.find_run(run_id)
    try:
        if run is not None and run.record.state in ENDED_STATES and can_report(run):
            reporter(run)
            run = services.find_run(run_id)  # looked up again: it may have been resumed or deleted meanwhile
    except BertDemoError as error:
        return _report(view, note_html(str(error), wrong=True), run)
    return show_report(view, run)


def _report(view: Report, html: str, run: Run | None) -> Updates:
    weights = gr.Radio(value=LAST, visible=run is not None and has_other_best(run))
    return {view.html: html, view.weights: weights, view.compare: gr.Button(visible=run is not None)}


# --- several runs in one chart


def refresh_overlay(services: Services, view: Overlay, *, overlaid: list[str] | None) -> Updates:
    """The runs to choose from, and the chart of those that were chosen and are still there, as they are now."""
    runs = [run for run in services.runs() if run.record.steps_done]
    labels = run_labels([run.record for run in runs])
    choices = [(labels[run.id], run.id) for run in runs]
    there = [run_id for run_id in overlaid or [] if any(run_id == run.id for run in runs)]
    return {view.chosen: gr.Dropdown(choices, value=there, multiselect=True), view.plot: show_overlay(services, there)}


def show_overlay(services: Services, run_ids: list[str] | None) -> object:
    """The chosen runs as the value of the figure, None where there are none; those that are gone are left out."""
    runs = [run for run_id in (run_ids or [])[:MAX_OVERLAID] if (run := services.find_run(str(run_id)))]
    drawn = overlay(runs)
    return drawn and figure_value(drawn, label=_OVERLAID, file="runs")


def overlay(runs: list[Run]) -> go.Figure | None:
    labels = run_labels([run.record for run in runs])
    series = [RunSeries.of(labels[run.id], TrainingHistory.of(run.log.records())) for run in runs]
    return overlay_figure(series) if runs else None


# --- the layout of the parts that stand below the chart


def build_report() -> Report:
    report = gr.HTML(f'<p class="quiet">{_NOTHING}</p>', elem_id="report", apply_default_css=False)
    with gr.Row(elem_classes="compare-row"):
        weights = gr.Radio([LAST, BEST], value=LAST, label="Weights to compare", visible=False, scale=0, min_width=300)
        compare = gr.Button("Compare in Fill mask", visible=False, elem_id="compare-in-fill", scale=0, min_width=240)
    return Report(report, weights, compare)


def build_runs(watch: Watch, report: Report, *, can_publish: bool = True) -> RunView:
    table = run_table()
    with gr.Row(elem_classes="run-actions"):
        title = gr.HTML(elem_id="run-shown", apply_default_css=False)
        download = gr.Button(
            "Download as zip", size="sm", visible=False, scale=0, min_width=160, elem_id="download-run"
        )
        notebook = gr.Button("As a notebook", size="sm", visible=False, scale=0, min_width=160, elem_id="run-notebook")
        page = gr.Button("Report to hand in", size="sm", visible=False, scale=0, min_width=160, elem_id="run-report")
        resume = gr.Button("Resume", size="sm", visible=False, scale=0, min_width=120, elem_id="resume-run")
        share = gr.Button(
            "Show to everyone here", size="sm", visible=False, scale=0, min_width=180, elem_id="share-run"
        )
    note = gr.HTML(elem_id="run-note", apply_default_css=False)
    with gr.Accordion(
        "Rename, publish or delete this run" if can_publish else "Rename or delete this run", open=False, visible=False
    ) as more:
        with gr.Row(elem_classes="field-and-button"):
            name = gr.Textbox(label="Name", max_length=80, min_width=220, elem_id="run-name")
            rename = gr.Button("Rename", size="sm", scale=0, min_width=120)
        publishing, deletion = _build_publishing(visible=can_publish), _build_deletion()
    overlay = _build_overlay()
    _build_next_steps()
    actions = Actions(title, download, notebook, page, resume, share, note, more, name, rename, gr.State(""))
    return RunView(watch, report, table, actions, publishing, deletion, overlay)


def _build_next_steps() -> None:
    """Code that works in the folder of a downloaded zip; the same for every run."""
    with gr.Accordion("What now? Four pieces of code", open=False, elem_id="next-steps"):
        gr.HTML(
            '<p class="quiet">They run where the folder “model” of a downloaded zip lies.</p>', apply_default_css=False
        )
        for step in NEXT_STEPS:
            needs = f" (pip install {step.needs})" if step.needs else ""
            gr.Code(step.code, language="python", label=f"{step.title}{needs}", interactive=False, lines=4)


def _build_publishing(*, visible: bool) -> Publishing:
    with gr.Row(elem_classes="field-and-button", visible=visible):
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
        return Publishing(repository, token, private, best, gr.Button("Publish", size="sm", scale=0, min_width=120))


def _build_deletion() -> Deletion:
    ask = gr.Button("Delete this run…", size="sm", elem_id="delete-run", min_width=180)
    with gr.Row(visible=False, elem_classes="confirm") as row:
        words = gr.HTML(apply_default_css=False)
        now = gr.Button("Delete for good", size="sm", elem_classes="danger", scale=0, min_width=150)
        keep = gr.Button("Keep it", size="sm", scale=0, min_width=110)
    return Deletion(ask, row, words, now, keep, gr.State(""))


def _build_overlay() -> Overlay:
    fold = Fold("Several runs in one chart")
    with fold.accordion:
        chosen = gr.Dropdown(
            [],
            label="Runs",
            info=f"Up to {MAX_OVERLAID}. Lines: training loss, smoothed; marks: held-out loss.",
            multiselect=True,
            max_choices=MAX_OVERLAID,
            elem_id="overlaid-runs",
        )
        return Overlay(fold, unchecked(chosen), figure(elem_id="overlay"))
