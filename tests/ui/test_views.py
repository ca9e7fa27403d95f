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
from bertdemo.mlm.wording import fine_percent
from bertdemo.ui.inside.every_word import EveryWord
from bertdemo.ui.inside.layer_by_layer import LayerByLayer
from bertdemo.ui.inside.look_inside import VIEWS, Panel, fill, look
from bertdemo.ui.inside.nearest import Nearest
from bertdemo.ui.inside.own_words import OwnWords
from bertdemo.ui.inside.several_blanks import STRATEGIES, SeveralBlanks
from bertdemo.ui.inside.view import Shown, View
from bertdemo.ui.inside.where_it_looked import MEAN, WhereItLooked
from bertdemo.ui.inside.why_this_word import WhyThisWord
from bertdemo.ui.question import Question, read

TEXT = "The dog barked , you [MASK] the old house ."
HOSTILE = "<img src=x onerror=alert(1)>"
OURS = [view for view in VIEWS if view.name not in ("Whole vocabulary", "Pairs")]


def asked(*models: MaskedLM, text: str = TEXT, blank: int = 0, labels: tuple[str, ...] = ("base", "tuned")) -> Question:
    prepared = read(models[0], text).prepared
    return Question(models, labels[: len(models)], prepared, blank, words=prepared.word_ids)


def built(view: type[View]) -> View:
    with gr.Blocks():
        return view()


def shown_by(view: View, question: Question, **used: Any) -> Shown:
    """What a view answers, all its folds open, with the controls as they stand but for what is ``used``."""
    values = {name: True if isinstance(part, gr.State) else part.value for name, part in view.controls.items()}
    return view.show(question, **{**values, **used})


def html_of(shown: Shown) -> str:
    return "".join(part for part in shown.values() if isinstance(part, str))


def words_of(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html)))


def figure_of(shown: Shown) -> dict[str, Any]:
    """The first figure among the outputs, as the page gets it."""
    figure, *_ = [part for part in shown.values() if isinstance(part, dict)]
    return json.loads(json.dumps(figure))


@pytest.fixture
def other(tiny_bert: MaskedLM, trainable: Callable[[MaskedLM], MaskedLM]) -> MaskedLM:
    """A copy that answers differently."""
    copied = trainable(tiny_bert)
    with torch.no_grad():
        copied.model.get_output_embeddings().bias[copied.tokenizer.convert_tokens_to_ids("awesome")] += 8.0
    return copied


@pytest.mark.slow
@pytest.mark.parametrize("kind", OURS, ids=lambda view: view.name)
def test_every_view_answers_for_every_kind_of_model(kind: type[View], any_tiny: MaskedLM) -> None:
    view = built(kind)
    text = TEXT.replace("[MASK]", any_tiny.tokenizer.mask_token)
    shown = shown_by(view, asked(any_tiny, text=text))
    assert set(shown) == set(view.outputs)
    assert html_of(shown)


@pytest.mark.parametrize("kind", OURS, ids=lambda view: view.name)
def test_two_models_stand_side_by_side_and_hostile_labels_stay_text(
    kind: type[View], tiny_bert: MaskedLM, other: MaskedLM
) -> None:
    html = html_of(shown_by(built(kind), asked(tiny_bert, other, labels=("base model", HOSTILE))))
    assert "<img" not in html
    assert "base model" in words_of(html)
    assert HOSTILE in unescape(html)


@pytest.mark.parametrize("kind", OURS, ids=lambda view: view.name)
def test_a_closed_fold_gets_nothing(kind: type[View], tiny_bert: MaskedLM) -> None:
    view = built(kind)
    closed = {name: False for name, part in view.controls.items() if isinstance(part, gr.State)}
    assert len(closed) == len(view.folds)
    assert len(shown_by(view, asked(tiny_bert), **closed)) == len(view.outputs) - len(closed)


