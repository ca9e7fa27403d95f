"""'Every word in turn': each token hidden and guessed, shaded by how much it surprised the model."""

from __future__ import annotations

import gradio as gr
import pandas as pd

from bertdemo.mlm.inference.pseudo_likelihood import SentenceScore, TokenScore, WithinWord, score_sentence
from bertdemo.mlm.text.prompt import PreparedText, prepare_text
from bertdemo.mlm.wording import percent

from ..markup import ShadedWord, model_heading, quiet, said, shaded_words, signed, table, visible
from ..question import Question
from .view import Shown, View, folded, result_html

DARKEST = 16.0  # bits: one in 65,536, about all that a vocabulary can surprise


class EveryWord(View):
    name = "Every word in turn"
    line = "Each word is hidden once, the last one too, and guessed from the others: more colour is more surprise."
    needs_blank = False

    def __init__(self) -> None:
        plain = gr.Checkbox(
            False,
            label="One piece at a time",
            info="Else the later pieces of a word are hidden with the one that is guessed: they would give it away.",
        )
        self.strips = result_html()
        rows, self.rows = folded("As a table")
        numbers, self.numbers = folded("Numbers")
        self.controls = {"plain": plain, "rows_open": rows.opened, "numbers_open": numbers.opened}
        self.outputs = [self.strips, self.rows, self.numbers]
        self.folds = [rows, numbers]

    def show(self, question: Question, *, plain: bool, rows_open: bool = True, numbers_open: bool = True) -> Shown:
        within: WithinWord = "plain" if plain else "left_to_right"
        texts = [_sentence(question, number) for number in range(len(question.models))]
        scores = [
            score_sentence(model, text, within_word=within) for model, text in zip(question.models, texts, strict=True)
        ]
        columns = list(zip(question.labels, question.kinds, scores, strict=True))
        strips = [
            f"{model_heading(label, kind, count=len(columns))}{_strip(score, text, mask=model.tokenizer.mask_token)}"
            for (label, kind, score), text, model in zip(columns, texts, question.models, strict=True)
        ]
        shown: Shown = {self.strips: "".join(strips)}
        if rows_open:
            shown[self.rows] = "".join(_table(label, score) for label, _, score in columns)
        if numbers_open:
            shown[self.numbers] = "".join(_numbers(label, score) for label, _, score in columns)
        return shown


def _sentence(question: Question, number: int) -> PreparedText:
    """The sentence with nothing hidden by hand, as this model reads it."""
    if question.same_ids(number):
        return question.sentence
    return prepare_text(question.models[number], question.sentence.text, needs_mask=False)


def _strip(score: SentenceScore, text: PreparedText, *, mask: str) -> str:
    """What is to be said, and the shaded words; blanks that were written stand among them unscored."""
    known = [token for token in score.tokens if token.surprisal_bits is not None]
    if not known:
        return said("Nothing here can be scored: the model knows none of these tokens.")
    worst = max(known, key=lambda token: token.surprisal_bits or 0.0)
    best = f"it expected “{worst.prediction}” ({percent(worst.prediction_probability or 0.0)})"
    sentence = f"The most surprising is “{worst.token}” with {worst.surprisal_bits:.1f} bits; {best}."
    scored = {token.position: token for token in score.tokens}
    words = [
        _shaded(token, scored.get(place), joined=word == text.word_ids[place - 1])
        for place, (token, word) in enumerate(zip(text.tokens, text.word_ids, strict=True))
        if word is not None
    ]
    notes = [note for note in score.notes if not note.startswith(mask)]
    explained = " ".join(["Bits of surprise: 0 is certain, each bit more is half as probable.", *notes])
    strip = shaded_words(words, label="Surprise of each token, in bits", kind="wrong")
    return f"{said(sentence)}{strip}{quiet(explained)}"


def _shaded(name: str, token: TokenScore | None, *, joined: bool) -> ShadedWord:
    if token is None or token.surprisal_bits is None:
        return ShadedWord(name, 0.0, "–", "not scored", joined=joined)
    hover = (
        f"{token.token}: rank {token.rank:,}; it preferred “{token.prediction}” "
        f"({percent(token.prediction_probability or 0.0)})"
    )
    return ShadedWord(name, token.surprisal_bits / DARKEST, f"{token.surprisal_bits:.1f}", hover, joined=joined)


def _table(label: str, score: SentenceScore) -> str:
    rows = [
        (token.token, token.surprisal_bits, token.rank, token.prediction, token.prediction_probability)
        for token in score.tokens
    ]
    frame = pd.DataFrame(rows, columns=["token", "bits", "rank", "it preferred", "with"], dtype=object)
    return table(frame, label=label, caption=label, formats={"bits": "{:.2f}".format, "with": percent})


def _numbers(label: str, score: SentenceScore) -> str:
    perplexity = "–" if score.pseudo_perplexity is None else f"{score.pseudo_perplexity:,.2f}"
    return (
        f"<p><strong>{visible(label)}</strong>: pseudo-log-likelihood {signed(score.pll, places=2)} nats over "
        f"{score.scored:,} tokens; pseudo-perplexity exp(−PLL / N) = <strong>{perplexity}</strong>.</p>"
        "<p class='quiet'>It is no probability of the sentence, and only comparable under the same tokenizer.</p>"
    )
