"""Counterfactual pairs as HTML: a row a word, zero in the middle, a dot a model, a bar for the spread over templates.

It takes the values of ``counterfactuals`` and returns strings in which every text is escaped; it decides no numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from bertdemo.mlm.analysis.counterfactuals import CAUTION, Contrast, Counterfactuals, WordContrast, WordFigures

from ..fill.candidate_bars import percent, visible
from .quantities import signed, times

_MOST_NAME = 40  # characters of a choice in a heading


def pairs_html(result: Counterfactuals, *, labels: Sequence[str], kinds: Sequence[str]) -> str:
    """A picture for each choice against the first; ``labels`` and ``kinds`` ("base", "tuned") name the models."""
    end = _end([figures for contrast in result.contrasts for word in _shown(contrast) for figures in _models(word)])
    sections = "".join(_section(contrast, kinds=kinds, end=end) for contrast in result.contrasts)
    legend = "".join(
        f'<li><span class="pairs-dot {kind}" aria-hidden="true"></span>{escape(label)}</li>'
        for label, kind in zip(labels, kinds, strict=True)
    )
    if len(result.texts) > 1:
        legend += '<li><span class="pairs-swatch" aria-hidden="true"></span>spread over the templates</li>'
    notes = "".join(f"<li>{escape(note)}</li>" for note in result.notes if note != CAUTION)
    listed = f'<ul class="notes">{notes}</ul>' if notes else ""
    return f'<div class="pairs"><ul class="bars-legend" aria-label="Models">{legend}</ul>{listed}{sections}</div>'


def pairs_table_html(result: Counterfactuals, *, labels: Sequence[str]) -> str:
    """The same words with mean, spread, probabilities, and lifts where the prior was read; and the texts."""
    tables = "".join(_table(contrast, labels) for contrast in result.contrasts)
    texts = "".join(f"<li>{escape(text)}</li>" for variants in result.texts for text in variants)
    read = f"<details><summary>The texts that were read</summary><ul>{texts}</ul></details>"
    return f'<div class="pairs">{tables}{read}</div>'


def _shown(contrast: Contrast) -> tuple[WordContrast, ...]:
    return (*contrast.toward_first, *contrast.toward_second, *contrast.words)


def _models(word: WordContrast) -> tuple[WordFigures, ...]:
    return (word.before,) if word.after is None else (word.before, word.after)


def _end(figures: Sequence[WordFigures]) -> float:
    """Where the scale ends on both sides: the next whole doubling behind every dot and spread, at least one."""
    return max((math.ceil(abs(item.mean) + (item.spread or 0.0)) for item in figures), default=1) or 1


def _section(contrast: Contrast, *, kinds: Sequence[str], end: float) -> str:
    first, second = _name(contrast.first), _name(contrast.second)
    groups = [
        (f"More probable with “{second}”", contrast.toward_second, 1),
        (f"More probable with “{first}”", contrast.toward_first, -1),
        (f"Your words, with “{second}”", contrast.words, 1),
    ]
    rows = "".join(_group(title, words, kinds=kinds, end=end, sign=sign) for title, words, sign in groups if words)
    if not rows:
        rows = "<p>No word is more probable with the one than with the other.</p>"
    axis = (
        f'<div class="pairs-axis" aria-hidden="true"><span>← {first}</span><span>same</span>'
        f"<span>{second} →</span></div>"
    )
    return f'<section class="pairs-contrast"><h2>{first} or {second}</h2>{axis}{rows}</section>'


def _group(title: str, words: Sequence[WordContrast], *, kinds: Sequence[str], end: float, sign: int) -> str:
    rows = "".join(_row(word, kinds=kinds, end=end, sign=sign) for word in words)
    return f'<h3>{title}</h3><ol class="pairs-list" aria-label="{title}">{rows}</ol>'


def _row(word: WordContrast, *, kinds: Sequence[str], end: float, sign: int) -> str:
    """``sign`` is -1 where the title speaks of the first choice: then × means that this one makes the word likelier."""
    models = _models(word)
    lanes = "".join(_lane(figures, kind, end=end) for figures, kind in zip(models, kinds, strict=True))
    factors = " → ".join(times(sign * figures.mean) for figures in models)
    details = "; ".join(f"{kind}: {_figures(figures)}" for figures, kind in zip(models, kinds, strict=True))
    return (
        f'<li title="{details}"><bdi class="bars-word">{visible(word.token)}</bdi>'
        f'<span class="pairs-track" aria-hidden="true">{lanes}</span><span class="bars-share">{factors}</span></li>'
    )


def _lane(figures: WordFigures, kind: str, *, end: float) -> str:
    """Places in percent of the track, zero in the middle; the spread is cut at the ends, which hold it."""
    spread = figures.spread or 0.0
    at, low, high = (50 + 50 * value / end for value in (figures.mean, figures.mean - spread, figures.mean + spread))
    return (
        f'<span class="pairs-lane {kind}" style="--at:{at:.2f}%;--low:{low:.2f}%;--high:{high:.2f}%">'
        f'<span class="pairs-stem"></span><span class="pairs-spread"></span>'
        f'<span class="pairs-dot {kind}"></span></span>'
    )


def _figures(figures: WordFigures) -> str:
    spread = "" if figures.spread is None else f" ± {figures.spread:.2f}"
    return f"log2 ratio {signed(figures.mean, places=2)}{spread}"


def _table(contrast: Contrast, labels: Sequence[str]) -> str:
    first, second = _name(contrast.first), _name(contrast.second)
    words = list(dict.fromkeys(_shown(contrast)))
    lifted = any(word.before.lift_first is not None for word in words)
    heads = ["word", "model", "mean log2 ratio", "spread", f"p with {first}", f"p with {second}"]
    heads += [f"{first} adds", f"{second} adds"] if lifted else []
    head = "".join(f'<th scope="col">{text}</th>' for text in heads)
    rows = "".join(
        _table_row(word, figures, label) for word in words for figures, label in zip(_models(word), labels, strict=True)
    )
    added = "; “adds” is the mean log2 ratio against the same sentence with the word hidden" if lifted else ""
    caption = f"Above 0: more probable with {second}; below: with {first}{added}."
    return (
        f'<div class="bars-scroll" tabindex="0" role="region" aria-label="{first} or {second}">'
        f'<table class="bars-table"><caption>{caption}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _table_row(word: WordContrast, figures: WordFigures, label: str) -> str:
    cells = [escape(label), signed(figures.mean, places=2)]
    cells.append("–" if figures.spread is None else f"{figures.spread:.2f}")
    cells += [percent(figures.probability_first), percent(figures.probability_second)]
    if figures.lift_first is not None:
        cells += [signed(figures.lift_first, places=2), signed(figures.lift_second, places=2)]
    data = "".join(f"<td>{cell}</td>" for cell in cells)
    return f'<tr><th scope="row"><bdi>{visible(word.token)}</bdi></th>{data}</tr>'


def _name(choice: str) -> str:
    shown = choice if len(choice) <= _MOST_NAME else f"{choice[: _MOST_NAME - 1]}…"
    return escape(shown) or "nothing"
