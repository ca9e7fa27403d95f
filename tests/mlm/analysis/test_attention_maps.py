"""Attention from a mask is what an eager model says, and nobody else's model is touched."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM

from bertdemo.mlm.analysis.attention_maps import attention_from_mask
from bertdemo.mlm.analysis.layer_lens import layer_lens
from bertdemo.mlm.errors import TextError
from bertdemo.mlm.models.architectures import weight_sharing_twin
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.text.prompt import prepare_text

TEXT = "The dogs [MASK] and walked home."


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
