"""The answer of fill-mask as HTML: a row a word, one bar for one model, two joined dots for before and after.

It takes plain values and returns a string in which every text is escaped, so it can be shown by a ``gr.HTML`` as it is.
It knows no model: where the numbers come from, and in which order the rows stand, is decided before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import gradio as gr

# Moves the second dot from where the word was to where it is now; nothing else on the page moves by itself.
_GROW_JS = """
const grow = () => {
  if (matchMedia('(prefers-reduced-motion: reduce)').matches) return;
  element.querySelectorAll('.pair .bars-dot.after').forEach((dot) => {
    dot.animate([{ left: 'var(--before)' }, { left: 'var(--after)' }], { duration: 700, easing: 'ease-out' });
  });
};
watch('value', grow);
"""
_NICE_ENDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)


@dataclass(frozen=True)
class Score:
    """What one model gives a word at one mask; rank 1 is its first guess."""

    probability: float
    rank: int


@dataclass(frozen=True)
class CandidateRow:
    """One word. ``after`` is what the second model gives it, if there is a second; ids may then differ: None."""

    token: str
    token_id: int | None
    probability: float
    rank: int
    after: Score | None = None


@dataclass(frozen=True)
class MaskRows:
    """The words for one mask, in the order to show them; ``title`` says which mask, "" if there is only one."""

    rows: Sequence[CandidateRow]
    title: str = ""


def candidate_bars(value: str = "") -> gr.HTML:
    """The component that shows :func:`bars_html` or :func:`table_html`."""
    return gr.HTML(value, js_on_load=_GROW_JS, apply_default_css=False, elem_classes=["candidate-bars"])


def percent(probability: float) -> str:
    """A probability as it stands on the page.

    >>> percent(0.4123), percent(0.0004), percent(0.99996), percent(0.0)
    ('41.2%', '< 0.1%', '> 99.9%', '0.0%')
    """
    if 0 < probability < 0.001:
        return "< 0.1%"
    if 0.9995 < probability < 1:
        return "> 99.9%"
    return f"{100 * probability:.1f}%"


def points(change: float) -> str:
    """A change of probability in percentage points, with its sign.

    >>> points(0.123), points(-0.02), points(0.0), points(-0.0001)
    ('+12.3 points', '−2.0 points', 'no change', 'down < 0.1')
    """
    if change == 0:
        return "no change"
    if abs(change) < 0.001:
        return f"{'up' if change > 0 else 'down'} < 0.1"
    return f"{100 * change:+.1f} points".replace("-", "−")


def visible(token: str) -> str:
    """A token as escaped text that can be seen: blanks and control characters get a sign.

    >>> visible("<b>"), visible(" "), visible("a\\x00")
    ('&lt;b&gt;', '␠', 'a�')
    """
    shown = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in token)
    return escape(shown if shown.strip() else "\N{SYMBOL FOR SPACE}" * max(1, len(shown)))


def blank_title(number: int, count: int) -> str:
    """What the ``number``-th of ``count`` masks is called, counted from 0; one alone needs no name.

    >>> blank_title(0, 2), blank_title(0, 1)
    ('Blank 1', '')
    """
    return f"Blank {number + 1}" if count > 1 else ""


def bars_html(masks: Sequence[MaskRows], *, labels: Sequence[str] = (), tuned: bool = False) -> str:
    """Bars, or dumbbells for rows with ``after``; two ``labels`` name the models. All masks share one scale.

    ``tuned``: the only model is a tuned one, and its bars have that colour.
    """
    end = _axis_end([score for mask in masks for row in mask.rows for score in _scores(row)])
    sections = "".join(_section(mask, end) for mask in masks)
    return f'<div class="bars{" tuned" if tuned else ""}">{_legend(labels)}{sections}</div>'


def table_html(masks: Sequence[MaskRows], *, labels: Sequence[str] = ()) -> str:
    """The same rows as tables, with ids and natural logarithms of the probabilities."""
    return f'<div class="bars">{"".join(_table(mask, labels) for mask in masks)}</div>'


def _scores(row: CandidateRow) -> list[float]:
    return [row.probability] if row.after is None else [row.probability, row.after.probability]


def _axis_end(probabilities: Sequence[float]) -> float:
    """The right end of the scale: the next round number, so that small answers can be read too."""
    most = max(probabilities, default=1.0)
    return next((end for end in _NICE_ENDS if most <= end), 1.0)


def _legend(labels: Sequence[str]) -> str:
    if len(labels) < 2:
        return ""
    dots = zip(("before", "after"), labels, strict=False)
    items = "".join(
        f'<li><span class="bars-dot {kind}" aria-hidden="true"></span>{escape(label)}</li>' for kind, label in dots
    )
    return f'<ul class="bars-legend" aria-label="Models">{items}</ul>'


def _axis(end: float) -> str:
    return f'<li class="bars-axis" aria-hidden="true"><span>0%</span><span>{100 * end:.0f}%</span></li>'


def _section(mask: MaskRows, end: float) -> str:
    title = f"<h2>{escape(mask.title)}</h2>" if mask.title else ""
    rows = "".join(_pair(row, row.after, end) if row.after else _bar(row, end) for row in mask.rows)
    return f'<section class="bars-mask">{title}<ol class="bars-list">{rows}{_axis(end)}</ol></section>'


def _bar(row: CandidateRow, end: float) -> str:
    return (
        f'<li title="{_details(row)}"><bdi class="bars-word">{visible(row.token)}</bdi>'
        f'<span class="bars-track" aria-hidden="true"><span class="bars-fill" style="--at:{_at(row.probability, end)}">'
        f'</span></span><span class="bars-share">{percent(row.probability)}</span></li>'
    )


def _pair(row: CandidateRow, after: Score, end: float) -> str:
    change = after.probability - row.probability
    kind = "up" if change > 0 else "down" if change < 0 else "same"
    places = f"--before:{_at(row.probability, end)};--after:{_at(after.probability, end)}"
    return (
        f'<li class="pair" title="{_details(row)}"><bdi class="bars-word">{visible(row.token)}</bdi>'
        f'<span class="bars-track" aria-hidden="true" style="{places}"><span class="bars-link"></span>'
        f'<span class="bars-dot before"></span><span class="bars-dot after"></span></span>'
        f'<span class="bars-share">{percent(row.probability)} → {percent(after.probability)}</span>'
        f'<span class="bars-change {kind}">{points(change)}</span></li>'
    )


def _at(probability: float, end: float) -> str:
    return f"{100 * min(1.0, probability / end):.3f}%"


def _log(probability: float) -> str:
    return f"{math.log(probability):.3f}".replace("-", "−") if probability > 0 else "−∞"


def _details(row: CandidateRow) -> str:
    before = f"rank {row.rank:,}, log p {_log(row.probability)}"
    name = "" if row.token_id is None else f"id {row.token_id}"
    if row.after is None:
        return ", ".join(filter(None, [name, before]))
    after = f"rank {row.after.rank:,}, log p {_log(row.after.probability)}"
    return "; ".join(filter(None, [name, f"before: {before}", f"after: {after}"]))


def _table(mask: MaskRows, labels: Sequence[str]) -> str:
    paired = any(row.after for row in mask.rows)
    named = any(row.token_id is not None for row in mask.rows)
    names = [escape(label) for label in labels] if len(labels) >= 2 else ["before", "after"]
    heads = ["word", "id"] if named else ["word"]
    if paired:
        heads += [*(f"{what}, {name}" for name in names[:2] for what in ("rank", "p", "log p")), "change"]
    else:
        heads += ["rank", "probability", "log p"]
    head = "".join(f'<th scope="col">{text}</th>' for text in heads)
    body = "".join(_table_row(row, named=named) for row in mask.rows)
    caption = f"<caption>{escape(mask.title)}</caption>" if mask.title else ""
    return (
        f'<div class="bars-scroll"><table class="bars-table">{caption}<thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _table_row(row: CandidateRow, *, named: bool) -> str:
    names = [str(row.token_id) if row.token_id is not None else ""] if named else []
    cells = [*names, f"{row.rank:,}", percent(row.probability), _log(row.probability)]
    if row.after is not None:
        after = row.after
        cells += [f"{after.rank:,}", percent(after.probability), _log(after.probability)]
        cells.append(points(after.probability - row.probability))
    data = "".join(f"<td>{cell}</td>" for cell in cells)
    return f'<tr><th scope="row"><bdi>{visible(row.token)}</bdi></th>{data}</tr>'
