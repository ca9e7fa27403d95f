"""Vectors from counted neighbours: the formula, however the table is cut, and words alike that stand alike."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bertdemo.mlm.training import word_vectors
from bertdemo.mlm.training.word_vectors import WINDOW, count_vectors

SIZE = 23
TOKENS = np.random.default_rng(0).choice(SIZE - 3, 400, p=np.arange(1, 21) / 210).astype(np.uint16)  # three never occur


def by_hand() -> torch.Tensor:
    """(V, V) positive pointwise mutual information, pair by pair."""
    counts = np.zeros((SIZE, SIZE))
    for place, word in enumerate(TOKENS):
        for other in range(max(0, place - WINDOW), min(len(TOKENS), place + WINDOW + 1)):
            if other != place:
                counts[word, TOKENS[other]] += 1 / abs(place - other)
    words = counts.sum(axis=1) + 1
    neighbours = words**0.75 / (words**0.75).sum()
    positive = np.zeros((SIZE, SIZE))
    for word, other in np.argwhere(counts > 0):
        positive[word, other] = max(0.0, math.log(counts[word, other] / (words[word] * neighbours[other])))
    return torch.from_numpy(positive).float()


@pytest.mark.parametrize("cells", [1, 100, 10_000])
def test_the_table_is_the_formulas_however_it_is_cut(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_vectors, "_CELLS_AT_ONCE", cells)
    monkeypatch.setattr(word_vectors, "_POSITIONS_AT_ONCE", 37)
    blocks = word_vectors._information(TOKENS, SIZE)
    assert len(blocks) == {1: 23, 100: 6, 10_000: 1}[cells]
    table, expected = torch.cat([block.to_dense() for block in blocks]), by_hand()
    assert torch.allclose(table, expected, atol=1e-4)
    assert sum(block.values().numel() for block in blocks) == (expected > 1e-6).sum()  # only what is there is held
    left, singular = word_vectors._low_rank(blocks, torch.randn(SIZE, SIZE, generator=torch.Generator().manual_seed(0)))
    assert torch.allclose(singular, torch.linalg.svdvals(expected), atol=1e-3)
    assert torch.allclose(left.T @ left, torch.eye(SIZE), atol=1e-2)


def test_words_in_the_same_company_get_alike_vectors() -> None:
    """Words 2i and 2i + 1 stand between the same neighbours."""
    random = np.random.default_rng(1)
    groups = random.integers(0, 10, 4000)
    tokens = np.concatenate([[30 + group, 2 * group + random.integers(2), 50 + group] for group in groups])
    vectors = count_vectors(tokens, vocabulary_size=60, width=16, scale=0.02, seed=0)
    assert vectors.shape == (60, 16)
    assert vectors.std().item() == pytest.approx(0.02, rel=1e-4)
    alike = torch.nn.functional.normalize(vectors[:20], dim=1)
    alike = (alike @ alike.T).fill_diagonal_(-1).argmax(dim=1)
    assert alike.tolist() == [place ^ 1 for place in range(20)]
