"""Guess first: the reader's word for a blank, then the model's, then the tuned model's, and a running score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from html import escape
from typing import NamedTuple

import gradio as gr

from bertdemo.mlm.errors import BertDemoError
from bertdemo.mlm.inference.fill_mask import MaskPrediction, TargetScore, fill_masks
from bertdemo.mlm.wording import percent

from ..events import when_typed
from ..fill.bars import build_bars, filled_bars
from ..markup import visible
from ..services import (
    MODEL_EVENT,
    NO_MODEL,
    PAGE_EVENT,
    READ_EVENT,
    Services,
    Updates,
    comparison_choices,
    model_choices,
    unchecked,
    user_errors,
)
from ..theme import TOGGLE_PROJECTOR_JS
from .glossary import term
from .lesson import Lesson, Opening, text

SENTENCES = (
    "She poured the hot coffee into a [MASK].",
    "He had lost his key and could not open the [MASK].",
    "He was so tired that he fell [MASK].",
    "I really [MASK] this show!",
    "The cat slept all day under the [MASK].",
    "We had dinner at a small [MASK] near the river.",
    "After the rain the sky was [MASK] again.",
    "The baby began to [MASK].",
    "She wrote a letter to her [MASK].",
    "He opened the [MASK] and read the first page.",
    "She played the [MASK] in the school orchestra.",
    "The second season was even [MASK] than the first.",
)
TOP = 5
MAX_OWN = 50
MAX_CHARACTERS = 4000


@dataclass(frozen=True)
class Tally:
    """How often the reader's word was the model's first guess, and among its first ``TOP``."""

    asked: int = 0
    first: int = 0
    top: int = 0

    def with_rank(self, rank: int) -> Tally:
        """One sentence more."""
        return Tally(self.asked + 1, self.first + (rank == 1), self.top + (rank <= TOP))


@dataclass(frozen=True)
class Game:
    """Where the reader is. ``revealed``: the answer to this sentence is on screen, and the guess has been counted."""

    place: int = 0
    revealed: bool = False
    base: Tally = Tally()
    tuned: Tally = Tally()


def sentences(own: str) -> list[str]:
    """The teacher's own sentences, one a line, or ours."""
    lines = [line.strip() for line in (own or "")[:MAX_CHARACTERS].splitlines() if line.strip()]
    return lines[:MAX_OWN] or list(SENTENCES)


class GuessView(NamedTuple):
    game: gr.State
    sentence: gr.HTML
    guess: gr.Textbox
    reveal: gr.Button
    following: gr.Button
    verdict: gr.HTML
    bars: gr.HTML
    tuned_bars: gr.HTML
    score: gr.HTML


def begin(view: GuessView, *, own: str) -> Updates:
    """The first sentence, with no score: other sentences or another opponent are another game."""
    return {**_asking(view, Game(), sentences(own)), view.score: ""}


def go_on(view: GuessView, *, game: Game, own: str) -> Updates:
    """The next sentence; after the last, the first again with the score kept."""
    return _asking(view, replace(game, place=game.place + 1, revealed=False), sentences(own))


def _asking(view: GuessView, game: Game, asked: list[str]) -> Updates:
    return {
        view.game: game,
        view.sentence: _sentence_html(game, asked),
        view.guess: gr.Textbox(value="", interactive=True),
        view.reveal: gr.Button(interactive=True),
        view.following: gr.Button(variant="secondary"),
        **dict.fromkeys((view.verdict, view.bars, view.tuned_bars), ""),
    }


def reveal(services: Services, view: GuessView, *, game: Game, guess: str, own: str, tuned: str) -> Updates:
    """The models' answers, and where the reader's word stands in them. Without a word nothing is shown."""
    with user_errors():
        if game.revealed:
            return {view.game: game}
        word, asked = guess.strip()[:80], sentences(own)
        if not word:
            return _say(view, "First write down a word of your own; then look.")
        sentence = asked[game.place % len(asked)]
        try:
            base = _answer(services, services.default_model, sentence, word)
            other = _answer(services, tuned, sentence, word) if tuned and tuned != NO_MODEL else None
        except BertDemoError as error:
            return _say(view, str(error))
    if base.targets[0].rank is None:
        return _say(view, _unfit(services.default_model, base.targets[0]))
    game = replace(game, revealed=True, base=game.base.with_rank(base.targets[0].rank))
    names = (services.label(services.default_model), services.label(tuned))
    verdicts = [_verdict(names[0], base.targets[0], "base")]
    if other is not None:
        if other.targets[0].rank is not None:
            game = replace(game, tuned=game.tuned.with_rank(other.targets[0].rank))
        verdicts.append(_verdict(names[1], other.targets[0], "tuned"))
    return {
        view.game: game,
        view.sentence: _sentence_html(game, asked, word),
        view.guess: gr.Textbox(interactive=False),
        view.reveal: gr.Button(interactive=False),
        view.following: gr.Button(variant="primary"),
        view.verdict: "".join(verdicts),
        view.bars: filled_bars([base], names=[names[0]], kind="base"),
        view.tuned_bars: "" if other is None else filled_bars([other], names=[names[1]], kind="tuned"),
        view.score: score_html(game, names),
    }


def _say(view: GuessView, sentence: str) -> Updates:
    return {view.verdict: f'<p class="notes" role="status">{escape(sentence)}</p>'}


def _answer(services: Services, model: str, sentence: str, word: str) -> MaskPrediction:
    return fill_masks(services.model(model), sentence, top_k=TOP, targets=[word]).masks[0]


