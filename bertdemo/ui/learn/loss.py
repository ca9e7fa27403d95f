"""From text to loss: one sentence, one blank after another, and one step of learning, with every number."""

from __future__ import annotations

import math
from functools import partial
from html import escape

import gradio as gr
import pandas as pd

from bertdemo.mlm.errors import BertDemoError
from bertdemo.mlm.lessons.walkthrough import TargetReading, Walkthrough, walk_through
from bertdemo.mlm.models.loading import default_learning_rate
from bertdemo.mlm.training.masking import IGNORED
from bertdemo.mlm.wording import percent

from ..markup import table, visible
from ..services import MODEL_EVENT, PAGE_EVENT, Services, user_errors
from .glossary import term
from .lesson import Lesson, Opening, next_seed, stepper, steps_html, text

SENTENCE = "The old detective opened the door and found nothing but a letter on the table."
MAX_CHARACTERS = 400


def walk(services: Services, *, sentence: str, seed: float | None) -> str:
    """All steps for the sentence, or the sentence that says why there are none."""
    with user_errors():
        ref = services.registry.resolve(services.default_model)
        copy = services.registry.private_copy(ref)
        try:
            walked = walk_through(
                copy, sentence[:MAX_CHARACTERS], seed=int(seed or 0), learning_rate=default_learning_rate(ref)
            )
        except BertDemoError as error:
            return f'<p class="notes" role="status">{escape(str(error))}</p>'
        return walk_html(walked, sentence[:MAX_CHARACTERS])


def walk_html(walked: Walkthrough, sentence: str) -> str:
    first = walked.before[0]
    return steps_html(
        [
            ("Text", f'<p class="big">{escape(sentence)}</p><p>This is all there is to begin with.</p>'),
            ("Pieces", _pieces(walked)),
            ("Ids", _ids(walked)),
            ("Blanks", _blanks(walked)),
            ("Logits", _logits(walked, first)),
            ("Softmax", _softmax(first)),
            ("Surprise", _surprise(walked, first)),
            ("Loss", _loss(walked)),
            ("One step", _one_step(walked)),
        ]
    )


def chips(above: list[str], below: list[str], *, marked: list[bool]) -> str:
    """Chips with something small beneath each; the marked ones stand out."""
    items = "".join(
        f'<li class="draw-token{" masked" if mark else ""}"><span><bdi>{visible(top)}</bdi></span>'
        f"<small><bdi>{visible(under) if under else '&nbsp;'}</bdi></small></li>"
        for top, under, mark in zip(above, below, marked, strict=True)
    )
    return f'<ol class="draw-tokens">{items}</ol>'


def _pieces(walked: Walkthrough) -> str:
    count = len(walked.pieces)
    return (
        f"<p>The text is cut into {term('word piece', 'pieces')} that the model's {term('vocabulary')} holds. Words "
        "that it does not hold fall into several. [CLS] and [SEP] are put around every text.</p>"
        f"{chips(list(walked.pieces), [''] * count, marked=[False] * count)}"
        f"<p>{count} {term('token', 'tokens')}, out of a vocabulary of {walked.vocabulary_size:,}.</p>"
    )


def _ids(walked: Walkthrough) -> str:
    ids = [str(token_id) for token_id in walked.token_ids]
    return (
        "<p>Each piece has a number, its place in the vocabulary. The model sees the numbers and never a letter.</p>"
        f"{chips(list(walked.pieces), ids, marked=[False] * len(ids))}"
    )


def _blanks(walked: Walkthrough) -> str:
    masked = [label != IGNORED for label in walked.labels]
    below = [piece if hidden else "" for piece, hidden in zip(walked.pieces, masked, strict=True)]
    return (
        f"<p>Chance chooses the {term('target', 'targets')}. Here all of them turn into [MASK], so that the picture "
        "stays simple; in training one in ten would become a random token and one in ten stay as it is. Beneath each: "
        f"the {term('label')}, which the model does not see.</p>"
        f"{chips(list(walked.read_pieces), below, marked=masked)}"
    )


def _ranked(reading: TargetReading) -> list[tuple[str, float, float]]:
    """The best guesses, and the right answer if it is not among them: (how it is named, logit, probability)."""
    rows = [(guess.token, guess.logit, guess.probability) for guess in reading.best]
    answer = reading.answer
    if reading.rank > len(rows):
        rows.append((f"{answer.token} (right, place {reading.rank:,})", answer.logit, answer.probability))
    else:
        rows[reading.rank - 1] = (f"{answer.token} (right)", answer.logit, answer.probability)
    return rows


def _number(value: float) -> str:
    """A number that may be negative, with a real minus sign."""
    return f"{value:.3f}".replace("-", "−")


