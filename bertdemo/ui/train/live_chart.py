"""The live chart of a training run: the component, and what its script asks for about once a second.

``gr.Plot`` would send and rebuild the whole figure at every update. Here the page is given a run's id as the
component's value; its script keeps a cursor, asks ``live/{run}`` for the news and appends what is new, so zoom survives
and nothing is remounted. An answer holds only what happened since, as compact columns, and its cost does not grow with
the run; the first one is the whole history, thinned to what a screen can show.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import gradio as gr

from bertdemo.mlm.errors import BertDemoError, RunError
from bertdemo.runs.record import is_run_id

from ..plot import plotly_source, scripts

if TYPE_CHECKING:
    from bertdemo.runs.manager import RunManager
    from bertdemo.runs.run import RunStatus

NEWEST = "newest"  # in the place of a run's id: the one at work, else the newest
MAX_POINTS = 2_000  # of the loss curve in one answer
MAX_PROBES = 300  # moments at which the probes were read, in one answer

_MAX_RECORDS = 500_000  # read for one answer; a page that is further behind asks again
_FEW = 200  # records: what happens within some seconds
_LAST_PAGE = 50  # records: the manager cuts its answers, but never as short as this
_MAX_CURSOR = 2**53  # whole numbers stay exact in JavaScript up to here
_T = TypeVar("_T")


def live_chart(*, run_id: str = "") -> gr.HTML:
    """The chart, following ``run_id`` ("" for the newest); give it another run by returning that run's id as its value.

    It fires ``state_changed`` with ``run_id`` and ``state`` whenever the run it follows enters another state, the first
    one seen included: ``chart.state_changed(handler, ...)`` with a ``gr.EventData`` parameter; and ``others_changed``
    when any other run has. Where the reader chose no run, it moves on to the next one that is at work.
    """
    return gr.HTML(
        run_id,
        html_template=Path(__file__).with_name("live_chart.html").read_text(encoding="utf-8"),
        js_on_load=scripts("load_plotly.js", "train/live_chart.js"),
        apply_default_css=False,
        elem_classes=["live-chart"],
        label="Training run",
        plotly_src=plotly_source(),
    )


def requested(run: str, cursor: str) -> tuple[str, int]:
    """The run id ("" for the newest) and the cursor that a page asks for; anybody can ask, so both are checked.

    >>> requested("20261122-1130-reviews-ab12", "40"), requested("newest", "0")
    (('20261122-1130-reviews-ab12', 40), ('', 0))

    Raises:
        RunError: they are none.
    """
    if run != NEWEST and not is_run_id(run):
        raise RunError("This is not the id of a run.")
    if not (cursor.isascii() and cursor.isdecimal() and len(cursor) < 20 and int(cursor) < _MAX_CURSOR):
        raise RunError("The cursor must be a whole number that an earlier answer gave.")
    return "" if run == NEWEST else run, int(cursor)


def refused(words: str, *, run_id: str = "") -> dict[str, Any]:
    """The answer to a question that cannot be answered."""
    return _answer(run_id, "missing", words)


def live_payload(manager: RunManager, run_id: str, cursor: int, *, owner: str = "") -> dict[str, Any]:
    """What happened in a run since ``cursor``, ready to be sent; ``run_id`` "" stands for the newest run, if any.

    Columns ``steps`` and ``loss`` run side by side; ``evaluated`` and ``general`` hold ``[step, loss]``; ``probed``
    holds ``[step, sentences]`` (see :func:`_probe_columns`); ``ended_early`` is ``[step, why]`` or None. ``from`` and
    ``to`` are the cursor before and after; where ``from`` is not what was asked for, the run was resumed and the page
    starts anew with this answer. A run that is not there, or not to be seen with the token ``owner``, gives the state
    "missing" and its sentence, not an error: a page may well outlive a run.
    """
    run_id = run_id or newest_run(manager, owner=owner)
    if not run_id:
        return _answer("", "idle", "No run yet: choose your data and press Start.") | _elsewhere(manager, owner)
    try:
        status, since, events = _read(manager, run_id, cursor, owner=owner)
        answer = _news(status, since, events) | _elsewhere(manager, owner)
        if since != cursor or cursor == 0:
            record = manager.store.get(run_id).record  # from disk: whoever renames a run at work does it there
            answer["about"] = {"name": record.name, "epochs": record.settings.epochs}
    except BertDemoError as error:
        return refused(str(error), run_id=run_id)
    return answer


def quick_payload(manager: RunManager, run_id: str, cursor: int, *, owner: str = "") -> dict[str, Any] | None:
    """The same for a page that has all but the last few events of a run at hand, in a fraction of a millisecond; None
    for any other question, which is to be put to :func:`live_payload` where it may take its time."""
    if not cursor or run_id not in manager.live():  # any other has to be looked for on the disk
        return None
    try:
        status = manager.status(run_id, cursor=cursor, limit=_FEW, owner=owner)
    except BertDemoError:
        return None
    if status.since != cursor or len(status.events) == _FEW:
        return None
    return _news(status, cursor, status.events) | _elsewhere(manager, owner)


def _elsewhere(manager: RunManager, owner: str) -> dict[str, str]:
    """``at_work``: the run that trains now, "" for none that the token's holder may see; ``pulse``: another text when
    any run has changed."""
    at_work, pulse = manager.pulse(owner)
    return {"at_work": at_work, "pulse": pulse}


def newest_run(manager: RunManager, *, owner: str = "") -> str:
    """The run to show where none was chosen: the one at work, else the newest that the token's holder may see; "" where
    there is none."""
    seen = [run.id for run in manager.visible(owner)]
    return next((run_id for run_id in manager.live() if run_id in seen), "") or next(iter(seen), "")


def state_words(status: RunStatus) -> str:
    """One line that says where a run is, without its epoch: "step 118 of 190 · 3.4 steps/s · 21 s left"."""
    at = f"step {status.step:,} of {status.steps:,}" if status.steps else "the first step"
    words = {
        "queued": f"Waiting for the run before it: number {status.activity.position or 1} in the queue.",
        "stopping": "Finishing this step, then saving what was learned.",
        "finished": f"All {status.step:,} steps done; the model is ready to use."
        if status.step == (status.steps or status.step)
        else f"Ended early at {at}, since the held-out loss got no better; the model is ready to use.",
        "stopped": f"Stopped at {at}; what it had learned is kept."
        if status.step
        else "Stopped before its first step.",
        "interrupted": f"The program ended at {at}; resume the run to go on from its last checkpoint."
        if status.step
        else "The program ended before the first step; resume the run to begin it.",
        "failed": status.error or "The run failed; the log of the server says why.",
        "damaged": status.error or "What is stored of this run cannot be read; delete it.",
    }
    return words[status.state] if status.state in words else _running_words(status)


def duration(seconds: float) -> str:
    """A time a person can plan with.

    >>> duration(21.4), duration(194), duration(7500)
    ('21 s', '3 min 14 s', '2 h 5 min')
    """
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _running_words(status: RunStatus) -> str:
    activity = status.activity
    # "training" counts the parts of a single step, which is too quick to read
    in_phase = activity.phase is not None and activity.phase != "training"
    doing = [f"{activity.phase}, {activity.done:,} of {activity.total:,}"] if in_phase else []
    if not status.steps:
        return doing[0].capitalize() if doing else "Loading the model and reading the rows."
    pace = [f"{status.steps_per_second:.1f} steps/s"] if status.steps_per_second else []
    left = [f"{duration(status.seconds_left)} left"] if status.seconds_left is not None else []
    return " · ".join([f"step {status.step:,} of {status.steps:,}", *doing, *pace, *left])


def _news(status: RunStatus, since: int, events: Sequence[dict[str, Any]]) -> dict[str, Any]:
    answer = _answer(status.run, status.state, state_words(status))
    answer |= {"from": since, "to": status.cursor, "done": _share_done(status), "total": status.steps or 0}
    return answer | _columns(events)


def _answer(run_id: str, state: str, words: str) -> dict[str, Any]:
    nothing = {"from": 0, "to": 0, "done": 0.0, "total": 0}
    return {"run_id": run_id, "state": state, "words": words} | nothing | _columns([])


def _read(manager: RunManager, run_id: str, cursor: int, *, owner: str) -> tuple[RunStatus, int, list[dict[str, Any]]]:
    """(the status now, the cursor its events begin at, all events from there): the manager cuts long answers, this
    puts them together, since a curve can only be thinned as a whole."""
    status = page = manager.status(run_id, cursor=cursor, owner=owner)
    since, events = page.since, list(page.events)
    while len(page.events) > _LAST_PAGE and len(events) < _MAX_RECORDS:
        page = manager.status(run_id, cursor=status.cursor, owner=owner)
        if page.since != status.cursor:  # resumed between two questions
            since, events = page.since, []
        events += page.events
        status = page
    return status, since, events


def _share_done(status: RunStatus) -> float:
    activity = status.activity
    if status.state == "preparing" and not status.step and activity.total:
        return activity.done / activity.total
    if status.state == "finished":  # early, it may be
        return 1.0
    return status.step / status.steps if status.steps else 0.0


def _columns(events: Sequence[dict[str, Any]]) -> dict[str, Any]:
    steps, losses = _curve(_of_kind(events, "step"))
    return {
        "steps": steps,
        "loss": losses,
        "epoch": next((record["epoch"] for record in reversed(events) if record.get("event") == "step"), None),
        "evaluated": [[record["step"], record["loss"]] for record in _of_kind(events, "evaluated")],
        "general": [[record["step"], record["loss"]] for record in _of_kind(events, "general")],
        "ended_early": next(([record["step"], record["reason"]] for record in _of_kind(events, "ended_early")), None),
        "warnings": [record["message"] for record in _of_kind(events, "warning")],
        **_probe_columns(list(_of_kind(events, "probe"))),
    }


def _of_kind(events: Iterable[dict[str, Any]], kind: str) -> Iterable[dict[str, Any]]:
    return (record for record in events if record.get("event") == kind)


def _curve(records: Iterable[dict[str, Any]]) -> tuple[list[int], list[float | None]]:
    """At most ``MAX_POINTS`` points: each the mean of its neighbours, standing at the last of their steps."""
    points = [(record["step"], record["loss"]) for record in records]
    size = -(-len(points) // MAX_POINTS) or 1
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [group[-1][0] for group in groups], [_mean([loss for _, loss in group]) for group in groups]


def _mean(losses: Sequence[float | None]) -> float | None:
    """None, a gap in the curve, where no loss was a number (a log holds null for those)."""
    known = [loss for loss in losses if loss is not None]
    return round(sum(known) / len(known), 5) if known else None


def _every(items: Sequence[_T], limit: int) -> list[_T]:
    """At most ``limit`` of the items, evenly, the first and the last among them."""
    if len(items) <= limit:
        return list(items)
    return [items[round(place * (len(items) - 1) / (limit - 1))] for place in range(limit)]


def _probe_columns(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """``sentences``: the probes' texts; ``probed``: ``[step, [per sentence: [per mask: {"top", "watched"}]]]``.

    ``top`` and ``watched`` are lists of ``[word, probability]``, as the run recorded them.
    """
    rows = [
        [record["step"], [[_mask_columns(mask) for mask in probe["masks"]] for probe in record["probes"]]]
        for record in _every(records, MAX_PROBES)
    ]
    return {"sentences": [probe["text"] for probe in records[-1]["probes"]] if records else [], "probed": rows}


def _mask_columns(mask: dict[str, Any]) -> dict[str, list[list[Any]]]:
    return {
        "top": [[word["token"], round(word["probability"], 6)] for word in mask["candidates"][:5]],
        "watched": [[word["word"], round(word["probability"], 6)] for word in mask["watched"]],
    }
