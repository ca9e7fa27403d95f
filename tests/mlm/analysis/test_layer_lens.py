"""Every layer read with the model's own head, held against plain transformers code."""

from __future__ import annotations

import pytest
import torch

from bertdemo.mlm.analysis.layer_lens import layer_lens, lens_by_piece
from bertdemo.mlm.inference.fill_mask import fill_masks
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.text.prompt import prepare_text

TEXT = "The dogs [MASK] and walked home."


@torch.no_grad()
def plain_log_probabilities(masked_lm: MaskedLM, ids: list[int], position: int) -> torch.Tensor:
    return masked_lm.model(torch.tensor([ids])).logits[0, position].double().log_softmax(-1)


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
