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
from bertdemo.mlm.data.corpus import preview, read_corpus
from bertdemo.mlm.errors import BertDemoError
from bertdemo.mlm.settings import TrainingConfig
from bertdemo.mlm.training.batching import tokenize_all, unknown_tokens
from bertdemo.mlm.training.estimate import Estimate, estimate_run
from bertdemo.mlm.training.replay import read_replay
from bertdemo.runs.manager import RunRequest

from ..notes import note_html
from ..services import Services, Updates
from .form import request_of
from .live_chart import duration

MAX_ROWS = 20_000  # read for an estimate; the rest is counted on
_REMEMBERED = 64  # estimates: a class asks the same again and again
_GIGABYTE = 1e9

Measure: TypeAlias = Callable[[RunRequest], Estimate]


class EstimateView(NamedTuple):
    """``too_long``: where the number of texts over the maximum length is shown, beside the file's other counts."""

    line: gr.HTML
    too_long: gr.HTML


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
        request.check()
        here = _is_here(services, request)
        measured = asked or (here and not services.manager.live())
        planned = _planned(request, measuring=measured)
        yield _said(view, planned)
        if here and (unknown := _unknown(services, request)):
            yield _said(view, planned + unknown)
        if measured:
            yield _shown(view, measure(request), request.settings)
    except BertDemoError as error:
        yield _said(view, note_html(str(error), wrong=True))


def _is_here(services: Services, request: RunRequest) -> bool:
    ref = services.resolve(request.model)
    return Path(ref.source).is_absolute()


def _unknown(services: Services, request: RunRequest) -> str:
    """A warning where the model's vocabulary cannot write the file's first texts."""
    texts = preview(request.data, dialect=request.dialect, column=request.column).sample_texts
    masked_lm = services.model(request.model)
    settings = request.settings
    rows = tokenize_all(masked_lm.tokenizer, texts, max_length=settings.max_length, split=settings.splits)
    return "".join(map(_warning, unknown_tokens(masked_lm, rows)))


def _planned(request: RunRequest, *, measuring: bool) -> str:
    """From the preview's count of rows, which may be "about"."""
    found = preview(request.data, dialect=request.dialect, column=request.column)
    used = min(found.report.used, request.limit or found.report.used)
    train = used - min(500, round(used / 10))
    pieces = train * (_pieces_a_text(found.sample_texts, request.settings.max_length) if request.settings.splits else 1)
    steps = request.settings.epochs * math.ceil(pieces / request.settings.batch_size)
    more = "working out time and memory…" if measuring else "press “Check time and memory” for the rest"
    return _line([f"about {train:,} rows to learn from", f"about {steps:,} steps", more])


def _pieces_a_text(texts: Sequence[str], max_length: int) -> float:
    """On average, about: of the first texts, counting 4 tokens for 3 words."""
    return fmean(math.ceil(max(1, count_words(text) * 4 / 3 / max_length)) for text in texts or ("",))


def _usable_rows(request: RunRequest) -> int:
    used = preview(request.data, dialect=request.dialect, column=request.column).report.used
    return min(used, request.limit or used)


def _measured(services: Services, request: RunRequest) -> Estimate:
    limit = min(request.limit or MAX_ROWS, MAX_ROWS)
    settings = request.settings
    corpus = read_corpus(request.data, column=request.column, dialect=request.dialect, limit=limit, seed=settings.seed)
    ref = services.resolve(request.model)
    masked_lm = services.registry.private_copy(ref)
    whole = corpus.report.used < limit or limit == request.limit
    share = 1.0 if whole else min(1.0, corpus.report.used / _usable_rows(request))
    replay = read_replay(request.replay, held_out=corpus.held_out) if request.replay else ()
    return estimate_run(masked_lm, corpus, settings, general=services.general, replay=replay, read_share=share)


def _shown(view: EstimateView, estimate: Estimate, settings: TrainingConfig) -> Updates:
    about = "" if estimate.exact else "about "
    parts = [
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


def _said(view: EstimateView, line: str, too_long: str = "") -> Updates:
    return {view.line: line, view.too_long: too_long}


def _warning(sentence: str) -> str:
    return f'<p class="note unusual">{escape(sentence)}</p>'


def _line(parts: list[str]) -> str:
    items = "".join(f"<li>{escape(part)}</li>" for part in parts)
    return f'<ul class="ahead" role="status">{items}</ul>'


def build_estimate(too_long: gr.HTML) -> tuple[EstimateView, gr.Button]:
    with gr.Row(elem_classes="ahead-row"):
        line = gr.HTML(elem_id="ahead", apply_default_css=False)
        check = gr.Button("Check time and memory", size="sm", scale=0, min_width=210, elem_id="check-ahead")
    return EstimateView(line, too_long), check
