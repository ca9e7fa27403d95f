"""Whoever runs a server for others: what goes on there, and what can be done about it, on the page and for programs.

Every question and every act takes the operator's password, or a browser that has given it. Texts of users are shown to
nobody here; names of runs are.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
import pandas as pd

from bertdemo.mlm.errors import BertDemoError, RunError, SettingsError
from bertdemo.runs.people import LIMITS, short, token_hash

from .markup import table
from .notes import note_html
from .services import READ_EVENT, Services, Updates, asker, user_errors

logger = logging.getLogger(__name__)

MAX_LISTED = 200  # runs and people
WRONG_SECONDS = 1.0  # that a wrong password takes: guessing is slow
ACTS = ("stop", "delete", "first", "empty", "limit")
# Few at once, so that no number of guesses takes the server's threads.
OPERATOR_EVENT: dict[str, Any] = {"concurrency_id": "operator", "concurrency_limit": 4}
_STATM = Path("/proc/self/statm")
_SURE_JS = "(...given) => confirm('Delete this run with its model for good?') ? given : new Promise(() => {})"
_NOTHING = '<p class="quiet">Runs, queue, disk, memory and people are shown to whoever gives the password.</p>'


def overview(services: Services) -> dict[str, Any]:
    """Runs, queue, disk, memory, people and limits as a JSON object; people go by the beginning of their hash."""
    records = {run.id: run.record for run in services.store.list()}
    live = services.manager.live()
    order = [*live, *(run_id for run_id in records if run_id not in live)][:MAX_LISTED]
    runs = [
        {
            "run": record.id,
            "name": record.name,
            "who": short(record.owner),
            "state": record.state,
            "place": live.index(record.id) if record.id in live else None,
            "steps_done": record.steps_done,
            "steps": record.steps,
            "shown_to_all": record.shared,
        }
        for run_id in order
        if (record := records.get(run_id)) is not None
    ]
    size, files = services.uploads.used
    return {
        "runs": runs,
        "runs_in_all": len(records),
        "waiting": sum(record.state == "queued" for record in records.values()),
        "runs_mb": round(_folder_size(services.store.home) / 1e6, 1),
        "disk_free_mb": round(services.manager.limits.free(services.store.home) / 1e6, 1),
        "uploads_mb": round(size / 1e6, 1),
        "upload_files": files,
        "memory_mb": _memory_mb(),
        "open_pages": len(services.pages),
        "people": _people(services, [record.owner for record in records.values()]),
        "limits": asdict(services.manager.limits),
    }


def _people(services: Services, owners: list[str]) -> list[dict[str, Any]]:
    uploaded = services.uploads.by_person()
    return [
        {
            "who": short(who),
            "runs": owners.count(who),
            "uploads_mb": round(uploaded.get(who, (0, 0))[0] / 1e6, 1),
            "upload_files": uploaded.get(who, (0, 0))[1],
        }
        for who in list(dict.fromkeys([*owners, *uploaded]))[:MAX_LISTED]
    ]


def _folder_size(folder: Path) -> int:
    sizes = 0
    for path in folder.rglob("*"):
        try:
            sizes += path.stat().st_size
        except OSError:  # deleted meanwhile
            continue
    return sizes


def _memory_mb() -> float | None:
    """What the server has of the memory now; None where the system does not say."""
    try:
        return round(int(_STATM.read_text(encoding="ascii").split()[1]) * 4096 / 1e6, 1)
    except (OSError, ValueError, IndexError):
        return None


def act(services: Services, action: str, *, about: str = "", value: str = "") -> str:
    """Do it, and say so in a sentence: stop, delete or let a run be ``first``; ``empty`` the queue; set a ``limit``.

    ``about`` is the run's id or the limit's name. For whoever has been found to be the operator. Raises BertDemoError.
    """
    manager, own = services.manager, services.access.operator_token
    if action not in ACTS:
        raise SettingsError(f"There is no act {action[:40]!r}; choose one of {', '.join(ACTS)}.")
    if action == "stop":
        said = f"The run {about} is {manager.stop(about, owner=own)}."
    elif action == "delete":
        manager.delete(about, owner=own)
        said = f"The run {about} is deleted."
    elif action == "first":
        manager.move_up(about)
        said = f"The run {about} is the next."
    elif action == "limit":
        manager.limits.set(about, _whole(value))
        said = f"The limit {about} ({LIMITS[about]}) is {_whole(value):,} now."
    else:
        said = f"{_empty(services)} runs were taken out of the queue."
    logger.info("operator: %s%s", action, f" {about} {value}" if action == "limit" else "")
    return said


def _empty(services: Services) -> int:
    stopped = 0
    for run_id in services.manager.live():
        try:
            if services.manager.status(run_id).activity.position is not None:
                stopped += services.manager.stop(run_id, owner=services.access.operator_token) == "stopped"
        except RunError:  # it came to its turn, or was deleted
            continue
    return stopped


def _whole(text: object) -> int:
    try:
        return int(str(text).replace(",", ""))
    except ValueError:
        raise SettingsError(f"A limit is a whole number from 0 on, not {str(text)[:40]!r}.") from None


def check(services: Services, password: object) -> None:
    """Raises RunError, after a while, for another password than the operator's."""
    try:
        services.access.check_password(str(password or ""))
    except RunError:
        logger.warning("a wrong operator's password")
        time.sleep(WRONG_SECONDS)
        raise


