"""'Several blanks': each filled by itself, beside one filled after the other."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import gradio as gr

from bertdemo.mlm.inference.fill_in_order import MAX_PASSES, Filling, FillingSteps, Strategy, fill_in_order
from bertdemo.mlm.inference.fill_mask import Candidate, FilledText, fill_masks
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.text.prompt import PreparedText
from bertdemo.mlm.wording import percent

from ..events import Fold
from ..markup import model_heading, ordinal, said, signed, visible
from ..question import Question
from .view import Shown, View, result_html
from .writing import build_controls, writing_html

STRATEGIES = (("most confident first", "confident"), ("left to right", "left_to_right"), ("keeping the 3 best", "beam"))
BEAM = 3


class SeveralBlanks(View):
    name = "Several blanks"
    line = "Filled each by itself, and one after the other, so that every guess knows the guesses before it."

    def __init__(self) -> None:
        strategy = gr.Radio(
            list(STRATEGIES), value="confident", label="Order of filling", elem_id="filling-order", elem_classes="pills"
        )
        self.steps = result_html()
        writing = Fold("Can BERT write? A text from blanks alone", elem_id="can-bert-write")
        with writing.accordion:
            controls = build_controls()
            self.written = result_html()
        self.folds = [writing]
        self.controls = {"strategy": strategy, "writing": writing.opened, **controls}
        self.outputs = [self.steps, self.written]

    def show(self, question: Question, *, strategy: Strategy, writing: bool = False, **chance: Any) -> Shown:
        several = len(question.models)
        parts = [
            f"{model_heading(question.labels[number], question.kinds[number], count=several)}"
            f"{_compared(model, question.read_by(number), strategy, head='h3' if several > 1 else 'h2')}"
            for number, model in enumerate(question.models)
        ]
        one = len(question.prepared.mask_positions) == 1
        hint = said("With one blank both sides are the same; hide a second word to see them differ.") if one else ""
        shown: Shown = {self.steps: hint + "".join(parts)}
        if writing:
            shown[self.written] = writing_html(question, **chance)
        return shown


def _compared(model: MaskedLM, prepared: PreparedText, strategy: Strategy, *, head: str) -> str:
    """Both ways side by side; ``head`` is the element of their headings, under the model's own where it has one."""
    filled = fill_masks(model, prepared, top_k=3)
    ordered = fill_in_order(model, prepared, strategy=strategy, beam=BEAM, top_k=3)
    return (
        f"<div class='two'><section><{head}>Each by itself</{head}>{_alone(model, filled)}</section>"
        f"<section><{head}>One after the other</{head}>{_in_order(model, ordered)}</section></div>"
    )


def _alone(model: MaskedLM, filled: FilledText) -> str:
    ids = list(filled.prepared.token_ids)
    rows = []
    for number, mask in enumerate(filled.masks, start=1):
        ids[mask.position] = mask.candidates[0].token_id
        words = ", ".join(f"<b>{visible(c.token)}</b> {percent(c.probability)}" for c in mask.candidates)
        rows.append(f"<li>{ordinal(number)} blank: {words}</li>")
    return (
        f"<ul class='filled-steps'>{''.join(rows)}</ul>{_sentence(model, ids)}"
        "<p class='quiet'>Each guess knows only the blanks, not the other guesses; they need not go together.</p>"
    )


def _in_order(model: MaskedLM, ordered: FillingSteps) -> str:
    numbers = {place: number for number, place in enumerate(ordered.prepared.mask_positions, start=1)}
    steps = "".join(
        f"<li>{ordinal(numbers[step.position])} blank: <b>{visible(step.token)}</b> {percent(step.probability)}"
        f"<small>{_others(step.token_id, step.candidates)}</small></li>"
        for step in ordered.best.steps
    )
    others = "".join(f"<li>{_scored(filling)}</li>" for filling in ordered.fillings)
    kept = f"<p class='quiet'>The fillings kept, best first:</p><ol class='filled-steps'>{others}</ol>"
    beam = kept if len(ordered.fillings) > 1 else ""
    return (
        f"<ol class='filled-steps'>{steps}</ol>{_sentence(model, ordered.best.token_ids)}"
        f"<p class='quiet'>Summed log score {_score(ordered.best)}. {escape(ordered.note)} "
        f"At most {MAX_PASSES} blanks times fillings kept.</p>{beam}"
    )


def _others(chosen: int, candidates: Sequence[Candidate]) -> str:
    rest = [c for c in candidates if c.token_id != chosen]
    return " or ".join(f"{visible(c.token)} {percent(c.probability)}" for c in rest)


def _scored(filling: Filling) -> str:
    return f"{', '.join(visible(step.token) for step in filling.steps)} <small>{_score(filling)}</small>"


def _score(filling: Filling) -> str:
    return f"{signed(filling.log_score, places=2)} nats"


def _sentence(model: MaskedLM, token_ids: Sequence[int]) -> str:
    text = str(model.tokenizer.decode(list(token_ids), skip_special_tokens=True))
    return f"<p class='filled'><bdi>{escape(text)}</bdi></p>"
