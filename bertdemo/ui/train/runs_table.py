"""All runs as a table whose names can be pressed: a ``gr.HTML`` that fires ``chosen`` with the run's id.

It takes runs as they are on disk and changes none. Every text is escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape

import gradio as gr
import pandas as pd

from bertdemo.mlm.settings import TrainingConfig
from bertdemo.mlm.wording import percent
from bertdemo.runs.record import Figures, RunRecord, epochs_text, run_labels

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
_FAILED = ("failed", "damaged")  # folded away
_HEADS = ("run", "state", "data", "settings", "held-out loss", "first guess right", "training time")
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
    newest = f" These are {len(runs)} of {total:,}." if total > len(runs) else ""
    caption = f"Press a name to see its curve and its report.{newest}"
    labels = run_labels(runs)
    failed = [run for run in runs if run.state in _FAILED]
    others = [run for run in runs if run.state not in _FAILED]
    listed = _table(others, labels, caption=caption, shown=shown) if others else ""
    if not failed:
        return listed
    opened = " open" if not others or any(run.id == shown for run in failed) else ""
    folded = _table(failed, labels, caption="" if others else caption, shown=shown)
    summary = f"{len(failed)} failed run{'' if len(failed) == 1 else 's'}"
    return f'{listed}<details class="failed"{opened}><summary>{summary}</summary>{folded}</details>'


def _table(runs: Sequence[RunRecord], labels: Mapping[str, str], *, caption: str, shown: str) -> str:
    frame = pd.DataFrame([_row(run, labels[run.id]) for run in runs], columns=_HEADS)
    current = next((place for place, run in enumerate(runs) if run.id == shown), None)
    return table(frame, label="Runs", caption=caption, look="runs", current=current)


def state_html(state: str) -> str:
    """The state with its sign, since colour alone says nothing to some."""
    glyph = f'<span aria-hidden="true">{_GLYPHS.get(state, "?")}</span>'
    return f'<span class="run-state" data-state="{escape(state)}">{glyph} {escape(state)}</span>'


def settings_text(settings: TrainingConfig, model: str) -> str:
    """The settings that are usually changed: "3 epochs, learning rate 0.0003, from mini-bert"."""
    return ", ".join(_settings(settings, model))


def _settings(settings: TrainingConfig, model: str) -> tuple[str, str, str]:
    learning_rate = f"{settings.learning_rate:.2g}".replace("e-0", "e-")
    return epochs_text(settings), f"learning rate {learning_rate}", f"from {model}"


def _settings_html(run: RunRecord) -> Html:
    """The same with no line break inside a number; of a damaged run nothing is known."""
    if run.state == "damaged":
        return Html("–")
    epochs, learning_rate, model = _settings(run.settings, run.model.label)
    return Html(f'<span>{epochs}, <span class="unbroken">{learning_rate},</span> {escape(model)}</span>')


def _row(run: RunRecord, label: str) -> tuple[str | Html, ...]:
    return (
        Html(f'<button type="button" data-run="{escape(run.id)}">{escape(label)}</button>'),
        Html(state_html(run.state)),
        file_name(run.data.name),
        _settings_html(run),
        _change(run.figures, "loss", "{:.3f}".format),
        _change(run.figures, "top1", percent),
        duration(run.seconds) if run.seconds else "–",
    )


def _change(figures: Figures, key: str, write: Callable[[float], str]) -> str:
    """ "2.910 → 2.451", as far as it is known."""
    sides = [record[key] if record else None for record in (figures.before, figures.after)]
    if sides == [None, None]:
        return "–"
    return " → ".join("–" if side is None else write(side) for side in sides)
