"""Word vectors from counting neighbours, without training: where a pretraining run's embeddings start.

A small model that sees few tokens spends many of them learning which words are alike; counting tells that in seconds.
Knows token ids only.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

WINDOW = 5  # tokens to each side, nearer ones counted more (1 / distance)
TOKENS_COUNTED = 12_000_000
_PAIRS_AT_ONCE = 2_000_000


def count_vectors(
    token_ids: NDArray[np.integer], *, vocabulary_size: int, width: int, scale: float, seed: int
) -> Tensor:
    """token_ids (N,) -> (V, width) vectors with standard deviation ``scale``.

    The left factor, times the root of the singular values, of the positive pointwise mutual information between words
    and their neighbours, with neighbours smoothed by the power 0.75 (Levy, Goldberg and Dagan 2015, sections 3 and 4),
    turned at random so that no dimension is special. Needs V * V * 4 bytes.
    """
    generator = torch.Generator().manual_seed(seed)
    counts = _neighbour_counts(token_ids[:TOKENS_COUNTED], vocabulary_size)
    words = counts.sum(dim=1, keepdim=True) + 1
    contexts = (words**0.75 / (words**0.75).sum()).T
    information = torch.log(counts / (words * contexts) + 1e-9).clamp_(min=0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        left, singular, _ = torch.svd_lowrank(information, q=min(width + 32, vocabulary_size), niter=3)
    vectors = left[:, :width] * singular[:width].sqrt()
    vectors = nn.functional.pad(vectors, (0, width - vectors.shape[1]))  # there are no more dimensions than words
    turn, _ = torch.linalg.qr(torch.randn(width, width, generator=generator))
    vectors = vectors @ turn
    vectors = vectors - vectors.mean(dim=0)
    return vectors * (scale / vectors.std())


def _neighbour_counts(token_ids: NDArray[np.integer], vocabulary_size: int) -> Tensor:
    """(V, V) symmetric: how often two tokens stand within the window, weighted by 1 / distance."""
    counts = torch.zeros(vocabulary_size * vocabulary_size)
    for distance in range(1, WINDOW + 1):
        weight = torch.tensor(1.0 / distance)
        for start in range(0, len(token_ids) - distance, _PAIRS_AT_ONCE):
            end = min(start + _PAIRS_AT_ONCE, len(token_ids) - distance)
            left = torch.from_numpy(token_ids[start:end].astype(np.int64))
            right = torch.from_numpy(token_ids[start + distance : end + distance].astype(np.int64))
            counts.index_add_(0, left * vocabulary_size + right, weight.expand(end - start))
    square = counts.view(vocabulary_size, vocabulary_size)
    return square + square.T
