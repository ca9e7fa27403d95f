"""What differs between architectures is found in their modules: a dozen checkpoints against plain transformers code."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from against_transformers import differences
from tiny_checkpoints import ARCHITECTURES, LENGTH, REFUSED, VARIANTS, WORDS
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import BertConfig, BertForMaskedLM

from bertdemo.mlm.analysis.attention_maps import attention_from_mask
from bertdemo.mlm.analysis.layer_lens import layer_lens
from bertdemo.mlm.errors import ModelError, TextError
from bertdemo.mlm.inference.fill_mask import fill_masks
from bertdemo.mlm.inference.log_probs import log_probabilities_at
from bertdemo.mlm.inference.pseudo_likelihood import score_sentence
from bertdemo.mlm.models import masked_lm as models
from bertdemo.mlm.models.architectures import max_positions
from bertdemo.mlm.models.loading import load_masked_lm
from bertdemo.mlm.models.masked_lm import MaskedLM, ModelRef
from bertdemo.mlm.settings import TrainingConfig
from bertdemo.mlm.training import step
from bertdemo.mlm.training.evaluation import TargetScores, score_targets, tokenize_and_fix
from bertdemo.mlm.training.events import RunStarted, Warned
from bertdemo.mlm.training.loop import TrainingSession

FEW = ("big_bird", "convbert", "deberta", "fnet", "ibert", "mpnet", "xlm", "xmod")
ODD = ("odd_config_by_the_library", "flash_attention", "two_closing_tokens", "no_frame")
LACKING = {"sentencepiece"} if find_spec("sentencepiece") is None else set()


def made(name: str, folder: Path) -> MaskedLM:
    kinds = ARCHITECTURES | VARIANTS
    return load_masked_lm(ModelRef(name, str(kinds[name](folder / name))))


@pytest.mark.parametrize("name", [*FEW, *ODD])
def test_all_that_is_done_with_a_checkpoint_is_what_the_library_does(name: str, tmp_path: Path) -> None:
    """The stress tests hold every architecture and variant to the same."""
    assert differences((ARCHITECTURES | VARIANTS)[name](tmp_path / name)) == []


@pytest.mark.parametrize("name", sorted({*REFUSED} - {"sentencepiece"} | LACKING))
def test_what_cannot_be_right_is_refused_in_one_sentence(name: str, tmp_path: Path) -> None:
    build, words = REFUSED[name]
    ref = ModelRef(name, str(build(tmp_path / name)))
    with pytest.raises(ModelError, match=words) as refused:
        fill_masks(load_masked_lm(ref), "the dog [MASK]")
    assert "\n" not in str(refused.value)


def test_positions_behind_the_padding_leave_room_for_fewer_tokens(tmp_path: Path) -> None:
    for name in ("mpnet", "longformer", "ibert", "esm", "roberta", "luke"):
        assert made(name, tmp_path).max_length == LENGTH, name
    assert max_positions(made("bert", tmp_path).model) == LENGTH
    assert made("bert", tmp_path).encoder is not None
    assert made("fnet", tmp_path).encoder is None


def test_a_short_text_changes_nothing_for_a_longer_one(tmp_path: Path) -> None:
    """BigBird's own code switches its attention for good with the first short text."""
    masked_lm = made("big_bird", tmp_path)
    long = [masked_lm.tokenizer(" ".join(WORDS * 2) + " [MASK]")["input_ids"]]
    positions = [[len(long[0]) - 2]]
    before = log_probabilities_at(masked_lm, long, positions)
    fill_masks(masked_lm, "the dog [MASK]")
    assert torch.equal(log_probabilities_at(masked_lm, long, positions), before)
    assert masked_lm.model.bert.attention_type == "block_sparse"


def test_bf16_that_cannot_be_had_is_float32_and_said(tmp_path: Path) -> None:
    masked_lm = made("xmod", tmp_path)
    filled = [fill_masks(masked_lm, "the dog [MASK]", precision=precision) for precision in ("fp32", "bf16")]
    assert filled[0].masks == filled[1].masks
    assert [any("bf16" in note for note in one.notes) for one in filled] == [False, True]
    assert any("bf16" in note for note in score_sentence(masked_lm, "the dog", precision="bf16").notes)
    texts = type("Texts", (), {"train": WORDS, "held_out": WORDS[:3]})
    session = TrainingSession(masked_lm, texts, TrainingConfig(epochs=1, max_length=8, precision="bf16"))
    events = list(session.events())
    assert [event.precision for event in events if isinstance(event, RunStarted)] == ["fp32"]
    assert sum("bf16" in event.message for event in events if isinstance(event, Warned)) == 1


def test_code_that_cannot_train_is_refused_before_the_run(tmp_path: Path) -> None:
    texts = type("Texts", (), {"train": WORDS, "held_out": WORDS[:3]})
    with pytest.raises(ModelError, match="reformer"):
        TrainingSession(made("reformer", tmp_path), texts, TrainingConfig(max_length=8))


