"""Words in the order of the text, each shaded by a number that stands under it; small tables. All text is escaped."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from ..fill.candidate_bars import visible


@dataclass(frozen=True)
class ShadedWord:
    """``shade`` from 0 to 1; ``number`` is written under the word; ``details`` are shown on hover."""

    token: str
    shade: float
    number: str
    details: str = ""
    joined: bool = False  # goes on with the word before


def word_strip(words: Sequence[ShadedWord], *, label: str, kind: str) -> str:
    """The words as a list; ``kind`` names the colour: "base", "tuned" or "wrong"."""
    items = "".join(
        f'<li class="{"joined" if word.joined else ""}" style="--shade:{100 * min(1.0, max(0.0, word.shade)):.0f}%" '
        f'title="{escape(word.details)}"><bdi>{visible(word.token)}</bdi><small>{escape(word.number)}</small></li>'
        for word in words
    )
    way = "rtl" if any(_is_right_to_left(word.token) for word in words) else "ltr"
    return f'<ol class="shaded {kind}" dir="{way}" aria-label="{escape(label)}">{items}</ol>'


def _is_right_to_left(token: str) -> bool:
    return any(unicodedata.bidirectional(character) in ("R", "AL") for character in token)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str = "") -> str:
    """The first cell of each row is its head. Cells are plain text.

    >>> table(["word", "rank"], [["a<b", "1"]])[-60:]
    '<tr><th scope="row">a&lt;b</th><td>1</td></tr></tbody></table></div>'
    """
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    body = "".join(
        f'<tr><th scope="row">{visible(row[0])}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in row[1:])}</tr>'
        for row in rows
    )
    named = f"<caption>{escape(caption)}</caption>" if caption else ""
    return (
        f'<div class="bars-scroll" tabindex="0" role="region" aria-label="{escape(caption or "Table")}">'
        f'<table class="bars-table">{named}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def model_heading(label: str, kind: str, *, count: int) -> str:
    """The model's name with its colour, where there are two."""
    return f'<h2 class="look-model {kind}">{escape(label)}</h2>' if count > 1 else ""
