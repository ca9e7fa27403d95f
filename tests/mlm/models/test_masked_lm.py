"""The parts of a loaded model that everything else asks for."""

from __future__ import annotations

import pytest
import torch

from bertdemo.mlm.models.masked_lm import MaskedLM


def _batch(masked_lm: MaskedLM) -> tuple[torch.Tensor, torch.Tensor]:
    mask = masked_lm.tokenizer.mask_token
    encoded = masked_lm.tokenizer(
        [f"i really {mask} this show.", f"the {mask} can {mask}, and we love the old house!"],
        padding=True,
        return_tensors="pt",
    )
    return encoded["input_ids"], encoded["attention_mask"]


def test_logits_at_positions_equal_the_whole_forward_pass(any_tiny: MaskedLM) -> None:
    token_ids, attention_mask = _batch(any_tiny)
    positions = (token_ids.flatten() == any_tiny.mask_token_id).nonzero().flatten()
    with torch.inference_mode():
        whole = any_tiny.model(input_ids=token_ids, attention_mask=attention_mask).logits
        wanted = any_tiny.logits_at(token_ids, attention_mask, positions=positions)
    assert wanted.shape == (3, any_tiny.vocabulary_size)
    torch.testing.assert_close(wanted, whole.flatten(0, 1)[positions])


def test_every_kind_has_a_head_of_its_own(any_tiny: MaskedLM) -> None:
    assert any_tiny.head is not None


def test_an_unlisted_architecture_gives_the_same_logits_by_its_whole_forward_pass(
    tiny_bert: MaskedLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    token_ids, attention_mask = _batch(tiny_bert)
    positions = torch.tensor([1, 3])
    plain = MaskedLM(tiny_bert.ref, tiny_bert.model, tiny_bert.tokenizer)
    monkeypatch.setattr("bertdemo.mlm.models.masked_lm.mlm_head", lambda _model: None)
    assert plain.head is None
    with torch.inference_mode():
        by_forward = plain.logits_at(token_ids, attention_mask, positions=positions)
        by_head = tiny_bert.logits_at(token_ids, attention_mask, positions=positions)
    torch.testing.assert_close(by_forward, by_head)


def test_the_length_limit_fits_and_one_more_token_would_not(any_tiny: MaskedLM) -> None:
    token_ids = torch.full((1, any_tiny.max_length), any_tiny.mask_token_id)
    assert any_tiny.max_length == 128
    with torch.inference_mode():
        assert any_tiny.model(token_ids).logits.shape[1] == 128


def test_special_tokens_are_never_selectable(any_tiny: MaskedLM) -> None:
    token_ids, _ = _batch(any_tiny)
    selectable = any_tiny.selectable(token_ids)
    tokens = any_tiny.tokenizer.convert_ids_to_tokens(token_ids[selectable].tolist())
    assert not set(tokens) & set(any_tiny.tokenizer.all_special_tokens)
    assert selectable[0].any()
