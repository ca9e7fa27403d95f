"""Predictions, checked position by position against plain transformers code."""

from __future__ import annotations

import copy
import json
import math

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForMaskedLM, AutoTokenizer

from bertdemo.mlm.errors import SettingsError, TextError
from bertdemo.mlm.inference.fill_mask import fill_masks, target_ids
from bertdemo.mlm.inference.log_probs import entropy_bits, log_probabilities_at
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.text.prompt import prepare_ids

TEXTS = (
    "the dog can {}.",
    "{} is it okay?",
    "I really {} this show, the dog {} and {} barked!",
    "({}) {}, the old {}",
)


def _plain(masked_lm: MaskedLM, token_ids: list[int]) -> Tensor:
    """(T, V) probabilities by the usual three lines, from the files on disk."""
    model = AutoModelForMaskedLM.from_pretrained(masked_lm.ref.source).eval()
    with torch.no_grad():
        return model(input_ids=torch.tensor([token_ids])).logits[0].softmax(-1)


def _masked(masked_lm: MaskedLM, text: str) -> str:
    return text.replace("{}", masked_lm.tokenizer.mask_token)


@pytest.mark.parametrize("text", TEXTS)
def test_candidates_equal_plain_transformers(any_tiny: MaskedLM, text: str) -> None:
    text = _masked(any_tiny, text)
    ids = AutoTokenizer.from_pretrained(any_tiny.ref.source)(text)["input_ids"]
    plain = _plain(any_tiny, ids)
    filled = fill_masks(any_tiny, text, top_k=7)
    assert [mask.position for mask in filled.masks] == [
        position for position, token_id in enumerate(ids) if token_id == any_tiny.mask_token_id
    ]
    for mask in filled.masks:
        best = plain[mask.position].topk(7)
        assert [candidate.token_id for candidate in mask.candidates] == best.indices.tolist()
        assert [candidate.probability for candidate in mask.candidates] == pytest.approx(best.values.tolist(), rel=1e-4)
        assert [candidate.rank for candidate in mask.candidates] == [1, 2, 3, 4, 5, 6, 7]
        assert mask.covered == pytest.approx(float(best.values.sum()), rel=1e-4)
        entropy = -float((plain[mask.position] * plain[mask.position].log2()).nansum())
        assert mask.entropy_bits == pytest.approx(entropy, rel=1e-3)


def test_the_whole_vocabulary_sums_to_one_and_more_is_cut(any_tiny: MaskedLM) -> None:
    (mask,) = fill_masks(any_tiny, "the ___ can bark.", top_k=10**9).masks
    assert len(mask.candidates) == any_tiny.vocabulary_size
    assert math.fsum(candidate.probability for candidate in mask.candidates) == pytest.approx(1, abs=1e-5)
    assert mask.covered == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("top_k", [0, -1, 1.5, True, "5", None])
def test_a_top_k_that_is_no_count_is_refused(tiny_bert: MaskedLM, top_k: object) -> None:
    with pytest.raises(SettingsError, match="whole number"):
        fill_masks(tiny_bert, "the [MASK] .", top_k=top_k)


def test_unknown_precision_is_refused_and_bf16_is_close(any_tiny: MaskedLM) -> None:
    with pytest.raises(SettingsError, match="fp32 or bf16"):
        fill_masks(any_tiny, "the ___ .", precision="fp8")
    exact, rough = (
        fill_masks(any_tiny, "the ___ can bark .", top_k=10**6, precision=precision) for precision in ("fp32", "bf16")
    )
    by_id = {candidate.token_id: candidate.probability for candidate in rough.masks[0].candidates}
    difference = [abs(candidate.probability - by_id[candidate.token_id]) for candidate in exact.masks[0].candidates]
    assert 0 < max(difference) < 0.05


def test_a_text_that_cannot_be_filled_is_refused(tiny_bert: MaskedLM) -> None:
    with pytest.raises(TextError):
        fill_masks(tiny_bert, "no blank here")


