"""Texts become rows of ids without loss, and rows become batches of equal work without much padding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.training.batching import MAX_CHARACTERS, TokenizedTexts, collate, plan_batches, tokenize_texts

REVIEWS = np.random.default_rng(0).lognormal(4, 0.7, 3000).astype(np.int64).clip(5, 256)  # lengths as reviews have


def tokenized(masked_lm: MaskedLM, texts: Sequence[str], max_length: int = 64) -> tuple[list[int], TokenizedTexts, int]:
    """(signs of life, rows, how many were cut)"""
    *signs, rows = tokenize_texts(masked_lm.tokenizer, texts, max_length=max_length)
    return signs, rows, rows.truncated


def shuffled(lengths: NDArray[np.int64], batch_size: int, epoch: int = 0) -> list[NDArray[np.int64]]:
    return plan_batches(lengths, batch_size=batch_size, rng=np.random.default_rng(epoch))


def padded(lengths: NDArray[np.int64], batches: list[NDArray[np.int64]]) -> list[int]:
    """The size of every batch, padding counted."""
    return [int(lengths[rows].max()) * len(rows) for rows in batches]


@settings(deadline=None, max_examples=60)
@given(
    lengths=st.lists(st.integers(1, 300), min_size=1, max_size=200).map(np.array),
    batch_size=st.integers(1, 40),
    epoch=st.one_of(st.none(), st.integers(0, 5)),
)
def test_every_row_comes_once_and_no_batch_is_far_above_the_budget(
    lengths: NDArray[np.int64], batch_size: int, epoch: int | None
) -> None:
    rng = None if epoch is None else np.random.default_rng(epoch)
    batches = plan_batches(lengths, batch_size=batch_size, rng=rng)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    budget = max(1, round(batch_size * lengths.mean()))
    for rows, size in zip(batches, padded(lengths, batches), strict=True):
        assert size <= budget * 4 / 3 or len(rows) == 1


def test_the_order_is_another_in_every_epoch_and_the_same_for_the_same_one() -> None:
    first, again, other = (np.concatenate(shuffled(REVIEWS, 16, epoch)) for epoch in (0, 0, 1))
    assert np.array_equal(first, again)
    assert np.mean(first == other) < 0.01
    companions = [{frozenset(rows.tolist()) for rows in shuffled(REVIEWS, 16, epoch)} for epoch in (0, 1)]
    assert len(companions[0] & companions[1]) < 5  # rows meet other rows, too


def test_short_and_long_batches_alternate() -> None:
    means = [REVIEWS[rows].mean() for rows in shuffled(REVIEWS, 16)]
    assert abs(np.corrcoef(np.arange(len(means)), means)[0, 1]) < 0.2


@pytest.mark.parametrize("batch_size", [2, 4, 16, 64])
def test_rows_of_similar_length_go_together_and_a_step_has_about_as_many_as_asked(batch_size: int) -> None:
    batches = shuffled(REVIEWS, batch_size)
    assert len(REVIEWS) / len(batches) == pytest.approx(batch_size, rel=0.1)
    random_order = np.random.default_rng(0).permutation(len(REVIEWS))
    unsorted = np.array_split(random_order, len(batches))
    wasted, usual = (sum(padded(REVIEWS, plan)) / REVIEWS.sum() - 1 for plan in (batches, unsorted))
    assert wasted < 0.1
    assert wasted < usual / 4


def test_a_row_longer_than_a_whole_batch_stands_alone() -> None:
    lengths = np.array([10] * 50 + [900])
    batches = shuffled(lengths, 4)
    assert [rows.tolist() for rows in batches if 50 in rows] == [[50]]
    assert len(batches) < 20


def test_without_a_random_order_rows_are_sorted_once_and_nothing_gives_no_batch() -> None:
    batches = plan_batches(REVIEWS, batch_size=16, rng=None)
    assert np.all(np.diff(REVIEWS[np.concatenate(batches)]) >= 0)
    assert plan_batches(np.zeros(0, np.int64), batch_size=16, rng=None) == []


def test_rows_are_what_the_tokenizer_says(any_tiny: MaskedLM) -> None:
    texts = ["we love the dog .", "it is", "", "the dogs barked ☃ !"]
    _signs, rows, truncated = tokenized(any_tiny, texts)
    assert [rows.row(index).tolist() for index in range(len(rows))] == any_tiny.tokenizer(texts)["input_ids"]
    assert rows.lengths.tolist() == [len(ids) for ids in any_tiny.tokenizer(texts)["input_ids"]]
    assert truncated == 0


def test_long_rows_are_cut_counted_and_keep_their_closing_token(any_tiny: MaskedLM) -> None:
    texts = ["we love the dog . " * 30, "it is okay", "the man , the woman ."]
    whole = [any_tiny.tokenizer(text, verbose=False)["input_ids"] for text in texts]
    limit = len(whole[2])
    _signs, rows, truncated = tokenized(any_tiny, texts, max_length=limit)
    assert truncated == 1
    assert rows.row(0).tolist() == [*whole[0][: limit - 1], whole[0][-1]]
    assert rows.row(2).tolist() == whole[2]


def test_a_text_too_long_to_be_read_whole_counts_as_cut(tiny_bert: MaskedLM) -> None:
    _signs, rows, truncated = tokenized(tiny_bert, ["x" * (8 * MAX_CHARACTERS + 1), "y" * (8 * MAX_CHARACTERS)], 8)
    assert rows.lengths.tolist() == [3, 3]  # a word that long is one unknown token
    assert truncated == 1


def test_many_rows_are_tokenised_in_chunks_with_signs_of_life(tiny_bert: MaskedLM) -> None:
    texts = [f"the dog {'barked ' * (row % 3)}" for row in range(2500)]
    signs, rows, _truncated = tokenized(tiny_bert, texts)
    assert signs == [1000, 2000, 2500]
    for row in (0, 999, 1000, 1001, 2499):
        assert rows.row(row).tolist() == tiny_bert.tokenizer(texts[row])["input_ids"]
    assert tokenized(tiny_bert, [])[1].lengths.tolist() == []


def test_the_shared_tokenizer_is_left_as_it_was(tiny_bert: MaskedLM) -> None:
    backend = tiny_bert.tokenizer.backend_tokenizer
    before = backend.to_str()
    tokenized(tiny_bert, ["we love the dog . " * 30] * 3, max_length=8)
    assert backend.to_str() == before
    assert backend.truncation is None
    assert len(tiny_bert.tokenizer("we love the dog . " * 10)["input_ids"]) == 52


def test_collate_pads_to_the_longest_row() -> None:
    rows = TokenizedTexts(np.array([2, 7, 3, 2, 3, 2, 8, 3], np.uint16), np.array([0, 3, 5, 8]))
    batch = collate(rows, np.array([0, 1]), pad_token_id=9)
    assert batch.token_ids.tolist() == [[2, 7, 3], [2, 3, 9]]
    assert batch.attention_mask is not None
    assert batch.attention_mask.tolist() == [[1, 1, 1], [1, 1, 0]]
    assert (batch.token_ids.dtype, batch.tokens) == (torch.int64, 5)
    assert collate(rows, np.array([0, 2]), pad_token_id=9).attention_mask is None
    assert collate(rows, np.array([0]), pad_token_id=9, pad_to=5).token_ids.tolist() == [[2, 7, 3, 9, 9]]
    assert collate(rows, np.array([0]), pad_token_id=9, pad_to=2).token_ids.tolist() == [[2, 7, 3]]
