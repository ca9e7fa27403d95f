"""Hiding words by their ids: what the strip sends, what is read from it, and what a link or a file keeps of it."""

from __future__ import annotations

import csv
import io
import json
import math
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import torch
from explorer_services import explorer_services, fill_view
from hypothesis import given
from hypothesis import strategies as st

from bertdemo.mlm.errors import TextError
from bertdemo.mlm.inference.fill_mask import score_hidden_tokens
from bertdemo.mlm.models.blend import BlendPairs
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.ui.fill.answer import NO_BLANK, NO_TEXT, FillView, Shown, add_full_stop, answer, original_scores, strip_of
from bertdemo.ui.fill.export import predictions_file, safe_cell, shared
from bertdemo.ui.fill.tab import open_page
from bertdemo.ui.fill.token_strip import strip_edit
from bertdemo.ui.question import ask, read
from bertdemo.ui.services import NO_MODEL, Services

TEXT = "The dog barked."
HOSTILE = "<img src=x onerror=alert(1)> [MASK]."


@pytest.fixture
def services(tmp_path: Path, tiny_bert_folder: Path) -> Services:
    return explorer_services(tmp_path, model=tiny_bert_folder)


@pytest.fixture
def view() -> FillView:
    return fill_view()


def answered(services: Services, view: FillView, text: str, strip: object = None, *, compared: str = NO_MODEL) -> Shown:
    asked = {"text": text, "strip": strip, "model": services.default_model, "compared": compared, "top_k": 5}
    return answer(services, view, **asked, table_open=True)


def strip_for(masked_lm: MaskedLM, text: str = TEXT) -> dict[str, Any]:
    return strip_of(read(masked_lm, text), text=text, strip=None)


def tapped(strip: dict[str, Any], *places: int) -> dict[str, Any]:
    """What the browser sends after these pieces were hidden."""
    ids, tokens = list(strip["ids"]), list(strip["tokens"])
    originals = dict(strip["originals"])
    for place in places:
        originals[str(place)] = {"id": ids[place], "token": tokens[place]}
        ids[place], tokens[place] = strip["mask"]["id"], strip["mask"]["token"]
    changed = {"ids": ids, "tokens": tokens, "originals": originals}
    return {**strip, **changed, "version": strip["version"] + 1, "edited": True}


def test_a_piece_hidden_inside_a_word_leaves_the_other_piece_as_it_is(tiny_bert: MaskedLM) -> None:
    strip = strip_for(tiny_bert)
    assert strip["tokens"] == ["[CLS]", "the", "dog", "bark", "##ed", ".", "[SEP]"]
    question = read(tiny_bert, TEXT, tapped(strip, 3))
    assert question.prepared.tokens == ("[CLS]", "the", "dog", "[MASK]", "##ed", ".", "[SEP]")
    again = strip_of(question, text=TEXT, strip=tapped(strip, 3))
    assert again["words"] == strip["words"]
    assert again["originals"] == {"3": {"token": "bark", "id": strip["ids"][3]}}
    assert again["version"] == 1


def test_hiding_the_second_piece_keeps_it_in_its_word(tiny_bert: MaskedLM) -> None:
    strip = strip_for(tiny_bert)
    assert strip_of(read(tiny_bert, TEXT, tapped(strip, 4)), text=TEXT, strip=None)["words"] == strip["words"]


def test_typing_resets_what_was_hidden(tiny_bert: MaskedLM) -> None:
    question = read(tiny_bert, "The cat barked.", tapped(strip_for(tiny_bert), 3))
    assert question.originals == {}
    assert question.prepared.tokens[2:4] == ("cat", "bark")


def test_another_models_ids_are_never_taken_for_its_own(tiny_bert: MaskedLM, tiny_cased_bert: MaskedLM) -> None:
    question = read(tiny_cased_bert, TEXT, tapped(strip_for(tiny_bert), 3))
    assert question.originals == {}
    assert "read anew" in question.prepared.notes[0]


