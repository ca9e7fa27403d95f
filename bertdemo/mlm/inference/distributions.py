"""What a masked language model expects at one position of each row, and how two such expectations differ.

Works on token ids and log-probabilities; knows no text. The logits of all other positions are never computed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..errors import TextError
from ..models.masked_lm import MaskedLM
from .log_probs import log_probabilities_at

TOKENS_AT_ONCE = 4096  # tokens in one forward pass: bounds the memory of the encoder
LOGITS_AT_ONCE = 1 << 25  # logits in one forward pass: 128 MiB in float32
WORK_LIMIT = (
    1 << 20
)  # tokens read for one request, all rows together: some minutes for a large model on a small machine


def log_probabilities(
    masked_lm: MaskedLM, token_ids: Tensor, positions: Tensor, *, precision: str = "fp32"
) -> Iterator[Tensor]:
    """token_ids (N, T) without padding, one position a row (N,) -> batches of log-probabilities (n, V), nats, float32.

    The batches follow the order of the rows and lie on the CPU; together they hold N rows.

    Raises:
        SettingsError: ``precision`` is neither fp32 nor bf16.
    """
    rows_at_once = max(1, min(TOKENS_AT_ONCE // token_ids.shape[1], LOGITS_AT_ONCE // masked_lm.vocabulary_size))
    for rows, places in zip(token_ids.split(rows_at_once), positions.split(rows_at_once), strict=True):
        yield log_probabilities_at(masked_lm, rows.tolist(), places[:, None].tolist(), precision=precision)


def check_work(rows: int, length: int) -> None:
    """Raise TextError where hiding one thing after another would read more than ``WORK_LIMIT`` tokens."""
    if rows * length > WORK_LIMIT:
        raise TextError(
            f"The text has {rows:,} parts to hide in turn, too many for {length:,} tokens at once; shorten it."
        )


def ranks_of(log_probs: Tensor, token_ids: Tensor) -> Tensor:
    """log_probs (N, V), one token a row (N,) -> ranks (N,), 1 = the first guess; ties count as won.

    Log-probabilities (-1, -3, -2) and token 2 -> rank 2.
    """
    return (log_probs > log_probs.gather(1, token_ids[:, None])).sum(dim=1) + 1


def hide(token_ids: Tensor, hidden: Tensor, *, mask_token_id: int) -> Tensor:
    """token_ids (T,), hidden (N, T) bool -> N copies (N, T), the mask token where hidden.

    (5, 6, 7) and ((True, False, False), (False, True, True)) -> ((mask, 6, 7), (5, mask, mask)).
    """
    return token_ids.expand(len(hidden), -1).masked_fill(hidden, mask_token_id)


def divergence_parts(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each outcome's share (V,), never negative, of the Jensen-Shannon divergence in bits (Lin 1991).

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
