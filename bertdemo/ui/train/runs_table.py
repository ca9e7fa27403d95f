"""All runs as a table whose names can be pressed: a ``gr.HTML`` that fires ``chosen`` with the run's id.

It takes runs as they are on disk and changes none. Every text is escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

import gradio as gr
import pandas as pd

from bertdemo.mlm.wording import percent
from bertdemo.runs.record import Figures, RunRecord

from ..markup import Html, file_name, table
from .live_chart import duration

_GLYPHS = {
    "queued": "⋯",
    "preparing": "◌",
    "training": "▶",
    "finished": "✓",
    "stopped": "■",
    "failed": "✕",
    "interrupted": "!",
    "damaged": "✕",
}
_HEADS = ("run", "state", "data", "settings", "held-out loss", "first guess right", "training time", "begun (UTC)")
_CHOOSE_JS = """
element.addEventListener('click', (event) => {
  const name = event.target.closest('[data-run]');
  if (name) trigger('chosen', { run_id: name.dataset.run });
});
"""


def run_table() -> gr.HTML:
    """The component that shows :func:`runs_html`; give a handler of ``chosen`` a ``gr.EventData`` parameter."""
    return gr.HTML(js_on_load=_CHOOSE_JS, apply_default_css=False, elem_id="runs")


def runs_html(runs: Sequence[RunRecord], *, shown: str, total: int = 0) -> str:
    """The runs in the order given, which may be only the newest of ``total``.

    ``shown`` is the id of the one that the chart follows.
    """
    if not runs:
        return '<p class="quiet">No runs yet. What you train is listed here, with its curve and its model.</p>'
    frame = pd.DataFrame([_row(run) for run in runs], columns=_HEADS)
    newest = f" These are the newest {len(runs)} of {total:,}." if total > len(runs) else ""
    current = next((place for place, run in enumerate(runs) if run.id == shown), None)
    caption = f"Press a name to see its curve and its report.{newest}"
    return table(frame, label="Runs", caption=caption, look="runs", current=current)


def state_html(state: str) -> str:
    """The state with its sign, since colour alone says nothing to some."""
    glyph = f'<span aria-hidden="true">{_GLYPHS.get(state, "?")}</span>'
    return f'<span class="run-state" data-state="{escape(state)}">{glyph} {escape(state)}</span>'


def settings_text(run: RunRecord) -> str:
    """The settings that are usually changed: "3 epochs, learning rate 0.0003, from mini-bert"."""
    return ", ".join(_settings(run))


def _settings(run: RunRecord) -> tuple[str, str, str]:
    settings = run.settings
    epochs = "1 epoch" if settings.epochs == 1 else f"{settings.epochs} epochs"
    learning_rate = f"{settings.learning_rate:.2g}".replace("e-0", "e-")
    return epochs, f"learning rate {learning_rate}", f"from {run.model.label}"


def _settings_html(run: RunRecord) -> Html:
    """The same with no line break inside a number; of a damaged run nothing is known."""
    if run.state == "damaged":
        return Html("–")
    epochs, learning_rate, model = _settings(run)
    return Html(f'<span>{epochs}, <span class="unbroken">{learning_rate},</span> {escape(model)}</span>')


def _row(run: RunRecord) -> tuple[str | Html, ...]:
    return (
        Html(f'<button type="button" data-run="{escape(run.id)}">{escape(run.name)}</button>'),
        Html(state_html(run.state)),
        file_name(run.data.name),
        _settings_html(run),
        _change(run.figures, "loss", "{:.3f}".format),
        _change(run.figures, "top1", percent),
        duration(run.seconds) if run.seconds else "–",
        _begun_html(run),
    )


def _begun_html(run: RunRecord) -> Html:
    """The day and the minute, with no line break inside either."""
    day, _, minute = run.created[:16].partition("T")
    parts = " ".join(f'<span class="unbroken">{escape(part)}</span>' for part in (day, minute))
    return Html(f"<span>{parts}</span>" if day else "–")


def _change(figures: Figures, key: str, write: Callable[[float], str]) -> str:
    """ "2.910 → 2.451", as far as it is known."""
    sides = [record[key] if record else None for record in (figures.before, figures.after)]
    if sides == [None, None]:
        return "–"
    return " → ".join("–" if side is None else write(side) for side in sides)
