"""The package from Python and in notebooks: the same engine as the page and the command line, results as frames and
figures.

What is returned has ``to_frame()``, a pandas DataFrame whose columns are the keys of the command line's ``--json``,
and ``figure()``, a Plotly figure, and shows itself in a notebook. Errors are ``bertdemo.mlm.errors.BertDemoError``s,
whose text is a sentence that says what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from functools import lru_cache
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import pandas as pd

from bertdemo.mlm.analysis import compare as comparing
from bertdemo.mlm.data.corpus import chosen_dialect
from bertdemo.mlm.errors import TrainingError
from bertdemo.mlm.inference import fill_mask as filling
from bertdemo.mlm.inference import pseudo_likelihood as scoring
from bertdemo.mlm.models.loading import BUNDLED_MODEL
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.runs.beginning import NewRun, new_run
from bertdemo.runs.execution import execute, keep_data, stop_on_signals
from bertdemo.runs.run import Run
from bertdemo.runs.store import Workspace, default_home

from .progress import shown_progress
from .results import Compared, DataTable, Filled, Scored, TrainedRun, as_shown

__all__ = ["compare", "fill_mask", "load_model", "read_table", "score_sentence", "train"]

Model: TypeAlias = "str | PathLike[str] | MaskedLM | TrainedRun"
READING = ("encoding", "delimiter", "header")  # how a file is read, over what would be found


def load_model(ref: Model = BUNDLED_MODEL) -> MaskedLM:
    """The model that a reference names, loaded once and shared; its weights are not to be changed.

    ``ref``: "mini-bert" (bundled), a folder, a run or its id or name, ``RUN@0.4`` for a blend, or a hub id.

    Raises:
        ModelError: there is no such model, or it cannot be loaded.
    """
    if isinstance(ref, MaskedLM):
        return ref
    return _workspace(default_home()).load(ref.reference if isinstance(ref, TrainedRun) else str(ref))


def fill_mask(
    text: str,
    *,
    model: Model = BUNDLED_MODEL,
    top_k: int = 5,
    targets: str | Sequence[str] = (),
    precision: str = "fp32",
) -> Filled:
    """What the model expects at every ``[MASK]`` (or ``___``); ``targets``: words to score there.

    ``fill_mask("The capital of France is [MASK].").to_frame()``: position, token, token_id, probability, rank.
    """
    words = targets.split(",") if isinstance(targets, str) else targets
    filled = filling.fill_masks(load_model(model), text, top_k=top_k, targets=tuple(words), precision=precision)
    return as_shown(Filled, filled)


def compare(text: str, *, before: Model, after: Model, top_k: int = 5, precision: str = "fp32") -> Compared:
    """The same text through two models, such as one and what it was fine-tuned to."""
    models = load_model(before), load_model(after)
    return as_shown(Compared, comparing.compare(*models, text, top_k=top_k, precision=precision))


def score_sentence(text: str, *, model: Model = BUNDLED_MODEL, precision: str = "fp32") -> Scored:
    """Every token hidden in turn: surprisals, pseudo-log-likelihood and pseudo-perplexity."""
    return as_shown(Scored, scoring.score_sentence(load_model(model), text, precision=precision))


def read_table(
    path: str | PathLike[str],
    *,
    column: str | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    header: bool | None = None,
    model: Model | None = None,
) -> DataTable:
    """A data file as it is found to be written: all rows as a frame, the clean texts, what there is to know of them.

    ``delimiter`` "" reads each line as a text; with a ``model``, [UNK] and rows that are too long are counted.
    """
    dialect = chosen_dialect(path, encoding, delimiter, header)
    return DataTable(Path(path), column=column, dialect=dialect, masked_lm=None if model is None else load_model(model))


def train(
    data: str | PathLike[str] | pd.DataFrame,
    *,
    model: str | PathLike[str] | TrainedRun = BUNDLED_MODEL,
    column: str | None = None,
    name: str = "",
    output: str | PathLike[str] | None = None,
    **settings: object,
) -> TrainedRun:
    """Fine-tune a model on the texts of a file or a frame, with a progress bar; returns the run, which is kept.

    ``settings``: those of ``bertdemo train``, such as ``epochs=3, learning_rate=5e-5, probe=["I [MASK] it"]``; for a
    file also ``encoding``, ``delimiter`` and ``header``. Interrupting it (Ctrl-C, or the notebook's stop button) keeps
    what was learnt.

    Raises:
        DataError, ModelError, SettingsError, TextError: before anything is written.
        TrainingError: the run failed; the sentence says why.
    """
    workspace = _workspace(default_home())
    reference = model.reference if isinstance(model, TrainedRun) else str(model)
    target = None if output is None else Path(output)
    if isinstance(data, pd.DataFrame):
        with TemporaryDirectory() as folder:
            path = Path(folder) / "frame.csv"
            data.to_csv(path, index=False)
            dialect = chosen_dialect(path, "utf-8", ",", header=True)
            new = new_run(workspace, path, settings, model=reference, column=column, dialect=dialect)
            run = new.create(workspace.store, name=name, output=target)
            keep_data(run)
    else:
        reading = {key: settings.pop(key, None) for key in READING}
        dialect = chosen_dialect(data, **reading)  # type: ignore[arg-type]  # what they may be is checked there
        new = new_run(workspace, Path(data), settings, model=reference, column=column, dialect=dialect)
        run = new.create(workspace.store, name=name, output=target)
    _follow(run, new)
    return TrainedRun(workspace.store.get(run.id), workspace)


def _follow(run: Run, new: NewRun) -> None:
    with stop_on_signals() as stop, shown_progress() as show, closing(execute(run, new.session, stop=stop)) as records:
        for record in records:
            show(record)
    if record["event"] == "failed":
        raise TrainingError(record["error"])


@lru_cache(maxsize=2)
def _workspace(home: Path) -> Workspace:
    return Workspace(home)
