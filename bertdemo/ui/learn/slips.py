"""What goes wrong: four slips as short trainings, each beside the same training without it."""

from __future__ import annotations

from functools import partial
from html import escape
from typing import Any

import gradio as gr
import pandas as pd

from bertdemo.charts.lessons import Line, lines_figure
from bertdemo.charts.look import smoothed
from bertdemo.mlm.lessons.experiments import EXPERIMENTS, ExperimentResult, Trained
from bertdemo.mlm.lessons.masking_view import Corruption
from bertdemo.runs.lesson_runs import LessonRuns

from ..markup import Bar, BarGroup, BarRow, bar_list, quiet, table
from ..plot import figure_value
from ..services import READ_EVENT, Services
from .glossary import term
from .lesson import Lesson, Opening, text
from .run_panel import Rendered, build_run_panel

NAMES = {
    "loss": ("Loss on all tokens", "loss on the targets", "loss on all tokens, padding too"),
    "once": ("Masks drawn once", "masks drawn anew in every epoch", "masks drawn once"),
    "always": ("Always [MASK]", "80/10/10", "always [MASK]"),
    "padding": ("Padding to 512", "padded to the longest row of the batch", "padded to 512"),
}
WHAT = {
    "loss": "Labels are left at every place, so copying what stands there is rewarded too, and so is naming padding: "
    "both trainings pad their rows to 48 tokens, and only the labels differ. Watch the loss that "
    "training shows, then what is left of it at held-out blanks.",
    "once": "The blanks are chosen before the first epoch and stay the same. The model can learn these answers by "
    "heart. Watch how the two losses part.",
    "always": "Every target becomes [MASK]; none is replaced or kept, so every question of the training is a hard one. "
    "Does the model learn less from them? Watch whether the held-out losses part.",
    "padding": "The same rows, filled up to 512 tokens each. Padding is never scored, so watch the time. The losses "
    "differ a little as well, because chance draws the targets anew for rows of another length.",
}
CLOSE = 0.02  # nats per target: below this two held-out losses are called equal here
BEFORE = '<p class="quiet">Nobody has run this on this machine yet.</p>'


def render(outcome: ExperimentResult) -> Rendered:
    said = f'<div class="lesson-text">{finding(outcome)}</div>'
    if outcome.key == "padding":
        return Rendered(said + _speeds(outcome), under=_table(outcome))
    under = quiet(
        "The left curves are smoothed. On the right both are asked for the same targets, 80/10/10, whatever they "
        "trained with."
    )
    return Rendered(said + _key(outcome.key), _curves(outcome), under + _table(outcome))


def _key(lesson: str) -> str:
    """Which line is which: the colours and the dashes of the figures."""
    _, usual, slip = NAMES[lesson]
    return (
        f'<ul class="legend"><li><span class="chart-swatch usual" aria-hidden="true"></span>{escape(usual)}</li>'
        f'<li><span class="chart-swatch slip" aria-hidden="true"></span>{escape(slip)}</li></ul>'
    )


def _speeds(outcome: ExperimentResult) -> str:
    _, usual, slip = NAMES[outcome.key]
    sides = ((usual, "usual", outcome.usual), (slip, "slip", outcome.variant))
    rows = [
        BarRow(name, [Bar(kind, side.rows_per_second or 0.0, f"{_speed(side)} rows a second")], bold=False)
        for name, kind, side in sides
    ]
    return bar_list([BarGroup(rows)], end=max(row.bars[0].size for row in rows))


def _speed(side: Trained) -> str:
    return "–" if side.rows_per_second is None else f"{side.rows_per_second:.1f}"


def _curves(outcome: ExperimentResult) -> tuple[dict[str, Any], ...]:
    """Left what training itself shows, right what held-out rows show."""
    _, usual, slip = NAMES[outcome.key]
    sides = ((usual, "usual", outcome.usual), (slip, "slip", outcome.variant))
    training = [Line(name, kind, side.steps, smoothed(side.losses)) for name, kind, side in sides]
    held_out = [Line(name, kind, side.scored_steps, side.held_out, marked=True) for name, kind, side in sides]
    titles = "The loss that training shows", f"The loss on {outcome.targets:,} held-out targets"
    figures = lines_figure(training, title=titles[0], from_zero=True), lines_figure(held_out, title=titles[1])
    return tuple(
        figure_value(drawn, label=f"{title}, by step", file=outcome.key)
        for drawn, title in zip(figures, titles, strict=True)
    )


def _table(outcome: ExperimentResult) -> str:
    sides = (outcome.usual, outcome.variant)
    corruptions = {
        Corruption.MASKED: "where [MASK] stood",
        Corruption.RANDOM: "where a random token stood",
        Corruption.KEPT: "where it was kept",
    }
    rows = [
        ("training loss at the end, smoothed", *(f"{_ending(side):.2f}" for side in sides)),
        ("held-out loss before", *(f"{side.held_out[0]:.2f}" for side in sides)),
        ("held-out loss after", *(f"{side.held_out[-1]:.2f}" for side in sides)),
        *((name, *(_loss(side, corruption) for side in sides)) for corruption, name in corruptions.items()),
        ("rows a second", *(_speed(side) for side in sides)),
    ]
    frame = pd.DataFrame(rows, columns=["", *NAMES[outcome.key][1:]])
    return f"<details><summary>All numbers</summary>{table(frame, label='All numbers')}</details>"


