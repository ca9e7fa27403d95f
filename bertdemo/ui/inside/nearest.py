"""'Nearest words': which words have embeddings at the smallest angle to a word's own, in each model."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr

from bertdemo.mlm.analysis.neighbours import Neighbour, nearest_words
from bertdemo.mlm.errors import TextError
from bertdemo.mlm.inference.fill_mask import Candidate, fill_masks

from ..markup import Bar, BarGroup, BarRow, bar_list, model_heading, said
from ..question import Question
from .view import Shown, View, result_html

COUNT = 10


class Nearest(View):
    name = "Nearest words"
    line = "The words whose vectors in the model's table are nearest to a word's own by angle, whatever the text."
    needs_blank = False

    def __init__(self) -> None:
        word = gr.Textbox("", label="Word", placeholder="the first guess", max_lines=1, elem_id="nearest-word")
        self.lists = result_html()
        self.controls = {"word": word}
        self.outputs = [self.lists]

    def show(self, question: Question, *, word: str) -> Shown:
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
        sentence = f"Nearest to “{name}”, by the cosine of their learned vectors: 1 would be one direction."
        if len(sides) == 2:
            sentence += f" {len(shared)} of {COUNT} are the same in both."
        return {self.lists: f"{said(sentence)}<div class='two'>{parts}</div>"}


def _first_guess(question: Question) -> Candidate:
    if not question.prepared.mask_positions:
        raise TextError("Type a word to see its neighbours.")
    return fill_masks(question.models[0], question.prepared, top_k=1).masks[question.blank].candidates[0]


def _list(side: Sequence[Neighbour], kind: str, *, shared: set[str]) -> str:
    rows = [
        BarRow(
            item.token,
            [Bar(kind, item.cosine, f"{item.cosine:.2f}{'' if item.token in shared else ' · only here'}")],
        )
        for item in side
    ]
    return bar_list([BarGroup(rows)], end=1.0)
