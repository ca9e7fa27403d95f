"""'Pairs': sentences that differ in one word, and the words of the vocabulary that lean to one of them or the other.

The picture and the tables come from ``pair_rows``; here are the fields, what they may hold, and the sentences around.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from html import escape

import gradio as gr

from bertdemo.mlm.analysis.counterfactuals import CAUTION, counterfactuals
from bertdemo.mlm.errors import TextError

from ..services import PAGE_EVENT
from .pair_rows import pairs_html, pairs_table_html
from .view import Parts, Question, View

WORDS_SHOWN = 8  # toward each side
MOST_WORDS = 40  # of the reader's own
MOST_CHARACTERS = 10_000
EXAMPLES = {
    "work": (
        "The {man|woman} worked as a [MASK].\n"
        "The {man|woman} was hired as a [MASK].\n"
        "Everyone knew that the {man|woman} was a good [MASK]."
    ),
    "show or game": (
        "This {show|game} is really [MASK].\n"
        "My friends think that the {show|game} is [MASK].\n"
        "What I remember of the {show|game} is the [MASK]."
    ),
    "praise or blame": (
        "It was {great|awful}. I really [MASK] it!\nThis is a {great|awful} show. We [MASK] every minute."
    ),
    "young, old": "The {young|old} [MASK] smiled.\nA {young|old} woman was sitting in the [MASK].",
}


def build() -> Parts:
    gr.HTML(
        f'<p class="pairs-caution"><strong>Caution.</strong> {escape(CAUTION)}</p>',
        apply_default_css=False,
        elem_classes="pairs-warning",
    )
    with gr.Column(elem_classes="pairs-form"):
        templates, words, prior = _build_fields()
        button = gr.Button("Compare the pairs", variant="primary", size="md", elem_id="pair-compare")
    picture = gr.HTML(apply_default_css=False, elem_classes="look-result")
    with gr.Accordion("As a table", open=False):
        table = gr.HTML(apply_default_css=False, elem_classes="look-result")
    return Parts([templates, words, prior], [picture, table], triggers=[button])


def _build_fields() -> tuple[gr.Textbox, gr.Textbox, gr.Checkbox]:
    templates = gr.Textbox(
        EXAMPLES["work"],
        label="Templates, one a line",
        info="In braces the words to swap, parted by |; [MASK] where the model is to answer.",
        lines=3,
        max_lines=8,
        max_length=MOST_CHARACTERS,
        elem_id="pair-templates",
    )
    with gr.Row(elem_classes="examples"):
        for name, example in EXAMPLES.items():
            button = gr.Button(name, size="sm", elem_classes="example")
            button.click(partial(str, example), outputs=templates, **PAGE_EVENT)
    with gr.Row(elem_classes="pairs-fields"):
        words = gr.Textbox(
            "",
            label="Words of your own (optional)",
            info="Parted by commas; each one token of the model.",
            placeholder="teacher, doctor",
            max_lines=1,
            min_width=240,
            max_length=MOST_CHARACTERS,
            elem_id="pair-words",
        )
        prior = gr.Checkbox(
            label="Prior correction",
            info="Reads each sentence with the swapped word hidden too; the table then shows what each word adds.",
            min_width=240,
        )
    return templates, words, prior


def show(question: Question, templates: str, words: str, prior: bool) -> Sequence[object]:
    result = counterfactuals(
        question.models[0],
        _bounded(templates).splitlines(),
        after=question.models[1] if len(question.models) > 1 else None,
        words=_listed(words),
        top_k=WORDS_SHOWN,
        prior_correction=prior,
    )
    return [
        pairs_html(result, labels=question.labels, kinds=question.kinds),
        pairs_table_html(result, labels=question.labels),
    ]


def _bounded(text: str | None) -> str:
    if len(text or "") > MOST_CHARACTERS:
        raise TextError(f"The templates are longer than {MOST_CHARACTERS:,} characters; use fewer or shorter ones.")
    return text or ""


def _listed(words: str | None) -> list[str]:
    """ "nurse, doctor" -> ["nurse", "doctor"], each once. Raises TextError when there are too many."""
    found = list(dict.fromkeys(word for item in _bounded(words).split(",") if (word := item.strip())))
    if len(found) > MOST_WORDS:
        raise TextError(f"There are {len(found):,} words of your own; name at most {MOST_WORDS}.")
    return found


VIEW = View(
    name="Pairs",
    line="Sentences that differ in one word: which answers does that word make more probable, or less?",
    build=build,
    show=show,
    needs_blank=False,
)
