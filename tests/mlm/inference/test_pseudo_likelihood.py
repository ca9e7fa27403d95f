"""Every token hidden in turn, held against plain transformers code."""

from __future__ import annotations

import contextlib
import json
import math

import pytest
import torch

from bertdemo.mlm.errors import SettingsError, TextError
from bertdemo.mlm.inference.pseudo_likelihood import score_sentence
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.text.prompt import prepare_ids

SENTENCE = "The dogs barked and walked all day"  # words of several pieces, and the last token ends a word


@torch.no_grad()
def plain_surprisals(masked_lm: MaskedLM, text: str, *, whole_rest: bool) -> dict[int, float]:
    """position -> -log2 p by one whole forward pass a token, written without this package."""
    encoded = masked_lm.tokenizer(text)
    ids, words = encoded["input_ids"], encoded.word_ids()
    surprisals = {}
    for position, token_id in enumerate(ids):
        if token_id in masked_lm.tokenizer.all_special_ids:
            continue
        row = list(ids)
        for other in range(position, len(ids)):
            if other == position or (whole_rest and words[other] == words[position]):
                row[other] = masked_lm.tokenizer.mask_token_id
        logits = masked_lm.model(torch.tensor([row])).logits[0, position].double()
        surprisals[position] = -logits.log_softmax(-1)[token_id].item() / math.log(2)
    return surprisals


@pytest.mark.parametrize("within_word", ["left_to_right", "plain"])
def test_surprisals_agree_with_one_forward_pass_a_token(any_tiny: MaskedLM, within_word: str) -> None:
    score = score_sentence(any_tiny, SENTENCE, within_word=within_word)
    expected = plain_surprisals(any_tiny, SENTENCE, whole_rest=within_word == "left_to_right")
    assert {token.position: token.surprisal_bits for token in score.tokens} == pytest.approx(expected, abs=1e-4)
    assert score.pll == pytest.approx(-sum(expected.values()) * math.log(2), abs=1e-3)
    assert score.pseudo_perplexity == pytest.approx(math.exp(-score.pll / len(expected)))
    assert score.scored == len(expected)


def test_last_token_is_scored_and_special_tokens_never(any_tiny: MaskedLM) -> None:
    ids = any_tiny.tokenizer(SENTENCE)["input_ids"]
    score = score_sentence(any_tiny, SENTENCE)
    assert [token.position for token in score.tokens] == list(range(1, len(ids) - 1))
    assert [token.token_id for token in score.tokens] == ids[1:-1]


def test_rank_and_first_guess_agree_with_the_whole_distribution(any_tiny: MaskedLM) -> None:
    ids = any_tiny.tokenizer("The show is okay.")["input_ids"]
    last = score_sentence(any_tiny, "The show is okay.", within_word="plain").tokens[-1]
    row = [*ids[: last.position], any_tiny.tokenizer.mask_token_id, *ids[last.position + 1 :]]
    with torch.no_grad():
        logits = any_tiny.model(torch.tensor([row])).logits[0, last.position]
    assert last.rank == 1 + int((logits > logits[last.token_id]).sum())
    assert last.prediction_probability == pytest.approx(logits.softmax(-1).max().item(), abs=1e-5)


def test_later_pieces_of_a_word_give_nothing_away(tiny_bert: MaskedLM) -> None:
    both = [score_sentence(tiny_bert, "the dog barked", within_word=way).tokens for way in ("left_to_right", "plain")]
    differs = [a.surprisal_bits != b.surprisal_bits for a, b in zip(*both, strict=True)]
    assert [token.token for token in both[0]] == ["the", "dog", "bark", "##ed"]
    assert differs == [False, False, True, False]


def test_unknown_tokens_are_null_and_said(tiny_bert: MaskedLM) -> None:
    score = score_sentence(tiny_bert, "the 猫 🐱 barked")
    unknown = [token for token in score.tokens if token.token == "[UNK]"]
    assert len(unknown) == 2
    assert all(token.surprisal_bits is None and token.rank is None for token in unknown)
    assert score.scored == len(score.tokens) - 2
    assert any("2 tokens are unknown" in note for note in score.notes)


def test_a_text_of_unknown_characters_alone_has_no_perplexity(tiny_bert: MaskedLM) -> None:
    record = score_sentence(tiny_bert, "猫").to_record()
    assert record["pseudo_perplexity"] is None
    assert record["pll"] == 0


