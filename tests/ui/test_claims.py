"""What the page says of the bundled model, asked of the bundled model: sentences that it cannot do are not shown."""

from __future__ import annotations

import json
import math
import re
import struct
from pathlib import Path

import pytest

from bertdemo.mlm.analysis.counterfactuals import counterfactuals
from bertdemo.mlm.inference.fill_mask import fill_masks
from bertdemo.mlm.models.loading import BUNDLED_MODEL, bundled_assets
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.models.registry import ModelRegistry
from bertdemo.ui.app import BUNDLED
from bertdemo.ui.fill.tab import EXAMPLES
from bertdemo.ui.inside.pairs import EXAMPLES as PAIRS
from bertdemo.ui.learn import guess
from bertdemo.ui.learn.tours import BEFORE_THE_BLANK, BOTH_SIDES, TOURS
from bertdemo.ui.train.form import DEFAULT_PROBES

ROOT = Path(__file__).resolve().parents[2]
ANSWERS = {  # of the guessing game: what most people would write down
    "coffee": "cup", "key": "door", "tired": "asleep", "really": "love", "cat": "bed", "dinner": "restaurant",
    "rain": "clear", "baby": "cry", "letter": "father", "opened": "book", "played": "piano", "season": "better",
}  # fmt: skip
LEANINGS = {  # of the pairs: a word towards either side
    "work": ("captain", "maid"), "show or game": ("comedy", "football"), "praise or blame": ("love", "hate"),
    "boy, king": ("school", "palace"), "summer, winter": ("beautiful", "snow"),
}  # fmt: skip


@pytest.fixture(scope="module")
def mini_bert() -> MaskedLM:
    registry = ModelRegistry(None, bundled=bundled_assets() / BUNDLED_MODEL)
    return registry.shared(registry.resolve(BUNDLED_MODEL))


def first_words(masked_lm: MaskedLM, text: str, count: int = 5) -> list[list[str]]:
    return [[word.token for word in mask.candidates] for mask in fill_masks(masked_lm, text, top_k=count).masks]


def test_it_is_as_large_as_the_page_says() -> None:
    with (bundled_assets() / BUNDLED_MODEL / "model.safetensors").open("rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    weights = sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
    assert f"({weights / 1e6:.0f} million weights" in BUNDLED


@pytest.mark.parametrize("sentence", guess.SENTENCES)
def test_a_sentence_of_the_game_is_one_that_the_model_can_do(mini_bert: MaskedLM, sentence: str) -> None:
    answer = next(word for sign, word in ANSWERS.items() if sign in sentence)
    assert answer in first_words(mini_bert, sentence)[0]


def test_the_examples_of_the_first_tab_show_something(mini_bert: MaskedLM) -> None:
    texts = dict(EXAMPLES)
    assert first_words(mini_bert, texts["A capital"])[0][0] == "paris"
    assert [words[0] for words in first_words(mini_bert, texts["Two blanks"])] == ["key", "lock"]
    assert "[MASK]" not in texts["No blank yet"]


def test_the_three_opinions_get_the_answers_that_the_readme_admits(mini_bert: MaskedLM) -> None:
    """Whatever stands before the blank, it loves or likes the show; the README says so."""
    for sentence in DEFAULT_PROBES.splitlines():
        assert set(first_words(mini_bert, sentence, 2)[0]) == {"love", "like"}
    limits = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Limits")[2]
    assert "hardly moves it" in limits
    paris = fill_masks(mini_bert, "The capital of France is [MASK].", top_k=1).masks[0].candidates[0]
    assert f"at {paris.probability:.0%}" in limits


def test_words_behind_the_blank_turn_the_answer_in_the_tour(mini_bert: MaskedLM) -> None:
    before, both = (fill_masks(mini_bert, text, top_k=5).masks[0] for text in (BEFORE_THE_BLANK, BOTH_SIDES))
    assert before.candidates[0].token == "door"
    assert both.candidates[0].token == "book"
    chances = [{word.token: word.probability for word in mask.candidates} for mask in (before, both)]
    assert chances[0]["door"] > 2 * chances[1]["door"]
    assert chances[1]["book"] > 2 * chances[0].get("book", 0.0)
    said = " ".join(step.said for tour in TOURS for step in tour.steps)
    assert "expects “door” first" in said
    assert "“book” has overtaken “door”" in said


def test_the_new_word_of_the_tour_is_several_pieces(mini_bert: MaskedLM) -> None:
    writes = next(step.write for tour in TOURS for step in tour.steps if "nobody has used" in step.said)
    pieces = mini_bert.tokenizer.tokenize(writes.split()[1])
    assert len(pieces) > 2
    assert all(piece.startswith("##") for piece in pieces[1:])


@pytest.mark.parametrize("name", PAIRS)
def test_a_default_pair_leans_as_its_words_promise(mini_bert: MaskedLM, name: str) -> None:
    contrast = counterfactuals(mini_bert, PAIRS[name].splitlines(), top_k=8).contrasts[0]
    first, second = LEANINGS[name]
    assert first in [word.token for word in contrast.toward_first]
    assert second in [word.token for word in contrast.toward_second]


def test_the_small_model_is_never_called_bert() -> None:
    """What a lesson says of BERT as such may stand; an answer on the page is the answer of the model that gave it."""
    for path in sorted((ROOT / "bertdemo" / "ui").rglob("*.py")):
        assert not re.search(r"BERT('s answer| says| expects| could put| gave)", path.read_text(encoding="utf-8")), path
