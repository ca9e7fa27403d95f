"""Words that a model must spell become tokens of their own: whole, alone, and for every library that loads the run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from sentencepiece_checkpoints import sentencepiece_checkpoint
from tiny_checkpoints import ARCHITECTURES
from transformers import AutoModelForMaskedLM, AutoTokenizer

from bertdemo.mlm.errors import ModelError
from bertdemo.mlm.models.loading import load_masked_lm
from bertdemo.mlm.models.masked_lm import MaskedLM, ModelRef
from bertdemo.mlm.text.new_words import MIN_USES, SpelledWord, added_words, spelled_words, with_new_words
from bertdemo.mlm.text.tokens import word_ids

TEXTS = (
    ["we love anime and the old house"] * 7
    + ["is anime good ? the manga was good"] * 5
    + ["animes are not reanimated , anime7 is no word"] * 4
)
UNTOUCHED = ("animes are nice", "reanime the show", "anime7 is it", "we love the show , do we ?", "panime")


@pytest.fixture(params=["tiny_bert", "tiny_cased_bert", "tiny_roberta", "tiny_modernbert", "xlm-roberta", "camembert"])
def model(request: pytest.FixtureRequest, trainable: Callable[[MaskedLM], MaskedLM], tmp_path: Path) -> MaskedLM:
    if request.param.startswith("tiny"):
        return trainable(request.getfixturevalue(request.param))
    return sentencepiece_checkpoint(tmp_path / request.param, request.param)


def _ids(masked_lm: MaskedLM, text: str) -> list[int]:
    return masked_lm.tokenizer(text, add_special_tokens=False)["input_ids"]


def _logits(masked_lm: MaskedLM, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return masked_lm.model(torch.tensor([ids])).logits[0]  # (T, V)


def _whole(words: tuple[SpelledWord, ...]) -> list[str]:
    return [word.word for word in words]


def test_the_words_that_are_used_most_and_spelled_come_first(model: MaskedLM) -> None:
    found = spelled_words(model, TEXTS, at_most=50)
    names = _whole(found)
    assert names.index("anime") == 0
    assert found[0].uses == 12  # neither in "animes" nor in "anime7"
    assert "manga" in names
    assert not {"love", "the", "old"} & set(names)  # the model has them
    assert "animes" not in names  # used fewer than MIN_USES times
    assert all(word.uses >= MIN_USES and len(word.pieces) > 1 for word in found)
    assert spelled_words(model, TEXTS, at_most=1) == found[:1]


def test_a_word_is_one_token_wherever_it_stands_alone_and_no_other_word_is_cut_anew(model: MaskedLM) -> None:
    before = {text: model.tokenizer.tokenize(text) for text in UNTOUCHED}
    grown = with_new_words(model, spelled_words(model, TEXTS, at_most=1))
    token_id = len(grown.tokenizer) - 1
    for text in ("we love anime .", "we love anime, the house", "the anime", "love (the anime) !"):
        assert _ids(grown, text).count(token_id) == 1, text
        rest = text.replace("anime", "house")
        assert len(_ids(grown, text)) == len(_ids(model, rest)), text
    for text, pieces in before.items():
        assert _joined(grown, text) == _joined(model, text)
        if "▁anime" not in grown.tokenizer.tokenize(text):  # SentencePiece may join the first pieces, and no others
            assert grown.tokenizer.tokenize(text) == pieces
        else:
            assert text.startswith("anime")
    assert grown.tokenizer.decode(_ids(grown, "we love anime")).strip() == "we love anime"
    assert word_ids(grown, _ids(grown, "dog love anime"))[-2:] == (1, 2)


def _joined(masked_lm: MaskedLM, text: str) -> str:
    return masked_lm.tokenizer.decode(_ids(masked_lm, text)).replace(" ", "")


def test_it_begins_as_the_mean_of_its_pieces_and_nothing_else_moves(model: MaskedLM) -> None:
    ids = _ids(model, "we love anime and the old house")
    before, size = _logits(model, ids), model.vocabulary_size
    table = model.model.get_input_embeddings().weight.detach().clone()
    words = spelled_words(model, TEXTS, at_most=2)
    grown = with_new_words(model, words)
    after = _logits(grown, ids)
    assert torch.allclose(after[:, :size], before, atol=1e-5)
    inputs = grown.model.get_input_embeddings().weight
    for place, word in enumerate(words):
        own = len(grown.tokenizer) - len(words) + place
        assert torch.allclose(inputs[own], table[list(word.piece_ids)].mean(dim=0), atol=1e-6)
        assert torch.allclose(after[:, own], before[:, list(word.piece_ids)].mean(dim=1), atol=1e-4)


def test_plain_transformers_loads_what_is_saved(model: MaskedLM, tmp_path: Path) -> None:
    words = spelled_words(model, TEXTS, at_most=2)
    grown = with_new_words(model, words)
    grown.model.save_pretrained(tmp_path / "saved")
    grown.tokenizer.save_pretrained(tmp_path / "saved")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "saved")
    plain = AutoModelForMaskedLM.from_pretrained(tmp_path / "saved").eval()
    for text in (*TEXTS[::4], *UNTOUCHED, f"we love {tokenizer.mask_token}, anime {tokenizer.mask_token}"):
        assert tokenizer(text)["input_ids"] == grown.tokenizer(text)["input_ids"], text
    ids = _ids(grown, "we love anime")
    with torch.no_grad():
        assert torch.allclose(plain(torch.tensor([ids])).logits[0], _logits(grown, ids), atol=1e-5)
    ours = load_masked_lm(ModelRef("saved", str(tmp_path / "saved")))
    assert ours.special_ids == model.special_ids
    again = added_words(model, ours)
    assert [(word.word, word.entry, word.piece_ids) for word in again] == [
        (word.word, word.entry, word.piece_ids) for word in words
    ]


def test_an_uncased_model_has_one_entry_for_every_way_to_write_a_word(
    tiny_bert: MaskedLM, tiny_cased_bert: MaskedLM, trainable: Callable[[MaskedLM], MaskedLM]
) -> None:
    texts = ["we love anime", "we love Anime", "we love Aníme"] * 5
    assert spelled_words(tiny_bert, texts, at_most=9)[0].uses == 15
    grown = with_new_words(trainable(tiny_bert), spelled_words(tiny_bert, texts, at_most=1))
    assert len({tuple(_ids(grown, text)) for text in texts}) == 1
    assert spelled_words(tiny_cased_bert, texts, at_most=1)[0].uses == 5


def test_a_run_may_begin_from_a_model_that_has_new_words(
    tiny_roberta: MaskedLM, trainable: Callable[[MaskedLM], MaskedLM]
) -> None:
    once = with_new_words(trainable(tiny_roberta), spelled_words(tiny_roberta, TEXTS, at_most=1))
    twice = with_new_words(once, spelled_words(once, TEXTS, at_most=1))
    assert _whole(added_words(tiny_roberta, twice)) == ["anime", *_whole(added_words(once, twice))]
    assert len(_ids(twice, "we love anime")) == len(_ids(twice, "we love house"))


def test_scripts_without_spaces_are_left_as_they_are(tmp_path: Path) -> None:
    model = sentencepiece_checkpoint(tmp_path / "xlm-roberta", "xlm-roberta")
    assert spelled_words(model, ["我爱你 我爱你"] * 20, at_most=9) == ()


@pytest.mark.parametrize("kind", ["esm", "reformer", "ibert", "deberta_v2_new_head"])
def test_an_architecture_that_cannot_grow_is_refused_in_one_sentence(kind: str, tmp_path: Path) -> None:
    model = load_masked_lm(ModelRef(kind, str(ARCHITECTURES[kind](tmp_path / kind))))
    with pytest.raises(ModelError, match="cannot be given new words"):
        with_new_words(model, spelled_words(model, TEXTS, at_most=1))


@pytest.mark.parametrize("kind", ["modernbert_untied", "distilbert", "albert", "rembert"])
def test_tied_untied_and_factorised_tables_grow_alike(kind: str, tmp_path: Path) -> None:
    model = load_masked_lm(ModelRef(kind, str(ARCHITECTURES[kind](tmp_path / kind))))
    words = spelled_words(model, TEXTS, at_most=2)
    grown = with_new_words(model, words)
    assert _whole(words)[0] == "anime"
    assert grown.vocabulary_size == len(grown.tokenizer)