def test_a_hidden_words_probability_and_rank_are_those_of_transformers(any_tiny: MaskedLM) -> None:
    strip = strip_for(any_tiny, "The dog can bark.")
    edit = tapped(strip, 2, 4)
    question = read(any_tiny, "The dog can bark.", edit)
    with torch.no_grad():
        logits = any_tiny.model(torch.tensor([edit["ids"]])).logits[0]
    for hidden in score_hidden_tokens(any_tiny, question.prepared, question.originals):
        scores = logits[hidden.position].log_softmax(-1)
        assert hidden.token_id == strip["ids"][hidden.position]
        assert hidden.probability == pytest.approx(math.exp(scores[hidden.token_id]), rel=1e-4)
        assert hidden.rank == int((scores > scores[hidden.token_id]).sum()) + 1
    assert len(original_scores(question)) == 2
    assert f"your word “{strip['tokens'][2]}”" in original_scores(question)[0]


def test_the_strip_is_shown_where_nothing_is_hidden_yet(services: Services, view: FillView) -> None:
    shown = answered(services, view, TEXT)
    assert shown[view.strip]["tokens"][2] == "dog"
    assert NO_BLANK in shown[view.notes]


@pytest.mark.parametrize("text", ["", "  \n", None])
def test_an_empty_text_shows_neither_bars_nor_pieces(services: Services, view: FillView, text: str) -> None:
    shown = answered(services, view, text, {**strip_for_nothing(), "version": 7})
    assert NO_TEXT in unescape(shown[view.notes])
    assert shown[view.bars] == shown[view.summary] == ""
    assert shown[view.table] is None
    assert (shown[view.strip]["tokens"], shown[view.strip]["version"]) == ([], 7)


def strip_for_nothing() -> dict[str, Any]:
    return {"text": "a", "ids": [5], "tokens": ["a"], "originals": {}, "version": 0, "edited": False}


def test_a_wrong_text_leaves_the_last_answer_and_says_that_it_is_stale(services: Services, view: FillView) -> None:
    shown = answered(services, view, TEXT)
    assert "stale" in shown[view.notes]
    assert view.bars not in shown


def test_the_table_is_made_only_while_it_is_open(services: Services, view: FillView) -> None:
    asked = {"text": "a [MASK] .", "strip": None, "model": services.default_model, "compared": NO_MODEL, "top_k": 5}
    assert len(answered(services, view, "a [MASK] .")[view.table].data) == 5
    assert view.table not in answer(services, view, **asked, table_open=False)


def test_a_hidden_word_is_answered_and_its_standing_said(
    services: Services, view: FillView, tiny_bert: MaskedLM
) -> None:
    edit = tapped(strip_for(tiny_bert), 2)
    shown = answered(services, view, TEXT, edit, compared=services.default_model)
    (said,) = shown[view.strip]["said"]
    assert said.count("rank") == 2
    assert "your word “dog”" in said


def test_the_full_stop_is_added_to_the_ids_too(services: Services, tiny_bert: MaskedLM) -> None:
    text = "The dog barked"
    edit = tapped(strip_for(tiny_bert, text), 4)
    stopped, strip = add_full_stop(services, text=text, strip=edit, model=services.default_model)
    question = read(tiny_bert, stopped, strip)
    assert stopped == "The dog barked."
    assert question.prepared.tokens == ("[CLS]", "the", "dog", "bark", "[MASK]", ".", "[SEP]")
    assert question.originals == {4: edit["originals"]["4"]["id"]}


@pytest.mark.parametrize(
    "value",
    [
        {"ids": 3}, {"ids": [1]}, "text", [1], 7,
        {"text": "a", "ids": [1], "tokens": ["a"], "originals": {"9": {"id": 1}}, "version": 0, "edited": True},
        {"text": "a", "ids": ["1"], "tokens": ["a"], "originals": {}, "version": 0, "edited": True},
        {"text": "a", "ids": [1, 2], "tokens": ["a"], "originals": {}, "version": 0, "edited": True},
        {"text": "a", "ids": [True], "tokens": ["a"], "originals": {}, "version": 0, "edited": True},
        {"text": "a", "ids": [1], "tokens": ["a"], "originals": {"x": 1}, "version": 0, "edited": True},
        {"text": "a", "ids": [1], "tokens": ["a"], "originals": [], "version": None, "edited": True},
    ],
)  # fmt: skip
def test_a_strip_of_another_shape_is_refused_in_a_sentence(value: object) -> None:
    with pytest.raises(TextError):
        strip_edit(value)


