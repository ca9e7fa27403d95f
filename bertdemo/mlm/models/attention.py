"""Attention within each row, in the way that is fast where it runs: the same numbers from each. Knows no weights.

On a CPU, training and bf16 take two batched products: PyTorch's fused attention takes several times as long in its
backward pass there, and twice as long in bf16; only rows beyond ``LONGEST_PRODUCTS`` are left to it. On a GPU rows of
different lengths stay end to end, as FlashAttention's variable lengths allow, where PyTorch has them and they agree
with the plain way on a small example.
"""

from __future__ import annotations

import logging
import math
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from .packing import PackedRows

try:
    from torch.nn.attention.varlen import varlen_attn
except ImportError:  # torch before 2.10
    varlen_attn = None

logger = logging.getLogger(__name__)

TOLERANCE = 0.02  # of bf16 against float32, on numbers of size 1
LONGEST_PRODUCTS = 1024  # tokens: the products keep T x T numbers a head, and win no more time beyond


def attend(query: Tensor, key: Tensor, value: Tensor, *, rows: PackedRows, heads: int, dropout: float) -> Tensor:
    """softmax(query key^T / sqrt(D)) value in each row (Vaswani et al. 2017, section 3.2.1): (R, H) -> (R, H).

    Of rows that leave nothing out, fewer may ask: query (N, H), as many from each row -> (N, H).
    """
    if len(query) == len(key) and _end_to_end(query, rows, heads=heads, dropout=dropout):
        return _attend_end_to_end(query, key, value, rows=rows, heads=heads)
    key, value = (_by_heads(rows.unpack(part), heads) for part in (key, value))  # (B, heads, T, D)
    asking_all = len(query) == rows.worked_on
    query = _by_heads(rows.unpack(query) if asking_all else query.view(rows.shape[0], -1, query.shape[-1]), heads)
    real = None if rows.real is None else rows.real[:, None, None, :]  # (B, 1, 1, T)
    attended = attend_by_heads(query, key, value, mask=real, dropout=dropout)
    attended = attended.transpose(1, 2).flatten(2).flatten(0, 1)
    return rows.pack(attended) if asking_all else attended


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
    if query.device.type != "cpu" or not slow_when_fused or key.shape[2] > LONGEST_PRODUCTS:
        return scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout, scale=scaling)
    if mask is not None and mask.dtype == torch.bool:
        mask = torch.zeros_like(mask, dtype=query.dtype).masked_fill_(~mask, -math.inf)
    return batched_products(query, key, value, bias=mask, scaling=scaling, dropout=dropout)


def _by_heads(padded: Tensor, heads: int) -> Tensor:
    """(B, T, H) -> (B, heads, T, D)."""
    return padded.unflatten(-1, (heads, -1)).transpose(1, 2)


def batched_products(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    bias: Tensor | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """softmax(query key^T * scaling + bias) value: (B, heads, T, D) -> the same; bias (B, 1, 1 or T, T) or None."""
    (batch, heads, asking, width), length = query.shape, key.shape[2]
    scaling = width**-0.5 if scaling is None else scaling
    if bias is None:
        added = query.new_zeros(1, 1, 1)
    else:
        added = bias.expand(batch, heads, -1, -1).reshape(batch * heads, -1, length)
    queries = query.reshape(-1, asking, width)
    keys, values = (part.reshape(-1, length, width) for part in (key, value))
    beta = 0 if bias is None else 1
    scores = torch.baddbmm(added, queries, keys.transpose(1, 2), beta=beta, alpha=scaling)  # (B * heads, T, T)
    shares = nn.functional.dropout(scores.softmax(dim=-1), dropout) if dropout else scores.softmax(dim=-1)
    return torch.bmm(shares, values).view(batch, heads, asking, width)


def _end_to_end(query: Tensor, rows: PackedRows, *, heads: int, dropout: float) -> bool:
    if query.device.type != "cuda" or dropout or query.dtype not in (torch.bfloat16, torch.float16):
        return False
    if rows.real is not None and rows.places is None:
        return False  # padding is worked on as well, and its keys must be hidden
    return varlen_agrees(query.device, width=query.shape[-1] // heads)


def _attend_end_to_end(query: Tensor, key: Tensor, value: Tensor, *, rows: PackedRows, heads: int) -> Tensor:
    ends = nn.functional.pad(rows.lengths().cumsum(0), (1, 0)).to(query.device, torch.int32)  # (B + 1,)
    query, key, value = (part.unflatten(-1, (heads, -1)) for part in (query, key, value))  # (R, heads, D)
    longest = rows.shape[1]
    return varlen_attn(query, key, value, ends, ends, longest, longest).flatten(1)


@lru_cache
def varlen_agrees(device: torch.device, *, width: int) -> bool:
    """Whether attention of variable lengths works on this GPU, backwards too, and agrees with the plain way.

    Asked for each ``width`` of a head: the kernels take only some, which differ from GPU to GPU.
    """
    if varlen_attn is None:
        return False
    generator = torch.Generator().manual_seed(0)
    real = (torch.arange(8) < torch.tensor([[8], [4]])).to(device)
    rows = PackedRows((2, 8), real.flatten().nonzero()[:, 0], real)
    with torch.inference_mode(mode=False), torch.enable_grad():
        parts = [torch.randn(12, 2 * width, generator=generator).to(device, torch.bfloat16) for _ in range(3)]
        query, key, value = (part.requires_grad_() for part in parts)
        try:
            found = _attend_end_to_end(query, key, value, rows=rows, heads=2)
            found.float().square().sum().backward()
        except (RuntimeError, TypeError, NotImplementedError) as error:
            logger.info("attention of variable lengths is not used: %s", error)
            return False
    expected = attend(*(part.detach().float() for part in parts), rows=rows, heads=2, dropout=0.0)  # not end to end
    agrees = torch.allclose(found.detach().float(), expected, atol=TOLERANCE, rtol=TOLERANCE)
    return agrees and all(part.grad is not None and bool(part.grad.isfinite().all()) for part in parts)