def _loss(side: Trained, corruption: Corruption) -> str:
    value = side.by_corruption[str(corruption)]
    return "–" if value is None else f"{value:.2f}"


def _ending(side: Trained) -> float:
    """The smoothed loss of the last step; NaN where it was no number."""
    last = smoothed(side.losses)[-1]
    return float("nan") if last is None else last


def finding(outcome: ExperimentResult) -> str:
    """What this run shows, from its numbers alone: where it does not show the slip's cost, it says so."""
    return "".join(f"<p>{sentence}</p>" for sentence in _FINDINGS[outcome.key](outcome))


def _held_out(outcome: ExperimentResult) -> str:
    """What shows where [MASK] stood: the other targets, one in five, showed the model a word."""
    slip, usual = (side.by_corruption[str(Corruption.MASKED)] for side in (outcome.variant, outcome.usual))
    if slip is None or usual is None:
        return "No held-out target showed [MASK], so nothing can be said of blanks."
    if abs(slip - usual) < CLOSE:
        return f"At held-out blanks, where [MASK] stood, both end alike: {slip:.2f} and {usual:.2f}."
    verdict = "worse" if slip > usual else "no worse in this short run"
    return f"At held-out blanks, where [MASK] stood, the slip ends {verdict}: {slip:.2f} against {usual:.2f}."


def _about_loss(outcome: ExperimentResult) -> list[str]:
    said = [
        f"With the slip the training loss ends at {_ending(outcome.variant):.2f}, without it at "
        f"{_ending(outcome.usual):.2f}. The two count different things: most places of the slip show their own answer.",
        f"<strong>{_held_out(outcome)}</strong>",
    ]
    slip, usual = (side.by_corruption[str(Corruption.RANDOM)] for side in (outcome.variant, outcome.usual))
    if slip is not None and usual is not None and slip > usual + CLOSE:
        said.append(
            f"Where a wrong token stood, the slip trusts it more: {slip:.2f} against {usual:.2f}. Naming what stands "
            "there is what its training rewarded."
        )
    return said


def _about_once(outcome: ExperimentResult) -> list[str]:
    lowest = min(outcome.variant.held_out)
    risen = outcome.variant.held_out[-1] > lowest + CLOSE
    return [
        f"With the slip the training loss falls to {_ending(outcome.variant):.2f}, without it to "
        f"{_ending(outcome.usual):.2f}.",
        f"<strong>{_held_out(outcome)}</strong>"
        + (
            f" Its loss over all held-out targets rose from {lowest:.2f} to {outcome.variant.held_out[-1]:.2f}: "
            "learnt by heart, not learnt."
            if risen
            else ""
        ),
    ]


def _about_always(outcome: ExperimentResult) -> list[str]:
    said = [
        f"With the slip the training loss ends at {_ending(outcome.variant):.2f}, without it at "
        f"{_ending(outcome.usual):.2f}: without it some targets show their own answer.",
        f"<strong>{_held_out(outcome)}</strong>",
    ]
    slip, usual = (side.by_corruption[str(Corruption.KEPT)] for side in (outcome.variant, outcome.usual))
    if slip is not None and usual is not None:
        worse = "the slip knows them less well" if slip > usual else "the slip knows them no less well"
        verdict = "both know them alike" if abs(slip - usual) < CLOSE else worse
        said.append(f"Words that were kept as they are: {verdict}, {slip:.2f} against {usual:.2f}.")
    said.append(
        "In Google's own comparison (Devlin et al. 2019, appendix C.2) it made little difference once the whole model "
        "was fine-tuned: 84.3 for always [MASK] and 84.2 for 80/10/10 on MNLI. With BERT frozen it cost more: 94.0 "
        "against 94.9 in finding names."
    )
    return said


def _about_padding(outcome: ExperimentResult) -> list[str]:
    slip, usual = outcome.variant.rows_per_second, outcome.usual.rows_per_second
    if not slip or not usual:
        return []
    factor = usual / slip
    verdict = f"{factor:.1f} times as many rows a second without the padding" if factor > 1 else "no gain in this run"
    return [f"<strong>{escape(verdict).capitalize()}.</strong>"]


_FINDINGS = {"loss": _about_loss, "once": _about_once, "always": _about_always, "padding": _about_padding}


def build(runs: LessonRuns, services: Services) -> Opening:
    text(
        "<p>Each slip is a real, short training of the bundled model on the sample reviews, beside the same training "
        f"without it. Both start from the same {term('weights')} and have the same {term('held-out')} targets. What "
        "this machine found last is shown at once.</p>"
    )
    choice = gr.Radio(
        [(NAMES[key][0], key) for key in EXPERIMENTS], value="loss", show_label=False, container=False, elem_id="slip"
    )
    what = gr.HTML(_what("loss"), apply_default_css=False)
    opening = build_run_panel(runs, choice, before=BEFORE, render=render)
    choice.change(_what, choice, what, **READ_EVENT)
    choice.change(**opening.wiring)
    return opening


def _what(key: str) -> str:
    return f'<div class="lesson-text"><p>{escape(WHAT.get(key, ""))}</p></div>'


def slips(runs: LessonRuns) -> Lesson:
    return Lesson(
        "slips",
        "What goes wrong",
        "Four slips, trained before your eyes",
        partial(build, runs),
    )
