"""Fine-tune on your own CSV: data, settings, the live chart, what changed, and the runs so far.

The server owns every run; what is kept here is only which of them the page looks at.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from html import escape
from typing import Any, cast

import gradio as gr
from gradio.blocks import Block

from ..events import when_typed
from ..fill.tab import FillMaskTab
from ..notes import note_html
from ..services import FILE_EVENT, LAST, PAGE_EVENT, READ_EVENT, SLOW_EVENT, Services, Updates
from . import run_actions
from .data_panel import build_data_panel
from .estimate import EstimateView, Measure, build_estimate, new_measure, show_estimate
from .form import build_form
from .live_chart import live_chart
from .new_words import build_new_words
from .run_view import (
    READY,
    Reporter,
    RunView,
    Watch,
    build_report,
    build_runs,
    complete_report,
    list_anew,
    new_reporter,
    refresh_overlay,
    show_overlay,
    show_run,
)
from .settings_notebook import build_settings_notebook

_DATA = "A file with a column of texts: CSV, plain text, JSON, Excel or Parquet. It stays on this server, with its run."


def follow_up(  # noqa: PLR0917 - bound in advance by partial
    services: Services,
    reporter: Reporter,
    measure: Measure,
    view: RunView,
    estimate: EstimateView,
    /,
    *,
    run_id: str,
    **form: Any,
) -> Iterator[Updates]:
    """What takes longer once a run has entered another state: its report, then what the next run would take."""
    yield complete_report(services, reporter, view.report, run_id=run_id)
    yield from show_estimate(services, measure, estimate, **form)


def heading(number: int | None, title: str, line: str = "") -> gr.HTML:
    """A numbered heading with a plain line under it."""
    badge = f'<span class="step-number">{number}</span> ' if number else ""
    below = f'<p class="quiet">{escape(line)}</p>' if line else ""
    return gr.HTML(f"<h2>{badge}{escape(title)}</h2>{below}", elem_classes="step-head", apply_default_css=False)


def build_train_tab(demo: gr.Blocks, services: Services, fill_mask: FillMaskTab, *, tabs: gr.Tabs) -> None:
    heading(1, "Data", f"{_DATA} {who_can_see(services)}".rstrip())
    data = build_data_panel(services)
    heading(2, "Settings")
    with gr.Accordion("They are fine as they are; change them here", open=False, elem_id="settings"):
        fields = build_form(services)
        build_new_words(services, data, fields)
        build_settings_notebook(services, {**data.chosen, **fields})
    estimate = build_estimate(data.too_long)
    watch = _build_watch()
    heading(4, "What changed")
    report = build_report()
    heading(None, "Runs")
    view = build_runs(watch, report, can_publish=services.can_publish)
    view = view._replace(models=(cast(gr.Dropdown, fields["model"]), fill_mask.models), compared=(fill_mask.compared,))
    form = {**data.chosen, **fields}
    starting = partial(run_actions.start, services, watch)
    watch.start.click(starting, inputs_kwargs=form, outputs=[watch.chart, watch.note], **PAGE_EVENT)
    _wire_state(services, view, estimate, form=form)
    _wire_actions(services, view)
    opened = [fill_mask.models, fill_mask.compared, tabs]
    weights = dict[str, Block](run_id=watch.chart, weights=report.weights)
    comparing = partial(run_actions.compare_in_fill, services)
    chosen = report.compare.click(comparing, inputs_kwargs=weights, outputs=opened, **READ_EVENT)
    chosen.then(None, js="() => window.scrollTo({ top: 0 })", **PAGE_EVENT)


def who_can_see(services: Services) -> str:
    """Said before anybody uploads anything; on this machine's own page there is nobody else."""
    if services.access.private:
        return "Here only you, and whoever runs this server, can see it, unless you show the run to everyone."
    if services.access.owned:
        return "Everyone who uses this server can see it and download its model."
    return ""


def _build_watch() -> Watch:
    heading(3, "Watch")
    with gr.Row(elem_classes="start-row"):
        start = gr.Button("Start training", variant="primary", elem_id="start-training", scale=0, min_width=200)
        stop = gr.Button("Stop and keep", interactive=False, elem_id="stop-training", scale=0, min_width=200)
        note = gr.HTML(note_html(READY), elem_id="start-note", apply_default_css=False)
    gr.HTML(
        '<p class="quiet">The loss counts only the targets, a few of the tokens: lower is better.</p>',
        apply_default_css=False,
    )
    return Watch(start, stop, note, live_chart(), gr.State(""))


