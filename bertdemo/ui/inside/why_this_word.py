"""'Why this word?': each other word blanked in turn, and what becomes of the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr
import pandas as pd

from bertdemo.charts.insight import Series, erasure_figure
from bertdemo.mlm.analysis.erasure import ErasedWord, Erasure, erasure
from bertdemo.mlm.errors import TextError
from bertdemo.mlm.inference.fill_mask import order_note
from bertdemo.mlm.wording import fine_percent

from ..markup import quiet, said, signed, table, times
from ..plot import figure, figure_value
from ..question import Question
from .view import Shown, View, folded, result_html

MAX_BARS = 24  # words drawn, those that matter most; the table has them all


class WhyThisWord(View):
    name = "Why this word?"
    line = (
        "Each other word is hidden in turn: left, the answer becomes less probable (−1 bit is half); right, more. "
        "How words act together does not show."
    )

    def __init__(self) -> None:
        word = gr.Textbox(
            "", label="The answer to explain", placeholder="the first guess", max_lines=1, elem_id="why-word"
        )
        self.sentence = result_html()
        self.picture = figure(elem_classes=["look-result"])
        fold, self.rows = folded("As a table")
        self.controls = {"word": word, "rows_open": fold.opened}
        self.outputs = [self.sentence, self.picture, self.rows]
        self.folds = [fold]

    def show(self, question: Question, *, word: str, rows_open: bool = True) -> Shown:
        results: list[Erasure] = []
        for number, model in enumerate(question.models):
            first = results[0].answer_ids[0] if results else None  # the same word in both models, to be comparable
            first = first if first is not None and question.same_ids(number, first) else None
            chosen: str | int | None = (word or "").strip() or first
            results.append(erasure(model, question.read_by(number), mask_index=question.blank, word=chosen))
        if not results[0].words:
            raise TextError("There is no other word to take away; write some around the blank.")
        columns = list(zip(question.labels, question.kinds, results, strict=True))
        sentences = "".join(_sentence(label, result) for label, _, result in columns) + _several(results)
        shown: Shown = {self.sentence: sentences, self.picture: _figure(columns)}
        if rows_open:
            shown[self.rows] = "".join(_table(label, result) for label, _, result in columns)
        return shown


def _sentence(label: str, result: Erasure) -> str:
    strongest = max(result.words, key=lambda item: abs(item.log2_ratio))
    return said(
        f"{label} gives “{result.answer}” {fine_percent(result.probability)}; without "
        f"{_named(strongest, result.words)} {fine_percent(strongest.probability)} ({times(strongest.log2_ratio)})."
    )


def _several(results: Sequence[Erasure]) -> str:
    """What is special about an answer of several pieces, once for models that cut it alike."""
    cut = dict.fromkeys(result.pieces for result in results if len(result.pieces) > 1)
    return "".join(quiet(f"{' '.join(pieces)}: {order_note(len(pieces))}") for pieces in cut)


def _named(word: ErasedWord, words: Sequence[ErasedWord]) -> str:
    """The word in quotes, and which one it is where the text has it several times."""
    same = [other.positions for other in words if other.word == word.word]
    which = f" (number {same.index(word.positions) + 1} of {len(same)})" if len(same) > 1 else ""
    return f"“{word.word}”{which}"


def _figure(columns: Sequence[tuple[str, str, Erasure]]) -> dict[str, Any]:
    """Both models in one picture where they read the same words, else the first alone."""
    words = columns[0][2].words
    drawn = [column for column in columns if [w.positions for w in column[2].words] == [w.positions for w in words]]
    places = _strongest([result.words for _, _, result in drawn])
    series = [
        Series(label, kind, [round(result.words[place].log2_ratio, 4) for place in places])
        for label, kind, result in drawn
    ]
    picture = erasure_figure([words[place].word for place in places], series)
    label = f"Bars: how much less or more probable “{columns[0][2].answer}” becomes without each word"
    return figure_value(picture, label=label, file="why-this-word")


def _strongest(sides: Sequence[Sequence[ErasedWord]]) -> list[int]:
    """The words that change most in any model, in the order of the text."""
    size = [max(abs(words[place].log2_ratio) for words in sides) for place in range(len(sides[0]))]
    return sorted(sorted(range(len(size)), key=lambda place: -size[place])[:MAX_BARS])


def _table(label: str, result: Erasure) -> str:
    rows = [(item.word, item.log2_ratio, times(item.log2_ratio), item.probability) for item in result.words]
    answer = f"p of “{result.answer}”"
    frame = pd.DataFrame(rows, columns=["without", "change in bits", "times", answer])
    formats = {"change in bits": lambda change: signed(change, places=2), answer: fine_percent}
    return table(
        frame, label=label, caption=f"{label}: with every word {fine_percent(result.probability)}", formats=formats
    )