def test_edited_ids_are_predicted_as_they_are(tiny_bert: MaskedLM) -> None:
    ids = tiny_bert.tokenizer.convert_tokens_to_ids(["[CLS]", "dog", "[MASK]", "##ed", ".", "[SEP]"])
    (mask,) = fill_masks(tiny_bert, prepare_ids(tiny_bert, ids), top_k=3).masks
    best = _plain(tiny_bert, ids)[2].topk(3)
    assert [candidate.token_id for candidate in mask.candidates] == best.indices.tolist()


def test_dropout_stays_out_and_a_model_in_training_stays_in_training(tiny_bert: MaskedLM) -> None:
    training = MaskedLM(tiny_bert.ref, copy.deepcopy(tiny_bert.model).train(), tiny_bert.tokenizer)
    first, second = (fill_masks(training, "the ___ can bark .").masks[0] for _ in range(2))
    still = fill_masks(tiny_bert, "the ___ can bark .").masks[0]
    assert first == second
    assert first.entropy_bits == pytest.approx(still.entropy_bits, rel=1e-5)
    assert training.model.training


def test_tokens_read_like_words(tiny_roberta: MaskedLM, tiny_bert: MaskedLM) -> None:
    (mask,) = fill_masks(tiny_roberta, "the <mask> .", top_k=10**6).masks
    assert not any("Ġ" in candidate.token or not candidate.token.strip() for candidate in mask.candidates)
    (mask,) = fill_masks(tiny_bert, "the [MASK] .", top_k=10**6).masks
    assert "##ed" in {candidate.token for candidate in mask.candidates}


# --- target words


def test_a_word_of_one_piece_has_its_place_in_the_whole_vocabulary(any_tiny: MaskedLM) -> None:
    mark = "Ġ" if "Ġlove" in any_tiny.tokenizer.get_vocab() else ""
    text = "really ___ this show."
    filled = fill_masks(any_tiny, text, top_k=10**6, targets=["love", " show", "love"])
    (mask,) = filled.masks
    assert [target.word for target in mask.targets] == ["love", "show", "love"]
    for target in mask.targets:
        token_id = any_tiny.tokenizer.convert_tokens_to_ids(mark + target.word)
        (candidate,) = [candidate for candidate in mask.candidates if candidate.token_id == token_id]
        assert (target.rank, target.pieces, target.note) == (candidate.rank, (target.word,), "")
        assert target.probability == pytest.approx(candidate.probability, rel=1e-6)
        assert target.log_probability == pytest.approx(math.log(candidate.probability), rel=1e-5)


def test_a_word_of_several_pieces_is_scored_piece_by_piece(any_tiny: MaskedLM) -> None:
    tokenizer, mask_id = any_tiny.tokenizer, any_tiny.mask_token_id
    text = _masked(any_tiny, "the dog {} , the cat {} .")
    ids = tokenizer(text)["input_ids"]
    first, second = (place for place, token_id in enumerate(ids) if token_id == mask_id)
    filled = fill_masks(any_tiny, text, targets=["barked"])
    for position, mask in zip((first, second), filled.masks, strict=True):
        pieces = tokenizer(" barked", add_special_tokens=False)["input_ids"]
        assert len(pieces) > 1
        row = ids[:position] + [mask_id] * len(pieces) + ids[position + 1 :]
        expected = 0.0
        for index, piece in enumerate(pieces):
            expected += math.log(_plain(any_tiny, row)[position + index, piece])
            row[position + index] = piece
        (target,) = mask.targets
        assert target.log_probability == pytest.approx(expected, rel=1e-4)
        assert target.probability == pytest.approx(math.exp(expected), rel=1e-3)
        assert target.rank is None
        assert len(target.pieces) == len(pieces)
        assert f"{len(pieces)} pieces" in target.note
        assert "different question" in target.note


