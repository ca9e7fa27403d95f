"""The parts of the page that are plain HTML: numbers as people read them, one bar list, one table, shaded words, notes.

Plain values and DataFrames in, strings out in which every text is escaped, so that a ``gr.HTML`` shows them as they
are. Knows no model and no component.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import pandas as pd

_ENDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)  # of a scale of probabilities
Format = Callable[[Any], str]


@dataclass(frozen=True)
class Html:
    """HTML of our own in a cell of a table; any other text is escaped. No ``str``: a frame would forget what it is."""

    text: str


@dataclass(frozen=True)
class Bar:
    """One value of a row: its colour ("base", "tuned", "usual", "slip"), its size, and the number written beside it."""

    kind: str
    size: float
    shown: str


@dataclass(frozen=True)
class BarRow:
    """A word or a name and its bars. Two ``joined`` bars are drawn as two dots on one line, from before to after."""

    name: str
    bars: Sequence[Bar]
    under: str = ""  # small, under the name
    notes: Sequence[str] = ()  # small, under the bars
    hover: str = ""
    joined: bool = False
    change: str = ""  # what joined dots say of the difference
    bold: bool = True


@dataclass(frozen=True)
class BarGroup:
    """Rows under one title, such as those of one blank."""

    rows: Sequence[BarRow]
    title: str = ""


@dataclass(frozen=True)
class ShadedWord:
    """``shade`` from 0 to 1; ``number`` is written under the word; ``hover`` is shown when it is pointed at."""

    token: str
    shade: float
    number: str
    hover: str = ""
    joined: bool = False  # goes on with the word before


def times(log2_ratio: float | None) -> str:
    """How many times as probable, from a log2 ratio.

    >>> times(1.0), times(-3.0), times(0.0), times(40.0), times(None)
    ('× 2.0', '÷ 8.0', 'the same', '× over a million', '–')
    """
    if log2_ratio is None:
        return "–"
    if log2_ratio == 0:
        return "the same"
    sign, size = ("×" if log2_ratio > 0 else "÷"), abs(log2_ratio)
    if size > 20:
        return f"{sign} over a million"
    factor = 2.0**size
    return f"{sign} {factor:.1f}" if factor < 9.95 else f"{sign} {factor:,.0f}"


def signed(number: float | None, *, places: int) -> str:
    """A number with its sign; exactly nothing is "0".

    >>> signed(1.234, places=2), signed(-0.5, places=2), signed(0.0, places=2), signed(None, places=2)
    ('+1.23', '−0.50', '0', '–')
    """
    if number is None:
        return "–"
    return "0" if number == 0 else _signs(f"{number:+.{places}f}")


def bits(number: float) -> str:
    """Three places, or as many as a small number needs; exactly nothing is "0".

    >>> bits(3.14159), bits(0.0000123), bits(0.0)
    ('3.142', '1.2e-05', '0')
    """
    if number == 0:
        return "0"
    return f"{number:.3f}" if number >= 0.001 else f"{number:.1e}"


def equal_choices(entropy: float) -> str:
    """Among how many equally likely words the choice would be as open.

    >>> equal_choices(3.0), equal_choices(0.5), equal_choices(13.2)
    ('8', '1.4', '9,410')
    """
    number = 2.0**entropy
    return f"{number:,.0f}" if number >= 5 else f"{number:.1f}".removesuffix(".0")


def log_probability(probability: float) -> str:
    """The natural logarithm, three places.

    >>> log_probability(0.5), log_probability(0.0)
    ('−0.693', '−∞')
    """
    return _signs(f"{math.log(probability):.3f}") if probability > 0 else "−∞"


def ordinal(number: int) -> str:
    """
    >>> [ordinal(number) for number in (1, 2, 3, 4, 11, 22)]
    ['1st', '2nd', '3rd', '4th', '11th', '22nd']
    """
    teen = number % 100 in (11, 12, 13)
    return f"{number}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def printable(token: str) -> str:
    """A token as text that can be seen: blanks and control characters get a sign. Not escaped.

    >>> printable("<b>"), printable(" "), printable("a\\x00")
    ('<b>', '␠', 'a�')
    """
    shown = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in token)
    return shown if shown.strip() else "\N{SYMBOL FOR SPACE}" * max(1, len(shown))


def visible(token: str) -> str:
    """The same, escaped.

    >>> visible("<b>")
    '&lt;b&gt;'
    """
    return escape(printable(token))


def file_name(name: str) -> Html:
    """A name that a narrow column may break, but between its words only.

    >>> file_name("sample_reviews.csv").text
    'sample_<wbr>reviews<wbr>.csv'
    """
    return Html(re.sub(r"([_\-])", r"\1<wbr>", escape(name)).replace(".", "<wbr>."))


def said(sentence: str) -> str:
    """One plain line: what a picture says in words."""
    return f'<p class="said">{escape(sentence)}</p>'


def quiet(sentence: str) -> str:
    """One line of explanation."""
    return f'<p class="quiet">{escape(sentence)}</p>'


def notes_list(sentences: Sequence[str], *, stale: bool = False) -> str:
    """What a reader should know of the text. ``stale``: what is shown below belongs to the text as it was before."""
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f'<ul class="notes{" stale" if stale else ""}" role="status">{items}</ul>'


def model_heading(label: str, kind: str, *, count: int) -> str:
    """The model's name with its colour, where there are two."""
    return f'<h2 class="look-model {kind}">{escape(label)}</h2>' if count > 1 else ""


