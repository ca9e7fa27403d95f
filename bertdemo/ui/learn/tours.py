"""Seven short tours that drive the real page: what to show, where, and in which words.

A small card goes along, in the browser (``tour.js``); tabs are opened and sentences written by the page's own events.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from html import escape
from pathlib import Path

import gradio as gr

from ..services import READ_EVENT, Services
from .lesson import Lesson, text

FILL, TRAIN, LEARN = "fill-mask", "train", "learn"  # ids of tabs
BEFORE_THE_BLANK = "He opened the [MASK]."
BOTH_SIDES = "He opened the [MASK] and read the first page."
TWO_BLANKS = "The [MASK] read the [MASK]."
_TEXT, _BARS, _STRIP = "#fill-text", ".candidate-bars", "#token-strip"
_OPEN_VIEW = ".look-panel:has(#filling-order)"


@dataclass(frozen=True)
class TourStep:
    """One stop. Selectors are CSS; a tab or lesson is opened, then ``press`` is clicked and ``write`` typed into the
    sentence of Fill mask, then ``look`` is framed."""

    said: str
    look: str = ""
    tab: str = ""
    lesson: str = ""
    press: str = ""
    write: str = ""


@dataclass(frozen=True)
class Tour:
    key: str
    title: str
    gist: str
    steps: tuple[TourStep, ...]


def _walk_step(number: int) -> str:
    return f"#lesson-loss .step-names li:nth-child({number}) button"


TOURS = (
    Tour(
        "mask",
        "What a mask is",
        "A blank, and what the model expects in it",
        (
            TourStep(
                "This sentence has a blank, written [MASK]. You can change every word of it.",
                look=_TEXT,
                tab=FILL,
                write=BEFORE_THE_BLANK,
            ),
            TourStep(
                "Each bar is a word that the model could put there, and how probable it finds it. All words of its "
                "vocabulary together make 100%. mini-bert expects “door” first.",
                look=_BARS,
            ),
            TourStep(
                "Now there are words behind the blank too. BERT reads both sides at once: with mini-bert “book” has "
                "overtaken “door”.",
                look=_BARS,
                write=BOTH_SIDES,
            ),
            TourStep(
                "This is the sentence as BERT gets it. Press a word to hide it as well; press again to bring it back.",
                look=_STRIP,
            ),
        ),
    ),
    Tour(
        "pieces",
        "Word pieces",
        "How a fixed vocabulary writes any word",
        (
            TourStep(
                "Here is a word that nobody has used before.",
                look=_TEXT,
                tab=FILL,
                write="The snorgleflump was very [MASK] today.",
            ),
            TourStep(
                "The vocabulary does not hold it, so it falls into pieces that it does hold. ## marks a piece that "
                "continues a word.",
                look=_STRIP,
            ),
            TourStep(
                "One blank is one piece. The model cannot put a word of two pieces there, so every bar is one entry of "
                "the vocabulary.",
                look=_BARS,
            ),
            TourStep(
                "Each piece is a number. This is all that the model reads.",
                look="#lesson-loss .steps",
                tab=LEARN,
                lesson="loss",
                press=_walk_step(3),
            ),
        ),
    ),
    Tour(
        "several",
        "Several blanks",
        "Guesses that do not know of each other, and whether BERT can write",
        (
            TourStep(
                "Two blanks. The model fills each by itself: its guess for one knows of the other only that something "
                "is hidden there.",
                look=_BARS,
                tab=FILL,
                write=TWO_BLANKS,
            ),
            TourStep(
                "First each blank by itself, then one after the other, so that the second guess knows the first. The "
                "second way gives words that were chosen together, and another order may give others.",
                look=_OPEN_VIEW,
                press="#look-inside input[value='Several blanks']",
            ),
            TourStep(
                "Can BERT write, then? Open this: a text from blanks alone, word by word, with a throw of the dice at "
                "each. It learnt to fill gaps and not to write, and it shows.",
                look="#can-bert-write",
                press="#can-bert-write > button",
            ),
        ),
    ),
    Tour(
        "rates",
        "15%, and 80/10/10",
        "Which words are hidden in training",
        (
            TourStep(
                "One review, three times: in every epoch chance chooses other words. Those on a blue ground turned "
                "into [MASK].",
                look="#lesson-masks .draw-epochs",
                tab=LEARN,
                lesson="masks",
            ),
            TourStep(
                "15% of the tokens are chosen. 80% of those become [MASK], 10% a random token, 10% stay: about 12%, "
                "1.5% and 1.5% of all. The table sets what is expected beside what came out.",
                look="#lesson-masks .table",
            ),
            TourStep(
                "Another throw of the dice: other rows, other words. The table counts what came out this time.",
                look="#masks-redraw",
                press="#masks-redraw",
            ),
        ),
    ),
    Tour(
        "targets",
        "Loss only on targets",
        "What is counted, and what is not",
        (
            TourStep(
                "Some words are hidden. Beneath each stands the right answer; only these are asked.",
                look="#lesson-loss .steps",
                tab=LEARN,
                lesson="loss",
                press=_walk_step(4),
            ),
            TourStep(
                "The loss is the mean surprise over those words. All others count for nothing.",
                look="#lesson-loss .steps",
                press=_walk_step(8),
            ),
            TourStep(
                "What if every word counted? Then copying would be rewarded. Here is that slip as a real training; "
                "press the button if nobody has run it yet.",
                look="#lesson-slips .lesson-result",
                lesson="slips",
                press="#slip input[value='loss']",
            ),
        ),
    ),
    Tour(
        "perplexity",
        "Perplexity",
        "The loss as a number that one can picture",
        (
            TourStep(
                "The surprise at one word: minus the logarithm of the probability that the model gave it.",
                look="#lesson-loss .steps",
                tab=LEARN,
                lesson="loss",
                press=_walk_step(7),
            ),
            TourStep(
                "The loss is the mean of these. e to the power of the loss is the perplexity: on average the "
                "model is as surprised as someone who must pick blindly among that many words.",
                look="#lesson-loss .steps",
                press=_walk_step(8),
            ),
            TourStep(
                "BERT sees the words on both sides of each blank and so gives no probability of a whole sentence: do "
                "not compare this with the perplexity of GPT. When a run has ended, this number stands here for both "
                "models, measured on rows that were held out.",
                look="#report",
                tab=TRAIN,
            ),
        ),
    ),
    Tour(
        "moved",
        "What fine-tuning moved",
        "The same blank, before and after",
        (
            TourStep(
                "These are the texts that the model would learn from: the sample reviews, or a CSV of your own.",
                look="#found",
                tab=TRAIN,
            ),
            TourStep(
                "“Start training” teaches a copy of the model. Press it if you like; the tour waits. The bundled model "
                "itself never changes.",
                look="#start-training",
            ),
            TourStep(
                "When the run has ended, choose it here. Until then there is only “none”.",
                look="#fill-compared",
                tab=FILL,
                write="I really really [MASK] this show!",
            ),
            TourStep(
                "With two models each word has two dots: before and after. What moved is what the reviews taught. It "
                "is a habit of these texts, and not a fact about the world.",
                look=_BARS,
            ),
        ),
    ),
)


def list_html() -> str:
    """The tours to choose from; which ones this browser has been through is filled in there."""
    items = "".join(
        f'<li><button type="button" class="tour-start" data-tour="{tour.key}"><b>{escape(tour.title)}</b>'
        f"<span>{escape(tour.gist)}</span><small>{len(tour.steps)} stops</small>"
        '<em class="tour-done" hidden>✓ seen</em></button></li>'
        for tour in TOURS
    )
    return f'<ul class="tours">{items}</ul>'


def take_along(event: gr.EventData) -> tuple[object, object]:
    """What a stop does to the page: (the tab that it is on, the sentence in the box of Fill mask)."""
    return gr.Tabs(selected=event.tab) if event.tab else gr.skip(), event.write or gr.skip()


def build(tabs: gr.Tabs | None, sentence: gr.Textbox | None, _services: Services) -> None:
    text(
        "<p>A tour takes you to the real controls and tells you what to look at. You can leave it at any stop, and "
        "use the page while it runs.</p>"
    )
    guide = gr.HTML(
        list_html(),
        js_on_load=Path(__file__).with_name("tour.js").read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_classes=["tour-guide"],
        tours={tour.key: asdict(tour) for tour in TOURS},
    )
    if tabs is not None and sentence is not None:
        guide.stop(take_along, None, [tabs, sentence], **READ_EVENT, trigger_mode="always_last")


def tour_list(tabs: gr.Tabs | None, sentence: gr.Textbox | None) -> Lesson:
    """Tours over ``tabs``, which write into the box of Fill mask; without them they stay where they are."""
    return Lesson("tours", "Short tours", "Seven walks through the real page", partial(build, tabs, sentence))
