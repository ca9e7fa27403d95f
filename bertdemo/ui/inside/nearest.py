"""'Nearest words': which words have embeddings that point the same way, in each model."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr

from bertdemo.mlm.analysis.neighbours import Neighbour, nearest_words
from bertdemo.mlm.errors import TextError
from bertdemo.mlm.inference.fill_mask import Candidate, fill_masks

from ..fill.candidate_bars import visible
from .view import Parts, Question, View, said
from .word_strip import model_heading

COUNT = 10


def build() -> Parts:
    word = gr.Textbox("", label="Word", placeholder="the first guess", max_lines=1, elem_id="nearest-word")
    return Parts([word], [gr.HTML(apply_default_css=False, elem_classes="look-result")])


def show(question: Question, word: str) -> Sequence[object]:
    name, token_id = (word or "").strip(), None
    if not name:
        guess = _first_guess(question)
        name, token_id = guess.token, guess.token_id  # a guess may be a piece that no text of its own makes
    sides = [
        nearest_words(
            model, name if token_id is None or not question.same_ids(number, token_id) else token_id, count=COUNT
        )
        for number, model in enumerate(question.models)
    ]
    known = [{neighbour.token for neighbour in side} for side in sides]
    shared = known[0] & known[-1]
    parts = "".join(
        f"<section>{model_heading(label, kind, count=len(sides))}{_list(side, kind, shared=shared)}</section>"
        for label, kind, side in zip(question.labels, question.kinds, sides, strict=True)
    )
    sentence = f"Nearest to “{name}”, by the cosine of their learned vectors."
    if len(sides) == 2:
        sentence += f" {len(shared)} of {COUNT} are the same in both."
    return [f"{said(sentence)}<div class='two'>{parts}</div>"]


def _first_guess(question: Question) -> Candidate:
    if not question.prepared.mask_positions:
        raise TextError("Type a word to see its neighbours.")
    return fill_masks(question.models[0], question.prepared, top_k=1).masks[question.blank].candidates[0]


def _list(side: Sequence[Neighbour], kind: str, *, shared: set[str]) -> str:
    rows = "".join(
        f"<li><span class='lane-word'><bdi>{visible(item.token)}</bdi></span>"
        f"<span class='lane {kind}' style='--at:{100 * max(0.0, item.cosine):.1f}%'>"
        f"<span class='lane-bar' aria-hidden='true'></span><span class='lane-number'>{item.cosine:.2f}"
        f"{'' if item.token in shared else ' · only here'}</span></span></li>"
        for item in side
    )
    return f"<ol class='lanes'>{rows}</ol>"


VIEW = View(
    name="Nearest words",
    line="Words that the model has learned to treat alike: their vectors in its table point the same way, in any text.",
    build=build,
    show=show,
    needs_blank=False,
)
