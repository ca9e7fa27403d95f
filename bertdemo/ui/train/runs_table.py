"""All runs as a table whose names can be pressed: a ``gr.HTML`` that fires ``chosen`` with the run's id.

It takes runs as they are on disk and changes none. Every text is escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import gradio as gr

from bertdemo.runs.record import Figures, RunRecord

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
    head = "".join(f'<th scope="col">{name}</th>' for name in _HEADS)
    rows = "".join(_row(run, current=run.id == shown) for run in runs)
    newest = f" These are the newest {len(runs)} of {total:,}." if total > len(runs) else ""
    return (
        f'<table class="runs"><caption>Press a name to see its curve and its report.{newest}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )


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


def _settings_html(run: RunRecord) -> str:
    """The same with no line break inside a number; of a damaged run nothing is known."""
    if run.state == "damaged":
        return "–"
    epochs, learning_rate, model = _settings(run)
    return f'<span>{epochs}, <span class="unbroken">{learning_rate},</span> {escape(model)}</span>'


def _row(run: RunRecord, *, current: bool) -> str:
    cells = [
        state_html(run.state),
        escape(run.data.name),
        _settings_html(run),
        _change(run.figures, "loss", "{:.3f}"),
        _change(run.figures, "top1", "{:.1%}"),
        duration(run.seconds) if run.seconds else "–",
        _begun_html(run),
    ]
    named = zip(_HEADS[1:], cells, strict=True)
    data = "".join(f'<td data-head="{head}">{cell}</td>' for head, cell in named)
    mark = ' aria-current="true"' if current else ""
    name = f'<button type="button" data-run="{escape(run.id)}">{escape(run.name)}</button>'
    return f'<tr{mark}><th scope="row">{name}</th>{data}</tr>'


def _begun_html(run: RunRecord) -> str:
    """The day and the minute, with no line break inside either."""
    day, _, minute = run.created[:16].partition("T")
    parts = " ".join(f'<span class="unbroken">{escape(part)}</span>' for part in (day, minute))
    return f"<span>{parts}</span>" if day else "–"


def _change(figures: Figures, key: str, form: str) -> str:
    """ "2.910 → 2.451", as far as it is known."""
    sides = [record[key] if record else None for record in (figures.before, figures.after)]
    if sides == [None, None]:
        return "–"
    return " → ".join("–" if side is None else form.format(side) for side in sides)
