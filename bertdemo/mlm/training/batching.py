"""Texts as token ids in one flat array, and batches of about equal work: rows of similar length, cut by tokens.

Knows no model. A batch never mixes a tweet with a page, so almost no work goes into padding.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from ..models.masked_lm import MaskedLM, special_frame
from ..text.tokens import encode

ROWS_AT_ONCE, CHARACTERS_AT_ONCE = 1000, 500_000  # tokenised between two signs of life: a few tenths of a second
MAX_CHARACTERS = 200  # a token: what is beyond that many times the maximum length is cut without being read
MANY_UNKNOWN = 0.05  # from this share of [UNK] on a model learns above all to predict that
_COUNTED_TOKENS = 1_000_000
POOL_BATCHES = 32  # batches' worth of shuffled rows that are sorted together: long enough to pad little


@dataclass(frozen=True)
class TokenizedTexts:
    """N rows of token ids, special ones included, end to end: row i is ``token_ids[offsets[i]:offsets[i + 1]]``.

    The arrays may be memory-mapped; nothing here copies them whole.
    """

    token_ids: NDArray[np.integer]  # (total tokens,)
    offsets: NDArray[np.int64]  # (N + 1,)
    truncated: int = 0  # rows that were cut at the maximum length

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.diff(self.offsets)

    def row(self, index: int) -> NDArray[np.integer]:
        return self.token_ids[self.offsets[index] : self.offsets[index + 1]]


@dataclass(frozen=True)
class TrainingTexts:
    """What a run learns from, and what it is scored on; rows may be tokenised already. A ``Corpus`` will do as well."""

    train: Sequence[str] | TokenizedTexts
    held_out: Sequence[str] | TokenizedTexts = ()


@dataclass(frozen=True)
class Batch:
    """Rows padded to the longest of them; attention_mask is None where nothing had to be padded."""

    token_ids: Tensor  # (B, T) int64
    attention_mask: Tensor | None  # (B, T) int64
    tokens: int  # real ones

    @property
    def lengths(self) -> list[int]:
        """Real tokens of every row (B,)."""
        count, width = self.token_ids.shape
        return [width] * count if self.attention_mask is None else self.attention_mask.sum(dim=1).tolist()


def tokenize_texts(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, max_length: int
) -> Iterator[int | TokenizedTexts]:
    """Tokenise on all cores in bounded memory: yields the rows done so far, and last the result.

    Rows longer than ``max_length`` tokens are cut there and keep their closing special tokens.
    """
    closing = len(special_frame(tokenizer)[1])
    dtype = np.uint16 if len(tokenizer) <= 2**16 else np.int32
    parts: list[NDArray[np.integer]] = []
    lengths: list[NDArray[np.int64]] = []
    done, truncated, readable = 0, 0, max_length * MAX_CHARACTERS
    for chunk in _chunks(texts, readable):
        read = [text[:readable] for text in chunk]
        # Not truncation=True: it is a state of the tokenizer, which other threads are using.
        encoded = encode(tokenizer, read, return_attention_mask=False, return_token_type_ids=False)
        cut = [_cut_row(ids, max_length, closing=closing) for ids in encoded["input_ids"]]
        too_long = (
            len(ids) > max_length or len(text) > readable for ids, text in zip(encoded["input_ids"], chunk, strict=True)
        )
        truncated += sum(too_long)
        parts.append(np.concatenate([np.asarray(ids, dtype=dtype) for ids in cut]))
        lengths.append(np.fromiter(map(len, cut), dtype=np.int64, count=len(cut)))
        done += len(chunk)
        yield done
    offsets = np.concatenate([np.zeros(1, dtype=np.int64), *lengths]).cumsum()
    yield TokenizedTexts(np.concatenate(parts) if parts else np.zeros(0, dtype), offsets, truncated)


def tokenize_all(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, max_length: int) -> TokenizedTexts:
    """``tokenize_texts`` in one go, where nobody waits for signs of life."""
    *_, tokenized = tokenize_texts(tokenizer, texts, max_length=max_length)
    assert isinstance(tokenized, TokenizedTexts)  # what comes last is the result
    return tokenized


def _chunks(texts: Iterable[str], readable: int) -> Iterator[list[str]]:
    chunk: list[str] = []
    size = 0
    for text in texts:
        chunk.append(text)
        size += min(len(text), readable)
        if len(chunk) == ROWS_AT_ONCE or size >= CHARACTERS_AT_ONCE:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _cut_row(token_ids: list[int], max_length: int, *, closing: int) -> list[int]:
    """At most ``max_length`` tokens, the last of them the closing special ones: [CLS] a b c [SEP] -> [CLS] a [SEP]."""
    if len(token_ids) <= max_length:
        return token_ids
    return [*token_ids[: max_length - closing], *token_ids[len(token_ids) - closing :]]


def plan_batches(
    lengths: NDArray[np.int64], *, batch_size: int, rng: np.random.Generator | None
) -> list[NDArray[np.int64]]:
    """Cut rows into batches of about ``batch_size`` times the mean length in tokens, padding counted.

    Every row appears exactly once. With ``rng`` the order is random: rows are shuffled, sorted by length only within
    pools of ``POOL_BATCHES`` batches, and the batches are shuffled again. Without, rows are sorted once (to evaluate).
    """
    if len(lengths) == 0:
        return []
    budget = max(1, round(batch_size * float(lengths.mean())))  # in tokens, so that every step is about equal work
    if rng is None:
        return _cut(np.argsort(lengths, kind="stable"), lengths, budget=budget)
    order = rng.permutation(len(lengths))
    pool = batch_size * POOL_BATCHES
    batches: list[NDArray[np.int64]] = []
    for start in range(0, len(order), pool):
        rows = order[start : start + pool]
        batches += _cut(rows[np.argsort(lengths[rows], kind="stable")], lengths, budget=budget)
    return [batches[index] for index in rng.permutation(len(batches))]


def of_equal_length(rows: NDArray[np.int64], lengths: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Rows sorted by length -> the same in parts without padding, for models whose result depends on it.

    >>> [part.tolist() for part in of_equal_length(np.array([2, 0, 1]), np.array([5, 9, 5]))]
    [[2, 0], [1]]
    """
    return np.split(rows, np.flatnonzero(np.diff(lengths[rows])) + 1)


