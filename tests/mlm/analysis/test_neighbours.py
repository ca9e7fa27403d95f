"""Nearest words, held against plain cosines."""

from __future__ import annotations

import pytest
import torch

from bertdemo.mlm.analysis.layer_lens import layer_lens
from bertdemo.mlm.analysis.neighbours import nearest_words
from bertdemo.mlm.errors import SettingsError, TextError
from bertdemo.mlm.models.masked_lm import MaskedLM

TEXT = "The dogs [MASK] and walked home."


def test_nearest_words_agree_with_plain_cosines(any_tiny: MaskedLM) -> None:
    neighbours = nearest_words(any_tiny, "love", count=5)
    table = any_tiny.model.get_input_embeddings().weight
    (token_id,) = any_tiny.tokenizer(" love", add_special_tokens=False)["input_ids"]
    cosines = torch.cosine_similarity(table, table[token_id][None])
    order = [i for i in cosines.argsort(descending=True).tolist() if i not in {*any_tiny.special_ids, token_id}]
    assert [neighbour.token_id for neighbour in neighbours] == order[:5]
    assert [n.cosine for n in neighbours] == pytest.approx(cosines[order[:5]].tolist(), abs=1e-5)


def test_nearest_words_never_offer_special_or_missing_tokens(any_tiny: MaskedLM) -> None:
    neighbours = nearest_words(any_tiny, "love", count=1_000_000)
    assert len(neighbours) == len(any_tiny.tokenizer) - len(any_tiny.special_ids) - 1
    with pytest.raises(SettingsError):
        nearest_words(any_tiny, "love", count=0)


@pytest.mark.parametrize(("word", "says"), [("", "type one"), ("barked", "2 tokens"), ("猫", "cannot write")])
def test_a_word_that_is_not_one_token_has_no_neighbours(tiny_bert: MaskedLM, word: str, says: str) -> None:
    for look in (lambda: nearest_words(tiny_bert, word), lambda: layer_lens(tiny_bert, TEXT, word=word)):
        with pytest.raises(TextError, match=says):
            look()


def test_an_unknown_id_is_refused(tiny_bert: MaskedLM) -> None:
    with pytest.raises(TextError, match="no token 999999"):
        nearest_words(tiny_bert, 999_999)
