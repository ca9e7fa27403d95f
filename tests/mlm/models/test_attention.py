"""Every way of attention gives what the formula says, for rows of different lengths."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from bertdemo.mlm.models import attention
from bertdemo.mlm.models.attention import PackedRows, attend, packed_rows

HEADS, WIDTH, LENGTHS = 2, 16, (7, 3, 5)


def ragged() -> tuple[PackedRows, list[torch.Tensor]]:
    """Three rows packed end to end, and query, key and value (15, 16)."""
    real = (torch.arange(7) < torch.tensor(LENGTHS)[:, None]).long()
    rows = packed_rows(real, torch.tensor([0, 8]), shape=(3, 7))
    generator = torch.Generator().manual_seed(0)
    return rows, [torch.randn(sum(LENGTHS), WIDTH, generator=generator) for _ in range(3)]


def by_the_formula(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Row by row and head by head, with nothing to hide."""
    rows = []
    for q, k, v in zip(*(part.split(LENGTHS) for part in (query, key, value)), strict=True):
        heads = zip(*(part.chunk(HEADS, dim=1) for part in (q, k, v)), strict=True)
        rows.append(torch.cat([(a @ b.t() / math.sqrt(a.shape[1])).softmax(dim=1) @ c for a, b, c in heads], dim=1))
    return torch.cat(rows)


@pytest.mark.parametrize("training", [True, False])
def test_each_row_attends_to_itself_alone(training: bool) -> None:
    rows, parts = ragged()
    with torch.set_grad_enabled(training):
        found = attend(*parts, rows=rows, heads=HEADS, dropout=0.0)
    torch.testing.assert_close(found, by_the_formula(*parts))


def test_fewer_may_ask_than_are_looked_at() -> None:
    rows, (query, key, value) = PackedRows((3, 5)), torch.randn(3, 15, WIDTH)
    expected = attend(query, key, value, rows=rows, heads=HEADS, dropout=0.0)
    queries = torch.tensor([1, 2, 5, 9, 10, 14])
    found = attend(query[queries], key, value, rows=rows, heads=HEADS, dropout=0.0)
    torch.testing.assert_close(found, expected[queries])


def test_positions_are_found_again_among_what_is_worked_on() -> None:
    real = torch.tensor([[1, 1, 0], [1, 1, 1]])
    rows = packed_rows(real, torch.tensor([1, 5]), shape=(2, 3))
    assert rows.within(torch.tensor([1, 5])).tolist() == [1, 4]
    assert rows.columns().tolist() == [0, 1, 0, 1, 2]
    assert rows.lengths().tolist() == [2, 3]
    assert rows.unpack(rows.pack(torch.arange(6.0)[:, None]))[..., 0].tolist() == [[0, 1, 0], [3, 4, 5]]


def test_what_is_wanted_at_a_padded_place_is_worked_on() -> None:
    rows = packed_rows(torch.tensor([[1, 1, 0], [1, 1, 1]]), torch.tensor([2]), shape=(2, 3))
    assert rows.token_indices is None
    assert not rows.evenly_spread(torch.tensor([1, 4]))


def test_no_queries_are_not_spread_evenly() -> None:
    assert not PackedRows((1, 3)).evenly_spread(torch.zeros(0, dtype=torch.int64))


@pytest.mark.parametrize("padded", [True, False])
def test_long_rows_keep_no_table_of_all_pairs(padded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, parts = ragged()
    rows = rows if padded else PackedRows((1, 15))
    parts = [part.requires_grad_() for part in parts]
    expected = attend(*parts, rows=rows, heads=HEADS, dropout=0.0)
    gradients = torch.autograd.grad(expected.sin().sum(), parts)
    monkeypatch.setattr(attention, "MAX_BMM_LENGTH", 6)
    monkeypatch.delattr(attention, "bmm_attention")
    found = attend(*parts, rows=rows, heads=HEADS, dropout=0.0)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad(found.sin().sum(), parts), gradients)


def imitated_varlen(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, ends: torch.Tensor, *_others: object
) -> torch.Tensor:
    """An imitation of PyTorch's kernel for GPUs, which does not run on a CPU: rows are cut at ``ends``."""
    if query.shape[-1] % 8:
        raise RuntimeError("head_size must be a multiple of 8")
    bounds = ends.tolist()
    rows = []
    for start, end in pairwise(bounds):
        scores = torch.einsum("qhd,khd->hqk", query[start:end], key[start:end]) / math.sqrt(query.shape[-1])
        rows.append(torch.einsum("hqk,khd->qhd", scores.softmax(dim=-1), value[start:end]))
    return torch.cat(rows)


def test_rows_end_to_end_are_cut_where_they_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is handed to the kernel, not the kernel, which no CPU has."""
    monkeypatch.setattr(attention, "varlen_attn", imitated_varlen)
    rows, parts = ragged()
    found = attention._attend_varlen(*parts, rows=rows, heads=HEADS)
    torch.testing.assert_close(found, by_the_formula(*parts))
    attention.varlen_agrees.cache_clear()
    assert attention.varlen_agrees(torch.device("cpu"), width=WIDTH)
    assert not attention.varlen_agrees(torch.device("cpu"), width=20)
    monkeypatch.setattr(attention, "varlen_attn", lambda query, *_others: query)
    attention.varlen_agrees.cache_clear()
    assert not attention.varlen_agrees(torch.device("cpu"), width=WIDTH)
    monkeypatch.undo()
    attention.varlen_agrees.cache_clear()
    assert not attention.varlen_agrees(torch.device("cpu"), width=WIDTH)  # the real one refuses a CPU
    attention.varlen_agrees.cache_clear()


def test_padding_that_fills_up_a_round_number_changes_nothing() -> None:
    real = (torch.arange(30) < torch.tensor([[30], [5], [6]])).long()
    rows = packed_rows(real, torch.tensor([0]), shape=(3, 30))
    exact = PackedRows(rows.shape, rows.token_indices[:41], rows.real)
    assert rows.num_tokens == 64
    parts = [torch.randn(90, WIDTH, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
    filled, plain = (attend(*map(of.pack, parts), rows=of, heads=HEADS, dropout=0.0) for of in (rows, exact))
    torch.testing.assert_close(filled[:41], plain)