def test_words_are_split_as_they_would_stand_there(
    tiny_bert: MaskedLM, tiny_cased_bert: MaskedLM, tiny_roberta: MaskedLM
) -> None:
    def pieces(masked_lm: MaskedLM, text: str, word: str) -> list[str]:
        ids = target_ids(masked_lm, word, after_space=fill_masks(masked_lm, text).prepared.after_space[0])
        return masked_lm.tokenizer.convert_ids_to_tokens(list(ids))

    assert pieces(tiny_roberta, "I <mask> it .", "love") == ["Ġlove"]
    assert pieces(tiny_roberta, "(<mask>) it .", "love")[0] != "Ġlove"
    assert pieces(tiny_roberta, "<mask> is good .", "the") == ["the"]
    assert pieces(tiny_bert, "I [MASK] it .", "LOVE") == ["love"]
    assert pieces(tiny_cased_bert, "I [MASK] it .", "John") == ["John"]
    assert pieces(tiny_cased_bert, "I [MASK] it .", "john") != ["John"]
    assert pieces(tiny_bert, "I [MASK] it .", "##ing") == ["##ing"]
    assert pieces(tiny_bert, "I [MASK] it .", "barking") == ["bark", "##ing"]


def test_a_word_that_the_vocabulary_cannot_write_says_so_and_spoils_no_other(tiny_bert: MaskedLM) -> None:
    (mask,) = fill_masks(tiny_bert, "the [MASK] .", targets=["中", "dog", "", "  ", "a" * 30]).masks
    unknown, dog, long = mask.targets
    assert (unknown.probability, unknown.rank, unknown.log_probability) == (None, None, None)
    assert "[UNK]" in unknown.note
    assert dog.rank is not None
    assert "30 pieces" in long.note
    assert long.probability is None


def test_a_word_that_makes_the_text_too_long_says_so(tiny_bert: MaskedLM) -> None:
    text = "dog " * (tiny_bert.max_length - 4) + "[MASK] ."
    (mask,) = fill_masks(tiny_bert, text, targets=["barked", "dog"]).masks
    assert "too long" in mask.targets[0].note
    assert mask.targets[1].rank is not None


def test_too_many_target_words_are_refused(tiny_bert: MaskedLM) -> None:
    with pytest.raises(SettingsError, match="fewer words"):
        fill_masks(tiny_bert, "the [MASK] [MASK] .", targets=["dog"] * 101)


# --- the parts


def test_the_record_is_plain_json_with_these_keys(any_tiny: MaskedLM) -> None:
    record = fill_masks(any_tiny, "the ___ can ___.", top_k=2, targets=["dog", "barked"]).to_record()
    assert json.loads(json.dumps(record)) == record
    assert list(record) == ["tokens", "masks", "notes"]
    assert [len(mask["candidates"]) for mask in record["masks"]] == [2, 2]
    for mask in record["masks"]:
        assert list(mask) == ["position", "candidates", "targets"]
        assert list(mask["candidates"][0]) == ["token", "token_id", "probability", "rank"]
        assert record["tokens"][mask["position"]] == any_tiny.tokenizer.mask_token
        assert [target["word"] for target in mask["targets"]] == ["dog", "barked"]
    assert any("___" in note for note in record["notes"])


def test_entropy_is_in_bits() -> None:
    assert entropy_bits(torch.full((8,), 1 / 8).log()) == pytest.approx(3)
    assert entropy_bits(torch.tensor([0.0, -math.inf])) == 0


def test_rows_and_positions_keep_their_order(any_tiny: MaskedLM) -> None:
    mask = any_tiny.mask_token_id
    rows = [[mask, 7, 8, mask], [9, mask, 8, 7]]
    scores = log_probabilities_at(any_tiny, rows, [[3, 0], [1]])
    for score, (row, position) in zip(scores, ((0, 3), (0, 0), (1, 1)), strict=True):
        torch.testing.assert_close(score.exp(), _plain(any_tiny, rows[row])[position], rtol=1e-4, atol=1e-6)