def legend(labels: Sequence[str], kinds: Sequence[str], *, more: str = "") -> str:
    """Which colour is which model; nothing where there is one. ``more`` is a further entry, as HTML."""
    items = "".join(
        f'<li><span class="dot {kind}" aria-hidden="true"></span>{escape(label)}</li>'
        for label, kind in zip(labels, kinds, strict=True)
    )
    return f'<ul class="legend" aria-label="Models">{items}{more}</ul>' if len(labels) > 1 or more else ""


def scale_end(probabilities: Sequence[float]) -> float:
    """The right end of a scale: the next round number, so that small answers can be read too.

    >>> scale_end([0.412, 0.05]), scale_end([0.0004]), scale_end([])
    (0.5, 0.001, 1.0)
    """
    most = max(probabilities, default=1.0)
    return next((end for end in _ENDS if most <= end), 1.0)


def bar_list(groups: Sequence[BarGroup], *, end: float, axis: bool = False, above: str = "") -> str:
    """Every group on one scale from 0 to ``end``, all bars from one edge; ``axis`` writes both ends as percentages.

    ``above`` is HTML that stands over them, such as a legend.
    """
    ends = f'<li class="bars-axis" aria-hidden="true"><span>0%</span><span>{100 * end:g}%</span></li>' if axis else ""
    sections = "".join(
        f'<section class="bars-group">{f"<h2>{escape(group.title)}</h2>" if group.title else ""}'
        f'<ol class="bars-list">{"".join(_bar_row(row, end) for row in group.rows)}{ends}</ol></section>'
        for group in groups
    )
    return f'<div class="bars">{above}{sections}</div>'


def _bar_row(row: BarRow, end: float) -> str:
    hover = f' title="{escape(row.hover)}"' if row.hover else ""
    under = f"<small>{escape(row.under)}</small>" if row.under else ""
    name = f'<span class="bars-word{"" if row.bold else " plain"}"><bdi>{visible(row.name)}</bdi>{under}</span>'
    notes = "".join(f'<small class="bars-note">{escape(note)}</small>' for note in row.notes)
    drawn = _dumbbell(row, end) if row.joined else "".join(_bar(bar, end) for bar in row.bars)
    return f'<li class="{"pair" if row.joined else "bar"}"{hover}>{name}{drawn}{notes}</li>'


def _bar(bar: Bar, end: float) -> str:
    return (
        f'<span class="bars-lane {bar.kind}"><span class="bars-track" aria-hidden="true">'
        f'<span class="bars-fill" style="--at:{_at(bar.size, end)}"></span></span>'
        f'<span class="bars-number">{escape(bar.shown)}</span></span>'
    )


