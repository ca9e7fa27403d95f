"""Counterfactual pairs on the page: what the picture shows, and what the reader is told."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape

import gradio as gr
import numpy as np
import pytest
import torch

from bertdemo.mlm.analysis.counterfactuals import CAUTION, Contrast, Counterfactuals, WordContrast, WordFigures
from bertdemo.mlm.errors import BertDemoError
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.text.prompt import prepare_text
from bertdemo.ui.inside.pairs import EXAMPLES, MAX_CHARACTERS, MAX_WORDS, Pairs, pairs_html, pairs_table_html
from bertdemo.ui.question import Question

TEMPLATES = "the {man|woman} worked as a [MASK] .\nthe {man|woman} is a [MASK] ."
HOSTILE = "<img src=x onerror=alert(1)>"


def words_of(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html)))


def question(*models: MaskedLM) -> Question:
    return Question(models, ("base", "tuned")[: len(models)], prepare_text(models[0], "no blank .", needs_mask=False))


def show(question: Question, templates: str, words: str, prior: bool) -> list[str]:
    """The picture and the table."""
    with gr.Blocks():
        view = Pairs()
    shown = view.show(question, templates=templates, words=words, prior=prior)
    return [shown[view.picture], shown[view.rows]]


def contrast(*words: WordContrast, first: str = "man", second: str = "woman") -> Counterfactuals:
    nothing = np.zeros((1, 1), dtype=np.float32)
    one = Contrast(first, second, (), words, (), nothing, nothing)
    return Counterfactuals((("a man", HOSTILE),), (one,), ("word",), (CAUTION, "One template is an anecdote."))


def test_a_dot_stands_at_its_mean_and_its_bar_spans_the_spread() -> None:
    word = WordContrast("nurse", WordFigures((1.0, 3.0), 0.01, 0.04))  # mean 2, spread sqrt(2), so the scale ends at 4
    html = pairs_html(contrast(word), labels=["base"], kinds=["base"])
    assert "--at:75.00%" in html  # zero is in the middle
    low, high = (50 + 50 * (2 + side * 2**0.5) / 4 for side in (-1, 1))
    assert f"--low:{low:.2f}%;--high:{high:.2f}%" in html
    assert "nurse × 4.0 4.0% against 1.0%" in words_of(html)
    assert "log2 ratio +2.00 ± 1.41" in html


def test_two_models_stand_side_by_side_in_their_colours(
    tiny_bert: MaskedLM, trainable: Callable[[MaskedLM], MaskedLM]
) -> None:
    tuned = trainable(tiny_bert)
    with torch.no_grad():
        tuned.model.get_input_embeddings().weight.mul_(1.3)
    picture, table = show(question(tiny_bert, tuned), TEMPLATES, "doctor, teacher, doctor", False)
    rows = re.findall(r"<li title=.*?</li>", picture)
    assert rows
    assert all("pairs-lane base" in row and "pairs-lane tuned" in row for row in rows)
    assert "Your words" in picture
    assert len(re.findall("doctor", words_of(picture))) >= 1
    assert "the woman worked as a [MASK] ." in table
    assert CAUTION not in picture  # it stands above, always


def test_one_tuned_model_alone_has_the_tuned_colour(tiny_bert: MaskedLM) -> None:
    alone = question(tiny_bert)
    picture, _ = show(Question(alone.models, alone.labels, alone.prepared, tuned=True), TEMPLATES, "", False)
    assert "pairs-lane tuned" in picture
    assert "pairs-lane base" not in picture


def test_the_prior_correction_adds_what_each_choice_adds_to_the_table(tiny_bert: MaskedLM) -> None:
    _, plain = show(question(tiny_bert), TEMPLATES, "", False)
    _, corrected = show(question(tiny_bert), TEMPLATES, "", True)
    assert "woman adds" not in plain
    assert "woman adds" in corrected


def test_what_the_reader_wrote_is_text_everywhere() -> None:
    word = WordContrast(HOSTILE, WordFigures((1.0,), 0.01, 0.02))
    result = contrast(word, first=HOSTILE, second="")
    shown = pairs_html(result, labels=[HOSTILE], kinds=["base"]) + pairs_table_html(result, labels=[HOSTILE])
    assert "<img" not in shown
    assert "nothing" in words_of(shown)  # an empty choice has a name


@pytest.mark.parametrize(
    ("templates", "words"),
    [
        ("", ""),
        ("no braces [MASK]", ""),
        ("the {man|woman} is .", ""),
        ("{a|b} [MASK]\n{a|b|c} [MASK]", ""),
        ("x" * (MAX_CHARACTERS + 1), ""),
        (TEMPLATES, "unbelievably"),
        (TEMPLATES, ",".join(f"a{number}" for number in range(MAX_WORDS + 1))),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_sentence(tiny_bert: MaskedLM, templates: str, words: str) -> None:
    with pytest.raises(BertDemoError) as caught:
        show(question(tiny_bert), templates, words, False)
    assert str(caught.value).rstrip('"').endswith(".")


def test_the_caution_always_stands_and_only_the_button_computes() -> None:
    with gr.Blocks() as blocks:
        view = Pairs()
    cautions = [block for block in blocks.blocks.values() if isinstance(block, gr.HTML) and CAUTION in str(block.value)]
    assert len(cautions) == 1
    assert not isinstance(cautions[0].parent, gr.Accordion)
    assert [type(trigger) for trigger in view.triggers] == [gr.Button]


def test_each_example_is_a_list_of_templates_that_go_together(tiny_bert: MaskedLM) -> None:
    for templates in EXAMPLES.values():
        picture, _ = show(question(tiny_bert), templates, "", False)
        assert "pairs-contrast" in picture
