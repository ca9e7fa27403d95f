"""'Pairs': sentences that differ in one word, and the words of the vocabulary that lean to one of them or the other.

A row a word, zero in the middle, a dot a model, a bar for the spread over templates. Every text is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from html import escape

import gradio as gr
import pandas as pd

from bertdemo.mlm.analysis.counterfactuals import (
    CAUTION,
    Contrast,
    Counterfactuals,
    WordContrast,
    WordFigures,
    counterfactuals,
)
from bertdemo.mlm.errors import TextError
from bertdemo.mlm.wording import fine_percent

from ..markup import Format, legend, notes_list, signed, table, times, visible
from ..question import Question
from ..services import PAGE_EVENT
from .view import Shown, View, folded, result_html

WORDS_SHOWN = 8  # toward each side
MAX_WORDS = 40  # of the reader's own
MAX_CHARACTERS = 10_000
_LONGEST_NAME = 40  # characters of a choice in a heading
EXAMPLES = {
    "work": (
        "The {man|woman} worked as a [MASK].\n"
        "The {man|woman} was hired as a [MASK].\n"
        "Everyone knew that the {man|woman} was a good [MASK]."
    ),
    "show or game": (
        "This {show|game} is really [MASK].\n"
        "My friends think that the {show|game} is [MASK].\n"
        "What I remember of the {show|game} is the [MASK]."
    ),
    "praise or blame": (
        "It was {great|awful}. I really [MASK] it!\nThis is a {great|awful} show. We [MASK] every minute."
    ),
    "boy, king": "The {boy|king} lived in a [MASK].\nThe {boy|king} went to his [MASK].",
    "summer, winter": "In {summer|winter} it is very [MASK] here.\nWe like {summer|winter} because of the [MASK].",
}


class Pairs(View):
    name = "Pairs"
    line = "Sentences that differ in one word: which answers does that word make more probable, or less?"
    needs_blank = False

    def __init__(self) -> None:
        gr.HTML(
            f'<p class="pairs-caution"><strong>Caution.</strong> {escape(CAUTION)}</p>',
            apply_default_css=False,
            elem_classes="pairs-warning",
        )
        with gr.Column(elem_classes="pairs-form"):
            templates, words, prior = _build_fields()
            button = gr.Button("Compare the pairs", variant="primary", size="md", elem_id="pair-compare")
        self.picture = result_html()
        fold, self.rows = folded("As a table")
        self.controls = {"templates": templates, "words": words, "prior": prior, "rows_open": fold.opened}
        self.outputs = [self.picture, self.rows]
        self.triggers = [button]
        self.folds = [fold]

    def show(self, question: Question, *, templates: str, words: str, prior: bool, rows_open: bool = True) -> Shown:
        result = counterfactuals(
            question.models[0],
            _bounded(templates).splitlines(),
            after=question.models[1] if len(question.models) > 1 else None,
            words=_listed(words),
            top_k=WORDS_SHOWN,
            prior_correction=prior,
        )
        shown: Shown = {self.picture: pairs_html(result, labels=question.labels, kinds=question.kinds)}
        if rows_open:
            shown[self.rows] = pairs_table_html(result, labels=question.labels)
        return shown


def _build_fields() -> tuple[gr.Textbox, gr.Textbox, gr.Checkbox]:
    templates = gr.Textbox(
        EXAMPLES["work"],
        label="Templates, one a line",
        info="In braces the words to swap, with a | between them; [MASK] where the model is to answer.",
        lines=3,
        max_lines=8,
        max_length=MAX_CHARACTERS,
        elem_id="pair-templates",
    )
    with gr.Row(elem_classes="examples"):
        for name, example in EXAMPLES.items():
            button = gr.Button(name, size="sm", elem_classes="example")
            button.click(partial(str, example), outputs=templates, **PAGE_EVENT)
    with gr.Row(elem_classes="pairs-fields"):
        words = gr.Textbox(
            "",
            label="Words of your own (optional)",
            info="Parted by commas; each one token of the model.",
            placeholder="teacher, doctor",
            max_lines=1,
            min_width=240,
            max_length=MAX_CHARACTERS,
            elem_id="pair-words",
        )
        prior = gr.Checkbox(
            label="Prior correction",
            info="Reads each sentence with the swapped word hidden too; the table then shows what each word adds.",
            min_width=240,
        )
    return templates, words, prior


def pairs_html(result: Counterfactuals, *, labels: Sequence[str], kinds: Sequence[str]) -> str:
    """A picture for each choice against the first; ``labels`` and ``kinds`` ("base", "tuned") name the models."""
    end = _end([figures for contrast in result.contrasts for word in _shown(contrast) for figures in _models(word)])
    sections = "".join(_section(contrast, kinds=kinds, end=end) for contrast in result.contrasts)
    spread = '<li><span class="pairs-swatch" aria-hidden="true"></span>spread over the templates</li>'
    key = legend(labels, kinds, more=spread if len(result.texts) > 1 else "")
    notes = [note for note in result.notes if note != CAUTION]
    return f'<div class="pairs">{key}{notes_list(notes) if notes else ""}{sections}</div>'


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
    first, second = escape(_name(contrast.first)), escape(_name(contrast.second))
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
    factors = " → ".join(_factor(figures, sign) for figures in models)
    details = "; ".join(f"{kind}: {_figures(figures)}" for figures, kind in zip(models, kinds, strict=True))
    return (
        f'<li title="{details}"><bdi class="bars-word">{visible(word.token)}</bdi>'
        f'<span class="pairs-track" aria-hidden="true">{lanes}</span><span class="bars-number">{factors}</span></li>'
    )


def _factor(figures: WordFigures, sign: int) -> str:
    """ "× 5.7 (0.17% against 0.03%)": a ratio says little without what it is one of."""
    sides = [figures.probability_second, figures.probability_first][::sign]
    chances = " against ".join(fine_percent(side) for side in sides)
    return f"{times(sign * figures.mean)} <small>{escape(chances)}</small>"


def _lane(figures: WordFigures, kind: str, *, end: float) -> str:
    """Places in percent of the track, zero in the middle; the spread is cut at the ends, which hold it."""
    spread = figures.spread or 0.0
    at, low, high = (50 + 50 * value / end for value in (figures.mean, figures.mean - spread, figures.mean + spread))
    return (
        f'<span class="pairs-lane {kind}" style="--at:{at:.2f}%;--low:{low:.2f}%;--high:{high:.2f}%">'
        f'<span class="pairs-stem"></span><span class="pairs-spread"></span>'
        f'<span class="dot {kind}"></span></span>'
    )


def _figures(figures: WordFigures) -> str:
    spread = "" if figures.spread is None else f" ± {figures.spread:.2f}"
    return f"log2 ratio {signed(figures.mean, places=2)}{spread}"


def _table(contrast: Contrast, labels: Sequence[str]) -> str:
    first, second = _name(contrast.first), _name(contrast.second)
    words = dict.fromkeys(_shown(contrast))
    shown = [(word.token, label, one) for word in words for one, label in zip(_models(word), labels, strict=True)]
    rows = [
        (
            *(token, label, figures.mean, figures.spread, figures.probability_first, figures.probability_second),
            *(figures.lift_first, figures.lift_second),
        )
        for token, label, figures in shown
    ]
    heads = ["word", "model", "mean log2 ratio", "spread", f"p with {first}", f"p with {second}"]
    frame = pd.DataFrame(rows, columns=[*heads, f"{first} adds", f"{second} adds"], dtype=object)
    added = "; “adds” is the mean log2 ratio against the same sentence with the word hidden"
    if all(figures.lift_first is None for *_, figures in shown):
        frame, added = frame.iloc[:, : len(heads)], ""
    ratio = partial(signed, places=2)
    formats: dict[str, Format] = {
        "mean log2 ratio": ratio,
        "spread": "{:.2f}".format,
        f"{first} adds": ratio,
        f"{second} adds": ratio,
    }
    formats |= {heads[-2]: fine_percent, heads[-1]: fine_percent}
    caption = f"Above 0: more probable with {second}; below: with {first}{added}."
    return table(frame, label=f"{first} or {second}", caption=caption, formats=formats)


def _name(choice: str) -> str:
    """A choice as a heading has it, not escaped yet."""
    return (choice if len(choice) <= _LONGEST_NAME else f"{choice[: _LONGEST_NAME - 1]}…") or "nothing"


def _bounded(text: str | None) -> str:
    if len(text or "") > MAX_CHARACTERS:
        raise TextError(f"The templates are longer than {MAX_CHARACTERS:,} characters; use fewer or shorter ones.")
    return text or ""


def _listed(words: str | None) -> list[str]:
    """ "nurse, doctor" -> ["nurse", "doctor"], each once. Raises TextError when there are too many."""
    found = list(dict.fromkeys(word for item in _bounded(words).split(",") if (word := item.strip())))
    if len(found) > MAX_WORDS:
        raise TextError(f"There are {len(found):,} words of your own; name at most {MAX_WORDS}.")
    return found
