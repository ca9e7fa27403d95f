"""The faster ways of a training step on a CPU compute what the library's own ways compute."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    DistilBertConfig,
    DistilBertForMaskedLM,
    ModernBertConfig,
    ModernBertForMaskedLM,
    PreTrainedModel,
    RobertaConfig,
    RobertaForMaskedLM,
)

from bertdemo.mlm.models import attention
from bertdemo.mlm.training.cpu_training import BATCHED_PRODUCTS, prepare_for_cpu_training

PAD = 1
SIZES = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "pad_token_id": PAD}
NO_NOISE = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "intermediate_size": 48}


def models() -> list[PreTrainedModel]:
    torch.manual_seed(0)
    distil = {"vocab_size": 60, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48, "pad_token_id": PAD}
    windows = {"local_attention": 8, "global_attn_every_n_layers": 2, "intermediate_size": 48}
    ends = {"bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
    return [
        BertForMaskedLM(BertConfig(**SIZES, **NO_NOISE)),
        RobertaForMaskedLM(RobertaConfig(**SIZES, **NO_NOISE)),
        DistilBertForMaskedLM(DistilBertConfig(**distil, dropout=0.0, attention_dropout=0.0)),
        ModernBertForMaskedLM(ModernBertConfig(**SIZES, **windows, **ends)),
        BertForMaskedLM(BertConfig(**SIZES, **NO_NOISE, tie_word_embeddings=False)),
    ]


def loss_of(model: PreTrainedModel, token_ids: torch.Tensor, attention: torch.Tensor | None) -> torch.Tensor:
    scored = token_ids.masked_fill(token_ids == PAD, -100)
    return model(token_ids, attention_mask=attention, labels=scored).loss


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("model", models(), ids=lambda model: model.config.model_type)
def test_loss_and_gradients_are_those_of_the_plain_model(model: PreTrainedModel, padded: bool) -> None:
    token_ids = torch.randint(4, 60, (3, 20), generator=torch.Generator().manual_seed(1))
    if padded:
        token_ids[0, 12:] = PAD
    attention = (token_ids != PAD).long() if padded else None
    plain, fast = copy.deepcopy(model).train(), copy.deepcopy(model).train()
    prepare_for_cpu_training(fast)
    for _ in range(2):  # gradients add up, as where a batch is split
        losses = [loss_of(each, token_ids, attention) for each in (plain, fast)]
        for loss in losses:
            loss.backward()
    assert losses[1].item() == pytest.approx(losses[0].item(), rel=1e-5)
    largest = max(parameter.grad.abs().max() for parameter in plain.parameters() if parameter.grad is not None)
    for (name, expected), parameter in zip(plain.named_parameters(), fast.parameters(), strict=True):
        if expected.grad is None:
            assert parameter.grad is None, name
        else:
            torch.testing.assert_close(parameter.grad, expected.grad, atol=1e-5 * largest.item(), rtol=1e-4)


@pytest.mark.parametrize("longest", [1024, 16])
@pytest.mark.parametrize("bf16", [False, True])
def test_padding_out_of_every_window_spoils_nothing(bf16: bool, longest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """ModernBERT's padding may have nothing to look at; also in rows that are too long for batched products."""
    monkeypatch.setattr(attention, "MAX_BMM_LENGTH", longest)
    plain = models()[3].train()
    fast = copy.deepcopy(plain)
    prepare_for_cpu_training(fast)
    token_ids = torch.randint(4, 60, (3, 40), generator=torch.Generator().manual_seed(1))
    token_ids[0, 9:] = PAD
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        losses = [loss_of(model, token_ids, (token_ids != PAD).long()) for model in (plain, fast)]
    losses[1].backward()
    assert losses[1].item() == pytest.approx(losses[0].item(), rel=1e-2 if bf16 else 1e-5)
    assert all(parameter.grad.isfinite().all() for parameter in fast.parameters() if parameter.grad is not None)


def test_a_table_of_its_own_gradient_learns_the_words_that_were_read() -> None:
    model = models()[0].train()
    prepare_for_cpu_training(model)
    vectors = model.get_input_embeddings()(torch.tensor([[5, 7, 5]]))
    vectors.sum().backward()
    rows = model.get_input_embeddings().weight.grad.sum(dim=1)
    assert rows[[5, 7]].tolist() == [64.0, 32.0]
    assert int((rows != 0).sum()) == 2


def test_what_is_saved_says_nothing_of_it(tmp_path: Path) -> None:
    model = models()[0]
    prepare_for_cpu_training(model)
    assert model.config._attn_implementation == BATCHED_PRODUCTS
    model.save_pretrained(tmp_path)
    assert BATCHED_PRODUCTS not in (tmp_path / "config.json").read_text()
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "bert"
    assert BertForMaskedLM.from_pretrained(tmp_path).config._attn_implementation == "sdpa"
