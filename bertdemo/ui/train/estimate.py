"""Before Start: how long the run would take, how much memory, and which settings are unusual.

What is planned is said at once; what has to be measured follows, by itself where that is cheap: for a model that is
already on this machine, while nothing is training. Never stands in the way of Start.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import gradio as gr

from bertdemo.mlm.data.corpus import MIN_ROWS, preview, read_corpus
from bertdemo.mlm.errors import BertDemoError, DataError
from bertdemo.mlm.models.hub import check_checkpoint
from bertdemo.mlm.models.loading import default_learning_rate
from bertdemo.mlm.settings import unusual_settings
from bertdemo.mlm.training.batching import tokenize_all, unknown_tokens
from bertdemo.mlm.training.estimate import Estimate, estimate_run, length_limit
from bertdemo.runs.manager import RunRequest

from ..notes import note_html
from ..services import Services, Updates
from .form import request_of
from .live_chart import duration
from .runs_table import settings_text

MAX_ROWS = 20_000  # read for an estimate; the rest is counted on
_REMEMBERED = 64  # estimates: a class asks the same again and again
_GIGABYTE = 1e9

Measure: TypeAlias = Callable[[RunRequest], Estimate]


class EstimateView(NamedTuple):
    """``too_long`` is where the number of rows that will be cut is shown, beside the other counts of the file;
    ``check`` asks for what was not measured by itself."""

    line: gr.HTML
    too_long: gr.HTML
    check: gr.Button


def new_measure(services: Services) -> Measure:
    """Estimates a request's run, one at a time, so that they do not spoil each other's times; remembers the last."""
    one_at_a_time = threading.Lock()

    @lru_cache(maxsize=_REMEMBERED)
    def measure(request: RunRequest) -> Estimate:
        with one_at_a_time:
            return _measured(services, request)

    return measure


def show_estimate(
    services: Services, measure: Measure, view: EstimateView, /, *, asked: bool = False, **form: Any
) -> Iterator[Updates]:
    """First what can be said at once, then what was measured; ``asked``: measure even where it takes a while.

    ``form``: what :func:`request_of` takes.
    """
    if not form["path"] or not form["column"]:
        yield _said(view, "")
        return
    try:
        request = request_of(services, **{**form, "name": ""})  # a name changes nothing
        rows, here = check_ahead(services, request), _is_here(services, request)
        measured = asked or (here and not services.manager.live())
        planned = _planned(services, request, rows, measuring=measured)
        yield _said(view, planned, measurable=not measured)
        if here and (unknown := _unknown(services, request)):
            yield _said(view, planned + unknown, measurable=not measured)
        if measured:
            asked_for = _asked(services, request)
            yield _shown(view, measure(request), asked_for, max_length=request.settings.max_length)
    except BertDemoError as error:
        yield _said(view, note_html(str(error), wrong=True))


def check_ahead(services: Services, request: RunRequest) -> int:
    """The rows that the file has to train on, or about; raises BertDemoError for what would make the run fail."""
    request.check()
    ref = services.resolve(request.model)
    if _is_here(services, request):
        length_limit(services.registry.shared(ref), request.settings.max_length)
    else:
        check_checkpoint(ref.source)
    found = preview(request.data, dialect=request.dialect, column=request.column)
    rows = min(found.report.used, request.limit or found.report.used)
    if rows < MIN_ROWS:
        raise DataError(
            f"{found.name!r} has only {rows} usable rows ({found.report.empty} empty, {found.report.duplicate}"
            f" duplicate), and training takes at least {MIN_ROWS}; add rows, or choose another column."
        )
    return rows


def _is_here(services: Services, request: RunRequest) -> bool:
    return Path(services.resolve(request.model).source).is_absolute()


def _unknown(services: Services, request: RunRequest) -> str:
    """A warning where the model's vocabulary cannot write the file's first texts."""
    texts = preview(request.data, dialect=request.dialect, column=request.column).sample_texts
    masked_lm = services.model(request.model)
    rows = tokenize_all(masked_lm.tokenizer, texts, max_length=request.settings.max_length)
    return "".join(map(_warning, unknown_tokens(masked_lm, rows)))


def _planned(services: Services, request: RunRequest, rows: int, *, measuring: bool) -> str:
    """From the preview's count of rows, which may be "about", and what is unusual about the settings."""
    train, settings = rows - min(500, round(rows / 10)), request.settings
    steps = settings.epochs * -(-train // settings.batch_size)
    more = ["working out time and memory…"] if measuring else []
    suits = default_learning_rate(services.resolve(request.model))
    unusual = unusual_settings(settings, train_rows=train, default_learning_rate=suits)
    line = _line([_asked(services, request), f"about {train:,} rows to learn from", f"about {steps:,} steps", *more])
    return line + "".join(map(_warning, unusual))


def _asked(services: Services, request: RunRequest) -> str:
    """Which settings the line speaks of."""
    return settings_text(request.settings, services.label(request.model))


def _measured(services: Services, request: RunRequest) -> Estimate:
    limit = min(request.limit or MAX_ROWS, MAX_ROWS)
    settings = request.settings
    corpus = read_corpus(request.data, column=request.column, dialect=request.dialect, limit=limit, seed=settings.seed)
    ref = services.resolve(request.model)
    masked_lm = services.registry.private_copy(ref)
    whole = corpus.report.used < limit or limit == request.limit
    share = 1.0 if whole else min(1.0, corpus.report.used / check_ahead(services, request))
    return estimate_run(masked_lm, corpus, settings, general=services.general, read_share=share)


def _shown(view: EstimateView, estimate: Estimate, asked_for: str, *, max_length: int) -> Updates:
    about = "" if estimate.exact else "about "
    parts = [
        asked_for,
        f"{about}{estimate.train_rows:,} rows to learn from, {estimate.held_out_rows:,} held out",
        f"{about}{estimate.train_tokens:,} tokens an epoch",
        f"{about}{estimate.steps:,} steps",
        f"about {duration(max(1.0, estimate.seconds))}",
        f"about {max(0.1, estimate.memory / _GIGABYTE):.1f} GB of memory",
    ]
    warnings = "".join(map(_warning, estimate.warnings))
    cut = f"too long <b>{about}{estimate.truncated:,}</b> (cut at {max_length} tokens)"
    return _said(view, _line(parts) + warnings, f'<p class="counts">{cut}</p>' if estimate.truncated else "")


def _said(view: EstimateView, line: str, too_long: str = "", *, measurable: bool = False) -> Updates:
    return {view.line: line, view.too_long: too_long, view.check: gr.Button(visible=measurable)}


def _warning(sentence: str) -> str:
    return f'<p class="note unusual">{escape(sentence)}</p>'


def _line(parts: list[str]) -> str:
    items = "".join(f"<li>{escape(part)}</li>" for part in parts)
    return f'<ul class="ahead" role="status">{items}</ul>'


def build_estimate(too_long: gr.HTML) -> EstimateView:
    with gr.Row(elem_classes="ahead-row"):
        line = gr.HTML(elem_id="ahead", apply_default_css=False)
        check = gr.Button(
            "Work out time and memory", size="sm", scale=0, min_width=210, elem_id="check-ahead", visible=False
        )
    return EstimateView(line, too_long, check)
