"""What the functions of ``bertdemo`` return: the engine's own results, with a figure and a look for notebooks.

Plotly is asked for only when a figure is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import cached_property
from html import escape
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd

from bertdemo.mlm.analysis.compare import Comparison
from bertdemo.mlm.data.corpus import Dialect, read_texts
from bertdemo.mlm.data.frames import read_frame
from bertdemo.mlm.errors import BertDemoError
from bertdemo.mlm.inference.fill_mask import FilledText
from bertdemo.mlm.inference.pseudo_likelihood import SentenceScore
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.training.estimate import inspect_file
from bertdemo.mlm.training.events import TrainingHistory
from bertdemo.runs.report_file import RunReport, kept_report, make_report
from bertdemo.runs.run import Run
from bertdemo.runs.store import Workspace

if TYPE_CHECKING:
    import plotly.graph_objects as go

_Kind = TypeVar("_Kind")
_SHOWN_ROWS = 20


def as_shown(kind: type[_Kind], result: Any) -> _Kind:
    """The engine's result as the class of this module that is a kind of it."""
    return kind(**{item.name: getattr(result, item.name) for item in fields(result)})


class Filled(FilledText):
    """What a model expects at every mask."""

    def figure(self) -> go.Figure:
        """A bar a word, blank by blank."""
        return _charts("answers").filled_figure(self)

    def _repr_html_(self) -> str:
        return html_of(self.to_frame(), self.notes)


class Compared(Comparison):
    """Every mask of a text in two models."""

    def figure(self) -> go.Figure:
        """Two joined dots a word: before and after."""
        return _charts("answers").compared_figure(self)

    def _repr_html_(self) -> str:
        return html_of(self.to_frame(), (self.summary, *self.notes))


class Scored(SentenceScore):
    """A sentence with every token hidden in turn."""

    def figure(self) -> go.Figure:
        """A bar a token: how surprised the model is by it, in bits."""
        return _charts("answers").scored_figure(self)

    def _repr_html_(self) -> str:
        perplexity = "" if self.pseudo_perplexity is None else f", pseudo-perplexity {self.pseudo_perplexity:.2f}"
        return html_of(self.to_frame(), (f"Pseudo-log-likelihood {self.pll:.2f} nats{perplexity}.", *self.notes))


class DataTable:
    """A data file: ``record`` is what ``bertdemo inspect --json`` says of it."""

    def __init__(
        self, path: Path, *, column: str | None, dialect: Dialect | None, masked_lm: MaskedLM | None = None
    ) -> None:
        self._path, self._column, self._dialect = path, column, dialect
        self.record = inspect_file(path, column=column, dialect=dialect, masked_lm=masked_lm)

    @cached_property
    def texts(self) -> Sequence[str]:
        """The clean texts, distinct and in the file's order, that a model would learn from."""
        return read_texts(self._path, column=self._column, dialect=self._dialect)[0]

    def to_frame(self) -> pd.DataFrame:
        """All rows of the file under its own column names, as they were written."""
        return read_frame(self._path, column=self._column, dialect=self._dialect)

    def figure(self) -> go.Figure:
        """How long the texts are, in words."""
        return _charts("answers").lengths_figure([len(text.split()) for text in self.texts])

    def _repr_html_(self) -> str:
        record = self.record
        counts = ", ".join(f"{name} {record['report'][name]}" for name in ("used", "empty", "duplicate"))
        about = f"{record['file']}: {record['encoding']}, {record['rows']} rows, text column {record['text_column']!r}"
        return html_of(self.to_frame(), (about, counts, *record["report"]["warnings"]))


class Reported(RunReport):
    """What training changed, on the rows that were held out and on general English."""

    def figure(self) -> go.Figure:
        """Right guesses before and after."""
        return _charts("answers").reported_figure(self)

    def _repr_html_(self) -> str:
        return html_of(self.to_frame(), (self.verdict, *self.remarks, self.between))


class TrainedRun:
    """A run and its model: give it to ``fill_mask`` and the others as their ``model``.

    ``run`` is the folder as the engine knows it, ``reference`` what names its model everywhere.
    """

    def __init__(self, run: Run, workspace: Workspace) -> None:
        self.run, self._workspace = run, workspace

    def __repr__(self) -> str:
        return f"TrainedRun({self.run.record.name!r}, {self.run.record.state}, {str(self.run.folder)!r})"

    @property
    def reference(self) -> str:
        return str(self.run.folder)

    @cached_property
    def history(self) -> TrainingHistory:
        return TrainingHistory.of(self.run.log.records())

    def to_frame(self) -> pd.DataFrame:
        """A row for each step and evaluation: ``event``, ``step``, ``epoch``, ``loss`` and so on."""
        return self.run.to_frame()

    def report(self) -> Reported:
        """Base and tuned model on the same held-out questions; computed once and kept with the run."""
        general = self._workspace.general_english
        report = kept_report(self.run) or make_report(self.run, self._workspace.registry, general=general)
        return as_shown(Reported, report)

    def figure(self) -> go.Figure:
        """The loss, smoothed, and what was scored on held-out rows."""
        charts = _charts("runs")
        return charts.overlay_figure([charts.RunSeries.of(self.run.record.name, self.history)])

    def _repr_html_(self) -> str:
        frame = self.to_frame()
        scored = frame[frame["event"] != "step"].dropna(axis="columns", how="all")
        record = self.run.record
        about = f"{record.name}: {record.state}, {record.steps_done} steps on {record.train_rows} rows"
        return html_of(scored, (about, f"Its folder: {self.run.folder}"))


def html_of(frame: pd.DataFrame, sentences: Sequence[str]) -> str:
    """Sentences above a frame, of which the first rows are shown."""
    lines = "".join(f"<div>{escape(sentence)}</div>" for sentence in sentences if sentence)
    more = f"<div>… and {len(frame) - _SHOWN_ROWS:,} rows more</div>" if len(frame) > _SHOWN_ROWS else ""
    return f"{lines}{frame.head(_SHOWN_ROWS).to_html(index=False, na_rep='–', float_format='{:.4g}'.format)}{more}"


def _charts(name: str) -> ModuleType:
    """Raises BertDemoError where Plotly is not installed."""
    try:
        return import_module(f"bertdemo.charts.{name}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "plotly":
            raise
        raise BertDemoError("Figures are drawn by plotly, which is not installed; run: pip install plotly.") from error
