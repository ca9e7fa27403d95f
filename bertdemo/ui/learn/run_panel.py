"""A lesson's short training on the page: what was found last, how a new run is getting on, and the button for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from html import escape
from typing import Any, NamedTuple

import gradio as gr
from gradio.blocks import Block

from bertdemo.runs.lesson_runs import LessonResult, LessonRuns, LessonStatus

from ..plot import figure
from ..services import READ_EVENT, Updates, user_errors
from .lesson import Opening

POLL_SECONDS = 2.0
FIRST_RUN = "Run it here (10 to 30 seconds)"


class Rendered(NamedTuple):
    """A result as the panel shows it: text, at most two figures side by side, and what stands under them."""

    text: str
    figures: tuple[dict[str, Any], ...] = ()
    under: str = ""


Render = Callable[[Any], Rendered]


class PanelView(NamedTuple):
    status: gr.HTML
    result: gr.HTML
    left: gr.HTML
    right: gr.HTML
    under: gr.HTML
    button: gr.Button
    timer: gr.Timer


def build_run_panel(runs: LessonRuns, key: Block, *, before: str, render: Render) -> Opening:
    """The panel for the lesson whose key the component ``key`` holds; ``render`` draws a result's value.

    ``before`` is shown while there is no result. The returned opening shows the last result.
    """
    button = gr.Button(FIRST_RUN, variant="primary", elem_classes="lesson-run")
    status = gr.HTML(apply_default_css=False)
    result = gr.HTML(apply_default_css=False, elem_classes="lesson-result")
    with gr.Row(elem_classes="two-charts"):
        left, right = figure(), figure()
    under = gr.HTML(apply_default_css=False)
    timer = gr.Timer(POLL_SECONDS, active=False)
    view = PanelView(status, result, left, right, under, button, timer)
    look = partial(show, runs, view, before=before, render=render)
    opening = Opening(look, {"key": key}, list(view), READ_EVENT)
    button.click(**{**opening.wiring, "fn": partial(start, runs, look)})
    timer.tick(**opening.wiring)
    return opening


def start(runs: LessonRuns, look: Callable[..., Updates], *, key: str) -> Updates:
    with user_errors():
        runs.start(key)
    return look(key=key)


def show(runs: LessonRuns, view: PanelView, *, before: str, render: Render, key: str) -> Updates:
    """The lesson as it stands; the page asks again while a run goes on."""
    with user_errors():
        status = runs.status(key)
        busy = status.state != "idle"
        again = "Run it again" if status.result else FIRST_RUN
        shown = render(status.result.value) if status.result else Rendered(before)
        left, right = (*shown.figures, None, None)[:2]
        return {
            view.status: status_html(status, training=runs.training_at_work()),
            view.result: shown.text,
            view.left: left,
            view.right: right,
            view.under: shown.under + (made_html(status.result) if status.result else ""),
            view.button: gr.Button(again, interactive=not busy),
            view.timer: gr.Timer(active=busy),
        }


def status_html(status: LessonStatus, *, training: bool) -> str:
    """What is going on, in words; empty when nothing is."""
    beside = (
        " A training run is at work on this machine as well: both take longer." if training and not status.error else ""
    )
    if status.state == "waiting":
        said = f"Waiting for another lesson's run to end.{beside}"
    elif status.state == "running":
        share = 100 * status.done / max(1, status.total)
        bar = f'<span class="lesson-bar base"><span style="width:{share:.1f}%"></span></span>'
        said = f"{bar} Step {status.done} of {status.total or '…'}.{beside}"
    elif status.error:
        return f'<p class="notes" role="status">{escape(status.error)}</p>'
    else:
        said = beside.strip()
    return f'<p class="run-status" role="status">{said}</p>' if said else ""


def made_html(result: LessonResult) -> str:
    """When and how the numbers above came about."""
    beside = "; a training run was at work beside it, so its times are too long" if result.beside_training else ""
    day = escape(result.ended[:16].replace("T", " "))
    return f'<p class="quiet">Computed on this machine, {day} UTC, in {result.seconds:.0f} seconds{beside}.</p>'