def test_attention_that_is_none_is_not_shown(tmp_path: Path) -> None:
    """Longformer's is a window, SqueezeBERT's scores, YOSO's products: none goes from token to token and adds up."""
    for name in ("longformer", "squeezebert", "yoso", "fnet", "big_bird", "bart"):
        with pytest.raises(ModelError, match="do not show their attention"):
            attention_from_mask(made(name, tmp_path), "the dog can [MASK] love")
    weights = attention_from_mask(made("albert", tmp_path), "the dog can [MASK] love").weights
    assert weights.shape == (2, 2, 7)


def test_layers_are_read_only_where_the_head_is_known_to_read_them(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read one by one"):
        layer_lens(made("funnel", tmp_path), "the dog can [MASK] love")


def test_a_cased_vocabulary_that_is_read_in_lower_case_is_said(tmp_path: Path) -> None:
    for name, said in (("lower_cased", True), ("cased", False), ("bert", False)):
        masked_lm = made(name, tmp_path)
        notes = [*fill_masks(masked_lm, "The dog [MASK]").notes, *score_sentence(masked_lm, "The dog").notes]
        assert sum("lower-cases" in note for note in notes) == 2 * said


def test_what_a_vocabulary_without_unknown_cannot_write_is_one_sentence(tmp_path: Path) -> None:
    masked_lm = made("no_unknown", tmp_path)
    for ask in (lambda: fill_masks(masked_lm, "the 犬 [MASK]"), lambda: score_sentence(masked_lm, "the 犬")):
        with pytest.raises(TextError, match="no token for something"):
            ask()
    with pytest.raises(TextError, match="no token for something"):
        tokenize_and_fix(masked_lm, ["the 犬"], max_length=8, seed=0)


class Largest(TorchDispatchMode):
    """Remembers the size of the largest tensor that any operation makes."""

    numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.numbers = max(self.numbers, result.numel())
        return result


def test_a_large_vocabulary_needs_no_more_logits_at_once(tiny_bert: MaskedLM, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same loss, gradients and ranks as with all logits at once, from parts of a bounded size."""
    torch.manual_seed(0)
    vocabulary_size, width = 20_000, 4
    sizes = {"hidden_size": width, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    model = BertForMaskedLM(BertConfig(vocab_size=vocabulary_size, initializer_range=0.3, **sizes))
    masked_lm = MaskedLM(ModelRef("large", "large"), model, tiny_bert.tokenizer)
    text = "the dog can bark and the cat can not bark . " * 3
    texts = type("Texts", (), {"train": [text] * 8, "held_out": [text] * 8})
    config = TrainingConfig(max_length=40, batch_size=8, precision="fp32")

    def run() -> tuple[list[Tensor], TargetScores, int]:
        session = TrainingSession(masked_lm, texts, config)
        drawn = session.first_batch()
        model.zero_grad()
        with Largest() as largest:
            *_, _sign = [None, *step.BatchLoss(masked_lm, config, precision="fp32").backward(drawn)]
            fixed = tokenize_and_fix(masked_lm, [text] * 8, max_length=40, seed=0)
            *_, scores = score_targets(masked_lm, fixed, precision="fp32")
        return [weight.grad.clone() for weight in model.parameters()], scores, largest.numbers

    gradients, scores, numbers = run()
    for module in (models, step):
        monkeypatch.setattr(module, "MAX_LOGITS", 5 * vocabulary_size)
    few_gradients, few_scores, few_numbers = run()
    assert numbers > 20 * vocabulary_size
    assert few_numbers <= 5 * vocabulary_size
    for few, expected in zip(few_gradients, gradients, strict=True):
        torch.testing.assert_close(few, expected, atol=1e-6, rtol=1e-4)
    assert (few_scores.ranks == scores.ranks).all()
    assert abs(few_scores.losses - scores.losses).max() < 1e-5


def test_weights_that_are_no_numbers_are_refused(tiny_bert: MaskedLM, trainable) -> None:
    broken = trainable(tiny_bert)
    with torch.no_grad():
        broken.model.cls.predictions.bias[7] = float("nan")
    with pytest.raises(ModelError, match="not finite"):
        fill_masks(broken, "the dog [MASK]")


def test_a_step_that_is_tried_changes_nothing(tmp_path: Path) -> None:
    masked_lm = made("xmod", tmp_path)
    state, weights = torch.get_rng_state(), [weight.clone() for weight in masked_lm.model.parameters()]
    step.check_step(masked_lm, precision="fp32")
    assert torch.equal(torch.get_rng_state(), state)
    assert not masked_lm.model.training
    assert all(weight.grad is None for weight in masked_lm.model.parameters())
    assert all(torch.equal(*pair) for pair in zip(weights, masked_lm.model.parameters(), strict=True))
