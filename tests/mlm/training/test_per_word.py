"""The loss per word: the same words asked of two models that cut them differently."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch

from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.text.new_words import spelled_words, with_new_words
from bertdemo.mlm.training import per_word as module
from bertdemo.mlm.training.per_word import per_word, word_sentence

TEXTS = [f"we love anime and the old {word} , do we not ?" for word in ("house", "show", "film", "dog", "cat") * 8]


@pytest.fixture(params=["tiny_bert", "tiny_roberta", "tiny_modernbert"])
def pair(request: pytest.FixtureRequest, trainable: Callable[[MaskedLM], MaskedLM]) -> tuple[MaskedLM, MaskedLM]:
    base = request.getfixturevalue(request.param)
    return base, with_new_words(trainable(base), spelled_words(base, TEXTS, at_most=1))


def _nats(masked_lm: MaskedLM, ids: list[int], place: int, answer: int) -> float:
    with torch.no_grad():
        return -masked_lm.model(torch.tensor([ids])).logits[0, place].log_softmax(-1)[answer].item()


def test_a_word_of_several_pieces_costs_the_sum_of_them_from_left_to_right(
    pair: tuple[MaskedLM, MaskedLM], monkeypatch: pytest.MonkeyPatch
) -> None:
    base, grown = pair
    monkeypatch.setattr(module, "SHARE", 0.0)  # the new word alone
    words = spelled_words(base, TEXTS, at_most=1)
    found = per_word(base, grown, TEXTS[:1], words=words, max_length=64, seed=0)
    assert found is not None
    assert found.new is not None
    assert found.new.words == 1
    expected = []
    for model in (base, grown):
        ids = model.tokenizer(TEXTS[0])["input_ids"]
        piece_ids = list(words[0].piece_ids) if model is base else [len(model.tokenizer) - 1]
        start = next(at for at in range(len(ids)) if ids[at : at + len(piece_ids)] == piece_ids)
        loss = 0.0
        for done, piece in enumerate(piece_ids):
            shown = list(ids)
            for hidden in range(start + done, start + len(piece_ids)):
                shown[hidden] = model.mask_token_id
            loss += _nats(model, shown, start + done, piece)
        expected.append(loss)
    assert (found.new.before, found.new.after) == pytest.approx(expected, abs=1e-4)
    assert found.tokens_before - found.tokens_after == len(words[0].piece_ids) - 1


def test_both_models_are_asked_about_the_same_words_and_equal_ones_answer_alike(
    tiny_bert: MaskedLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHARE", 1.0)
    other = MaskedLM(tiny_bert.ref, copy.deepcopy(tiny_bert.model), tiny_bert.tokenizer)
    found = per_word(tiny_bert, other, TEXTS, words=(), max_length=64, seed=0)
    assert found is not None
    assert found.new is None
    assert found.every.words == 10 * len(TEXTS)  # every word of the texts, and none of the punctuation
    assert found.every.before == found.every.after
    assert found.every.change is not None
    assert (found.every.change.low, found.every.change.high) == (0, 0)


def test_texts_are_read_to_the_maximum_length_and_no_word_is_asked_in_part(
    pair: tuple[MaskedLM, MaskedLM], monkeypatch: pytest.MonkeyPatch
) -> None:
    base, grown = pair
    monkeypatch.setattr(module, "SHARE", 1.0)
    whole = per_word(base, grown, TEXTS, words=spelled_words(base, TEXTS, at_most=1), max_length=64, seed=0)
    cut = per_word(base, grown, TEXTS, words=spelled_words(base, TEXTS, at_most=1), max_length=6, seed=0)
    assert whole is not None
    assert cut is not None
    assert 0 < cut.every.words < whole.every.words
    assert cut.tokens_before == cut.tokens_after == 6 * len(TEXTS)


def test_the_sentence_says_what_is_known_and_holds_back_where_little_is(
    pair: tuple[MaskedLM, MaskedLM],
) -> None:
    base, grown = pair
    words = spelled_words(base, TEXTS, at_most=1)
    many = per_word(base, grown, TEXTS, words=words, max_length=64, seed=0)
    few = per_word(base, grown, TEXTS[:3], words=words, max_length=64, seed=0)
    assert many is not None
    assert few is not None
    assert word_sentence(many).startswith("1 word became a token of its own;")
    assert "too few for a verdict" not in word_sentence(many)
    assert "too few for a verdict" in word_sentence(few)
