"""'Can BERT write?': under "Several blanks", a text from blanks alone, round by round, one under the other."""

from __future__ import annotations

from html import escape

import gradio as gr
from gradio.components import Component

from bertdemo.mlm.inference.writing import (
    CAPTION,
    MAX_BLANKS,
    MAX_TEMPERATURE,
    Way,
    Writing,
    blanks_alone,
    write,
)
from bertdemo.mlm.models.masked_lm import MaskedLM

from ..markup import model_heading, visible
from ..question import Question

WAYS = (("one by one, the surest first", "one_by_one"), ("all at once, the doubtful again", "few_at_a_time"))


def build_controls() -> dict[str, Component]:
    """By the names of the arguments of ``writing_html``."""
    with gr.Row():
        blanks = gr.Slider(1, MAX_BLANKS, value=8, step=1, label="Blanks", elem_id="writing-blanks", min_width=160)
        temperature = gr.Slider(
            *(0, MAX_TEMPERATURE),
            value=0.7,
            step=0.1,
            label="Temperature",
            info="0 takes the likeliest word; the higher, the more is left to chance.",
            min_width=200,
        )
        seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=2**31 - 1, min_width=100)
    way = gr.Radio(list(WAYS), value="one_by_one", label="How", elem_classes="pills", elem_id="writing-way")
    return {"blanks": blanks, "temperature": temperature, "seed": seed, "way": way}


def writing_html(question: Question, *, blanks: float, temperature: float, seed: float | None, way: Way) -> str:
    """Every model's text, with the rounds that led to it."""
    count = len(question.models)
    parts = []
    for number, model in enumerate(question.models):
        text = blanks_alone(model, int(blanks))
        written = write(model, text, way=way, temperature=float(temperature or 0), seed=int(seed or 0))
        heading = model_heading(question.labels[number], question.kinds[number], count=count)
        parts.append(heading + _rounds(model, written))
    return f"{''.join(parts)}<p class='quiet'>{escape(CAPTION)}</p>"


def _rounds(model: MaskedLM, written: Writing) -> str:
    """A line a round, each shown a moment after the one before it; at once where motion is not wanted."""
    shown = [place for place, word in enumerate(written.prepared.word_ids) if word is not None]
    lines = []
    for number, step in enumerate(written.steps):
        words = [
            _word(step.tokens[place], new=place in step.filled, again=place in step.hidden_again) for place in shown
        ]
        lines.append(f'<li style="--round:{number}">{" ".join(words)}</li>')
    text = str(model.tokenizer.decode(list(written.token_ids), skip_special_tokens=True))
    return f'<ol class="filled-steps writing">{"".join(lines)}</ol><p class="filled"><bdi>{escape(text)}</bdi></p>'


def _word(token: str, *, new: bool, again: bool) -> str:
    if again:
        return f"<s>{visible(token)}</s>"
    return f"<b>{visible(token)}</b>" if new else visible(token)
