"""From a run's record to a session that is ready to train: the data read, the weights loaded. Knows no queue."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from bertdemo.mlm.data.corpus import Corpus, Dialect, read_corpus
from bertdemo.mlm.errors import RunError
from bertdemo.mlm.models.registry import ModelRegistry
from bertdemo.mlm.training.loop import TrainingSession

from .record import DataSource
from .run import Run


def read_data(data: DataSource, *, seed: int) -> Corpus:
    """Read and split the rows of a run. Raises DataError; RunError when the file is not the one that it was."""
    if data.sha256 and not Path(data.path).is_file():
        raise RunError(f"The run's data file {data.name!r} is gone; put it back where it was, or start a new run.")
    dialect = Dialect(**data.dialect) if data.dialect is not None else None
    corpus = read_corpus(data.path, column=data.column, dialect=dialect, limit=data.limit, seed=seed)
    if data.sha256 and corpus.sha256 != data.sha256:
        raise RunError(f"The run's data file {data.name!r} has changed since the run began; start a new run.")
    return corpus


def prepare(run: Run, registry: ModelRegistry, *, general: Sequence[str] = ()) -> TrainingSession:
    """Load what the record names and write down what was found; ``general``: sentences to measure forgetting on.

    Raises BertDemoError where data, model or settings do not allow it.
    """
    record = run.record
    corpus = read_data(record.data, seed=record.settings.seed)
    run.update(data=dataclasses.replace(record.data, sha256=corpus.sha256, column=corpus.column))
    settings = record.settings
    if record.precision is not None:  # a run that goes on keeps the precision that it began with
        settings = dataclasses.replace(settings, precision=record.precision)
    return TrainingSession(registry.private_copy(record.model), corpus, settings, general=general)
