"""The notebook, step by step: seven stages with live values, and its most visible slip, made and mended."""

from __future__ import annotations

from functools import partial
from html import escape
from typing import NamedTuple

import gradio as gr
from gradio.blocks import Block

from bertdemo.mlm.data.corpus import read_texts
from bertdemo.mlm.errors import BertDemoError
from bertdemo.mlm.lessons.notebook import RATE, EveryGuess, NotebookStages, guess_everywhere, notebook_stages
from bertdemo.mlm.wording import percent

from ..markup import visible
from ..services import MODEL_EVENT, PAGE_EVENT, Services, Updates, user_errors
from .glossary import term
from .lesson import Lesson, Opening, stepper, steps_html, text
from .loss import MAX_CHARACTERS, chips

SENTENCE = "It's okay. I really really [MASK] this show!"
PADDED_TO = 40  # places: enough to see what is said where nothing was asked


class NotebookView(NamedTuple):
    stages: gr.HTML
    everywhere: gr.HTML


def show(services: Services, view: NotebookView, *, sentence: str) -> Updates:
    """Both parts, computed now."""
    with user_errors():
        stages = notebook_stages(services.shown_model(), read_texts(services.sample_csv)[0])
        return {
            view.stages: stages_html(stages),
            view.everywhere: show_everywhere(services, sentence=sentence),
        }


def show_everywhere(services: Services, *, sentence: str) -> str:
    with user_errors():
        try:
            every = guess_everywhere(services.shown_model(), sentence[:MAX_CHARACTERS], length=PADDED_TO)
        except BertDemoError as error:
            return f'<p class="notes" role="status">{escape(str(error))}</p>'
        return everywhere_html(every)


def stages_html(stages: NotebookStages) -> str:
    return steps_html(
        [
            ("Read the CSV", _read(stages)),
            ("Tokenise to a fixed length", _tokenise(stages)),
            ("Copy the labels", _labels(stages)),
            ("Throw the dice", _dice(stages)),
            ("Select", _select(stages)),
            ("Replace", _replace(stages)),
            ("Train in a loop", _loop(stages)),
        ]
    )


def _read(stages: NotebookStages) -> str:
    items = "".join(f"<li>{escape(_short(text))}</li>" for text in stages.texts)
    return (
        f"<p>pandas reads the file, and one column of it becomes a list of {stages.rows} texts:</p>"
        f"<ul>{items}</ul><p>What to mind: empty rows and doubles. The Train tab drops both and says how many.</p>"
    )


def _short(value: str) -> str:
    return value if len(value) <= 120 else value[:120] + "…"


def _tokenise(stages: NotebookStages) -> str:
    places = stages.rows * stages.length
    return (
        f"<p>Every row is filled up or cut to {stages.length} {term('token', 'tokens')}. That makes a table of "
        f"{stages.rows} × {stages.length} = {places:,} numbers.</p>"
        f'<p class="big">{percent(stages.padding_share)} of it is {term("padding")}.</p>'
        f"<p>What to mind: the model works through padding too, unless rows of similar length are put together and "
        f"filled up only to the longest. The {term('attention mask')} keeps padding from being looked at; it does not "
        "make it free.</p>"
    )


def _labels(stages: NotebookStages) -> str:
    ids = [str(token_id) for token_id in stages.token_ids]
    return (
        f"<p>The {term('label', 'labels')} are a copy of the token ids, taken before anything is hidden. The first row "
        f"begins:</p>{chips(list(stages.pieces), ids, marked=[False] * len(ids))}"
        "<p>What to mind: a label at every place means that every place is scored, hidden or not, padding too. Set it "
        "to −100 wherever nothing was hidden, and the loss skips that place.</p>"
    )


def _dice(stages: NotebookStages) -> str:
    draws = [f"{draw:.2f}" for draw in stages.draws]
    return (
        "<p>One random number between 0 and 1 for each place:</p>"
        f"{chips(list(stages.pieces), draws, marked=[False] * len(draws))}"
    )


