"""Before Start: how long the run would take, how much memory, and which settings are unusual.

What is planned is said at once; what has to be measured follows, by itself where that is cheap: for a model that is
already on this machine, while nothing is training. Never stands in the way of Start.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from html import escape
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import gradio as gr

from bertdemo.mlm.data.corpus import preview, read_corpus
from bertdemo.mlm.errors import BertDemoError
from bertdemo.mlm.training.batching import tokenize_all, unknown_tokens
from bertdemo.mlm.training.estimate import Estimate, estimate_run
from bertdemo.runs.manager import RunRequest

from ..notes import note_html
from ..services import PAGE_EVENT, Services
from .data_panel import DataPanel, FileReading, held
from .live_feed import duration
from .run_form import RunForm, run_request

MOST_ROWS = 20_000  # read for an estimate; the rest is counted on
_REMEMBERED = 64  # estimates: a class asks the same again and again
_GIGABYTE = 1e9
AHEAD_EVENT: dict[str, Any] = {**PAGE_EVENT, "concurrency_id": "ahead", "concurrency_limit": 8}

Measure: TypeAlias = Callable[[RunRequest], Estimate]


class AheadView(NamedTuple):
    """Components when built, values when returned."""

    line: object
    too_long: object


class AheadPanel(NamedTuple):
    view: AheadView
    check: gr.Button


def new_measure(services: Services) -> Measure:
    """Estimates a request's run, one at a time, so that they do not spoil each other's times; remembers the last."""
    one_at_a_time = threading.Lock()

    @lru_cache(maxsize=_REMEMBERED)
    def measure(request: RunRequest) -> Estimate:
        with one_at_a_time:
            return _measured(services, request)

    return measure


def look_ahead(
    services: Services,
    measure: Measure,
    path: str | None,
    file: str,
    column: str | None,
    *chosen: object,
    asked: bool = False,
) -> Iterator[AheadView]:
    """First what can be said at once, then what was measured; ``asked``: measure even where it takes a while.

    ``file``: its name on the page. ``chosen``: the fields of a ``FileReading``, then those of a ``RunForm``.
    """
    if not path or not column:
        yield AheadView("", "")
        return
    try:
        request = _request(services, held(path, file), column, *chosen)
        cheap = not services.manager.live() and _is_here(services, request)
        planned = _planned(request, measuring=asked or cheap)
        yield planned
        if _is_here(services, request) and (unknown := _unknown(services, request)):
            yield planned._replace(line=planned.line + unknown)
        if asked or cheap:
            yield _shown(measure(request), max_length=request.settings.max_length)
    except BertDemoError as error:
        yield AheadView(note_html(str(error), wrong=True), "")


def _request(services: Services, path: str, column: str, *chosen: object) -> RunRequest:
    """What Start would submit, without its name: that changes nothing."""
    reading, form = FileReading(*chosen[:3]), RunForm(*chosen[3:])
    dialect = reading.dialect(path)
    request = run_request(services, form._replace(name=""), path=path, column=column, dialect=dialect)
    request.check()
    return request


def _is_here(services: Services, request: RunRequest) -> bool:
    ref = services.registry.resolve(request.model, allow_folders=services.allow_folders)
    return Path(ref.source).is_absolute()


def _unknown(services: Services, request: RunRequest) -> str:
    """A warning where the model's vocabulary cannot write the file's first texts."""
    ref = services.registry.resolve(request.model, allow_folders=services.allow_folders)
    texts = preview(request.data, dialect=request.dialect, column=request.column).sample_texts
    masked_lm = services.registry.shared(ref)
    rows = tokenize_all(masked_lm.tokenizer, texts, max_length=request.settings.max_length)
    return "".join(map(_warning, unknown_tokens(masked_lm, rows)))


def _planned(request: RunRequest, *, measuring: bool) -> AheadView:
    """From the preview's count of rows, which may be "about"."""
    rows = _usable_rows(request)
    train = rows - min(500, round(rows / 10))
    steps = request.settings.epochs * -(-train // request.settings.batch_size)
    more = "working out time and memory…" if measuring else "press “Check time and memory” for the rest"
    return AheadView(_line([f"about {train:,} rows to learn from", f"about {steps:,} steps", more]), "")


def _usable_rows(request: RunRequest) -> int:
    used = preview(request.data, dialect=request.dialect, column=request.column).report.used
    return min(used, request.limit or used)


def _measured(services: Services, request: RunRequest) -> Estimate:
    limit = min(request.limit or MOST_ROWS, MOST_ROWS)
    settings = request.settings
    corpus = read_corpus(request.data, column=request.column, dialect=request.dialect, limit=limit, seed=settings.seed)
    ref = services.registry.resolve(request.model, allow_folders=services.allow_folders)
    masked_lm = services.registry.private_copy(ref)
    whole = corpus.report.used < limit or limit == request.limit
    share = 1.0 if whole else min(1.0, corpus.report.used / _usable_rows(request))
    return estimate_run(masked_lm, corpus, settings, general=services.general, read_share=share)


def _shown(estimate: Estimate, *, max_length: int) -> AheadView:
    about = "" if estimate.exact else "about "
    parts = [
        f"{about}{estimate.train_rows:,} rows to learn from, {estimate.held_out_rows:,} held out",
        f"{about}{estimate.train_tokens:,} tokens an epoch",
        f"{about}{estimate.steps:,} steps",
        f"about {duration(max(1.0, estimate.seconds))}",
        f"about {max(0.1, estimate.memory / _GIGABYTE):.1f} GB of memory",
    ]
    warnings = "".join(map(_warning, estimate.warnings))
    cut = f"too long <b>{about}{estimate.truncated:,}</b> (cut at {max_length} tokens)"
    return AheadView(_line(parts) + warnings, f'<p class="counts">{cut}</p>' if estimate.truncated else "")


def _warning(sentence: str) -> str:
    return f'<p class="note unusual">{escape(sentence)}</p>'


def _line(parts: list[str]) -> str:
    items = "".join(f"<li>{escape(part)}</li>" for part in parts)
    return f'<ul class="ahead" role="status">{items}</ul>'


def build_look_ahead(too_long: gr.HTML) -> AheadPanel:
    """``too_long``: where the number of rows that will be cut is shown, beside the other counts of the file."""
    with gr.Row(elem_classes="ahead-row"):
        line = gr.HTML(elem_id="ahead", apply_default_css=False)
        check = gr.Button("Check time and memory", size="sm", scale=0, min_width=210, elem_id="check-ahead")
    return AheadPanel(AheadView(line, too_long), check)


def wire_look_ahead(services: Services, panel: AheadPanel, *, data: DataPanel, form: RunForm, chart: gr.HTML) -> None:
    """Look ahead when the data or a setting changes, when the page first shows the chart, and when a run has ended."""
    settings = [component for component in form if component is not None]
    inputs = [data.view.path, data.view.name, data.view.column, *data.reading, *settings]
    ahead = partial(look_ahead, services, new_measure(services))
    changes = [component.change for component in inputs]
    event = {"inputs": inputs, "outputs": list(panel.view), **AHEAD_EVENT}
    gr.on(changes, ahead, **event, trigger_mode="always_last")
    chart.state_changed(ahead, **event, trigger_mode="always_last")
    panel.check.click(partial(ahead, asked=True), **event)