def answered(kind: type[View], question: Question, *, typed: str | None = None) -> tuple[str, Shown]:
    """(what is wrong or "", the outputs) as the page shows them; ``typed`` stands in every text box."""
    with gr.Blocks():
        panel = Panel(kind(), gr.Column(), gr.HTML())
    values = {
        name: typed if typed and isinstance(part, gr.Textbox) else isinstance(part, gr.State) or part.value
        for name, part in panel.view.controls.items()
    }
    shown = fill(lambda blank: question, panel, blank=0, **values)
    return shown.pop(panel.message), shown


@pytest.mark.slow
@pytest.mark.parametrize("view", OURS, ids=lambda view: view.name)
def test_hostile_texts_and_words_stay_text(view: type[View], tiny_cased_bert: MaskedLM) -> None:
    question = asked(tiny_cased_bert, text=f"{HOSTILE} [MASK] {HOSTILE} .")
    for typed in (None, HOSTILE):
        wrong, shown = answered(view, question, typed=typed)
        assert "<img" not in wrong + html_of(shown)


@pytest.mark.slow
@pytest.mark.parametrize(
    "text", ["[MASK]", "[MASK] [MASK]", "的 [MASK] 人 。", "שלום [MASK] עולם", "🙂 [MASK] é", "no blank"]
)
@pytest.mark.parametrize("view", OURS, ids=lambda view: view.name)
def test_odd_texts_are_answered_or_refused_in_a_sentence(view: type[View], tiny_bert: MaskedLM, text: str) -> None:
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
    view = built(EveryWord)
    strip, rows, numbers = shown_by(view, question).values()
    score = score_sentence(tiny_bert, whole)
    assert f"{score.pseudo_perplexity:,.2f}" in numbers
    assert re.findall(r'<th scope="row">(.*?)</th>', rows) == ["the", "dog", "bark", "##ed", "."]
    assert f"{score.tokens[-1].surprisal_bits:.2f}" in rows
    assert "[MASK]" not in strip
    assert "[MASK]" in shown_by(view, hidden)[view.strips]  # a blank that was written stays, unscored


def _edit(text: str, ids: list[int], originals: dict[int, int]) -> dict[str, Any]:
    hidden = {str(place): {"id": token} for place, token in originals.items()}
    return {"text": text, "ids": ids, "tokens": None, "originals": hidden, "version": 1, "edited": True}


def test_erasure_draws_the_same_answer_for_both_models(tiny_bert: MaskedLM, other: MaskedLM) -> None:
    view = built(WhyThisWord)
    question = asked(tiny_bert, other)
    shown = shown_by(view, question)
    first = erasure(tiny_bert, question.prepared)
    second = erasure(other, question.prepared, word=first.answer_ids[0])
    base, tuned = figure_of(shown)["data"]
    assert base["x"] == [round(word.log2_ratio, 4) for word in first.words]
    assert tuned["x"] == [round(word.log2_ratio, 4) for word in second.words]
    assert base["customdata"][:3] == ["the", "dog", "barked"]
    assert words_of(shown[view.sentence]).count(f"“{first.answer}”") == 2


def test_a_word_of_several_pieces_is_erased_and_read_piece_by_piece(tiny_bert: MaskedLM, other: MaskedLM) -> None:
    question = asked(tiny_bert, other)
    sentence, figure, rows = shown_by(built(WhyThisWord), question, word="barked").values()
    assert words_of(sentence).count("bark ##ed: 2 pieces, scored one after the other") == 1
    expected = erasure(tiny_bert, question.prepared, word="barked")
    assert figure["data"][0]["x"] == [round(word.log2_ratio, 4) for word in expected.words]
    assert f"p of “{expected.answer}”" in unescape(rows)
    tables, figure = shown_by(built(LayerByLayer), question, word="barked").values()
    assert tables.count("Piece 1 of 2") == tables.count("Piece 2 of 2") == 2
    assert [line["name"] for line in figure["data"]] == [
        *("bark (base)", "##ed (base)", "bark (tuned)", "##ed (tuned)"),
    ]
    assert len({line["marker"]["symbol"] for line in figure["data"]}) == 4


