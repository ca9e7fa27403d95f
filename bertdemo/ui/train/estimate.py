"""Before Start: how long the run would take, how much memory, and which settings are unusual.

What is planned is said at once; what has to be measured follows, by itself where that is cheap: for a model that is
already on this machine, while nothing is training. Never stands in the way of Start.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from html import escape
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple, TypeAlias

import gradio as gr

from bertdemo.mlm.data.columns import count_words
from bertdemo.mlm.data.corpus import MIN_ROWS, Preview, preview, read_corpus
from bertdemo.mlm.errors import BertDemoError, DataError
from bertdemo.mlm.models.blend import parts_of
from bertdemo.mlm.models.hub import check_checkpoint
from bertdemo.mlm.models.loading import default_learning_rate
from bertdemo.mlm.models.masked_lm import ModelRef
from bertdemo.mlm.settings import TrainingConfig, unusual_settings
from bertdemo.mlm.training.batching import tokenize_all, unknown_tokens
from bertdemo.mlm.training.estimate import Estimate, estimate_run, length_limit
from bertdemo.mlm.training.replay import read_replay
from bertdemo.runs.record import RunRequest

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
    """``too_long``: where the number of texts over the maximum length is shown, beside the file's other counts;
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
        found, here = check_ahead(services, request), _is_here(services.resolve(request.model))
        measured = asked or (here and not services.manager.live())
        planned = _planned(services, request, found, measuring=measured)
        yield _said(view, planned, measurable=not measured)
        if here and (unknown := _unknown(services, request, found.sample_texts)):
            yield _said(view, planned + unknown, measurable=not measured)
        if measured:
            asked_for = _asked(services, request)
            yield _shown(view, measure(request), request.settings, asked_for=asked_for)
    except BertDemoError as error:
        yield _said(view, note_html(str(error), wrong=True))


def check_ahead(services: Services, request: RunRequest) -> Preview:
    """What the file holds; raises BertDemoError for what would make the run fail."""
    request.check()
    ref = services.resolve(request.model)
    if _is_here(ref):
        length_limit(services.registry.shared(ref), request.settings.max_length)
    else:
        check_checkpoint(ref.source)
    found = preview(request.data, dialect=request.dialect, column=request.column)
    if (rows := _usable(found, request)) < MIN_ROWS:
        raise DataError(
            f"{found.name!r} has only {rows} usable rows ({found.report.empty} empty, {found.report.duplicate}"
            f" duplicate), and training takes at least {MIN_ROWS}; add rows, or choose another column."
        )
    return found


def _is_here(ref: ModelRef) -> bool:
    return parts_of(ref) is not None or Path(ref.source).is_absolute()


def _unknown(services: Services, request: RunRequest, texts: Sequence[str]) -> str:
    """A warning where the model's vocabulary cannot write the file's first texts."""
    masked_lm = services.model(request.model)
    settings = request.settings
    rows = tokenize_all(masked_lm.tokenizer, texts, max_length=settings.max_length, split=settings.splits)
    return "".join(map(_warning, unknown_tokens(masked_lm, rows)))


def _planned(services: Services, request: RunRequest, found: Preview, *, measuring: bool) -> str:
    """From the preview's count of rows, which may be "about", and what is unusual about the settings."""
    settings, used = request.settings, _usable(found, request)
    train = used - min(500, round(used / 10))
    pieces = train * (_pieces_a_text(found.sample_texts, settings.max_length) if settings.splits else 1)
    steps = settings.epochs * math.ceil(pieces / settings.batch_size)
    more = ["working out time and memory…"] if measuring else []
    suits = default_learning_rate(services.resolve(request.model))
    unusual = unusual_settings(settings, train_rows=train, default_learning_rate=suits)
    line = _line([_asked(services, request), f"about {train:,} rows to learn from", f"about {steps:,} steps", *more])
    return line + "".join(map(_warning, unusual))


def _asked(services: Services, request: RunRequest) -> str:
    """Which settings the line speaks of."""
    return settings_text(request.settings, services.label(request.model))


def _pieces_a_text(texts: Sequence[str], max_length: int) -> float:
    """On average, about: of the first texts, counting 4 tokens for 3 words."""
    return fmean(math.ceil(max(1, count_words(text) * 4 / 3 / max_length)) for text in texts or ("",))


def _usable(found: Preview, request: RunRequest) -> int:
    return min(found.report.used, request.limit or found.report.used)


def _measured(services: Services, request: RunRequest) -> Estimate:
    limit = min(request.limit or MAX_ROWS, MAX_ROWS)
    settings = request.settings
    corpus = read_corpus(request.data, column=request.column, dialect=request.dialect, limit=limit, seed=settings.seed)
    ref = services.resolve(request.model)
    masked_lm = services.registry.private_copy(ref)
    whole = corpus.report.used < limit or limit == request.limit
    found = None if whole else preview(request.data, dialect=request.dialect, column=request.column)
    share = 1.0 if found is None else min(1.0, corpus.report.used / _usable(found, request))
    replay = read_replay(request.replay, held_out=corpus.held_out) if request.replay else ()
    return estimate_run(masked_lm, corpus, settings, general=services.general, replay=replay, read_share=share)


def _shown(view: EstimateView, estimate: Estimate, settings: TrainingConfig, *, asked_for: str) -> Updates:
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
    return _said(view, _line(parts) + warnings, _too_long(estimate, settings, about=about))


def _too_long(estimate: Estimate, settings: TrainingConfig, *, about: str) -> str:
    """How many texts are longer than a row may be, and what becomes of them."""
    if not estimate.truncated:
        return ""
    longer = f"<b>{about}{estimate.truncated:,}</b> of {about}{estimate.train_rows + estimate.held_out_rows:,} texts"
    length = f"{settings.max_length:,} tokens"
    if settings.splits:
        said = f"{longer} are longer than {length}: <b>{about}{estimate.pieces:,}</b> pieces"
    else:
        said = f"{longer} are cut at {length}"
    return f'<p class="counts">{said}</p>'


def _said(view: EstimateView, line: str, too_long: str = "", *, measurable: bool = False) -> Updates:
    return {view.line: line, view.too_long: too_long, view.check: gr.Button(visible=measurable)}


def _warning(sentence: str) -> str:
    return f'<p class="note unusual">{escape(sentence)}</p>'


def _line(parts: list[str]) -> str:
    items = "".join(f"<li>{escape(part)}</li>" for part in parts)
    return f'<div role="status"><ul class="ahead">{items}</ul></div>'


def build_estimate(too_long: gr.HTML) -> EstimateView:
    with gr.Row(elem_classes="ahead-row"):
        line = gr.HTML(elem_id="ahead", apply_default_css=False)
        check = gr.Button(
            "Work out time and memory", size="sm", scale=0, min_width=210, elem_id="check-ahead", visible=False
        )
    return EstimateView(line, too_long, check)
