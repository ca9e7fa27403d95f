"""Fine-tune on your own CSV: data, settings, the live chart, what changed, and the runs so far.

The server owns every run; what is kept here is only which of them the page looks at.
"""

from __future__ import annotations

from functools import partial
from html import escape
from typing import NamedTuple

import gradio as gr

from bertdemo.mlm.errors import BertDemoError, DataError
from bertdemo.runs.ownership import new_token

from ..fill.tab import FillMaskTab
from ..notes import note_html
from ..services import PAGE_EVENT, READ_EVENT, Services, comparison_choices, model_choices
from .data_panel import DataPanel, FileReading, build_data_panel, held
from .live_chart import live_chart
from .look_ahead import build_look_ahead, wire_look_ahead
from .report_view import build_report_view, show_kept, wire_report_view
from .run_actions import find_run, is_live, may_change
from .run_form import RunForm, run_request
from .runs_panel import build_runs_panel, wire_runs_panel
from .runs_table import settings_text
from .settings_panel import build_settings_panel

_READY = "Start begins at once; a run goes on when you close this page."


class StartView(NamedTuple):
    """What Start answers: components when built, values when returned."""

    chart: object
    note: object
    owner: object


class Watch(NamedTuple):
    start: gr.Button
    stop: gr.Button
    view: StartView


def start(
    services: Services, owner: str, path: str | None, file: str, column: str | None, *chosen: object
) -> StartView:
    """Submit a run and follow it; what is wrong with the settings is said beside the button.

    ``file``: its name on the page. ``chosen``: the three fields of a ``FileReading``, then those of a ``RunForm``.
    """
    reading, form = FileReading(*chosen[:3]), RunForm(*chosen[3:])
    try:
        path = held(path, file)
        if path and not column:
            raise DataError("There is nothing to train on yet; choose a file with a column of texts.")
        dialect = reading.dialect(path) if path else None
        request = run_request(services, form, path=path, column=column, dialect=dialect)
        submission = services.manager.submit(request, owner=owner)
    except BertDemoError as error:
        return StartView(gr.skip(), note_html(str(error), wrong=True), gr.skip())
    run = services.store.get(submission.run_id).record
    waiting = services.manager.live().index(run.id) if run.id in services.manager.live() else 0
    words = f"Queued as number {waiting}" if waiting else "Started"
    said = f"{words}: “{run.name}”, {settings_text(run)}, on {run.data.name}."
    return StartView(run.id, note_html(said), submission.owner)


def stop(services: Services, owner: str, run_id: str) -> str:
    """Stop the run that is shown, or take it out of the queue."""
    try:
        state = services.manager.stop(run_id, owner=owner)
    except BertDemoError as error:
        return note_html(str(error), wrong=True)
    words = {
        "stopping": "Stopping after this step; what was learned is kept.",
        "stopped": "Taken out of the queue before it began.",
    }
    return note_html(words.get(state, f"This run is {state} already."))


def show_state(services: Services, owner: str, run_id: str) -> tuple[gr.Button, object]:
    """The Stop button and the note beside it.

    Only a run that goes on or waits can be stopped, and on a shared server only by its owner.
    """
    run = find_run(services.store, run_id)
    live = run is not None and is_live(run)
    return gr.Button(interactive=live and may_change(services, run, owner)), gr.skip() if live else note_html(_READY)


def heading(number: int | None, title: str, line: str = "") -> gr.HTML:
    """A numbered heading with a plain line under it."""
    badge = f'<span class="step-number">{number}</span> ' if number else ""
    below = f'<p class="quiet">{escape(line)}</p>' if line else ""
    return gr.HTML(f"<h2>{badge}{escape(title)}</h2>{below}", elem_classes="step-head", apply_default_css=False)


def refresh_lists(services: Services) -> tuple[gr.Dropdown, gr.Dropdown, gr.Dropdown]:
    """The lists of models with the runs that there are now; what is chosen in them stays chosen."""
    choices = model_choices(services)
    return gr.Dropdown(choices), gr.Dropdown(choices), gr.Dropdown(comparison_choices(services))


def build_train_tab(demo: gr.Blocks, services: Services, fill_mask: FillMaskTab, *, tabs: gr.Tabs) -> None:
    owner = gr.BrowserState("", storage_key="bertdemo-owner", secret="bertdemo")
    heading(1, "Data", "A CSV file with a column of texts. It stays on this server, with its run.")
    data = build_data_panel(services)
    heading(2, "Settings", "They are fine as they are.")
    form = build_settings_panel(services)
    ahead = build_look_ahead(data.too_long)
    heading(3, "Watch", "The loss counts only the tokens that were hidden: the lower, the better the guesses.")
    watch = _build_watch(services, owner)
    heading(4, "What changed")
    report = build_report_view()
    heading(None, "Runs")
    runs = build_runs_panel()
    chart = watch.view.chart
    _wire_watch(services, watch, data=data, form=form)
    wire_look_ahead(services, ahead, data=data, form=form, chart=chart)
    wire_report_view(services, report, chart=chart, fill_mask=fill_mask, tabs=tabs)
    changes = wire_runs_panel(demo, services, runs, owner=owner, chart=chart)
    lists = [form.model, fill_mask.models, fill_mask.compared]
    for changed in (chart.state_changed, *(change.then for change in changes)):
        changed(partial(refresh_lists, services), None, lists, **READ_EVENT)
    for change in changes:
        change.then(partial(show_kept, services), chart, list(report), **READ_EVENT)
    demo.load(_own_token, owner, owner, **PAGE_EVENT)


def _own_token(token: str) -> str:
    """The token that lets this browser, and no other, stop and delete what it started."""
    return token or new_token()


def _build_watch(services: Services, owner: gr.BrowserState) -> Watch:
    with gr.Row(elem_classes="start-row"):
        start_button = gr.Button("Start training", variant="primary", elem_id="start-training", scale=0, min_width=200)
        stop_button = gr.Button("Stop and keep", interactive=False, elem_id="stop-training", scale=0, min_width=200)
        note = gr.HTML(note_html(_READY), elem_id="start-note", apply_default_css=False)
    return Watch(start_button, stop_button, StartView(live_chart(services.manager), note, owner))


def _wire_watch(services: Services, watch: Watch, *, data: DataPanel, form: RunForm) -> None:
    owner = watch.view.owner
    given = [component for component in form if component is not None]
    inputs = [owner, data.view.path, data.view.name, data.view.column, *data.reading, *given]
    watch.start.click(partial(start, services), inputs, list(watch.view), **PAGE_EVENT)
    chart, shown = watch.view.chart, [watch.stop, watch.view.note]
    watch.stop.click(partial(stop, services), [owner, chart], watch.view.note, **READ_EVENT)
    chart.state_changed(partial(show_state, services), [owner, chart], shown, **READ_EVENT)