# --- for programs


def add_operator_endpoints(services: Services) -> None:
    """``/operator_status`` and ``/operator_do`` in the current Blocks."""

    def operator_status(password: str) -> dict[str, Any]:
        """Runs, queue, disk, memory, people and limits of this server, for whoever runs it."""
        with user_errors(as_html=False):
            check(services, password)
            return overview(services)

    def operator_do(password: str, action: str, about: str = "", value: str = "") -> str:
        """stop, delete or first (with a run's id), empty (the queue), limit (with its name and value)."""
        with user_errors(as_html=False):
            check(services, password)
            return act(services, str(action), about=str(about or ""), value=str(value or ""))

    for endpoint in (operator_status, operator_do):
        gr.api(endpoint, **OPERATOR_EVENT)


# --- on the page


class Panel(NamedTuple):
    password: gr.Textbox
    note: gr.HTML
    inside: gr.Column
    shown: gr.HTML


def enter(services: Services, panel: Panel, *, password: str) -> Updates:
    try:
        check(services, password)
        services.access.let_in(asker(), password)
    except BertDemoError as error:
        return {panel.note: note_html(str(error), wrong=True), panel.password: ""}
    logger.info("operator: %s came in", short(token_hash(asker())))
    words = "You are the operator in this browser until you leave; the Train tab shows everyone's runs to you."
    return {panel.note: note_html(words), panel.password: "", panel.inside: gr.Column(visible=True)} | _shown(
        services, panel
    )


def leave(services: Services, panel: Panel) -> Updates:
    services.access.let_out(asker())
    return {panel.note: "", panel.inside: gr.Column(visible=False), panel.shown: _NOTHING}


def refresh(services: Services, panel: Panel) -> Updates:
    """What goes on now; of a page that was loaded again, too, while its browser has not left."""
    if not services.access.is_operator(asker()):
        return {panel.inside: gr.Column(visible=False), panel.shown: _NOTHING}
    return {panel.inside: gr.Column(visible=True), **_shown(services, panel)}


def do(services: Services, panel: Panel, action: str, *, about: str = "", value: str = "") -> Updates:
    if not services.access.is_operator(asker()):
        return {panel.note: note_html("Give the operator's password first.", wrong=True)}
    try:
        said = note_html(act(services, action, about=(about or "").strip(), value=value or ""))
    except BertDemoError as error:
        said = note_html(str(error), wrong=True)
    return {panel.note: said, **_shown(services, panel)}


