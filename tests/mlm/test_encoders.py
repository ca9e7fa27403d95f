"""The plain encoder gives what the library's modules give, and only predictions use it."""

from __future__ import annotations

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM

from bertdemo.mlm.encoders import plain_encoder
from bertdemo.mlm.models import MaskedLM

SIZES = {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 40}


@pytest.mark.parametrize("activation", ["gelu", "relu", "gelu_new"])
@pytest.mark.parametrize("padded", [False, True])
def test_hidden_states_are_those_of_the_library(activation: str, padded: bool) -> None:
    torch.manual_seed(0)
    model = BertForMaskedLM(BertConfig(**SIZES, hidden_act=activation)).eval()
    token_ids = torch.randint(5, 50, (3, 17))
    attention = torch.ones_like(token_ids)
    attention[1, 9:] = 0
    with torch.inference_mode():
        expected = model.bert(token_ids, attention_mask=attention if padded else None)[0]
        hidden = plain_encoder(model)(token_ids, attention if padded else None)
    real = attention.bool() if padded else torch.ones_like(attention).bool()
    torch.testing.assert_close(hidden[real], expected[real], atol=1e-6, rtol=1e-5)


def test_changed_weights_are_seen_at_once(tiny_bert: MaskedLM) -> None:
    token_ids, encode = torch.tensor([[2, 7, 8, 3]]), plain_encoder(tiny_bert.model)
    with torch.inference_mode():
        before = encode(token_ids, None)
    weight = tiny_bert.model.bert.encoder.layer[0].attention.self.query.weight
    kept = weight.detach().clone()
    with torch.no_grad():
        weight.mul_(2)
        assert not torch.equal(encode(token_ids, None), before)
        weight.copy_(kept)
    assert torch.equal(encode(token_ids, None), before)


def test_other_architectures_are_left_to_the_library(tiny_roberta: MaskedLM) -> None:
    assert plain_encoder(tiny_roberta.model) is None
    assert plain_encoder(BertForMaskedLM(BertConfig(**SIZES, is_decoder=True, num_labels=2))) is None