def _cut(rows: NDArray[np.int64], lengths: NDArray[np.int64], *, budget: int) -> list[NDArray[np.int64]]:
    """Cut rows, sorted by length, where the padded size is nearest to the budget; a longer row stands alone.

    Nearest, not below: a hard limit would leave a small batch half a row short on average. A row of length L joins n
    others where L(n + 1) - budget <= budget - Ln, so a batch of n + 1 rows has at most 2(n + 1) / (2n + 1) of the
    budget: 4/3 with two rows, and less with more.
    """
    batches, start = [], 0
    for end, length in enumerate(lengths[rows].tolist()):
        count = end - start
        # with this row the batch would be further above the budget than it is below without it
        if count and length * (count + 1) - budget > budget - length * count:
            batches.append(rows[start:end])
            start = end
    batches.append(rows[start:])
    return batches


def collate(texts: TokenizedTexts, rows: NDArray[np.int64], *, pad_token_id: int, pad_to: int = 0) -> Batch:
    """Stack rows into one (B, T) tensor, padded to the longest of them or to ``pad_to`` if that is longer."""
    sequences = [texts.row(int(row)) for row in rows]
    lengths = np.fromiter(map(len, sequences), dtype=np.int64, count=len(sequences))
    width = max(int(lengths.max()), pad_to)
    token_ids = np.full((len(sequences), width), pad_token_id, dtype=np.int64)
    real = np.arange(width) < lengths[:, None]
    token_ids[real] = np.concatenate(sequences)
    attention = None if bool(real.all()) else torch.from_numpy(real.astype(np.int64))
    return Batch(torch.from_numpy(token_ids), attention, int(lengths.sum()))


def unknown_share(masked_lm: MaskedLM, texts: TokenizedTexts) -> float:
    """The share of [UNK] among the first million tokens, special ones not counted: 0 to 1.

    0 for a vocabulary without [UNK], which writes every text in bytes or single characters.
    """
    token_ids, unknown = texts.token_ids[:_COUNTED_TOKENS], masked_lm.tokenizer.unk_token_id
    if unknown is None:
        return 0.0
    special = np.isin(token_ids, sorted(masked_lm.special_ids - {unknown}))
    return int((token_ids == unknown).sum()) / max(1, int((~special).sum()))


def unknown_tokens(masked_lm: MaskedLM, texts: TokenizedTexts) -> Iterator[str]:
    """One sentence where so many tokens are [UNK] that the model would learn to predict that."""
    share = unknown_share(masked_lm, texts)
    if share >= MANY_UNKNOWN:
        yield (
            f"{share:.0%} of the tokens are {masked_lm.tokenizer.unk_token}: the vocabulary of {masked_lm.ref.label!r}"
            " cannot write these texts; choose a multilingual model, such as"
            " google-bert/bert-base-multilingual-cased or FacebookAI/xlm-roberta-base."
        )
