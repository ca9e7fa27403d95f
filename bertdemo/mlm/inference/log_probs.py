"""Exact log-probabilities at chosen positions, and what is read from them: ranks, entropy, divergence.

The one place where predictions leave the model: always ``eval()``, without gradients, softmax in float32 over the whole
vocabulary. Knows no text. B rows of T tokens, N positions, V the vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import ModelError, SettingsError, TextError
from ..models.devices import autocast
from ..models.masked_lm import MAX_LOGITS, MaskedLM, evaluating
from ..settings import PRECISIONS

MAX_TOKENS = 4096  # in one forward pass: BERT base's widest layer then holds 4096 x 3072 numbers, 50 MB in float32
WORK_LIMIT = 1 << 20  # tokens read for one request, all rows together: some minutes for a large model and a small CPU


def log_probabilities_at(
    masked_lm: MaskedLM,
    rows: Sequence[Sequence[int]],
    positions: Sequence[Sequence[int]],
    *,
    precision: str = "fp32",
) -> Tensor:
    """rows (B, T) of token ids, all of one length, positions in each -> log-probabilities (N, V) in nats, on the CPU.

    N counts all positions, row by row; logits are computed only there. An architecture whose code cannot do bf16 is
    computed in float32 (``precision_notes`` says so).

    Raises:
        SettingsError: ``precision`` is neither fp32 nor bf16.
        ModelError: the model's numbers are not finite, or the library's code cannot read such rows.
    """
    if precision not in PRECISIONS:
        raise SettingsError(f"The precision must be {' or '.join(PRECISIONS)}, but is {precision!r}.")
    token_ids = torch.tensor(rows, device=masked_lm.device)  # (B, T)
    length = token_ids.shape[1]
    wanted = [row * length + position for row, chosen in enumerate(positions) for position in chosen]
    usable = masked_lm.usable_precision(precision)
    with evaluating(masked_lm.model), torch.inference_mode(), autocast(masked_lm.device, usable):
        logits = masked_lm.logits_at(token_ids, None, positions=torch.tensor(wanted))
    log_probs = torch.log_softmax(logits.float(), dim=-1).cpu()
    if log_probs.isnan().any():
        raise ModelError(
            f"{masked_lm.ref.label!r} gives numbers that are not finite (NaN), so its weights are damaged or its"
            " training fell apart; choose another model."
        )
    return log_probs


def log_probabilities(
    masked_lm: MaskedLM, token_ids: Tensor, positions: Tensor, *, precision: str = "fp32"
) -> Iterator[Tensor]:
    """token_ids (N, T) without padding, one position a row (N,) -> batches of log-probabilities (n, V), nats, float32.

    The batches follow the order of the rows and lie on the CPU; together they hold N rows.

    Raises:
        SettingsError, ModelError: as ``log_probabilities_at``.
    """
    rows_at_once = max(1, min(MAX_TOKENS // token_ids.shape[1], MAX_LOGITS // masked_lm.vocabulary_size))
    for rows, places in zip(token_ids.split(rows_at_once), positions.split(rows_at_once), strict=True):
        yield log_probabilities_at(masked_lm, rows.tolist(), places[:, None].tolist(), precision=precision)


def precision_notes(masked_lm: MaskedLM, precision: str) -> list[str]:
    """A note where ``precision`` was asked for and cannot be had."""
    if masked_lm.usable_precision(precision) == precision:
        return []
    kind = masked_lm.model.config.model_type
    return [f"The library's code for {kind} models cannot compute in bf16, so this was computed in float32."]


def check_work(rows: int, length: int) -> None:
    """Raise TextError where hiding one thing after another would read more than ``WORK_LIMIT`` tokens."""
    if rows * length > WORK_LIMIT:
        raise TextError(
            f"The text has {rows:,} parts to hide in turn, too many for {length:,} tokens at once; shorten it."
        )


def hide(token_ids: Tensor, hidden: Tensor, *, mask_token_id: int) -> Tensor:
    """token_ids (T,), hidden (N, T) bool -> N copies (N, T), the mask token where hidden.

    (5, 6, 7) and ((True, False, False), (False, True, True)) -> ((mask, 6, 7), (5, mask, mask)).
    """
    return token_ids.expand(len(hidden), -1).masked_fill(hidden, mask_token_id)


def ranks_of(scores: Tensor, token_ids: Tensor) -> Tensor:
    """scores (N, V), logits or their logarithms, one token a row (N,) -> ranks (N,), 1 = the first guess.

    Ties count as won. What is not a number (NaN) comes last: it compares as smaller than nothing, and would be first.

    >>> ranks_of(torch.tensor([[-1.0, -3.0, -2.0], [-1.0, -2.0, math.nan]]), torch.tensor([2, 2])).tolist()
    [2, 3]
    """
    own = scores.gather(1, token_ids[:, None])  # (N, 1)
    ranks = (scores > own).sum(dim=1) + 1
    return ranks.where(~own[:, 0].isnan(), scores.shape[1])


def entropy_bits(log_probabilities: Tensor) -> float:
    """log-probabilities (V,) in nats -> Shannon entropy in bits; two equally likely tokens give 1.

    >>> entropy_bits(torch.tensor([0.5, 0.5]).log())
    1.0
    """
    return float(torch.special.entr(log_probabilities.exp()).sum() / math.log(2))


def divergence_parts(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each outcome's share (V,), never negative, of the Jensen-Shannon divergence in bits (Lin 1991, section 4).

    The sum lies between 0, where both are equal, and 1, where no outcome is possible in both.

    >>> divergence_parts(np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    array([0.5, 0.5])
    """
    middle = (before + after) / 2
    parts = np.zeros_like(middle)
    for side in (before, after):
        possible = side > 0
        parts[possible] += side[possible] / 2 * np.log2(side[possible] / middle[possible])
    return np.maximum(parts, 0.0)


def log2_ratio(before: float, after: float) -> float:
    """How many times a probability doubled, from two natural log-probabilities.

    >>> log2_ratio(math.log(0.1), math.log(0.4))
    2.0
    """
    return (after - before) / math.log(2)
