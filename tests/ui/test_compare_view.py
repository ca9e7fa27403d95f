"""Before and after in words and pictures: the whole vocabulary, its numbers, and the order of compared words."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
import torch
from explorer_services import fill_view

from bertdemo.charts.comparison import HEAD, MAX_POINTS, vocabulary_figure, vocabulary_sample
from bertdemo.charts.look import plain
from bertdemo.mlm.analysis.compare import ComparedCandidate, MaskComparison, TokenStats, compare
from bertdemo.mlm.models.loading import load_masked_lm
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.models.registry import ModelRegistry
from bertdemo.mlm.text.prompt import prepare_text
from bertdemo.runs.manager import RunManager
from bertdemo.runs.store import RunStore
from bertdemo.ui.fill.answer import answer
from bertdemo.ui.fill.bars import BY_AFTER, BY_CHANGE, in_order
from bertdemo.ui.inside.look_inside import Panel, fill
from bertdemo.ui.inside.whole_vocabulary import WholeVocabulary, numbers_html
from bertdemo.ui.markup import bits, equal_choices, signed, times
from bertdemo.ui.question import Question
from bertdemo.ui.services import Services

TEXT = "i really [MASK] this show ."
HOSTILE = "<img src=x onerror=alert(1)>"


def words_of(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html)))


def question(*models: MaskedLM, text: str = TEXT, labels: tuple[str, ...] = ("base", "tuned")) -> Question:
    return Question(models, labels[: len(models)], prepare_text(models[0], text))


def show(question: Question) -> list[Any]:
    """The figure, what stands beside it, and the numbers."""
    with gr.Blocks():
        view = WholeVocabulary()
    shown = view.show(question)
    return [shown[part] for part in view.outputs]


def mask_of(before: np.ndarray, after: np.ndarray, *movers: ComparedCandidate) -> MaskComparison:
    return MaskComparison(3, 3, (), movers, 0.1, 1.0, 1.0, 0.5, 0.5, 1.0, 1.0, "Much changed.", before, after)


@pytest.fixture
def taught(tiny_bert: MaskedLM, trainable: Callable[[MaskedLM], MaskedLM]) -> MaskedLM:
    """A copy that expects "awesome" everywhere."""
    copied = trainable(tiny_bert)
    with torch.no_grad():
        copied.model.get_output_embeddings().bias[copied.tokenizer.convert_tokens_to_ids("awesome")] += 8.0
    return copied


def test_an_untrained_copy_changes_nothing_at_all(tiny_bert: MaskedLM) -> None:
    copied = load_masked_lm(tiny_bert.ref)
    with gr.Blocks():
        panel = Panel(WholeVocabulary(), gr.Column(), gr.HTML())
    shown = fill(lambda *, blank: question(tiny_bert, copied), panel, blank=0, numbers_open=True)
    figure, beside, numbers = (shown[part] for part in panel.view.outputs)
    assert shown[panel.message] == ""
    assert "Nothing changed" in words_of(beside)
    assert "Every word lies on the diagonal" in words_of(beside)
    assert "divergence 0 bits" in words_of(numbers)
    cells = re.findall(r"<td[^>]*>([^<]*)</td><td[^>]*>([^<]*)</td></tr>", numbers)
    assert cells
    assert set(cells) == {("0", "0")}  # points and log2 ratio of every candidate
    drawn = drawn_of(tiny_bert, copied)
    assert list(drawn.data[1].x) == list(drawn.data[1].y)
    assert not drawn.layout.annotations
    assert figure["layout"]["height"] > 100


def test_the_first_screen_says_that_an_untrained_copy_changed_nothing(tiny_bert: MaskedLM, tmp_path: Path) -> None:
    copied = tmp_path / "copy"
    shutil.copytree(tiny_bert.ref.source, copied)
    registry, store = ModelRegistry(None, bundled=Path(tiny_bert.ref.source)), RunStore(tmp_path / "home")
    services = Services(registry, RunManager(store, registry), store, tmp_path / "home", tmp_path / "none.csv")
    asked = {"text": TEXT, "strip": None, "model": "mini-bert", "top_k": 5, "order": BY_AFTER}
    view = fill_view()
    shown = answer(services, view, compared=str(copied), **asked)
    assert shown[view.order].visible
    assert "Nothing changed" in words_of(shown[view.bars])
    assert words_of(shown[view.bars]).count("no change") == 5
    assert not answer(services, view, compared="none", **asked)[view.order].visible


def drawn_of(before: MaskedLM, after: MaskedLM) -> Any:
    comparison = compare(before, after, TEXT)
    mask = comparison.masks[0]
    return vocabulary_figure(mask, comparison.vocabulary, labels=("base", HOSTILE), sample=vocabulary_sample(mask))


def test_the_word_that_was_taught_is_named_above_the_diagonal_and_beside_it(
    tiny_bert: MaskedLM, taught: MaskedLM
) -> None:
    drawn = drawn_of(tiny_bert, taught)
    rose = drawn.data[2]
    assert rose.text == ("awesome",)
    assert rose.y[0] > rose.x[0]
    named = [annotation.text for annotation in drawn.layout.annotations]
    assert "<b>awesome</b>" in named
    _, beside, numbers = show(question(tiny_bert, taught))
    assert re.search(r"awesome \S+% \S+% ▲ × ", words_of(beside))
    assert re.search(r"awesome [\d,]+ 1 ", words_of(numbers))  # its rank before, and first after


def test_models_are_named_by_the_reader_so_their_names_are_text(tiny_bert: MaskedLM, taught: MaskedLM) -> None:
    assert "<img" not in drawn_of(tiny_bert, taught).to_json()
    shown = show(question(tiny_bert, taught, labels=(HOSTILE, HOSTILE)))
    assert "<img" not in "".join(shown[1:]) + json.dumps(shown[0]["layout"])
    assert plain("<b>\x00") == "&lt;b&gt;\N{REPLACEMENT CHARACTER}"


def test_one_model_alone_is_told_how_to_choose_a_second(tiny_bert: MaskedLM) -> None:
    figure, beside, numbers = show(question(tiny_bert))
    assert figure is None
    assert "Compare with" in beside
    assert "Compare with" in numbers


def test_different_vocabularies_are_said_to_be_so(tiny_bert: MaskedLM, tiny_roberta: MaskedLM) -> None:
    _, _, numbers = show(question(tiny_bert, tiny_roberta))
    assert "different vocabularies" in numbers
    assert "Words that both models have hold" in numbers
    assert "not in its vocabulary" in numbers


def test_a_large_vocabulary_is_sent_in_part_with_everything_likely_in_it() -> None:
    generator = np.random.default_rng(5)
    before, after = (np.log(generator.dirichlet(np.full(30_522, 0.05)) + 1e-12).astype(np.float32) for _ in range(2))
    mask = mask_of(before, after)
    sample = vocabulary_sample(mask)
    assert len(set(sample.places.tolist())) == MAX_POINTS
    for side in (before, after):
        assert set(np.argsort(-side, kind="stable")[:HEAD]) <= set(sample.places.tolist())
    assert np.array_equal(sample.places, vocabulary_sample(mask).places)
    assert "2,000 of 30,522 words" in sample.caption


def test_a_probability_of_nothing_still_has_a_place() -> None:
    sides = np.array([0.0, -np.inf], dtype=np.float32), np.array([-0.7, -0.7], dtype=np.float32)
    word = ComparedCandidate("b", TokenStats(0.0, 2), TokenStats(0.5, 1), np.inf)
    mask = mask_of(*sides, word)
    drawn = vocabulary_figure(mask, ("a", "b"), labels=("x", "y"), sample=vocabulary_sample(mask))
    assert np.isfinite([*drawn.data[1].x, *drawn.data[2].x, *drawn.layout.xaxis.range]).all()


def test_compared_words_stand_in_the_order_that_is_asked_for() -> None:
    fell = ComparedCandidate("fell", TokenStats(0.5, 1), TokenStats(0.1, 3), -2.3)
    stays = ComparedCandidate("stays", TokenStats(0.4, 2), TokenStats(0.5, 1), 0.3)
    alone = ComparedCandidate("alone", TokenStats(), TokenStats(0.2, 2), None)
    words = [alone, stays, fell]
    assert [word.token for word in in_order(words, BY_CHANGE)] == ["fell", "stays", "alone"]
    assert [word.token for word in in_order(words, BY_AFTER)] == ["stays", "alone", "fell"]


def test_numbers_are_read_as_people_say_them() -> None:
    assert [times(ratio) for ratio in (1.0, -3.0, 4.3, 0.0, None)] == ["× 2.0", "÷ 8.0", "× 20", "the same", "–"]
    assert times(-1000.0) == "÷ over a million"
    assert [signed(number, places=1) for number in (1.25, -0.5, 0.0)] == ["+1.2", "−0.5", "0"]
    assert [bits(number) for number in (0.0, 1.5, 2e-8)] == ["0", "1.500", "2.0e-08"]
    assert equal_choices(3.0) == "8"


def test_every_number_of_the_list_says_what_it_means() -> None:
    mask = mask_of(np.zeros(2, dtype=np.float32), np.zeros(2, dtype=np.float32))
    text = words_of(numbers_html(mask, labels=("a", "b"), notes=["A <note>."]))
    assert "Entropy 1.000 → 1.000 bits as open as a choice among 2 → 2 equally likely words" in text
    assert "A <note>." in text