def test_record_is_json_of_the_agreed_shape(tiny_roberta: MaskedLM) -> None:
    record = json.loads(json.dumps(score_sentence(tiny_roberta, "I love it.").to_record(), allow_nan=False))
    assert set(record) == {"tokens", "pll", "pseudo_perplexity", "notes"}
    assert set(record["tokens"][0]) == {"token", "surprisal_bits", "rank", "prediction"}
    assert [token["token"] for token in record["tokens"]][-2:] == ["it", "."]


def test_masks_in_the_text_stay_and_are_not_scored(tiny_bert: MaskedLM) -> None:
    score = score_sentence(tiny_bert, "i [MASK] the show [SEP]")
    assert [token.token for token in score.tokens] == ["i", "the", "show"]
    assert any("[MASK]" in note for note in score.notes)
    assert any("[SEP]" in note for note in score.notes)


def test_edited_ids_are_scored_as_they_are(tiny_bert: MaskedLM) -> None:
    vocabulary = tiny_bert.tokenizer.get_vocab()
    ids = [vocabulary[piece] for piece in ("dog", "[MASK]", "##ed", "bark", "##ed")]
    score = score_sentence(tiny_bert, prepare_ids(tiny_bert, ids))
    assert [token.token for token in score.tokens] == ["dog", "##ed", "bark", "##ed"]
    assert [token.position for token in score.tokens] == [1, 3, 4, 5]


def test_a_long_text_is_scored_whole_within_windows_and_says_so(any_tiny: MaskedLM) -> None:
    text = " ".join(["the dog barked and the woman walked home ."] * 30)
    score = score_sentence(any_tiny, text)
    ids = any_tiny.tokenizer(text, verbose=False)["input_ids"]
    assert [token.token_id for token in score.tokens] == ids[1:-1]
    assert score.scored == len(ids) - 2
    assert any(f"{len(ids) - 2} tokens" in note for note in score.notes)


def test_a_window_is_exactly_what_the_model_would_read(tiny_bert: MaskedLM) -> None:
    words = ["the", "dog", "can", "bark", "and", "love"] * 40
    token = score_sentence(tiny_bert, " ".join(words), within_word="plain").tokens[-1]
    window = " ".join([*words[-126:-1], "[MASK]"])
    with torch.no_grad():
        logits = tiny_bert.model(**tiny_bert.tokenizer(window, return_tensors="pt")).logits[0, 126]
    assert token.surprisal_bits == pytest.approx(-logits.log_softmax(-1)[token.token_id].item() / math.log(2), abs=1e-4)


@pytest.mark.parametrize("text", ["", "   ", "\n\t", "[CLS]"])
def test_nothing_to_score_is_said_in_a_sentence(tiny_bert: MaskedLM, text: str) -> None:
    with pytest.raises(TextError, match="nothing to score"):
        score_sentence(tiny_bert, text)


def test_too_long_a_text_is_refused_with_its_length(tiny_bert: MaskedLM) -> None:
    with pytest.raises(TextError, match=r"20,000 tokens"):
        score_sentence(tiny_bert, "dog " * 20_000)


def test_another_way_through_a_word_is_refused(tiny_bert: MaskedLM) -> None:
    with pytest.raises(SettingsError, match="left_to_right or plain"):
        score_sentence(tiny_bert, "a dog", within_word="backwards")


HOSTILE = [
    "<script>alert(1)</script> {{7*7}} %s",
    "שלום עולם, זה טוב",
    "这部电影很好看。我喜欢",
    "love 👩‍👩‍👧‍👦🏳️‍🌈 it",
    "e\u0301\u0301 Z̸̢a\u0300lgo",
    "a \x00 b",
    "half \ud83d pair",
    "x" * 300,
    "[PAD] <pad> </s> [CLS]",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_any_text_is_scored_or_refused_in_a_sentence(any_tiny: MaskedLM, text: str) -> None:
    with contextlib.suppress(TextError):
        score = score_sentence(any_tiny, text)
        json.dumps(score.to_record(), allow_nan=False)
        assert all(token.surprisal_bits is None or token.surprisal_bits >= 0 for token in score.tokens)
