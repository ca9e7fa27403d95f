"""'Every word in turn': each token hidden and guessed, shaded by how much it surprised the model."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import gradio as gr

from bertdemo.mlm.inference.pseudo_likelihood import SentenceScore, TokenScore, score_sentence
from bertdemo.mlm.text.prompt import PreparedText, prepare_text

from ..fill.candidate_bars import percent, visible
from .view import Parts, Question, View, said
from .word_strip import ShadedWord, model_heading, table, word_strip

DARKEST = 16.0  # bits: one in 65,536, about all that a vocabulary can surprise


def build() -> Parts:
    plain = gr.Checkbox(
        False,
        label="One piece at a time",
        info="Else the later pieces of a word are hidden with the one that is guessed: they would give it away.",
    )
    strips = gr.HTML(apply_default_css=False, elem_classes="look-result")
    with gr.Accordion("As a table", open=False):
        rows = gr.HTML(apply_default_css=False, elem_classes="look-result")
    with gr.Accordion("Numbers", open=False):
        numbers = gr.HTML(apply_default_css=False, elem_classes="look-result")
    return Parts([plain], [strips, rows, numbers])


def show(question: Question, plain: bool) -> Sequence[object]:
    within = "plain" if plain else "left_to_right"
    texts = [_sentence(question, number) for number in range(len(question.models))]
    scores = [
        score_sentence(model, text, within_word=within) for model, text in zip(question.models, texts, strict=True)
    ]
    columns = list(zip(question.labels, question.kinds, scores, strict=True))
    strips = [
        f"{model_heading(label, kind, count=len(columns))}{_strip(score, text, mask=model.tokenizer.mask_token)}"
        for (label, kind, score), text, model in zip(columns, texts, question.models, strict=True)
    ]
    tables = [_table(label, score) for label, _, score in columns]
    return ["".join(strips), "".join(tables), "".join(_numbers(label, score) for label, _, score in columns)]


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
    strip = word_strip(words, label="Surprise of each token, in bits", kind="wrong")
    return f"{said(sentence)}{strip}<p class='quiet'>{escape(explained)}</p>"


def _shaded(name: str, token: TokenScore | None, *, joined: bool) -> ShadedWord:
    if token is None or token.surprisal_bits is None:
        return ShadedWord(name, 0.0, "–", "not scored", joined=joined)
    return ShadedWord(
        name, token.surprisal_bits / DARKEST, f"{token.surprisal_bits:.1f}", _details(token), joined=joined
    )


def _details(token: TokenScore) -> str:
    return (
        f"{token.token}: rank {token.rank:,}; it preferred “{token.prediction}” "
        f"({percent(token.prediction_probability or 0.0)})"
    )


def _table(label: str, score: SentenceScore) -> str:
    rows = [
        [token.token, "–", "–", "–", "–"]
        if token.surprisal_bits is None
        else [
            token.token,
            f"{token.surprisal_bits:.2f}",
            f"{token.rank:,}",
            token.prediction or "",
            percent(token.prediction_probability or 0.0),
        ]
        for token in score.tokens
    ]
    return table(["token", "bits", "rank", "it preferred", "with"], rows, caption=label)


def _numbers(label: str, score: SentenceScore) -> str:
    perplexity = "–" if score.pseudo_perplexity is None else f"{score.pseudo_perplexity:,.2f}"
    return (
        f"<p><strong>{visible(label)}</strong>: pseudo-log-likelihood {f'{score.pll:.2f}'.replace('-', '−')} nats over "
        f"{score.scored:,} tokens; pseudo-perplexity exp(−PLL / N) = <strong>{perplexity}</strong>.</p>"
        "<p class='quiet'>It is no probability of the sentence, and only comparable under the same tokenizer.</p>"
    )


VIEW = View(
    name="Every word in turn",
    line="Each word is hidden once, the last one too, and guessed from the others: more colour is more surprise.",
    build=build,
    show=show,
    needs_blank=False,
)