def exact(probability: float) -> str:
    """Five significant digits, never with an exponent: who takes the logarithm of it gets the surprise that is shown.

    >>> exact(0.1234567), exact(0.0000123456)
    ('0.12346', '0.000012346')
    """
    if not 0 < probability < 1:
        return f"{probability:g}"
    return f"{probability:.{4 - math.floor(math.log10(probability))}f}"


def _logits(walked: Walkthrough, reading: TargetReading) -> str:
    rows = [(token, _number(logit)) for token, logit, _ in _ranked(reading)]
    return (
        f"<p>The model reads all numbers at once, both sides of a blank. For the first blank it gives each of the "
        f"{walked.vocabulary_size:,} entries of its vocabulary a score, the {term('logit')}. The highest:</p>"
        f"{table(pd.DataFrame(rows, columns=['word', 'logit']), label='Logits')}"
        "<p>Logits can be compared within one blank, not between blanks or models.</p>"
    )


def _softmax(reading: TargetReading) -> str:
    rows = [(token, _number(logit), percent(probability)) for token, logit, probability in _ranked(reading)]
    total = _number(reading.log_total)
    taken = f"({total})" if reading.log_total < 0 else total
    return (
        f"<p>{term('softmax', 'Softmax')} turns the logits into probabilities: e to the power of each, divided by the "
        f"sum over the whole vocabulary. That sum is e to the power of {total} here.</p>"
        f"{table(pd.DataFrame(rows, columns=['word', 'logit', 'probability']), label='Probabilities')}"
        f"<p>For the right word: e<sup>{_number(reading.answer.logit)} − {taken}</sup> = "
        f"{exact(reading.answer.probability)}.</p>"
    )


def _surprise(walked: Walkthrough, reading: TargetReading) -> str:
    rest = len(walked.before) - 1
    more = (
        f" The same is done for the other {rest}." if rest > 1 else " The same is done for the other." if rest else ""
    )
    return (
        f"<p>How surprised was the model by the right word “{visible(reading.answer.token)}”? Minus the natural "
        "logarithm of the probability it gave:</p>"
        f'<p class="big">−ln({exact(reading.answer.probability)}) = {reading.loss:.3f}</p>'
        f"<p>Probability 1 would give 0. The rarer the model thought the word, the larger the number.{more}</p>"
    )


def _loss(walked: Walkthrough) -> str:
    rows = [
        (reading.answer.token, percent(reading.answer.probability), f"{reading.loss:.3f}") for reading in walked.before
    ]
    total = sum(reading.loss for reading in walked.before)
    return (
        f"<p>The {term('loss')} is the mean over the targets. All other words count for nothing: the model saw them, "
        "so naming them would be no achievement.</p>"
        f"{table(pd.DataFrame(rows, columns=['right word', 'probability', 'surprise']), label='Surprise')}"
        f'<p class="big">{total:.3f} / {len(rows)} = {walked.loss:.3f}</p>'
    )


def _one_step(walked: Walkthrough) -> str:
    step = walked.step
    rows = [
        (before.answer.token, percent(before.answer.probability), percent(after.answer.probability))
        for before, after in zip(walked.before, walked.after, strict=True)
    ]
    return (
        f"<p>The {term('gradient')} says for each of the {step.weights:,} {term('weights')} which way the loss falls. "
        f"One {term('step')} of the {term('optimiser')} (AdamW, {term('learning rate')} {step.learning_rate:g}) moved "
        f"{step.moved:,} of them, none by more than {step.largest:.2g}. Asked again:</p>"
        f"{table(pd.DataFrame(rows, columns=['right word', 'before the step', 'after']), label='One step')}"
        f'<p class="big">loss {walked.loss:.3f} → {walked.loss_after:.3f}</p>'
        "<p>This was done on a copy, which is thrown away. Training takes many such steps, but gentler ones: each "
        "follows the mean over a whole batch of rows, and the first are small, because the learning rate is warmed up. "
        "That the loss falls on the very sentence that was learnt from says little; what counts are "
        f"{term('held-out')} rows.</p>"
    )


def build(services: Services) -> Opening:
    text(
        "<p>What happens between a sentence and the one number that training makes smaller? Go through it, step by "
        "step. Nothing is prepared: every number is computed now, by the model and the code that train.</p>"
    )
    with gr.Row():
        sentence = gr.Textbox(
            SENTENCE, label="Sentence", max_lines=1, max_length=MAX_CHARACTERS, scale=4, elem_id="walk-text"
        )
        again = gr.Button("Hide other words", variant="primary", scale=1, min_width=180, elem_id="walk-again")
    seed = gr.State(0)
    steps = stepper()
    event = {**MODEL_EVENT, **PAGE_EVENT}
    opening = Opening(partial(walk, services), {"sentence": sentence, "seed": seed}, [steps], event)
    sentence.submit(**opening.wiring)
    again.click(next_seed, seed, seed, **PAGE_EVENT).then(**opening.wiring)
    return opening


LOSS = Lesson("loss", "From text to loss", "One sentence, and every number on the way", build)
