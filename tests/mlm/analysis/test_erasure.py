"""Each word blanked in turn, held against doing it by hand."""

from __future__ import annotations

import math

import pytest
import torch

from bertdemo.mlm.analysis.erasure import erasure
from bertdemo.mlm.inference.fill_mask import fill_masks
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.text.prompt import prepare_text

TEXT = "The dogs [MASK] and walked home."


@torch.no_grad()
def plain_log_probabilities(masked_lm: MaskedLM, ids: list[int], position: int) -> torch.Tensor:
    return masked_lm.model(torch.tensor([ids])).logits[0, position].double().log_softmax(-1)


def test_erasure_agrees_with_blanking_each_word_by_hand(any_tiny: MaskedLM) -> None:
    prepared = prepare_text(any_tiny, TEXT)
    ids, position = list(prepared.token_ids), prepared.mask_positions[0]
    whole = plain_log_probabilities(any_tiny, ids, position)
    result = erasure(any_tiny, TEXT)
    assert result.answer_ids == (int(whole.argmax()),)
    assert result.probability == pytest.approx(whole.max().exp().item(), abs=1e-5)
    for word in result.words:
        blanked = [any_tiny.mask_token_id if place in word.positions else ids[place] for place in range(len(ids))]
        without = plain_log_probabilities(any_tiny, blanked, position)[result.answer_ids[0]]
        assert word.log2_ratio == pytest.approx((without - whole.max()).item() / math.log(2), abs=1e-3)
        assert word.probability == pytest.approx(without.exp().item(), abs=1e-5)


def test_erasure_covers_every_word_once_and_no_special_token(any_tiny: MaskedLM) -> None:
    result = erasure(any_tiny, TEXT)
    erased = [place for word in result.words for place in word.positions]
    special = {0, len(result.prepared.token_ids) - 1, result.position}
    assert sorted(erased) == sorted(set(range(len(result.prepared.token_ids))) - special)
    assert [word.word.lower() for word in result.words] == ["the", "dogs", "and", "walked", "home", "."]


def test_erasure_of_a_chosen_word(tiny_roberta: MaskedLM) -> None:
    result = erasure(tiny_roberta, TEXT, word="love")
    assert result.answer == "love"
    assert result.answer_ids == (tiny_roberta.tokenizer.convert_tokens_to_ids("Ġlove"),)


def test_an_answer_of_several_pieces_is_scored_left_to_right(any_tiny: MaskedLM) -> None:
    prepared = prepare_text(any_tiny, TEXT)
    position, mask = prepared.mask_positions[0], any_tiny.mask_token_id
    pieces = any_tiny.tokenizer(" barkings", add_special_tokens=False)["input_ids"]
    assert len(pieces) > 2
    result = erasure(any_tiny, TEXT, word="barkings")
    assert (result.answer, list(result.answer_ids), len(result.pieces)) == ("barkings", pieces, len(pieces))

    def plain_score(erased: tuple[int, ...]) -> float:
        ids = [mask if place in erased else token_id for place, token_id in enumerate(prepared.token_ids)]
        total = 0.0
        for known, piece in enumerate(pieces):
            row = [*ids[:position], *pieces[:known], *[mask] * (len(pieces) - known), *ids[position + 1 :]]
            total += plain_log_probabilities(any_tiny, row, position + known)[piece].item()
        return total

    whole = plain_score(())
    assert math.log(result.probability) == pytest.approx(whole, abs=1e-3)
    assert len(result.words) == 6
    for word in result.words:
        assert word.log2_ratio == pytest.approx((plain_score(word.positions) - whole) / math.log(2), abs=1e-3)


def test_the_score_of_several_pieces_is_that_of_a_target_word(any_tiny: MaskedLM) -> None:
    text = "[MASK] and [MASK] walked home."
    targets = [mask.targets[0] for mask in fill_masks(any_tiny, text, targets=["barkings"]).masks]
    for number, target in enumerate(targets):
        result = erasure(any_tiny, text, mask_index=number, word="barkings")
        assert result.probability == pytest.approx(target.probability, rel=1e-3)


def test_erasure_keeps_other_masks_and_unknown_words(tiny_bert: MaskedLM) -> None:
    result = erasure(tiny_bert, "the [MASK] 猫 [MASK] dog", mask_index=1)
    assert [word.word for word in result.words] == ["the", "dog"]
    assert result.position == 4


def test_erasure_of_a_mask_alone_has_no_words(any_tiny: MaskedLM) -> None:
    assert erasure(any_tiny, "[MASK]").words == ()
