"""'Why this word?': each other word blanked in turn, and what becomes of the answer."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import gradio as gr

from bertdemo.mlm.insight import Erasure, erasure

from ..components.candidate_bars import percent, visible
from .view import Parts, Question, View, said


def build() -> Parts:
    word = gr.Textbox("", label="Word", placeholder="the first guess", max_lines=1, elem_id="why-word")
    return Parts([word], [gr.HTML(apply_default_css=False)])


def show(question: Question, word: str) -> Sequence[object]:
    results = []
    for number, model in enumerate(question.models):
        chosen: str | int | None = word.strip() or (results[0].answer_id if results else None)
        results.append(erasure(model, question.read_by(number), mask_index=question.blank, word=chosen))
    return ["".join(_table(label, result) for label, result in zip(question.labels, results, strict=True))]


def _table(label: str, result: Erasure) -> str:
    rows = "".join(
        f"<tr><th scope='row'>{visible(item.word)}</th><td>{item.log2_ratio:+.2f}</td></tr>" for item in result.words
    )
    sentence = f"{label} gives “{result.answer}” {percent(result.probability)} with the whole text."
    return f"{said(sentence)}<table class='bars-table' aria-label='{escape(label)}'>{rows}</table>"


VIEW = View(
    name="Why this word?",
    line="Each other word is hidden in turn: how much less, or more, does the model then expect the answer?",
    build=build,
    show=show,
)
