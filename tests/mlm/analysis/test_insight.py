"""Looks inside a prediction, held against plain transformers code."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM

from bertdemo.mlm.analysis.insight import attention_from_mask, erasure, layer_lens, lens_by_piece, nearest_words
from bertdemo.mlm.analysis.internals import weight_sharing_twin
from bertdemo.mlm.errors import BertDemoError, SettingsError, TextError
from bertdemo.mlm.inference.fill_mask import fill_masks
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.text.prompt import prepare_ids, prepare_text

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


def test_the_lens_follows_a_word_piece_by_piece(any_tiny: MaskedLM) -> None:
    text = "The dogs [MASK] and [MASK] home."
    pieces = any_tiny.tokenizer(" barked", add_special_tokens=False)["input_ids"]
    lenses = lens_by_piece(any_tiny, text, "barked", mask_index=1)
    assert [lens.answer_id for lens in lenses] == pieces
    prepared = prepare_text(any_tiny, text)
    position, mask = prepared.mask_positions[1], any_tiny.mask_token_id
    for known, lens in enumerate(lenses):
        filled = [*pieces[:known], *[mask] * (len(pieces) - known)]
        row = [*prepared.token_ids[:position], *filled, *prepared.token_ids[position + 1 :]]
        assert list(lens.prepared.token_ids) == row
        real = plain_log_probabilities(any_tiny, row, position + known)
        assert lens.layers[-1].answer_probability == pytest.approx(real[pieces[known]].exp().item(), abs=1e-5)


def test_the_lens_of_a_word_of_one_piece_is_the_plain_one(any_tiny: MaskedLM) -> None:
    assert lens_by_piece(any_tiny, TEXT, "love") == (layer_lens(any_tiny, TEXT, word="love"),)


def test_erasure_keeps_other_masks_and_unknown_words(tiny_bert: MaskedLM) -> None:
    result = erasure(tiny_bert, "the [MASK] 猫 [MASK] dog", mask_index=1)
    assert [word.word for word in result.words] == ["the", "dog"]
    assert result.position == 4


def test_erasure_of_a_mask_alone_has_no_words(any_tiny: MaskedLM) -> None:
    assert erasure(any_tiny, "[MASK]").words == ()


def test_last_layer_of_the_lens_is_the_real_output(any_tiny: MaskedLM) -> None:
    lens = layer_lens(any_tiny, TEXT, top_k=7)
    real = fill_masks(any_tiny, TEXT, top_k=7).masks[0].candidates
    assert [candidate.token_id for candidate in lens.layers[-1].candidates] == [c.token_id for c in real]
    assert [c.probability for c in lens.layers[-1].candidates] == pytest.approx([c.probability for c in real], abs=1e-6)
    assert lens.answer_id == real[0].token_id
    assert lens.layers[-1].answer_rank == 1


@torch.no_grad()
def test_every_layer_of_the_lens_is_the_head_on_that_layer(any_tiny: MaskedLM) -> None:
    prepared = prepare_text(any_tiny, TEXT)
    position = prepared.mask_positions[0]
    outputs = any_tiny.model(torch.tensor([prepared.token_ids]), output_hidden_states=True)
    lens = layer_lens(any_tiny, TEXT, word="love")
    assert len(lens.layers) == len(outputs.hidden_states) == 3
    for number, layer in enumerate(lens.layers):
        state = outputs.hidden_states[number][0, position]
        if any_tiny.model.config.model_type == "modernbert" and number < 2:
            state = any_tiny.model.model.final_norm(state)
        scores = any_tiny.head(state).log_softmax(-1)
        assert layer.answer_probability == pytest.approx(scores[lens.answer_id].exp().item(), abs=1e-5)
        assert layer.answer_rank == 1 + int((scores > scores[lens.answer_id]).sum())
        assert layer.candidates[0].token_id == int(scores.argmax())


def test_attention_is_what_an_eager_model_says(any_tiny: MaskedLM) -> None:
    eager = AutoModelForMaskedLM.from_pretrained(any_tiny.ref.source, attn_implementation="eager").eval()
    attention = attention_from_mask(any_tiny, TEXT)
    with torch.no_grad():
        outputs = eager(torch.tensor([attention.prepared.token_ids]), output_attentions=True)
    expected = np.stack([layer[0, :, attention.position].numpy() for layer in outputs.attentions])
    np.testing.assert_allclose(attention.weights, expected, atol=1e-5)
    np.testing.assert_allclose(attention.weights.sum(axis=-1), 1, atol=1e-5)


def test_attention_leaves_the_shared_model_as_it_was(tiny_bert: MaskedLM) -> None:
    model = AutoModelForMaskedLM.from_pretrained(tiny_bert.ref.source).eval()
    shared = MaskedLM(tiny_bert.ref, model, tiny_bert.tokenizer)
    ids = torch.tensor([prepare_text(shared, TEXT).token_ids])
    stop, different = threading.Event(), []

    def keep_predicting() -> None:
        with torch.inference_mode():
            first = model(ids).logits
            while not stop.is_set():
                different.append(not torch.equal(model(ids).logits, first))

    other = threading.Thread(target=keep_predicting)
    other.start()
    for _ in range(5):
        attention_from_mask(shared, TEXT)
        layer_lens(shared, TEXT)
    stop.set()
    other.join()
    assert different
    assert not any(different)
    assert model.config._attn_implementation == "sdpa"
    assert not any(module._forward_hooks for module in model.modules())


def test_a_twin_shares_every_weight(any_tiny: MaskedLM) -> None:
    twin = weight_sharing_twin(any_tiny.model)
    pairs = zip(twin.state_dict().values(), any_tiny.model.state_dict().values(), strict=True)
    assert all(one.data_ptr() == two.data_ptr() for one, two in pairs)
    assert twin.config is not any_tiny.model.config


def test_attention_view_averages_hides_and_renormalises(tiny_bert: MaskedLM) -> None:
    attention = attention_from_mask(tiny_bert, TEXT)
    mean = attention.view()
    np.testing.assert_allclose(mean.weights, attention.weights.mean(axis=(0, 1)), atol=1e-6)
    np.testing.assert_allclose(attention.view(layer=1, head=0).weights, attention.weights[1, 0])
    hidden = attention.view(hide_special=True)
    assert hidden.weights[[0, -1]].tolist() == [0, 0]
    assert hidden.weights[attention.position] > 0
    assert hidden.weights.sum() + hidden.hidden_share == pytest.approx(1, abs=1e-5)
    renormalised = attention.view(hide_special=True, renormalise=True)
    assert renormalised.weights.sum() == pytest.approx(1, abs=1e-5)
    with pytest.raises(TextError, match="no layer 2"):
        attention.view(layer=2)


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


@pytest.mark.parametrize(("word", "says"), [("", "type one"), ("猫", "cannot write"), ("ed" * 20, "at most 16")])
def test_a_word_that_cannot_be_the_answer_is_refused(tiny_bert: MaskedLM, word: str, says: str) -> None:
    for look in (lambda: lens_by_piece(tiny_bert, TEXT, word), lambda: erasure(tiny_bert, TEXT, word=word)):
        with pytest.raises(TextError, match=says):
            look()


def test_an_unknown_id_is_refused(tiny_bert: MaskedLM) -> None:
    with pytest.raises(TextError, match="no token 999999"):
        nearest_words(tiny_bert, 999_999)


LOOKS = {"erasure": erasure, "layer_lens": layer_lens, "attention": attention_from_mask}


@pytest.mark.parametrize("look", LOOKS)
def test_a_mask_that_is_not_there_is_refused(tiny_bert: MaskedLM, look: str) -> None:
    with pytest.raises(TextError, match="no mask 1"):
        LOOKS[look](tiny_bert, TEXT, mask_index=1)


@pytest.mark.parametrize("look", LOOKS)
def test_edited_ids_are_looked_at_as_they_are(tiny_bert: MaskedLM, look: str) -> None:
    vocabulary = tiny_bert.tokenizer.get_vocab()
    prepared = prepare_ids(tiny_bert, [vocabulary[piece] for piece in ("dog", "[MASK]", "##ed", "home")])
    result = LOOKS[look](tiny_bert, prepared)
    assert result.position == 2
    assert result.prepared.tokens[3] == "##ed"


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize(
    "text",
    [
        "<i>[MASK]</i>",
        "אני [MASK] את זה",
        "我[MASK]你。",
        "👩‍👩‍👧 [MASK]",
        "[MASK] [SEP] [CLS] x",
        "a \ud83d [MASK]",
        "dog " * 150 + "[MASK]",
    ],
)
def test_any_text_with_a_mask_is_looked_at(any_tiny: MaskedLM, look: str, text: str) -> None:
    result = LOOKS[look](any_tiny, text)
    assert result.prepared.token_ids[result.position] == any_tiny.mask_token_id


def test_nothing_raises_anything_else_than_sentences(any_tiny: MaskedLM) -> None:
    for look in LOOKS.values():
        with pytest.raises(BertDemoError, match="mask"):
            look(any_tiny, "no blank here")