def _sentence_html(game: Game, asked: list[str], word: str = "") -> str:
    number = game.place % len(asked)
    blank = f'<span class="blank">{escape(word) if word else "&nbsp;?&nbsp;"}</span>'
    parts = escape(asked[number]).replace("___", "[MASK]").split("[MASK]", 1)
    return (
        f'<p class="quiet">Sentence {number + 1} of {len(asked)}</p><p class="guess-sentence">{blank.join(parts)}</p>'
    )


def _unfit(model: str, target: TargetScore) -> str:
    """Why a word cannot be compared with single tokens; it is not held against the reader."""
    if target.probability is None:
        return f"{target.note} Try another word."
    return (
        f"For {model} “{target.word}” is {len(target.pieces)} pieces ({' '.join(target.pieces)}), and one blank is one "
        "piece. Try another word."
    )


def _verdict(model: str, target: TargetScore, kind: str) -> str:
    word, name = f"<strong><bdi>{visible(target.word)}</bdi></strong>", escape(model)
    if target.rank is None or target.probability is None:
        said = escape(_unfit(model, target))
    elif target.rank == 1:
        said = f"{word} is {name}'s first guess too ({percent(target.probability)})."
    else:
        said = f"{word} is {name}'s guess number {target.rank:,} ({percent(target.probability)})."
    return f'<p class="verdict {kind}" role="status">{said}</p>'


def score_html(game: Game, names: Sequence[str]) -> str:
    """The running score against the models of these names; nothing before the first guess."""
    if not game.base.asked:
        return ""
    rows = [("base", escape(names[0]), game.base)]
    if game.tuned.asked:
        rows.append(("tuned", escape(names[1]), game.tuned))
    items = "".join(
        f'<li class="{kind}"><b>{tally.top} of {tally.asked}</b> of your words are among the first {TOP} of {name}, '
        f"<b>{tally.first}</b> its very first</li>"
        for kind, name, tally in rows
    )
    return f'<ul class="score">{items}</ul>'


def build(services: Services) -> Opening:
    name = services.label(services.default_model)
    model = escape(name)
    text(f"<p>A word is missing. Write down what <em>you</em> would put there; only then look at {model}'s answer.</p>")
    view = _build_view(name)
    own, tuned = _build_for_class(services)
    text(
        f"<p>There is no right answer: {model} gives every word of its vocabulary a probability. Its numbers come from "
        "the texts that it read; a likely word is not a true one. One blank is one "
        f"{term('token')}, so long or rare words may not fit. After {term('fine-tuning')} the same blank gets other "
        "words.</p>"
    )
    event = {**MODEL_EVENT, **PAGE_EVENT}
    asked = {"game": view.game, "guess": view.guess, "own": own, "tuned": tuned}
    looking = {"fn": partial(reveal, services, view), "inputs_kwargs": asked, "outputs": list(view), **event}
    gr.on([view.reveal.click, view.guess.submit], **looking)
    following = {"inputs_kwargs": {"game": view.game, "own": own}, "outputs": list(view), **READ_EVENT}
    view.following.click(partial(go_on, view), **following)
    beginning = {"fn": partial(begin, view), "inputs_kwargs": {"own": own}, "outputs": list(view), **READ_EVENT}
    when_typed(own).then(**beginning)
    tuned.input(**beginning)
    return Opening(partial(_tuned_models, services), {"chosen": tuned}, [tuned], READ_EVENT)


def _build_view(model: str) -> GuessView:
    game = gr.State(Game())
    sentence = gr.HTML(_sentence_html(Game(), list(SENTENCES)), apply_default_css=False)
    with gr.Row(elem_classes="guess-row"):
        guess = gr.Textbox(label="Your word", max_lines=1, max_length=80, scale=2, elem_id="guess-word")
        look = gr.Button(f"Show {model}'s answer", variant="primary", scale=1, min_width=180, elem_id="guess-reveal")
        following = gr.Button("Next sentence", scale=1, min_width=160, elem_id="guess-next")
    verdict = gr.HTML(apply_default_css=False, elem_id="guess-verdict")
    with gr.Row():
        with gr.Column(min_width=300):
            bars = build_bars()
        with gr.Column(min_width=300):
            tuned_bars = build_bars()
    score = gr.HTML(apply_default_css=False, elem_id="guess-score")
    return GuessView(game, sentence, guess, look, following, verdict, bars, tuned_bars, score)


def _build_for_class(services: Services) -> tuple[gr.Textbox, gr.Dropdown]:
    with gr.Accordion("For a class: large type, your own sentences, a tuned model", open=False):
        large = gr.Button("Large type on or off", size="sm")
        own = gr.Textbox(label="Your own sentences, one a line, each with [MASK]", lines=4, max_length=MAX_CHARACTERS)
        tuned = gr.Dropdown(
            comparison_choices(model_choices(services)),
            value=NO_MODEL,
            label="Score against a model of your own too",
            info="Any run that left a model; choosing one begins the game anew.",
            elem_id="guess-tuned",
        )
    large.click(None, js=TOGGLE_PROJECTOR_JS, **PAGE_EVENT)
    return own, unchecked(tuned)


def _tuned_models(services: Services, *, chosen: str) -> gr.Dropdown:
    """The runs that there are by now; none is chosen but by the reader."""
    return gr.Dropdown(choices=comparison_choices(model_choices(services)), value=chosen)


GUESS = Lesson("guess", "Guess first", "Your word, then the model's", build)
