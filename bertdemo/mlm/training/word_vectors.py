"""Word vectors from counting neighbours, without training: where a pretraining run's embeddings start.

A small model that sees few tokens spends many of them learning which words are alike; counting tells that in seconds.
Knows token ids only.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

WINDOW = 5  # tokens to each side, nearer ones counted more (1 / distance)
TOKENS_COUNTED = 12_000_000
_CELLS_AT_ONCE = 1 << 25  # of the table of counts, as a dense block: 128 MiB
_POSITIONS_AT_ONCE = 1 << 20
_POWER_ITERATIONS = 3


def count_vectors(
    token_ids: NDArray[np.integer], *, vocabulary_size: int, width: int, scale: float, seed: int
) -> Tensor:
    """token_ids (N,) -> (V, width) vectors with standard deviation ``scale``.

    The left factor, times the root of the singular values, of the positive pointwise mutual information between words
    and their neighbours, with neighbours smoothed by the power 0.75 (Levy, Goldberg and Dagan 2015, sections 3 and 4),
    turned at random so that no dimension is special. The table is held sparse, 8 bytes a pair of neighbours: there are
    at most 2 * ``WINDOW`` pairs a token counted, so 0.96 GB, and in real text about a third of that. Some 0.5 GB come
    on top for one dense block of it, and (V, width) vectors a few times.
    """
    token_ids = token_ids[:TOKENS_COUNTED]
    blocks = _information(token_ids, vocabulary_size)
    generator = torch.Generator().manual_seed(seed)
    rank = min(width + 32, vocabulary_size)  # 32 more than wanted: the last directions of a random basis are rough
    left, singular = _low_rank(blocks, torch.randn(vocabulary_size, rank, generator=generator))
    vectors = left[:, :width] * singular[:width].sqrt()
    vectors = nn.functional.pad(vectors, (0, width - vectors.shape[1]))  # there are no more dimensions than words
    # Sorted by size, the first dimensions would carry nearly all, while LayerNorm and AdamW treat all dimensions alike.
    turn, _ = torch.linalg.qr(torch.randn(width, width, generator=generator))
    vectors = vectors @ turn
    vectors = vectors - vectors.mean(dim=0)
    return vectors * (scale / vectors.std())


def _information(token_ids: NDArray[np.integer], vocabulary_size: int) -> list[Tensor]:
    """The positive pointwise mutual information (V, V) of a word (row) and a neighbour (column), as blocks of rows.

    log p(word, neighbour) / (p(word) p(neighbour)) where that is above 0, else nothing: most pairs never meet.
    """
    words = torch.from_numpy(_neighbours_by_word(token_ids, vocabulary_size)) + 1  # a word that never occurs: not 1 / 0
    smoothed = words**0.75
    neighbours = (smoothed / smoothed.sum()).float()
    blocks, rows = [], max(1, _CELLS_AT_ONCE // vocabulary_size)
    for first in range(0, vocabulary_size, rows):
        last = min(first + rows, vocabulary_size)
        counts = _neighbour_counts(token_ids, vocabulary_size, first=first, last=last)
        information = counts.div_(words[first:last, None].float()).div_(neighbours).log_().clamp_(min=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch calls its sparse tensors a beta, at each of them
            sparse = information.to_sparse_csr()
            places = (sparse.crow_indices().int(), sparse.col_indices().int())  # half the memory of int64
            blocks.append(torch.sparse_csr_tensor(*places, sparse.values(), sparse.shape))
    return blocks


def _neighbours_by_word(token_ids: NDArray[np.integer], vocabulary_size: int) -> NDArray[np.float64]:
    """(V,) the sum of each row of the counts."""
    sums = np.zeros(vocabulary_size)
    for distance in range(1, WINDOW + 1):
        for side in (token_ids[:-distance], token_ids[distance:]):
            sums += np.bincount(side, minlength=vocabulary_size) / distance
    return sums


def _neighbour_counts(token_ids: NDArray[np.integer], vocabulary_size: int, *, first: int, last: int) -> Tensor:
    """(last - first, V) how often two tokens stand within the window, weighted by 1 / distance; the first token's id is
    from ``first`` up to ``last``."""
    counts = torch.zeros((last - first) * vocabulary_size)
    for positions in _positions_of(token_ids, first=first, last=last):
        rows = (token_ids[positions].astype(np.int64) - first) * vocabulary_size
        for offset in (*range(-WINDOW, 0), *range(1, WINDOW + 1)):
            others = positions + offset
            inside = (others >= 0) & (others < len(token_ids))
            cells = torch.from_numpy(rows[inside] + token_ids[others[inside]])
            counts.index_add_(0, cells, torch.tensor(1.0 / abs(offset)).expand(len(cells)))
    return counts.view(last - first, vocabulary_size)


def _positions_of(token_ids: NDArray[np.integer], *, first: int, last: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(token_ids), _POSITIONS_AT_ONCE):
        part = token_ids[start : start + _POSITIONS_AT_ONCE]
        yield start + np.flatnonzero((part >= first) & (part < last))


def _low_rank(blocks: list[Tensor], start: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of A (V, V) in blocks, start (V, rank) random -> left singular vectors (V, rank), singular values (rank,).

    Randomised subspace iteration (Halko, Martinsson and Tropp 2011, algorithms 4.4 and 5.1), as in
    ``torch.svd_lowrank``, which takes no blocks.
    """
    heights = [len(block) for block in blocks]

    def times(dense: Tensor) -> Tensor:
        return torch.cat([block @ dense for block in blocks])

    def transposed_times(dense: Tensor) -> Tensor:
        parts = zip(blocks, dense.split(heights), strict=True)
        first, part = next(parts)
        product = first.t() @ part
        for block, part in parts:
            product += block.t() @ part
        return product

    basis, _ = torch.linalg.qr(times(start))
    for _ in range(_POWER_ITERATIONS):
        basis, _ = torch.linalg.qr(transposed_times(basis))
        basis, _ = torch.linalg.qr(times(basis))
    rest = transposed_times(basis).double()  # (V, rank)
    squares, left = torch.linalg.eigh(rest.T @ rest)  # ascending; a tenth of the work of a full decomposition
    return basis @ left.flip(1).float(), squares.flip(0).clamp_(min=0).sqrt().float()
