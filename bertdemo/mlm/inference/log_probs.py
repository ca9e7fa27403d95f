"""Exact log-probabilities at chosen positions: the one place where predictions leave the model.

Always ``eval()``, without gradients, softmax in float32 over the whole vocabulary. Knows no text. B rows of T tokens,
N positions, V the vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ..errors import SettingsError
from ..models.masked_lm import MaskedLM
from ..models.precision import autocast
from ..settings import PRECISIONS


def log_probabilities_at(
    masked_lm: MaskedLM,
    rows: Sequence[Sequence[int]],
    positions: Sequence[Sequence[int]],
    *,
    precision: str = "fp32",
) -> Tensor:
    """rows (B, T) of token ids, all of one length, positions in each -> log-probabilities (N, V) in nats, on the CPU.

    N counts all positions, row by row; logits are computed only there.

    Raises:
        SettingsError: ``precision`` is neither fp32 nor bf16.
    """
    if precision not in PRECISIONS:
        raise SettingsError(f"The precision must be {' or '.join(PRECISIONS)}, but is {precision!r}.")
    token_ids = torch.tensor(rows, device=masked_lm.device)  # (B, T)
    length = token_ids.shape[1]
    wanted = [row * length + position for row, places in enumerate(positions) for position in places]
    with evaluating(masked_lm.model), torch.inference_mode(), autocast(masked_lm.device, precision):
        logits = masked_lm.logits_at(token_ids, None, positions=torch.tensor(wanted, device=masked_lm.device))
    return torch.log_softmax(logits.float(), dim=-1).cpu()


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """``eval()`` for the block; a model in training goes back to ``train()``, a shared one is never written to."""
    training = model.training
    if training:
        model.eval()
    try:
        yield
    finally:
        if training:
            model.train()


def entropy_bits(log_probabilities: Tensor) -> float:
    """log-probabilities (V,) in nats -> Shannon entropy in bits; two equally likely tokens give 1.

    >>> entropy_bits(torch.tensor([0.5, 0.5]).log())
    1.0
    """
    return float(torch.special.entr(log_probabilities.exp()).sum() / math.log(2))