def _dumbbell(row: BarRow, end: float) -> str:
    before, after = row.bars
    kind = "up" if after.size > before.size else "down" if after.size < before.size else "same"
    places = f"--before:{_at(before.size, end)};--after:{_at(after.size, end)}"
    return (
        f'<span class="bars-lane"><span class="bars-track" aria-hidden="true" style="{places}">'
        f'<span class="bars-link"></span><span class="dot before"></span><span class="dot after"></span></span>'
        f'<span class="bars-number">{escape(before.shown)} → {escape(after.shown)}</span>'
        f'<span class="bars-change {kind}">{escape(row.change)}</span></span>'
    )


def _at(size: float, end: float) -> str:
    return f"{100 * min(1.0, max(0.0, size / end)) if end else 0.0:.3f}%"


def table(  # noqa: PLR0913 - all keyword-only, and each is a table's own
    frame: pd.DataFrame,
    *,
    label: str,
    caption: str = "",
    formats: Mapping[str, Format] | None = None,
    look: str = "",
    current: int | None = None,
    marked: str | None = None,
    total: bool = False,
) -> str:
    """A frame as a table that scrolls by itself; the first cell of each row is its head.

    ``formats`` writes the numbers of a column, None is "–". ``look`` is a class for the style sheet; ``current`` is
    the place of the row to mark and ``marked`` the name of the column; with ``total`` the last row is a sum. Each cell
    names its column, for pages too narrow for columns.

    >>> table(pd.DataFrame({"word": ["a<b"], "rank": [1]}), label="Words")[-85:]
    '<tr><th scope="row">a&lt;b</th><td data-head="rank">1</td></tr></tbody></table></div>'
    """
    heads = [escape(str(name)) for name in frame.columns]
    marks = [' class="marked"' if marked is not None and name == marked else "" for name in frame.columns]
    head = "".join(f'<th scope="col"{mark}>{name}</th>' for name, mark in zip(heads, marks, strict=True))
    written = [formats.get(str(name), _plain) if formats else _plain for name in frame.columns]
    rows = []
    for place, row in enumerate(frame.itertuples(index=False, name=None)):
        first, *rest = [_cell(value, write) for value, write in zip(row, written, strict=True)]
        columns = zip(heads[1:], marks[1:], rest, strict=True)
        data = "".join(f'<td data-head="{name}"{mark}>{cell}</td>' for name, mark, cell in columns)
        kind = ' aria-current="true"' if place == current else ""
        kind += ' class="total"' if total and place == len(frame) - 1 else ""
        rows.append(f'<tr{kind}><th scope="row"{marks[0]}>{first}</th>{data}</tr>')
    named = f"<caption>{escape(caption)}</caption>" if caption else ""
    return (
        f'<div class="table-scroll {look}" tabindex="0" role="region" aria-label="{escape(label)}">'
        f'<table class="table">{named}<thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def _cell(value: object, write: Format) -> str:
    if isinstance(value, Html):
        return value.text
    return visible(value) if isinstance(value, str) else escape("–" if pd.isna(value) else write(value))


def _plain(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def shaded_words(words: Sequence[ShadedWord], *, label: str, kind: str) -> str:
    """Words in the order of the text, each shaded by a number under it; ``kind``: "base", "tuned" or "wrong"."""
    items = "".join(
        f'<li class="{"joined" if word.joined else ""}" style="--shade:{100 * min(1.0, max(0.0, word.shade)):.0f}%" '
        f'title="{escape(word.hover)}"><bdi>{visible(word.token)}</bdi><small>{escape(word.number)}</small></li>'
        for word in words
    )
    way = "rtl" if any(_is_right_to_left(word.token) for word in words) else "ltr"
    return f'<ol class="shaded {kind}" dir="{way}" aria-label="{escape(label)}">{items}</ol>'


def _is_right_to_left(token: str) -> bool:
    return any(unicodedata.bidirectional(character) in ("R", "AL") for character in token)


def _signs(number: str) -> str:
    return number.replace("-", "−")
