"""The commands that train: the run is set up, followed to its end and shown while it goes."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import asdict, replace
from typing import Any

from bertdemo.mlm.data.corpus import chosen_dialect, read_corpus
from bertdemo.mlm.errors import RunError, SettingsError
from bertdemo.mlm.models.loading import default_learning_rate
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.settings import NOTEBOOK, NOTEBOOK_ROWS, SETTINGS, TrainingConfig, configure
from bertdemo.mlm.text.prompt import prepare_text
from bertdemo.mlm.training import distributed as processes
from bertdemo.mlm.training.loop import TrainingSession
from bertdemo.mlm.training.replay import read_replay
from bertdemo.runs.execution import claim_to_resume, execute, prepare, replay_source, restore, stop_on_signals
from bertdemo.runs.record import DataSource
from bertdemo.runs.store import Workspace, default_home

from . import display

FAILED, MENDABLE, INTERRUPTED = 1, 2, 130


def train(options: argparse.Namespace) -> int:
    with processes.joined():
        return _train(options)


def _train(options: argparse.Namespace) -> int:
    workspace = Workspace(options.home or default_home())
    limit = options.limit or (NOTEBOOK_ROWS if options.as_in_the_notebook else None)
    ref = workspace.registry.resolve(options.model)
    config = training_config(options, learning_rate=default_learning_rate(ref))
    dialect = chosen_dialect(options.file, options.encoding, options.delimiter, options.header)
    corpus = read_corpus(options.file, column=options.column, dialect=dialect, limit=limit, seed=config.seed)
    masked_lm = workspace.registry.private_copy(ref)
    config = replace(config, max_length=options.max_length or min(config.max_length, masked_lm.max_length))
    _check_probes(masked_lm, config.probes)
    replay = read_replay(options.replay, held_out=corpus.held_out) if options.replay else ()
    session = TrainingSession(masked_lm, corpus, config, general=workspace.general_english, replay=replay)
    chosen = asdict(dialect) if dialect else None
    mixed_in = replay_source(options.replay)
    data = DataSource(corpus.name, str(options.file.resolve()), corpus.sha256, corpus.column, limit, chosen, **mixed_in)
    with stop_on_signals() as asked:

        def stop() -> bool:
            return processes.any_of(asked())

        if processes.rank() > 0:  # one writer: the others only lend their hands
            return _help(session, stop)
        run = workspace.store.create(name=options.name, model=ref, data=data, settings=config, output=options.output)
        return _follow(execute(run, session, stop=stop), as_json=options.json)


def _help(session: TrainingSession, stop: Callable[[], bool]) -> int:
    with closing(session.events()) as events:
        stopped = any(stop() for _ in events)
    return INTERRUPTED if stopped else 0


def resume(options: argparse.Namespace) -> int:
    workspace = Workspace(options.home or default_home())
    run = workspace.store.get(options.run, allow_folders=True)
    if (run.folder / "corpus").is_dir():
        raise RunError("This is a pretraining run; continue it with the same 'bertdemo pretrain' command again.")
    claim_to_resume(run)
    try:
        session = prepare(run, workspace.registry, general=workspace.general_english)
        restore(run, session)
    except BaseException:
        run.update(state="interrupted")
        run.release()
        raise
    with stop_on_signals() as stop:
        return _follow(execute(run, session, stop=stop), as_json=options.json)


def pretrain(options: argparse.Namespace) -> int:
    from .pretraining_command import start_or_continue, to_help  # the tokenizer trainer, for this command alone

    workspace = Workspace(options.home or default_home())
    with processes.joined(), stop_on_signals() as asked:

        def stop() -> bool:
            return processes.any_of(asked())

        if processes.rank() > 0:
            session = to_help(options)
            return MENDABLE if session is None else _help(session, stop)
        return _follow(start_or_continue(workspace, options, stop=stop), as_json=options.json)


def training_config(options: argparse.Namespace, *, learning_rate: float) -> TrainingConfig:
    """The options over the preset over the defaults; out-of-range values raise SettingsError."""
    if options.replay_share is not None and options.replay is None:
        raise SettingsError("There are no general texts to take that share of; add --replay general, or --replay FILE.")
    base = NOTEBOOK if options.as_in_the_notebook else TrainingConfig(learning_rate=learning_rate)
    return configure({name: getattr(options, name) for name in SETTINGS}, base=base)


def _check_probes(masked_lm: MaskedLM, probes: Iterable[str]) -> None:
    """Raises TextError for a probe that the model cannot fill, before anything is started."""
    for probe in probes:
        prepare_text(masked_lm, probe)


def _follow(records: Iterable[dict[str, Any]], *, as_json: bool) -> int:
    """Show a run to its end; the exit code is that of its last record."""
    last: dict[str, Any] = {}
    with display.training(as_json=as_json) as show:
        for last in records:
            show(last)
    return {"failed": FAILED, "stopped": INTERRUPTED}.get(last.get("event", ""), 0)