def _select(stages: NotebookStages) -> str:
    draws = [f"{draw:.2f}" for draw in stages.draws]
    share = stages.chosen_everywhere / max(1, stages.eligible_everywhere)
    return (
        f"<p>Chosen are the places whose number is below {RATE:g}, unless a special token stands there:</p>"
        f"{chips(list(stages.pieces), draws, marked=list(stages.chosen))}"
        f"<p>Over all rows {stages.chosen_everywhere:,} of {stages.eligible_everywhere:,} tokens are chosen: "
        f"{percent(share)}.</p>"
        "<p>What to mind: in a short row chance may choose nothing at all. With five tokens that happens to "
        f"{percent((1 - RATE) ** 5)} of the rows (0.85 to the power of 5).</p>"
    )


def _replace(stages: NotebookStages) -> str:
    ids = [str(token_id) for token_id in stages.masked_ids]
    same = "" if stages.mask_token_id == 103 else f" In this model [MASK] has the number {stages.mask_token_id}."
    return (
        f"<p>The chosen places get the number of [MASK]. In Google's English BERT that is 103.{same}</p>"
        f"{chips(list(stages.pieces), ids, marked=list(stages.chosen))}"
        "<p>What to mind: ask the tokenizer for its mask token, do not write the number into the code. And always "
        "[MASK] is not what BERT was trained with; see “Which words are hidden”.</p>"
    )


def _loop(stages: NotebookStages) -> str:
    steps = stages.steps_per_epoch * stages.epochs
    return (
        f"<p>{stages.epochs} {term('epoch', 'epochs')} of {stages.steps_per_epoch} {term('batch', 'batches')} each: "
        f"{steps} {term('step', 'steps')}, {term('learning rate')} {stages.learning_rate:g}. In each: read, loss, "
        f"{term('gradient')}, step.</p>"
        "<p>What to mind: the dice were thrown once, before the loop, so every epoch asks for the same words. And no "
        f"row was {term('held-out', 'held out')}, so nobody can tell learning from learning by heart.</p>"
        "<p>The Train tab has these settings as a preset: “As in the notebook”. What each slip costs can be watched in "
        "the next lesson.</p>"
    )


def everywhere_html(every: EveryGuess) -> str:
    """Left what the slip prints, right what was asked."""
    masks = set(every.mask_positions)
    wrong = " ".join(every.guessed[1:])
    mended = [every.guessed[place] if place in masks else piece for place, piece in enumerate(every.read)]
    right = " ".join(mended[1 : every.real - 1])
    padding = len(every.read) - every.real
    return (
        '<div class="two-ways"><section><h4>The best token at every place</h4>'
        f'<p class="wrong-way">{visible(wrong)}</p></section>'
        "<section><h4>The best token at the blank only</h4>"
        f'<p class="right-way">{visible(right)}</p></section></div>'
        f"<p>The sentence was filled up with {padding} × [PAD]. It was only ever trained to guess at chosen places. "
        "Elsewhere it sees the word that stands there, and behind the end there is nothing to be right about, so what "
        "comes out there means nothing.</p>"
    )


def build(services: Services) -> Opening:
    text(
        "<p>Many people meet masked language modelling in a short notebook. Here are its seven stages "
        "with the values they have on the sample reviews, and what to mind in each.</p>"
    )
    stages = stepper()
    text(
        "<h3>The slip that shows most</h3><p>To see what the model learnt, the notebook takes the most probable token "
        "at <em>every</em> place and prints them all:</p>"
    )
    sentence = gr.Textbox(
        SENTENCE, label="Sentence with [MASK]", max_lines=1, max_length=MAX_CHARACTERS, elem_id="slip-text"
    )
    everywhere = gr.HTML(apply_default_css=False, elem_classes="lesson-text")
    event, typed = {**MODEL_EVENT, **PAGE_EVENT}, dict[str, Block](sentence=sentence)
    sentence.submit(partial(show_everywhere, services), inputs_kwargs=typed, outputs=everywhere, **event)
    view = NotebookView(stages, everywhere)
    return Opening(partial(show, services, view), typed, list(view), event)


NOTEBOOK = Lesson("notebook", "The notebook, step by step", "Seven stages, and what to mind in each", build)