def _shown(services: Services, panel: Panel) -> Updates:
    now = overview(services)
    memory = "–" if now["memory_mb"] is None else f"{now['memory_mb']:,.0f} MB"
    figures = {
        "runs": f"{now['runs_in_all']:,}, {now['waiting']:,} of them waiting",
        "what runs take of the disk": f"{now['runs_mb']:,.0f} MB",
        "uploads within a day": f"{now['upload_files']:,} files, {now['uploads_mb']:,.0f} MB",
        "left of the disk": f"{now['disk_free_mb']:,.0f} MB",
        "memory of the server": memory,
        "open pages": f"{now['open_pages']:,}",
    }
    limits = [(words, _limit(now["limits"][name])) for name, words in LIMITS.items()]
    parts = [
        table(pd.DataFrame(list(figures.items()), columns=["server", "now"]), label="Server"),
        table(pd.DataFrame(limits, columns=["limit", "now"]), label="Limits"),
        _rows(now["runs"], "Runs"),
        _rows(now["people"], "People"),
    ]
    return {panel.shown: "".join(parts)}


def _limit(value: int | None) -> str:
    return "none" if value is None else f"{value:,}"


def _rows(rows: list[dict[str, Any]], label: str) -> str:
    if not rows:
        return f'<p class="quiet">{label}: none yet.</p>'
    written = [{head.replace("_", " "): _written(value) for head, value in row.items()} for row in rows]
    return table(pd.DataFrame(written), label=label)


def _written(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "–" if value is None else str(value)


def build_operator_tab(services: Services, opened: Callable[..., Any]) -> None:
    """``opened``: the event of the tab being opened."""
    with gr.Row(elem_classes="field-and-button"):
        password = gr.Textbox(label="Operator's password", type="password", max_length=200, elem_id="operator-password")
        entering = gr.Button("Come in", size="sm", scale=0, min_width=120, elem_id="operator-enter")
    note = gr.HTML(elem_id="operator-note", apply_default_css=False)
    shown = gr.HTML(_NOTHING, elem_id="operator-shown", apply_default_css=False)
    with gr.Column(visible=False) as inside:
        with gr.Row(elem_classes="field-and-button"):
            about = gr.Textbox(label="Run (its id)", max_length=80, min_width=260, elem_id="operator-run")
            buttons = {name: gr.Button(words, size="sm", scale=0, min_width=110) for name, words in _BUTTONS.items()}
        with gr.Row(elem_classes="field-and-button"):
            limit = gr.Dropdown([(words, name) for name, words in LIMITS.items()], value="rows", label="Limit")
            value = gr.Textbox(label="New value", max_length=20)
            setting = gr.Button("Set", size="sm", scale=0, min_width=110)
        with gr.Row():
            again = gr.Button("Look again", size="sm", scale=0, min_width=140)
            leaving = gr.Button("Leave", size="sm", scale=0, min_width=110)
    panel = Panel(password, note, inside, shown)
    event = {"outputs": [note, password, inside, shown], **READ_EVENT, **OPERATOR_EVENT}
    gr.on(
        [entering.click, password.submit],
        partial(enter, services, panel),
        inputs_kwargs={"password": password},
        **event,
    )
    for name, button in buttons.items():
        js = _SURE_JS if name == "delete" else None
        button.click(partial(do, services, panel, name), inputs_kwargs={"about": about}, js=js, **event)
    setting.click(partial(do, services, panel, "limit"), inputs_kwargs={"about": limit, "value": value}, **event)
    again.click(partial(refresh, services, panel), None, **event)
    leaving.click(partial(leave, services, panel), None, **event)
    opened(partial(refresh, services, panel), None, **event)


_BUTTONS = {"stop": "Stop", "first": "Let it be next", "delete": "Delete…", "empty": "Empty the queue"}
