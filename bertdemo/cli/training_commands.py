"""The commands that train: the run is set up, followed to its end and shown while it goes."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from contextlib import closing
from typing import Any

from bertdemo.mlm.data.corpus import chosen_dialect
from bertdemo.mlm.errors import RunError
from bertdemo.mlm.settings import NOTEBOOK, NOTEBOOK_ROWS, SETTINGS
from bertdemo.mlm.training import distributed as processes
from bertdemo.mlm.training.loop import TrainingSession
from bertdemo.runs.beginning import NewRun, new_run
from bertdemo.runs.execution import claim_to_resume, execute, prepare, restore, stop_on_signals
from bertdemo.runs.notebook_file import NotebookSource, write_notebook
from bertdemo.runs.store import Workspace, default_home

from . import display

FAILED, MENDABLE, INTERRUPTED = 1, 2, 130


def train(options: argparse.Namespace) -> int:
    with processes.joined():
        return _train(options)


def _train(options: argparse.Namespace) -> int:
    workspace = Workspace(options.home or default_home())
    new = begin(workspace, options)
    if options.notebook is not None:
        source = NotebookSource(options.name or options.file.stem, new.model, new.data, new.session.config, {})
        display.print_written("notebook", write_notebook(source, options.notebook), as_json=options.json)
        return 0
    with stop_on_signals() as asked:

        def stop() -> bool:
            return processes.any_of(asked())

        if processes.rank() > 0:  # one writer: the others only lend their hands
            return _help(new.session, stop)
        run = new.create(workspace.store, name=options.name, output=options.output)
        return _follow(execute(run, new.session, stop=stop), as_json=options.json)


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


def begin(workspace: Workspace, options: argparse.Namespace) -> NewRun:
    """The run that the options describe, over the preset and the defaults."""
    values = {name: getattr(options, name) for name in SETTINGS}
    if options.as_in_the_notebook:
        values["limit"] = options.limit or NOTEBOOK_ROWS
    return new_run(
        workspace,
        options.file,
        values,
        model=options.model,
        base=NOTEBOOK if options.as_in_the_notebook else None,
        column=options.column,
        dialect=chosen_dialect(options.file, options.encoding, options.delimiter, options.header),
    )


def _follow(records: Iterable[dict[str, Any]], *, as_json: bool) -> int:
    """Show a run to its end; the exit code is that of its last record."""
    last: dict[str, Any] = {}
    with display.training(as_json=as_json) as show:
        for last in records:
            show(last)
    return {"failed": FAILED, "stopped": INTERRUPTED}.get(last.get("event", ""), 0)
