"""The plain encoder gives what the library's modules give, to predictions and to training."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    CamembertConfig,
    CamembertForMaskedLM,
    DistilBertConfig,
    DistilBertForMaskedLM,
    ModernBertConfig,
    ModernBertForMaskedLM,
    PreTrainedModel,
    RobertaConfig,
    RobertaForMaskedLM,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
)

from bertdemo.mlm.models.encoder import plain_encoder
from bertdemo.mlm.models.masked_lm import MaskedLM, ModelRef

SIZES = {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 40}
EVERYWHERE = torch.arange(3 * 17)


def rows_with_padding() -> tuple[torch.Tensor, torch.Tensor]:
    """token_ids (3, 17), attention (3, 17): the second row has nine tokens."""
    token_ids = torch.randint(5, 50, (3, 17), generator=torch.Generator().manual_seed(1))
    attention = torch.ones_like(token_ids)
    attention[1, 9:] = 0
    return token_ids, attention


@pytest.mark.parametrize("activation", ["gelu", "relu", "gelu_new"])
@pytest.mark.parametrize("padded", [False, True])
def test_hidden_states_are_those_of_the_library(activation: str, padded: bool) -> None:
    torch.manual_seed(0)
    model = BertForMaskedLM(BertConfig(**SIZES, hidden_act=activation)).eval()
    token_ids, attention = rows_with_padding()
    attention = attention if padded else None
    wanted = torch.tensor([0, 3, 20, 24, 50])
    with torch.inference_mode():
        expected = model.bert(token_ids, attention_mask=attention)[0].flatten(0, 1)
        everywhere = plain_encoder(model)(token_ids, attention, EVERYWHERE)
        hidden = plain_encoder(model)(token_ids, attention, wanted)
    torch.testing.assert_close(hidden, expected[wanted], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(everywhere, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("where", ["real tokens", "padding too"])
def test_gradients_are_those_of_the_library(where: str) -> None:
    torch.manual_seed(0)
    plain = BertForMaskedLM(BertConfig(**SIZES, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)).train()
    fast = copy.deepcopy(plain)
    token_ids, attention = rows_with_padding()
    wanted = torch.tensor([2, 18, 40]) if where == "real tokens" else EVERYWHERE
    ours = plain_encoder(fast)(token_ids, attention, wanted)
    theirs = plain.bert(token_ids, attention_mask=attention)[0].flatten(0, 1)[wanted]
    (ours.sin().sum() + theirs.sin().sum()).backward()
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)
    for (name, expected), found in zip(plain.bert.named_parameters(), fast.bert.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad, atol=1e-5, rtol=1e-4, msg=name)


def test_dropout_draws_noise_in_training_and_none_in_predictions() -> None:
    torch.manual_seed(0)
    model = BertForMaskedLM(BertConfig(**SIZES, hidden_dropout_prob=0.5))
    token_ids, attention = rows_with_padding()

    def twice() -> list[torch.Tensor]:
        return [plain_encoder(model)(token_ids, attention, EVERYWHERE) for _ in range(2)]

    model.eval()
    assert torch.equal(*twice())
    model.train()
    assert not torch.equal(*twice())


def test_padding_is_not_read_and_never_looked_at() -> None:
    torch.manual_seed(0)
    model = BertForMaskedLM(BertConfig(**SIZES)).eval()
    token_ids, attention = rows_with_padding()
    read: list[int] = []
    model.get_input_embeddings().register_forward_pre_hook(lambda _module, given: read.append(given[0].numel()))
    other = token_ids.masked_fill(attention == 0, 7)
    wanted = torch.tensor([18, 25, 40])
    with torch.inference_mode():
        assert torch.equal(*(plain_encoder(model)(ids, attention, wanted) for ids in (token_ids, other)))
    assert read == [int(attention.sum())] * 2


def test_changed_weights_are_seen_at_once(tiny_bert: MaskedLM) -> None:
    token_ids, encode = torch.tensor([[2, 7, 8, 3]]), plain_encoder(tiny_bert.model)
    with torch.inference_mode():
        before = encode(token_ids, None, torch.tensor([1]))
    weight = tiny_bert.model.bert.encoder.layer[0].attention.self.query.weight
    kept = weight.detach().clone()
    with torch.no_grad():
        weight.mul_(2)
        assert not torch.equal(encode(token_ids, None, torch.tensor([1])), before)
        weight.copy_(kept)
    with torch.inference_mode():
        assert torch.equal(encode(token_ids, None, torch.tensor([1])), before)


def relatives() -> list[PreTrainedModel]:
    torch.manual_seed(0)
    roberta = {**SIZES, "pad_token_id": 1}
    distil = {"vocab_size": 50, "dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 40, "pad_token_id": 0}
    return [
        RobertaForMaskedLM(RobertaConfig(**roberta)),
        XLMRobertaForMaskedLM(XLMRobertaConfig(**roberta)),
        CamembertForMaskedLM(CamembertConfig(**roberta)),
        DistilBertForMaskedLM(DistilBertConfig(**distil)),
    ]


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("model", relatives(), ids=lambda model: model.config.model_type)
def test_relatives_of_bert_give_what_the_library_gives(model: PreTrainedModel, padded: bool) -> None:
    model.eval()
    token_ids, attention = rows_with_padding()
    token_ids[attention == 0] = model.config.pad_token_id
    attention, wanted = attention if padded else None, torch.tensor([0, 3, 20, 24, 50])
    masked_lm = MaskedLM(ModelRef("x", "x"), model, None)
    with torch.inference_mode():
        expected = model(token_ids, attention_mask=attention).logits.flatten(0, 1)[wanted]
        found = masked_lm.logits_at(token_ids, attention, positions=wanted)
    assert masked_lm.encoder is not None
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("model", relatives(), ids=lambda model: model.config.model_type)
def test_relatives_of_bert_learn_what_the_library_would(model: PreTrainedModel) -> None:
    """Also from a padding token amid a text, which a random replacement may be."""
    plain, fast = model.eval(), copy.deepcopy(model).eval()  # no noise
    token_ids, attention = rows_with_padding()
    token_ids[attention == 0] = token_ids[0, 4] = model.config.pad_token_id
    wanted = torch.tensor([0, 3, 20, 24, 50])
    theirs = plain(token_ids, attention_mask=attention).logits.flatten(0, 1)[wanted]
    ours = MaskedLM(ModelRef("x", "x"), fast, None).logits_at(token_ids, attention, positions=wanted)
    (ours.sin().sum() + theirs.sin().sum()).backward()
    for (name, expected), found in zip(plain.named_parameters(), fast.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad, atol=1e-5, rtol=1e-4, msg=name)


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("bf16", [False, True])
def test_where_nothing_is_asked_every_weight_gets_a_gradient_of_zero(padded: bool, bf16: bool) -> None:
    """A process without a row of its own still takes part in what the others share."""
    torch.manual_seed(0)
    masked_lm = MaskedLM(ModelRef("x", "x"), BertForMaskedLM(BertConfig(**SIZES)).train(), None)
    token_ids, attention = (part[1:2] for part in rows_with_padding())
    nothing = torch.zeros(0, dtype=torch.int64)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        logits = masked_lm.logits_at(token_ids, attention if padded else None, positions=nothing)
    torch.nn.functional.cross_entropy(logits.float(), nothing, reduction="sum").backward()
    for name, weight in masked_lm.model.named_parameters():
        assert torch.equal(weight.grad, torch.zeros_like(weight)), name


def test_other_architectures_are_left_to_the_library() -> None:
    sizes = {**SIZES, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
    assert plain_encoder(ModernBertForMaskedLM(ModernBertConfig(**sizes))) is None
    assert plain_encoder(BertForMaskedLM(BertConfig(**SIZES, is_decoder=True, num_labels=2))) is None