@pytest.mark.parametrize("ids", [[], [10**9], [-1, 2], [2, 3]])
def test_ids_that_mean_nothing_never_break_the_page(services: Services, view: FillView, ids: list[int]) -> None:
    strip = {"text": TEXT, "ids": ids, "tokens": None, "originals": {}, "version": 0, "edited": True}
    assert answered(services, view, TEXT, strip)[view.notes]


def test_a_link_brings_back_text_models_settings_and_hidden_words(services: Services, tiny_bert: MaskedLM) -> None:
    edit = tapped(strip_for(tiny_bert), 3)
    query = {
        "text": TEXT, "model": services.default_model, "words": "7", "view": "Why this word?",
        "ids": ".".join(map(str, edit["ids"])), "hidden": f"3:{edit['originals']['3']['id']}",
    }  # fmt: skip
    asked = open_page(services, query, model=services.default_model, compared="none", top_k=5)
    source = {"text": asked["text"], "strip": asked["strip"]}
    question = ask(services, **source, model=asked["model"].value, compared=asked["compared"].value)
    assert question.prepared.token_ids == tuple(edit["ids"])
    assert question.originals == {3: edit["originals"]["3"]["id"]}
    assert (asked["top_k"], asked["view"]) == (7, "Why this word?")


def test_without_a_text_in_the_link_the_box_is_left_alone(services: Services) -> None:
    assert "text" not in open_page(services, {"words": "7"}, model=services.default_model, compared="none", top_k=5)


@given(st.dictionaries(st.sampled_from(["text", "model", "compare", "words", "ids", "hidden", "view"]), st.text()))
def test_any_link_can_be_opened(query: dict[str, str]) -> None:
    found = shared(query)
    assert found.top_k is None or 1 <= found.top_k <= 99
    strip_edit(found.strip)


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"])
def test_a_cell_that_a_spreadsheet_would_run_is_disarmed(cell: str) -> None:
    assert safe_cell(cell) == f"'{cell}"
    assert safe_cell(-0.25) == -0.25


def test_files_hold_the_predictions_at_full_precision(services: Services) -> None:
    asked = {
        "text": "i [MASK] this show .",
        "strip": None,
        "model": services.default_model,
        "compared": NO_MODEL,
        "top_k": 600,
    }
    rows = list(
        csv.DictReader(
            io.StringIO(predictions_file(services, BlendPairs(), "csv", **asked)["text"].removeprefix("\ufeff"))
        )
    )
    record = json.loads(predictions_file(services, BlendPairs(), "json", **asked)["text"])
    candidates = record["masks"][0]["candidates"]
    assert [float(row["probability"]) for row in rows] == [candidate["probability"] for candidate in candidates]
    assert [int(row["token_id"]) for row in rows] == [candidate["token_id"] for candidate in candidates]
    assert record["token_ids"][2] == record["masks"][0]["candidates"][0]["token_id"] or record["tokens"][2] == "[MASK]"
    assert sum(candidate["probability"] for candidate in candidates) == pytest.approx(1.0)


def test_the_file_of_a_comparison_has_both_models(services: Services) -> None:
    model = services.default_model
    asked = {"text": "i [MASK] this show .", "strip": None, "model": model, "compared": model, "top_k": 3}
    rows = list(
        csv.DictReader(
            io.StringIO(predictions_file(services, BlendPairs(), "csv", **asked)["text"].removeprefix("\ufeff"))
        )
    )
    assert all(row["probability_before"] == row["probability_after"] for row in rows)
    assert {float(row["log2_ratio"]) for row in rows} == {0.0}


def test_a_hostile_text_is_shown_as_text(services: Services, view: FillView) -> None:
    shown = answered(services, view, HOSTILE, compared=services.default_model)
    for part in (view.notes, view.bars, view.summary):
        assert "<img" not in shown[part]
