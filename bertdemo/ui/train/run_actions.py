"""What can be done with the run that is shown: download, resume, rename, delete, publish, overlay.

Every handler takes the owner's token of the browser that asks; on a shared server the manager refuses others.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import gradio as gr
import plotly.graph_objects as go

from bertdemo.charts.runs import RunSeries, overlay_figure
from bertdemo.mlm.errors import BertDemoError, RunError
from bertdemo.mlm.training.events import TrainingHistory
from bertdemo.runs.export import export_zip
from bertdemo.runs.hub_upload import upload_model
from bertdemo.runs.manager import owns
from bertdemo.runs.record import ENDED_STATES, FROM_SCRATCH, LIVE_STATES, RESUMABLE_STATES
from bertdemo.runs.run import Run
from bertdemo.runs.store import RunStore

from ..notes import note_html
from ..services import Services

MOST_OVERLAID = 6  # as many as have a look of their own


class Outcome(NamedTuple):
    """What an action answers: the run to show (or skip), and a sentence."""

    chart: object
    note: object


def find_run(store: RunStore, run_id: str) -> Run | None:
    """None where there is none, or no longer."""
    try:
        return store.get(run_id) if run_id else None
    except RunError:
        return None


def may_change(services: Services, run: Run | None, owner: str) -> bool:
    """Whether this browser may stop, resume, rename or delete the run."""
    return run is not None and (not services.require_owner or owns(run.record.owner, owner))


def newest_run(services: Services) -> str:
    """The run to show when a page opens: the one at work, else the newest."""
    live = services.manager.live()
    return live[0] if live else next((run.id for run in services.store.list()), "")


def resume(services: Services, owner: str, run_id: str) -> str:
    try:
        saved = services.store.get(run_id).checkpoint_folder.is_dir()
        services.manager.resume(run_id, owner=owner)
    except BertDemoError as error:
        return note_html(str(error), wrong=True)
    live = services.manager.live()
    waiting = live.index(run_id) if run_id in live else 0
    queue = f", once it is its turn: it is number {waiting} in the queue" if waiting else ""
    words = "Going on from the last checkpoint" if saved else "Beginning anew, since no checkpoint was saved yet"
    return note_html(f"{words}{queue}.")


def rename(services: Services, owner: str, run_id: str, name: str) -> str:
    try:
        services.manager.rename(run_id, name or "", owner=owner)
    except BertDemoError as error:
        return note_html(str(error), wrong=True)
    return note_html(f"The run is now called “{services.store.get(run_id).record.name}”.")


def delete(services: Services, owner: str, shown: str, run_id: str) -> Outcome:
    """Delete for good; where it was the run that is shown, show another one."""
    try:
        name = services.store.get(run_id).record.name
        services.manager.delete(run_id, owner=owner)
    except BertDemoError as error:
        return Outcome(gr.skip(), note_html(str(error), wrong=True))
    return Outcome(newest_run(services) if shown == run_id else gr.skip(), note_html(f"“{name}” is deleted."))


def publish(
    services: Services, owner: str, run_id: str, repository: str, token: str, private: bool, best: bool
) -> tuple[str, str]:
    """(the note, an emptied token field): the token is used once and kept nowhere."""
    try:
        run = services.store.get(run_id)
        if not may_change(services, run, owner):
            raise RunError("Only whoever started this run may publish it.")
        address = upload_model(run, repository or "", token=token or "", private=bool(private), best=bool(best))
    except BertDemoError as error:
        return note_html(str(error), wrong=True), ""
    return note_html(f"Published at {address}."), ""


def make_zip(services: Services, run_id: str) -> Iterator[tuple[object, str]]:
    """(the zip's path, a note), at last. Only the newest few are kept aside; Gradio serves its own copy."""
    yield gr.skip(), note_html("Packing the run…")
    try:
        run = services.store.get(run_id)
        folder = Path(_zip_folder().name)
        for old in sorted(folder.glob("*.zip"), key=lambda path: path.stat().st_mtime)[:-3]:
            old.unlink(missing_ok=True)
        yield str(export_zip(run, folder)), note_html("The download begins.")
    except BertDemoError as error:
        yield None, note_html(str(error), wrong=True)


def overlay(services: Services, run_ids: list[str] | None) -> go.Figure | None:
    """The chosen runs in one figure; those that are gone are left out."""
    runs = [run for run_id in (run_ids or [])[:MOST_OVERLAID] if (run := find_run(services.store, str(run_id)))]
    names = Counter(run.record.name for run in runs)
    alike = [f"{run.record.name} · {run.id[-4:]}" if names[run.record.name] > 1 else run.record.name for run in runs]
    return overlay_figure([_series(run, name) for run, name in zip(runs, alike, strict=True)]) if runs else None


def overlay_choices(services: Services) -> list[tuple[str, str]]:
    """(label, id) of the runs that have a curve."""
    return [(f"{run.record.name} · {run.id}", run.id) for run in services.store.list() if run.record.steps_done]


def can_resume(run: Run) -> bool:
    """With a checkpoint it goes on, without one it begins anew; a pretraining is continued by its command."""
    return run.record.state in RESUMABLE_STATES and run.record.model.source != FROM_SCRATCH


def is_over(run: Run) -> bool:
    return run.record.state in (*ENDED_STATES, "interrupted", "damaged")


def is_live(run: Run) -> bool:
    return run.record.state in LIVE_STATES


def _series(run: Run, name: str) -> RunSeries:
    history = TrainingHistory.of(run.log.records())
    held_out = [(record["step"], record["loss"]) for record in history.evaluated if record["loss"] is not None]
    return RunSeries(name, history.steps, history.losses, held_out)


@cache
def _zip_folder() -> tempfile.TemporaryDirectory[str]:
    """Emptied when the program ends."""
    return tempfile.TemporaryDirectory(prefix="bertdemo-zips-")