def test_figures_have_a_height_before_they_are_drawn_and_words_for_who_cannot_see_them(tiny_bert: MaskedLM) -> None:
    for kind in (WhyThisWord, LayerByLayer, WhereItLooked):
        figure = figure_of(shown_by(built(kind), asked(tiny_bert)))
        assert figure["layout"]["height"] > 100
        assert len(figure["label"].split()) > 5
        assert figure["file"]


def test_layers_end_at_the_real_answer(any_tiny: MaskedLM) -> None:
    question = asked(any_tiny, text=TEXT.replace("[MASK]", any_tiny.tokenizer.mask_token))
    tables, _ = shown_by(built(LayerByLayer), question).values()
    last = re.findall(r"<tr>(.*?)</tr>", tables)[-1]
    best = fill_masks(any_tiny, question.prepared, top_k=5).masks[0].candidates
    assert [unescape(name) for name in re.findall(r"<bdi>(.*?)</bdi>", last)] == [candidate.token for candidate in best]
    assert '<td class="lens-rank">1</td>' in last


def test_attention_says_what_is_hidden_and_whether_the_rest_was_scaled(tiny_bert: MaskedLM) -> None:
    question = asked(tiny_bert)
    view = built(WhereItLooked)
    plain = shown_by(view, question, layer="1", head="2", hidden=True)[view.strips]
    scaled = shown_by(view, question, layer="1", head="2", hidden=True, renormalised=True)[view.strips]
    assert "[CLS]" not in plain
    assert "the rest is as it was" in plain
    assert "add up to 100%" in scaled
    weights = attention_from_mask(tiny_bert, question.prepared).weights
    assert shown_by(view, question, layer="99", head="x")[view.layer].value == MEAN
    rows = attention_figure(list(question.prepared.tokens), weights.mean(axis=1)).data[0].z
    assert all(sum(row) == pytest.approx(1.0, abs=1e-3) for row in rows)


def test_own_words_keep_their_order_and_say_how_many_pieces_they_have(tiny_bert: MaskedLM) -> None:
    html = html_of(shown_by(built(OwnWords), asked(tiny_bert), words="like, barked, love, 漢"))
    order = [html.index(f"<bdi>{word}</bdi>") for word in ("like", "barked", "love", "漢")]
    assert order == sorted(order)
    assert "bark ##ed" in html
    assert "2 pieces" in html
    assert "cannot write this word" in html
    assert "Shares among these words only" in html_of(shown_by(built(OwnWords), asked(tiny_bert), among=True))


def test_one_blank_filled_in_order_is_ordinary_filling(tiny_bert: MaskedLM) -> None:
    html = html_of(shown_by(built(SeveralBlanks), asked(tiny_bert), strategy="left_to_right"))
    alone, ordered = re.findall(r"<p class='filled'>(.*?)</p>", html)
    assert alone == ordered
    assert "depends on the order" in html


@pytest.mark.parametrize("strategy", [value for _, value in STRATEGIES])
def test_blanks_are_filled_step_by_step(tiny_bert: MaskedLM, strategy: str) -> None:
    html = html_of(
        shown_by(built(SeveralBlanks), asked(tiny_bert, text="you [MASK] the [MASK] house ."), strategy=strategy)
    )
    assert html.count("<li>1st blank") == 2
    assert html.count("<li>2nd blank") == 2


def test_neighbours_of_the_first_guess_and_of_a_word(tiny_bert: MaskedLM) -> None:
    best = fill_masks(tiny_bert, asked(tiny_bert).prepared, top_k=1).masks[0].candidates[0].token
    assert best in words_of(html_of(shown_by(built(Nearest), asked(tiny_bert))))
    with pytest.raises(TextError):
        shown_by(built(Nearest), asked(tiny_bert, text="no blank here"))


class Typed(View):
    name = "one"
    line = "A line."

    def __init__(self) -> None:
        self.said = gr.HTML()
        self.controls = {"value": gr.Textbox()}
        self.outputs = [self.said]
        self.computed: list[str] = []

    def show(self, question: Question, *, value: str) -> Shown:
        self.computed.append(value)
        return {self.said: self.name}