def _wire_state(
    services: Services,
    view: RunView,
    estimate: EstimateView,
    *,
    form: dict[str, Block],
) -> None:
    """One event shows a run that has entered another state, a second one what takes longer; a change of the data or
    of a setting asks for the estimate alone."""
    chart, measure = view.watch.chart, new_measure(services)
    shown = {"fn": partial(show_run, services, view), "inputs_kwargs": _shown(view), "outputs": view.outputs}
    following = partial(follow_up, services, new_reporter(services), measure, view, estimate)
    outputs = [*view.report, *estimate]
    state = chart.state_changed(**shown, **READ_EVENT, **LAST)
    others = partial(list_anew, services, view)
    lists = [view.table, *view.models, *view.compared, view.watch.stop, view.watch.note, view.watch.asked]
    asked = dict[str, Block](run_id=chart)
    chart.others_changed(others, inputs_kwargs=asked, outputs=lists, **READ_EVENT, **LAST)
    state.then(following, inputs_kwargs={"run_id": chart, **form}, outputs=outputs, **SLOW_EVENT, **LAST)

    estimating = partial(show_estimate, services, measure, estimate)
    event = {"inputs_kwargs": form, "outputs": list(estimate), **SLOW_EVENT}
    estimate.check.click(partial(estimating, asked=True), **event)
    typed = [part for part in form.values() if isinstance(part, gr.Textbox | gr.Number)]
    when_typed(*typed).then(estimating, **event, **LAST)
    chosen = [part.change for part in form.values() if part not in typed]  # type: ignore[attr-defined]
    gr.on(chosen, estimating, **event, **LAST)


def _shown(view: RunView) -> dict[str, Block]:
    """The arguments of ``show_run``."""
    chosen = {"overlaid": view.overlay.chosen, "overlay_open": view.overlay.fold.opened}
    return {"run_id": view.watch.chart, "named": view.actions.named, **chosen}


def _wire_actions(services: Services, view: RunView) -> None:
    watch, actions, deletion, publishing = view.watch, view.actions, view.deletion, view.publishing
    asked, shown = dict[str, Block](run_id=watch.chart), _shown(view)
    changed = {"outputs": [watch.chart, actions.note, *view.outputs], **READ_EVENT}
    stopping = dict[str, Block](**asked, asked=watch.asked)
    stopped = [watch.note, watch.asked]
    watch.stop.click(partial(run_actions.stop, services), inputs_kwargs=stopping, outputs=stopped, **READ_EVENT)
    view.table.chosen(run_actions.chosen_run, None, [watch.chart, actions.note], **READ_EVENT)
    actions.resume.click(partial(run_actions.resume, services, view), inputs_kwargs=shown, **changed)
    actions.share.click(partial(run_actions.share, services, view), inputs_kwargs=shown, **changed)
    renaming = {"inputs_kwargs": {**shown, "name": actions.name}, **changed}
    gr.on([actions.rename.click, actions.name.submit], partial(run_actions.rename, services, view), **renaming)
    question = [deletion.row, deletion.words, deletion.about]
    asking = partial(run_actions.ask_to_delete, services, deletion)
    deletion.ask.click(asking, inputs_kwargs=asked, outputs=question, **READ_EVENT)
    deletion.keep.click(_keep, None, deletion.row, **READ_EVENT)
    deleting = {"inputs_kwargs": {**shown, "about": deletion.about}, **changed}
    deletion.now.click(partial(run_actions.delete, services, view), **deleting)
    given = {**asked, **{name: getattr(publishing, name) for name in ("repository", "token", "private", "best")}}
    published = {"inputs_kwargs": given, "outputs": [actions.note, publishing.token], **FILE_EVENT}
    publishing.publish.click(partial(run_actions.publish, services, view), **published)
    overlay = view.overlay
    overlay.fold.when_opened().then(
        partial(refresh_overlay, services, overlay),
        inputs_kwargs={"overlaid": overlay.chosen},
        outputs=[overlay.chosen, overlay.plot],
        **READ_EVENT,
    )
    overlay.chosen.input(partial(show_overlay, services), overlay.chosen, overlay.plot, **READ_EVENT)


def _keep() -> gr.Row:
    return gr.Row(visible=False)
