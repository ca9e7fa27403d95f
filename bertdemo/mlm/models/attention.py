"""Attention within each row, and rows of different lengths laid end to end so that no work goes into padding.

The same numbers from each way, in the one that is fast where it runs. On a CPU, training and bf16 take two batched
matrix products: PyTorch's fused attention takes several times as long in its backward pass there, and twice as long in
bf16; only rows beyond ``MAX_BMM_LENGTH`` are left to it. On a GPU rows stay end to end ("varlen", as FlashAttention
takes them), where PyTorch has that and it agrees with the plain way on a small example. Knows no weights.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from .devices import CPU, on_its_way

try:
    from torch.nn.attention.varlen import varlen_attn
except ImportError:  # a build or a release without it: rows are padded for attention
    varlen_attn = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)

TOLERANCE = 0.02  # of bf16 against float32, on numbers of size 1
MAX_BMM_LENGTH = 1024  # tokens: the products keep T x T numbers a head, and win no more time beyond
# On a CPU oneDNN prepares each product for its size, which takes as long as many of them: with packed rows filled up
# to a multiple of 32 there are few sizes, for at most 31 tokens of padding among some thousand.
ROUND_UP = 32


@dataclass(frozen=True)
class PackedRows:
    """B rows of T places each, of which R are worked on: all of them, or only those that hold a token.

    ``token_indices`` (R,) are those that are worked on, counted through all rows, in order; None for all. On a CPU a
    little padding may follow, which nobody looks at or asks. ``real`` (B, T) bool is where a token may look, or None.
    """

    shape: tuple[int, int]
    token_indices: Tensor | None = None
    real: Tensor | None = None
    device: torch.device = CPU  # where the rows are worked on

    def to(self, device: torch.device) -> PackedRows:
        """The same for a device: what was found out on the CPU goes there without waiting for it."""
        if device == self.device:
            return self
        parts = (self.token_indices, self.real)
        token_indices, real = (None if part is None else on_its_way(part, device) for part in parts)
        return PackedRows(self.shape, token_indices, real, device)

    @property
    def num_tokens(self) -> int:
        """R."""
        return self.shape[0] * self.shape[1] if self.token_indices is None else len(self.token_indices)

    def pack(self, padded: Tensor) -> Tensor:
        """(B * T, ...) -> (R, ...)."""
        return padded if self.token_indices is None else padded.index_select(0, self.token_indices)

    def unpack(self, packed: Tensor) -> Tensor:
        """(R, H) -> (B, T, H), with zeros where nothing was worked on."""
        batch, length = self.shape
        if self.token_indices is not None:
            padded = packed.new_zeros(batch * length, packed.shape[-1])
            packed = padded.index_copy(0, self.token_indices, packed)
        return packed.view(batch, length, -1)

    def within(self, positions: Tensor) -> Tensor:
        """positions (N,) counted through all rows -> where they are among the R."""
        if self.token_indices is None:
            return positions
        batch, length = self.shape
        order = torch.zeros(batch * length, dtype=torch.int64, device=self.token_indices.device)
        order[self.token_indices] = torch.arange(len(self.token_indices), device=self.token_indices.device)
        return order[positions]

    def evenly_spread(self, positions: Tensor) -> bool:
        """Whether nothing is left out, and the N > 0 positions are N / B of each row, row by row."""
        batch, length = self.shape
        if self.token_indices is not None or self.real is not None or not len(positions) or len(positions) % batch:
            return False
        if batch == 1:
            return True
        in_turn = torch.arange(batch, device=positions.device).repeat_interleave(len(positions) // batch)
        return torch.equal(positions // length, in_turn)

    def columns(self) -> Tensor:
        """(R,): the place of each in its own row, which is what a position embedding is of."""
        batch, length = self.shape
        if self.token_indices is None:
            return torch.arange(length, device=self.device).repeat(batch)
        return self.token_indices % length

    def lengths(self) -> Tensor:
        """(B,): how many tokens of each row are worked on; padding that only fills up is none."""
        batch, length = self.shape
        if self.real is None or self.token_indices is None:
            return torch.full((batch,), length, device=self.device)
        return self.real.sum(dim=1)

    @cached_property
    def ends(self) -> Tensor:
        """(B + 1,) int32: where each row ends among those laid end to end, behind a first 0."""
        return nn.functional.pad(self.lengths().cumsum(0), (1, 0)).to(torch.int32)


def packed_rows(
    attention_mask: Tensor | None, positions: Tensor, *, shape: tuple[int, int], fill_up: bool = True
) -> PackedRows:
    """Leave padding out, unless something is wanted there: attention_mask (B, T) or None, positions (N,).

    How many tokens are left, and whether any is wanted among the padding, depends on the data: on a GPU that would have
    to be waited for, so mask and positions should be on the CPU still. ``fill_up``: for products that a CPU computes.

    >>> packed_rows(torch.tensor([[1, 1, 0], [1, 1, 1]]), torch.tensor([1, 4]), shape=(2, 3)).token_indices.tolist()
    [0, 1, 3, 4, 5]
    """
    if attention_mask is None:
        return PackedRows(shape, device=positions.device)
    real = attention_mask != 0
    if not bool(real.flatten()[positions].all()):
        return PackedRows(shape, real=real, device=real.device)
    token_indices = real.flatten().nonzero()[:, 0]
    if fill_up:
        spare = (~real).flatten().nonzero()[:, 0]
        fillers = -len(token_indices) % ROUND_UP
        if fillers <= len(spare):
            token_indices = torch.cat([token_indices, spare[:fillers]])
    return PackedRows(shape, token_indices, real, real.device)


def attend(query: Tensor, key: Tensor, value: Tensor, *, rows: PackedRows, heads: int, dropout: float) -> Tensor:
    """softmax(query key^T / sqrt(D)) value in each row (Vaswani et al. 2017, section 3.2.1): (R, H) -> (R, H).

    Of rows that leave nothing out, fewer may be queries: query (N, H), as many from each row -> (N, H).
    """
    if len(query) == len(key) and _is_varlen(query, rows, heads=heads, dropout=dropout):
        return _attend_varlen(query, key, value, rows=rows, heads=heads)
    key, value = (_by_heads(rows.unpack(part), heads) for part in (key, value))  # (B, heads, T, D)
    all_tokens = len(query) == rows.num_tokens
    query = _by_heads(rows.unpack(query) if all_tokens else query.view(rows.shape[0], -1, query.shape[-1]), heads)
    real = None if rows.real is None else rows.real[:, None, None, :]  # (B, 1, 1, T)
    attended = attend_by_heads(query, key, value, mask=real, dropout=dropout)
    attended = attended.transpose(1, 2).flatten(2).flatten(0, 1)  # (B, heads, T, D) -> (B * T, H)
    return rows.pack(attended) if all_tokens else attended


def attend_by_heads(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """The same for padded rows: (B, heads, T, D) -> (B, heads, T, D).

    mask (B, 1, 1 or T, T): bool, True where a token may look, or a number to be added; None for everywhere.
    """
    slow_when_fused = torch.is_grad_enabled() or query.dtype == torch.bfloat16
    if query.device.type != "cpu" or not slow_when_fused or key.shape[2] > MAX_BMM_LENGTH:
        return scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout, scale=scaling)
    if mask is not None and mask.dtype == torch.bool:
        mask = torch.zeros_like(mask, dtype=query.dtype).masked_fill_(~mask, -math.inf)
    return bmm_attention(query, key, value, bias=mask, scaling=scaling, dropout=dropout)


def _by_heads(padded: Tensor, heads: int) -> Tensor:
    """(B, T, H) -> (B, heads, T, D)."""
    return padded.unflatten(-1, (heads, -1)).transpose(1, 2)


def bmm_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    bias: Tensor | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """softmax(query key^T * scaling + bias) value: (B, heads, T, D) -> the same; bias (B, 1, 1 or T, T) or None."""
    (batch, heads, queries, width), length = query.shape, key.shape[2]
    scaling = width**-0.5 if scaling is None else scaling
    # baddbmm adds, scales and multiplies in one pass over the scores. It has no form without something to add: where
    # nothing is, beta = 0 tells it not even to read the zero that it is given.
    if bias is None:
        added, beta = query.new_zeros(1, 1, 1), 0
    else:
        added, beta = bias.expand(batch, heads, -1, -1).reshape(batch * heads, -1, length), 1
    keys, values = (part.reshape(-1, length, width) for part in (key, value))  # (B * heads, T, D)
    scores = torch.baddbmm(
        added, query.reshape(-1, queries, width), keys.transpose(1, 2), beta=beta, alpha=scaling
    )  # (B * heads, queries, T)
    attention_probs = scores.softmax(dim=-1)
    if dropout:
        attention_probs = nn.functional.dropout(attention_probs, dropout)
    return torch.bmm(attention_probs, values).view(batch, heads, queries, width)


def _is_varlen(query: Tensor, rows: PackedRows, *, heads: int, dropout: float) -> bool:
    """Whether rows stay end to end: on a GPU, in half precision, without dropout, which the kernel does not draw."""
    if query.device.type != "cuda" or dropout or query.dtype not in (torch.bfloat16, torch.float16):
        return False
    if rows.real is not None and rows.token_indices is None:
        return False  # padding is worked on as well, and its keys must be hidden
    return varlen_attn is not None and varlen_agrees(query.device, width=query.shape[-1] // heads)


def _attend_varlen(query: Tensor, key: Tensor, value: Tensor, *, rows: PackedRows, heads: int) -> Tensor:
    query, key, value = (part.unflatten(-1, (heads, -1)) for part in (query, key, value))  # (R, heads, D)
    longest = rows.shape[1]
    attended = varlen_attn(query, key, value, rows.ends, rows.ends, longest, longest)
    assert isinstance(attended, Tensor)  # a pair where the sums of the softmax are asked for as well
    return attended.flatten(1)


@lru_cache
def varlen_agrees(device: torch.device, *, width: int) -> bool:
    """Whether attention of variable lengths works on this GPU, backwards too, and agrees with the plain way.

    Asked for each ``width`` of a head: the kernels take only some, which differ from GPU to GPU.
    """
    generator = torch.Generator().manual_seed(0)
    real = (torch.arange(8) < torch.tensor([[8], [4]])).to(device)
    rows = PackedRows((2, 8), real.flatten().nonzero()[:, 0], real, real.device)
    with torch.inference_mode(mode=False), torch.enable_grad():
        parts = [torch.randn(12, 2 * width, generator=generator).to(device, torch.bfloat16) for _ in range(3)]
        query, key, value = (part.requires_grad_() for part in parts)
        try:
            found = _attend_varlen(query, key, value, rows=rows, heads=2)
            found.float().square().sum().backward()
        except (RuntimeError, TypeError, NotImplementedError) as error:
            logger.info("attention of variable lengths is not used: %s", error)
            return False
    expected = attend(*(part.detach().float() for part in parts), rows=rows, heads=2, dropout=0.0)  # the plain way
    agrees = torch.allclose(found.detach().float(), expected, atol=TOLERANCE, rtol=TOLERANCE)
    return agrees and all(part.grad is not None and bool(part.grad.isfinite().all()) for part in parts)