class Wrong(Typed):
    name = "two"

    def show(self, question: Question, *, value: str) -> Shown:
        self.computed.append(value)
        raise TextError(f"{HOSTILE} is wrong; mend it.")


def test_only_the_open_view_computes_and_its_error_is_said_in_place(tiny_bert: MaskedLM) -> None:
    with gr.Blocks():
        message = gr.HTML()
        panels = [Panel(view(), gr.Column(), message) for view in (Typed, Wrong)]
    one, two = (panel.view for panel in panels)

    def looked(choice: str | None) -> Shown:
        ask = lambda *, blank: asked(tiny_bert, blank=blank)  # noqa: E731
        return look(ask, panels, choice=choice, blank=0, view0_value="a", view1_value="b")

    shown = looked("one")
    assert (one.computed, two.computed) == (["a"], [])
    assert (shown[message], shown[one.said]) == ("", "one")
    assert two.said not in shown
    assert [shown[panel.column].visible for panel in panels] == [True, False]
    shown = looked("two")
    assert two.computed == ["b"]
    assert "&lt;img" in shown[message]
    assert looked(None)[message] == ""
    assert len(one.computed + two.computed) == 2


def test_both_models_follow_one_word_and_both_show_where_they_looked(tiny_bert: MaskedLM, other: MaskedLM) -> None:
    question = asked(tiny_bert, other)
    first = fill_masks(tiny_bert, question.prepared, top_k=1).masks[0].candidates[0].token
    names = [line["name"] for line in figure_of(shown_by(built(LayerByLayer), question))["data"]]
    assert names == [f"{first} (base)", f"{first} (tuned)"]
    view = built(WhereItLooked)
    shown = shown_by(view, question)
    for picture, model in zip(view.pictures, (tiny_bert, other), strict=True):
        weights = attention_from_mask(model, question.prepared).weights.mean(axis=1)
        assert shown[picture]["data"][0]["z"][0] == pytest.approx(weights[0].tolist(), abs=1e-4)
    assert shown_by(view, asked(tiny_bert))[view.pictures[1]] is None


def test_blanks_are_told_apart_by_the_words_before_them(tiny_bert: MaskedLM) -> None:
    question = asked(tiny_bert, text="[MASK] barked at the [MASK] [MASK] house .")
    assert question.blank_names == ["1st, at the beginning", "2nd, after “at the”", "3rd, after “the ___”"]
    assert asked(tiny_bert).blank_names == [""]


def test_a_ratio_never_stands_without_its_probabilities(tiny_bert: MaskedLM) -> None:
    view = built(WhyThisWord)
    result = erasure(tiny_bert, asked(tiny_bert).prepared)
    rows = shown_by(view, asked(tiny_bert))[view.rows]
    for word in result.words:
        assert fine_percent(word.probability) in unescape(rows)
    assert fine_percent(result.probability) in unescape(rows)


def test_figures_show_hostile_words_as_text() -> None:
    series = [Series(HOSTILE, "base", [1.0, 2.0])]
    figures = [
        erasure_figure([HOSTILE, "a"], series),
        rank_figure([HOSTILE, "a"], series, answers=[HOSTILE]),
        attention_figure([HOSTILE, "a"], torch.ones(2, 2).numpy()),
    ]
    assert not any("<img" in figure.to_json().replace("\\u003c", "<") for figure in figures[:1] + figures[2:])
    assert "<img" not in str(figures[1].data[0].name)


def test_a_text_is_written_from_blanks_only_while_its_fold_is_open(tiny_bert: MaskedLM) -> None:
    view = built(SeveralBlanks)
    chance = {"blanks": 5, "temperature": 0.7, "seed": 3, "way": "few_at_a_time"}
    closed = view.show(asked(tiny_bert), strategy="confident", writing=False, **chance)
    assert view.written not in closed
    html = view.show(asked(tiny_bert), strategy="confident", writing=True, **chance)[view.written]
    assert html.count("<li") == 5  # in the sixth round of mask-predict nothing of five would be hidden
    assert "Ghazvininejad" in html
