"""Which device trains: the one that was asked for or is there, if it gives what the CPU gives; else the CPU, and why.

A device is tried before it is trusted: one training step and one fill of a tiny model that is made in memory. Drivers
and kernels that are broken err, or give other numbers in silence.
"""

from __future__ import annotations

import logging
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertForMaskedLM

from .architectures import mlm_head
from .devices import CPU, accelerator, autocast, automatic_precision, is_out_of_memory
from .encoder import plain_encoder

logger = logging.getLogger(__name__)

Trial: TypeAlias = Callable[[torch.device, str], Tensor]  # (device, precision) -> numbers that hardly depend on them
TOLERANCES = {"fp32": 1e-3, "bf16": 0.05}  # of a loss and of log-probabilities of size 1 to 10


@dataclass(frozen=True)
class ChosenDevice:
    """The device, and a sentence where it is not the one that was wanted."""

    device: torch.device
    note: str = ""


def choose_device(wanted: str | None = None, *, trial: Trial | None = None) -> ChosenDevice:
    """The device of that name, or for "auto" and None the machine's accelerator, if it passes; else the CPU.

    wanted: "auto", "cpu", "cuda", "mps" or "xpu". ``trial``: what is tried on it, ``step_and_fill`` unless a test says
    otherwise; one that passed is not tried again.
    """
    if wanted == CPU.type:
        return ChosenDevice(CPU)
    found, is_named = accelerator(), wanted not in (None, "auto")
    if found is None or (is_named and found.type != wanted):
        there = "there is no accelerator" if found is None else f"there is {found.type}"
        note = f"PyTorch finds no device {wanted} on this machine ({there}), so the CPU is used." if is_named else ""
        return ChosenDevice(CPU, note)
    fault = _fault_of(found, trial or step_and_fill)
    if not fault:
        return ChosenDevice(found)
    logger.warning("the device %s is not used: it %s", found, fault)
    return ChosenDevice(CPU, f"The device {found} is not used, since it {fault}; the CPU is used instead.")


def _fault_of(device: torch.device, trial: Trial) -> str:
    """What is wrong with the device, as the rest of a sentence that begins with it; "" where nothing is."""
    try:
        for precision in dict.fromkeys(("fp32", automatic_precision(device))):
            apart = _difference(device, precision, trial)
            if not apart <= TOLERANCES[precision]:  # written so that nan is too much
                return f"gives other numbers than the CPU ({precision}: {apart:.2g} apart)"
    except Exception as error:  # whatever a driver raises
        if is_out_of_memory(error):
            return "has no memory left for even a tiny model"
        said = textwrap.shorten(str(error), 120, placeholder="…") or type(error).__name__
        return f"failed at a training step of a tiny model ({said})"
    return ""


@lru_cache
def _difference(device: torch.device, precision: str, trial: Trial) -> float:
    """How far the device is from the CPU in float32, at most. What the trial raises is not remembered."""
    expected, found = trial(CPU, "fp32"), trial(device, precision)
    return float((found.float().cpu() - expected).abs().max())


def step_and_fill(device: torch.device, precision: str) -> Tensor:
    """One step of AdamW on two rows of different lengths, then the trained model's guesses: (1 + 3 * 64,) on the CPU.

    The loss, and the log-probabilities of all 64 words at three targets; the global random state stays as it is.
    """
    model = _tiny_model().to(device)  # type: ignore[arg-type]  # the library's wrapper hides that it is a method
    encoder, head = plain_encoder(model), mlm_head(model)
    assert encoder is not None
    assert head is not None
    token_ids = (torch.arange(16).view(2, 8) * 7 % 59 + 5).to(device)
    attention = (torch.arange(8) < torch.tensor([[8], [5]])).long()  # on the CPU, as in training
    positions, answers = torch.tensor([1, 6, 10]), torch.tensor([9, 30, 57], device=device)

    def log_probs() -> Tensor:
        with autocast(device, precision):
            return head(encoder(token_ids, attention, positions)).float().log_softmax(dim=-1)  # (3, 64)

    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, fused=device.type in ("cpu", "cuda"))
    loss = nn.functional.nll_loss(log_probs(), answers)
    loss.backward()
    optimizer.step()
    with torch.inference_mode():
        filled = log_probs().flatten()
    return torch.cat([loss.detach()[None], filled]).cpu()


def _tiny_model() -> BertForMaskedLM:
    """A BERT of 64 words and two layers, the same every time."""
    sizes: dict[str, Any] = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
    }
    with torch.random.fork_rng(devices=[]):
        model = BertForMaskedLM(BertConfig(vocab_size=64, max_position_embeddings=16, **sizes)).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model
