"""The views of "Look inside": right numbers from the engine, two models side by side, and any text shown as text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html import unescape
from typing import Any

import gradio as gr
import pytest
import torch

from bertdemo.charts.insight import Series, attention_figure, erasure_figure, rank_figure
from bertdemo.mlm.analysis.attention_maps import attention_from_mask
from bertdemo.mlm.analysis.erasure import erasure
from bertdemo.mlm.errors import TextError
from bertdemo.mlm.inference.fill_mask import fill_masks
from bertdemo.mlm.inference.pseudo_likelihood import score_sentence
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.ui.fill.reading import read
from bertdemo.ui.inside import (
    every_word,
    layer_by_layer,
    nearest,
    own_words,
    several_blanks,
    where_it_looked,
    why_this_word,
)
from bertdemo.ui.inside.look_inside import VIEWS, Panel, Panels
from bertdemo.ui.inside.view import Parts, Question, View
from bertdemo.ui.inside.word_strip import ShadedWord, table, word_strip

TEXT = "The dog barked , you [MASK] the old house ."
HOSTILE = "<img src=x onerror=alert(1)>"
OURS = [view for view in VIEWS if view.name not in ("Whole vocabulary", "Pairs")]


def asked(*models: MaskedLM, text: str = TEXT, blank: int = 0, labels: tuple[str, ...] = ("base", "tuned")) -> Question:
    prepared = read(models[0], text).prepared
    return Question(models, labels[: len(models)], prepared, blank, words=prepared.word_ids)


def controls_of(view: View) -> tuple[Parts, list[Any]]:
    with gr.Blocks():
        parts = view.build()
    return parts, [control.value for control in parts.controls]


def html_of(shown: Any) -> str:
    return "".join(part for part in shown if isinstance(part, str))


def words_of(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html)))


def figure_of(shown: Any) -> dict[str, Any]:
    """The one figure among the outputs, as the page gets it."""
    (figure,) = [part for part in shown if isinstance(part, dict)]
    return json.loads(json.dumps(figure))


@pytest.fixture
def other(tiny_bert: MaskedLM, trainable: Callable[[MaskedLM], MaskedLM]) -> MaskedLM:
    """A copy that answers differently."""
    copied = trainable(tiny_bert)
    with torch.no_grad():
        copied.model.get_output_embeddings().bias[copied.tokenizer.convert_tokens_to_ids("awesome")] += 8.0
    return copied


@pytest.mark.slow
@pytest.mark.parametrize("view", OURS, ids=lambda view: view.name)
def test_every_view_answers_for_every_kind_of_model(view: View, any_tiny: MaskedLM) -> None:
    parts, values = controls_of(view)
    text = TEXT.replace("[MASK]", any_tiny.tokenizer.mask_token)
    shown = view.show(asked(any_tiny, text=text), *values)
    assert len(shown) == len(parts.outputs)
    assert html_of(shown)


@pytest.mark.parametrize("view", OURS, ids=lambda view: view.name)
def test_two_models_stand_side_by_side_and_hostile_labels_stay_text(
    view: View, tiny_bert: MaskedLM, other: MaskedLM
) -> None:
    _, values = controls_of(view)
    html = html_of(view.show(asked(tiny_bert, other, labels=("base model", HOSTILE)), *values))
    assert "<img" not in html
    assert "base model" in words_of(html)
    assert HOSTILE in unescape(html)


def answered(view: View, question: Question, *, typed: str | None = None) -> tuple[str, list[Any]]:
    """(what is wrong or "", the outputs) as the page shows them; ``typed`` stands in every text box."""
    with gr.Blocks():
        panel = Panel(view, gr.Column(), view.build())
    controls = panel.parts.controls
    values = [typed if typed and isinstance(control, gr.Textbox) else control.value for control in controls]
    wrong, *shown = Panels(lambda *_source, blank: question, [panel]).fill(panel, 0, *values)
    return wrong, shown


@pytest.mark.slow
@pytest.mark.parametrize("view", OURS, ids=lambda view: view.name)
def test_hostile_texts_and_words_stay_text(view: View, tiny_cased_bert: MaskedLM) -> None:
    question = asked(tiny_cased_bert, text=f"{HOSTILE} [MASK] {HOSTILE} .")
    for typed in (None, HOSTILE):
        wrong, shown = answered(view, question, typed=typed)
        assert "<img" not in wrong + html_of(shown)


@pytest.mark.slow
@pytest.mark.parametrize(
    "text", ["[MASK]", "[MASK] [MASK]", "的 [MASK] 人 。", "שלום [MASK] עולם", "🙂 [MASK] é", "no blank"]
)
@pytest.mark.parametrize("view", OURS, ids=lambda view: view.name)
def test_odd_texts_are_answered_or_refused_in_a_sentence(view: View, tiny_bert: MaskedLM, text: str) -> None:
    wrong, shown = answered(view, asked(tiny_bert, text=text))
    assert bool(html_of(shown)) != wrong.endswith(".</p>")


def test_every_word_is_scored_with_nothing_hidden_by_hand(tiny_bert: MaskedLM) -> None:
    text = "The dog barked."
    whole = read(tiny_bert, text).prepared
    ids, mask = list(whole.token_ids), tiny_bert.mask_token_id
    hidden = asked(tiny_bert, text="The dog [MASK] .")
    ids[3], original = mask, ids[3]
    prepared = read(tiny_bert, text, _edit(text, ids, {3: original})).prepared
    question = Question((tiny_bert,), ("base",), prepared, words=whole.word_ids, originals={3: original})
    strip, rows, numbers = every_word.show(question, False)
    score = score_sentence(tiny_bert, whole)
    assert f"{score.pseudo_perplexity:,.2f}" in numbers
    assert re.findall(r'<th scope="row">(.*?)</th>', rows) == ["the", "dog", "bark", "##ed", "."]
    assert f"{score.tokens[-1].surprisal_bits:.2f}" in rows
    assert "[MASK]" not in strip
    assert "[MASK]" in every_word.show(hidden, False)[0]  # a blank that was written stays, unscored


def _edit(text: str, ids: list[int], originals: dict[int, int]) -> dict[str, Any]:
    hidden = {str(place): {"id": token} for place, token in originals.items()}
    return {"text": text, "ids": ids, "tokens": None, "originals": hidden, "version": 1, "edited": True}


def test_erasure_draws_the_same_answer_for_both_models(tiny_bert: MaskedLM, other: MaskedLM) -> None:
    view = next(view for view in OURS if view.name == "Why this word?")
    question = asked(tiny_bert, other)
    shown = view.show(question, "")
    first = erasure(tiny_bert, question.prepared)
    second = erasure(other, question.prepared, word=first.answer_ids[0])
    base, tuned = figure_of(shown)["data"]
    assert base["x"] == [round(word.log2_ratio, 4) for word in first.words]
    assert tuned["x"] == [round(word.log2_ratio, 4) for word in second.words]
    assert base["customdata"][:3] == ["the", "dog", "barked"]
    assert words_of(shown[0]).count(f"“{first.answer}”") == 2


def test_a_word_of_several_pieces_is_erased_and_read_piece_by_piece(tiny_bert: MaskedLM, other: MaskedLM) -> None:
    question = asked(tiny_bert, other)
    sentence, figure, rows = why_this_word.show(question, "barked")
    assert words_of(sentence).count("bark ##ed: 2 pieces, scored one after the other") == 1
    expected = erasure(tiny_bert, question.prepared, word="barked")
    assert figure["data"][0]["x"] == [round(word.log2_ratio, 4) for word in expected.words]
    assert f"p of “{expected.answer}”" in unescape(rows)
    tables, figure = layer_by_layer.show(question, "barked")
    assert tables.count("Piece 1 of 2") == tables.count("Piece 2 of 2") == 2
    assert [line["name"] for line in figure["data"]] == [
        *("bark (base)", "##ed (base)", "bark (tuned)", "##ed (tuned)"),
    ]
    assert len({line["marker"]["symbol"] for line in figure["data"]}) == 4


def test_figures_have_a_height_before_they_are_drawn_and_words_for_who_cannot_see_them(tiny_bert: MaskedLM) -> None:
    for view in (why_this_word.VIEW, layer_by_layer.VIEW, where_it_looked.VIEW):
        _, values = controls_of(view)
        figure = figure_of(view.show(asked(tiny_bert), *values))
        assert figure["layout"]["height"] > 100
        assert len(figure["label"].split()) > 5
        assert figure["file"]


def test_layers_end_at_the_real_answer(any_tiny: MaskedLM) -> None:
    question = asked(any_tiny, text=TEXT.replace("[MASK]", any_tiny.tokenizer.mask_token))
    tables, _ = layer_by_layer.show(question, "")
    last = re.findall(r"<tr>(.*?)</tr>", tables)[-1]
    best = fill_masks(any_tiny, question.prepared, top_k=5).masks[0].candidates
    assert [unescape(name) for name in re.findall(r"<bdi>(.*?)</bdi>", last)] == [candidate.token for candidate in best]
    assert '<td class="lens-rank">1</td>' in last


def test_attention_says_what_is_hidden_and_whether_the_rest_was_scaled(tiny_bert: MaskedLM) -> None:
    question = asked(tiny_bert)
    plain = where_it_looked.show(question, "1", "2", True, False)[2]
    scaled = where_it_looked.show(question, "1", "2", True, True)[2]
    assert "[CLS]" not in plain
    assert "the rest is as it was" in plain
    assert "add up to 100%" in scaled
    weights = attention_from_mask(tiny_bert, question.prepared).weights
    assert where_it_looked.show(question, "99", "x", False, False)[0].value == where_it_looked.MEAN
    rows = attention_figure(list(question.prepared.tokens), weights.mean(axis=1)).data[0].z
    assert all(sum(row) == pytest.approx(1.0, abs=1e-3) for row in rows)


def test_own_words_keep_their_order_and_say_how_many_pieces_they_have(tiny_bert: MaskedLM) -> None:
    html = own_words.show(asked(tiny_bert), "like, barked, love, 漢", False)[0]
    order = [html.index(f"<bdi>{word}</bdi>") for word in ("like", "barked", "love", "漢")]
    assert order == sorted(order)
    assert "bark ##ed" in html
    assert "2 pieces" in html
    assert "cannot write this word" in html
    assert "Shares among these words only" in own_words.show(asked(tiny_bert), "like, love", True)[0]


def test_one_blank_filled_in_order_is_ordinary_filling(tiny_bert: MaskedLM) -> None:
    html = several_blanks.show(asked(tiny_bert), "left_to_right")[0]
    alone, ordered = re.findall(r"<p class='filled'>(.*?)</p>", html)
    assert alone == ordered
    assert "depends on the order" in html


@pytest.mark.parametrize("strategy", [value for _, value in several_blanks.STRATEGIES])
def test_blanks_are_filled_step_by_step(tiny_bert: MaskedLM, strategy: str) -> None:
    html = several_blanks.show(asked(tiny_bert, text="you [MASK] the [MASK] house ."), strategy)[0]
    assert html.count("<li>blank 1") == 2
    assert html.count("<li>blank 2") == 2


def test_neighbours_of_the_first_guess_and_of_a_word(tiny_bert: MaskedLM) -> None:
    best = fill_masks(tiny_bert, asked(tiny_bert).prepared, top_k=1).masks[0].candidates[0].token
    assert best in words_of(nearest.show(asked(tiny_bert), "")[0])
    with pytest.raises(TextError):
        nearest.show(asked(tiny_bert, text="no blank here"), "")


def test_only_the_open_view_computes_and_its_error_is_said_in_place(tiny_bert: MaskedLM) -> None:
    computed = []

    def view(name: str, *, wrong: bool = False) -> View:
        def show(_question: Question, value: str) -> list[str]:
            computed.append((name, value))
            if wrong:
                raise TextError(f"{HOSTILE} is wrong; mend it.")
            return [name]

        return View(name, "A line.", lambda: Parts([gr.Textbox(name)], [gr.HTML()]), show)

    with gr.Blocks():
        panels = [Panel(one, gr.Column(), one.build()) for one in (view("one"), view("two", wrong=True))]
    handlers = Panels(lambda *_source, blank: asked(tiny_bert, blank=blank), panels)
    message, *columns, first, _second = handlers.look("one", 0, "a", "b")
    assert computed == [("one", "a")]
    assert (message, first) == ("", "one")
    assert [column.visible for column in columns] == [True, False]
    message, *_ = handlers.look("two", 0, "a", "b")
    assert computed[-1] == ("two", "b")
    assert "&lt;img" in message
    assert handlers.look(None, 0, "a", "b")[0] == ""
    assert len(computed) == 2


def test_figures_show_hostile_words_as_text() -> None:
    series = [Series(HOSTILE, "base", [1.0, 2.0])]
    figures = [
        erasure_figure([HOSTILE, "a"], series),
        rank_figure([HOSTILE, "a"], series, answers=[HOSTILE]),
        attention_figure([HOSTILE, "a"], torch.ones(2, 2).numpy()),
    ]
    assert not any("<img" in figure.to_json().replace("\\u003c", "<") for figure in figures[:1] + figures[2:])
    assert "<img" not in str(figures[1].data[0].name)


def test_the_shaded_words_and_tables_escape_everything() -> None:
    assert "<img" not in word_strip([ShadedWord(HOSTILE, 2.0, HOSTILE, HOSTILE)], label=HOSTILE, kind="base")
    assert "<img" not in table([HOSTILE], [[HOSTILE, HOSTILE]], caption=HOSTILE)
