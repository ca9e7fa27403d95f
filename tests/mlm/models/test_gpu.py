"""What a GPU is to do as the CPU does it. Skipped without one; BERTDEMO_REHEARSE_GPU=1 goes through them on the CPU."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import nn

from bertdemo.mlm.inference.fill_mask import fill_masks
from bertdemo.mlm.inference.pseudo_likelihood import score_sentence
from bertdemo.mlm.models import device_check
from bertdemo.mlm.models.attention import packed_rows, varlen_agrees
from bertdemo.mlm.models.device_check import TOLERANCES, choose_device, step_and_fill
from bertdemo.mlm.models.devices import CPU, accelerator, autocast, automatic_precision
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.settings import TrainingConfig
from bertdemo.mlm.training.batching import TrainingTexts
from bertdemo.mlm.training.events import Evaluated, RunStarted, StepDone, Warned
from bertdemo.mlm.training.loop import train

pytestmark = pytest.mark.gpu
REHEARSED = os.environ.get("BERTDEMO_REHEARSE_GPU") == "1"
TEXT = "i really [MASK] this show and you like the dog ."
ROWS = [
    f"the {word} film was a great story , we love the old house {'and the dog ' * (n % 7)}."
    for n, word in enumerate(["good", "bad", "old", "new"] * 16)
]


@pytest.fixture(scope="module")
def device() -> Iterator[torch.device]:
    found = CPU if REHEARSED else accelerator()
    if found is None:
        pytest.skip("there is no GPU")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(device_check, "accelerator", accelerator)
        yield found


@contextmanager
def unasked(device: torch.device) -> Iterator[None]:
    """Inside the block, waiting for a CUDA GPU is an error."""
    if device.type != "cuda":
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_the_device_passes_its_check(device: torch.device) -> None:
    assert choose_device() == choose_device(device.type)
    assert choose_device().device.type == device.type
    for precision in TOLERANCES:
        apart = (step_and_fill(device, precision) - step_and_fill(CPU, "fp32")).abs().max()
        assert apart < TOLERANCES[precision], precision


def test_fills_and_scores_are_those_of_the_cpu(any_tiny: MaskedLM, device: torch.device, trainable) -> None:
    text = TEXT.replace("[MASK]", any_tiny.tokenizer.mask_token)
    moved = trainable(any_tiny)
    moved.model.to(device).eval()
    for one, two in zip(
        fill_masks(any_tiny, text).masks[0].candidates, fill_masks(moved, text).masks[0].candidates, strict=True
    ):
        assert (one.token_id, one.probability) == (two.token_id, pytest.approx(two.probability, abs=1e-4))
    plain = text.replace(any_tiny.tokenizer.mask_token, "love")
    one, two = (score_sentence(masked_lm, plain).to_record() for masked_lm in (any_tiny, moved))
    assert two["pll"] == pytest.approx(one["pll"], abs=1e-2)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_padded_rows_are_read_as_the_cpu_reads_them_without_being_asked(
    tiny_bert: MaskedLM, device: torch.device, trainable, precision: str
) -> None:
    """Forward and backward; in bf16 rows stay end to end where the GPU has the kernel for it."""
    moved = trainable(tiny_bert)
    moved.model.to(device)
    generator = torch.Generator().manual_seed(0)
    token_ids = torch.randint(5, 60, (6, 40), generator=generator)
    attention = (torch.arange(40) < torch.tensor([[40], [3], [17], [31], [8], [25]])).long()
    positions = torch.tensor([0, 5, 41, 90, 130, 161, 201, 224])
    answers = torch.arange(8) + 9
    expected = nn.functional.cross_entropy(tiny_bert.logits_at(token_ids, attention, positions=positions), answers)
    on_device, answers = token_ids.to(device), answers.to(device)
    for _ in range(2):  # the first call may look things up
        moved.model.zero_grad(set_to_none=True)
        with autocast(device, precision):
            found = nn.functional.cross_entropy(
                moved.logits_at(on_device, attention, positions=positions).float(), answers
            )
        found.backward()
    assert found.item() == pytest.approx(expected.item(), abs=TOLERANCES[precision])
    moved.model.zero_grad(set_to_none=True)
    with unasked(device), autocast(device, precision):
        nn.functional.cross_entropy(
            moved.logits_at(on_device, attention, positions=positions).float(), answers
        ).backward()
    assert all(bool(p.grad.isfinite().all()) for p in moved.model.parameters() if p.grad is not None)


@pytest.mark.parametrize("width", [32, 64])
def test_rows_end_to_end_agree_with_padded_ones(device: torch.device, width: int) -> None:
    if device.type != "cuda":
        pytest.skip("only CUDA has the kernel")
    assert varlen_agrees(device, width=width)
    real = (torch.arange(7) < torch.tensor([[7], [3], [5]])).long()
    rows = packed_rows(real, torch.tensor([0, 8]), shape=(3, 7), fill_up=False).to(device)
    assert rows.ends.tolist() == [0, 7, 10, 15]


def trained(masked_lm: MaskedLM, *, device: str, precision: str) -> list[object]:
    texts = TrainingTexts(ROWS[8:], ROWS[:8])
    config = TrainingConfig(
        epochs=2, batch_size=8, learning_rate=1e-3, max_length=64, precision=precision, device=device
    )
    return list(train(masked_lm, texts, config))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_training_has_the_losses_of_the_cpu(tiny_bert: MaskedLM, device, trainable, precision: str) -> None:
    expected = trained(trainable(tiny_bert), device="cpu", precision="fp32")
    found = trained(trainable(tiny_bert), device=device.type, precision=precision)
    (started,) = (event for event in found if isinstance(event, RunStarted))
    assert torch.device(started.device).type == device.type
    assert not [event for event in found if isinstance(event, Warned) and "device" in event.message]
    for kind in (StepDone, Evaluated):
        one, two = ([event.loss for event in events if isinstance(event, kind)] for events in (expected, found))
        assert two == pytest.approx(one, abs=0.01 if precision == "fp32" else 0.15)


def test_the_precision_is_what_the_device_says(device: torch.device) -> None:
    if device.type == "cuda":
        assert automatic_precision(device) == ("bf16" if torch.cuda.is_bf16_supported() else "fp32")
