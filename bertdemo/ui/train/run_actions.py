"""What a reader does with a run: start, stop, resume, rename, delete, publish, compare.

Whose browser asks is known from its request; on a server for others the manager refuses whoever may not.
"""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr

from bertdemo.mlm.errors import BertDemoError, RunError
from bertdemo.runs.hub_upload import upload_model
from bertdemo.runs.record import run_label

from ..notes import note_html
from ..services import Services, Updates, asker, run_reference, user_errors
from .estimate import check_ahead
from .form import request_of
from .live_chart import newest_run
from .run_view import BEST, Deletion, RunView, Watch, is_others, show_run
from .runs_table import settings_text


def start(services: Services, watch: Watch, /, **form: Any) -> Updates:
    """Submit a run and follow it; what is wrong with the settings is said beside the button.

    ``form``: what ``request_of`` takes, "watch" among it, which is why the first two have no names.
    """
    try:
        if services.access.owned and not asker():
            raise RunError("This browser says nothing of whose run it would be; load the page again.")
        request = request_of(services, **form)
        check_ahead(services, request)
        submission = services.manager.submit(request, owner=asker())
    except BertDemoError as error:
        return {watch.note: note_html(str(error), wrong=True)}
    run = services.store.get(submission.run_id).record
    live = services.manager.live()
    waiting = live.index(run.id) if run.id in live else 0
    words = f"Queued as number {waiting}" if waiting else "Started"
    note = note_html(f"{words}: “{run.name}”, {settings_text(run.settings, run.model.label)}, on {run.data.name}.")
    return {watch.chart: run.id, watch.note: note}


def stop(services: Services, *, run_id: str, asked: str) -> tuple[str, str]:
    """Stop the run that is shown, or take it out of the queue; returns the note, and the run of another browser that
    is to be stopped only if the button is pressed ``asked`` once more."""
    run = services.find_run(run_id)
    if run is not None and services.may_change(run) and is_others(run) and asked != run_id:
        whose = f"“{run_label(run.record)}” was started in another browser. If it is yours to stop, press Stop again."
        return note_html(whose, wrong=True), run_id
    try:
        state = services.manager.stop(run_id, owner=asker())
    except BertDemoError as error:
        return note_html(str(error), wrong=True), ""
    words = {
        "stopping": "Stopping after this step; what was learned is kept.",
        "stopped": "Taken out of the queue before it began.",
    }
    return note_html(words.get(state, f"This run is {state} already.")), ""


def chosen_run(event: gr.EventData) -> tuple[str, str]:
    """The run to show, and no note: what was said was about another one."""
    return str(event.run_id), ""


def resume(services: Services, view: RunView, *, run_id: str, **shown: Any) -> Updates:
    try:
        saved = services.manager.find(run_id, owner=asker()).checkpoint_folder.is_dir()
        services.manager.resume(run_id, owner=asker())
    except BertDemoError as error:
        return {view.actions.note: note_html(str(error), wrong=True)}
    live = services.manager.live()
    waiting = live.index(run_id) if run_id in live else 0
    queue = f", once it is its turn: it is number {waiting} in the queue" if waiting else ""
    words = "Going on from the last checkpoint" if saved else "Beginning anew, since no checkpoint was saved yet"
    note = {view.actions.note: note_html(f"{words}{queue}.")}
    return note | show_run(services, view, run_id=run_id, **shown)


def rename(services: Services, view: RunView, *, run_id: str, name: str, **shown: Any) -> Updates:
    try:
        services.manager.rename(run_id, name or "", owner=asker())
    except BertDemoError as error:
        return {view.actions.note: note_html(str(error), wrong=True)}
    note = note_html(f"The run is now called “{services.store.get(run_id).record.name}”.")
    return {view.actions.note: note, **show_run(services, view, run_id=run_id, **shown)}


def share(services: Services, view: RunView, *, run_id: str, **shown: Any) -> Updates:
    """Show the run to everyone here, or no longer, whichever it is not now."""
    try:
        now = not services.manager.find(run_id, owner=asker()).record.shared
        services.manager.share(run_id, shared=now, owner=asker())
    except BertDemoError as error:
        return {view.actions.note: note_html(str(error), wrong=True)}
    words = (
        "Everyone who uses this server now sees this run: its curve, its rows, its report and its model."
        if now
        else "Only you, and whoever runs this server, see this run now."
    )
    return {view.actions.note: note_html(words), **show_run(services, view, run_id=run_id, **shown)}


def ask_to_delete(services: Services, view: Deletion, *, run_id: str) -> Updates:
    run = services.find_run(run_id)
    name = escape(run_label(run.record)) if run else "this run"
    others = "It was started in another browser: is it yours to delete? " if run and is_others(run) else ""
    words = f"<p>{others}Delete “{name}” with its model and its curve? This cannot be undone.</p>"
    return {view.row: gr.Row(visible=True), view.words: words, view.about: run_id}


def delete(services: Services, view: RunView, *, run_id: str, about: str, **shown: Any) -> Updates:
    """Delete ``about`` for good; where it was the run that is shown, show another one."""
    try:
        name = services.manager.find(about, owner=asker()).record.name
        services.manager.delete(about, owner=asker())
    except BertDemoError as error:
        return {view.actions.note: note_html(str(error), wrong=True)}
    note = {view.actions.note: note_html(f"“{name}” is deleted.")}
    if run_id == about:
        run_id = newest_run(services.manager, owner=asker())
        note[view.watch.chart] = run_id
    return note | show_run(services, view, run_id=run_id, **shown)


def publish(
    services: Services,
    view: RunView,
    *,
    run_id: str,
    repository: str,
    token: str,
    private: bool,
    best: bool,
) -> Updates:
    """The token is used once and kept nowhere."""
    try:
        if not services.can_publish:
            raise RunError("Others run this server, so no token is taken here; download the model and publish it.")
        run = services.manager.find(run_id, owner=asker())
        address = upload_model(run, repository or "", token=token or "", private=bool(private), best=bool(best))
        note = note_html(f"Published at {address}.")
    except BertDemoError as error:
        note = note_html(str(error), wrong=True)
    return {view.actions.note: note, view.publishing.token: ""}


def compare_in_fill(services: Services, *, run_id: str, weights: str) -> tuple[str, str, gr.Tabs]:
    """The base model, the run, and the tab in which they are compared."""
    with user_errors():
        run = services.manager.find(run_id, owner=asker())
        return run.record.model.label, run_reference(run, best=weights == BEST), gr.Tabs(selected="fill-mask")
