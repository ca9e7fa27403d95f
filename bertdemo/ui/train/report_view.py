"""The fourth part of the Train tab: what a run changed, and the way from there to the two models side by side.

A report that is kept is shown at once; one that has to be computed is announced first.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import gradio as gr

from bertdemo.mlm.errors import BertDemoError
from bertdemo.runs.record import ENDED_STATES
from bertdemo.runs.report_file import RunReport, can_report, kept_report, make_report
from bertdemo.runs.run import Run

from ..fill.tab import FillMaskTab
from ..notes import note_html
from ..services import PAGE_EVENT, READ_EVENT, Services, has_other_best, run_reference, user_errors
from .report_html import report_html
from .run_actions import find_run

LAST, BEST = "last epoch", "best epoch"
_NOTHING = "When a run has ended, its guesses on rows that it never saw are compared here with those of its base model."
_COMPARING = "Comparing both models on the held-out rows…"
# One at a time: two models are loaded for it, and whoever asks second finds the report kept.
REPORT_EVENT: dict[str, Any] = {**PAGE_EVENT, "concurrency_id": "report", "concurrency_limit": 1}


class ReportView(NamedTuple):
    """Components when built, values when returned."""

    report: object
    weights: object
    compare: object


def show_kept(services: Services, run_id: str) -> ReportView:
    """What can be said at once about the run that is shown."""
    run = _ended_run(services, run_id)
    if run is None or not can_report(run):
        return _view(f'<p class="quiet">{_NOTHING}</p>', None)
    report = kept_report(run)
    return _view(_html(run, report) if report else f'<p class="quiet" role="status">{_COMPARING}</p>', run)


def show_computed(services: Services, run_id: str) -> ReportView:
    """The same, computed if need be."""
    run = _ended_run(services, run_id)
    if run is None or not can_report(run):
        return show_kept(services, run_id)
    try:
        if kept_report(run) is None:
            make_report(run, services.registry, general=services.general)
    except BertDemoError as error:
        return _view(note_html(str(error), wrong=True), run)
    return show_kept(services, run_id)  # looked up again: it may have been resumed or deleted meanwhile


def compare_in_fill(services: Services, run_id: str, weights: str) -> tuple[str, str, gr.Tabs]:
    """The base model, the run, and the tab in which they are compared."""
    with user_errors():
        run = services.store.get(run_id)
        return run.record.model.label, run_reference(run, best=weights == BEST), gr.Tabs(selected="fill-mask")


def _ended_run(services: Services, run_id: str) -> Run | None:
    run = find_run(services.store, run_id)
    return run if run is not None and run.record.state in ENDED_STATES else None


def _html(run: Run, report: RunReport) -> str:
    return report_html(report, base=run.record.model.label, tuned=run.record.name)


def _view(html: str, run: Run | None) -> ReportView:
    other_best = run is not None and has_other_best(run)
    weights = gr.Radio(value=LAST, visible=other_best)
    return ReportView(html, weights, gr.Button(visible=run is not None))


def build_report_view() -> ReportView:
    report = gr.HTML(f'<p class="quiet">{_NOTHING}</p>', elem_id="report", apply_default_css=False)
    with gr.Row(elem_classes="compare-row"):
        weights = gr.Radio([LAST, BEST], value=LAST, label="Weights to compare", visible=False, scale=0, min_width=300)
        compare = gr.Button("Compare in Fill mask", visible=False, elem_id="compare-in-fill", scale=0, min_width=240)
    return ReportView(report, weights, compare)


def wire_report_view(
    services: Services, view: ReportView, *, chart: gr.HTML, fill_mask: FillMaskTab, tabs: gr.Tabs
) -> None:
    """Shown anew whenever the run that is shown enters another state, or another run is shown."""
    kept = chart.state_changed(partial(show_kept, services), chart, list(view), **READ_EVENT)
    kept.then(partial(show_computed, services), chart, list(view), **REPORT_EVENT)
    opened = [fill_mask.models, fill_mask.compared, tabs]
    chosen = view.compare.click(partial(compare_in_fill, services), [chart, view.weights], opened, **READ_EVENT)
    chosen.then(None, js="() => window.scrollTo({ top: 0 })", **PAGE_EVENT)
