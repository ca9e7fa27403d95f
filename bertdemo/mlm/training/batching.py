"""Texts as token ids in one flat array, and batches of about equal work: rows of similar length, cut by tokens.

A text that is too long for one row is split into pieces, a row each, or cut. Knows no model. A batch never mixes a
tweet with a page, so almost no work goes into padding.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import BatchEncoding, PreTrainedTokenizerBase

from ..data.columns import HALF_WORD
from ..models.masked_lm import MaskedLM, special_frame
from ..text.tokens import encode

ROWS_AT_ONCE, CHARACTERS_AT_ONCE = 1000, 500_000  # tokenised between two signs of life: a few tenths of a second
MAX_CHARACTERS = 200  # a token: what is longer than that many times the maximum length is cut, or tokenised in parts
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
    truncated: int = 0  # texts that are longer than the maximum length
    pieces: int = 0  # rows that these became: one each where they were cut, several where they were split

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def texts(self) -> int:
        """How many texts the rows were before the long ones were split."""
        return len(self) - self.pieces + self.truncated

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
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, max_length: int, split: bool = False
) -> Iterator[int | TokenizedTexts]:
    """Tokenise on all cores in bounded memory: yields the texts done so far, and last the result.

    A text longer than ``max_length`` tokens is cut there, or (``split``) becomes several rows that hold all of its
    tokens in order; every row has the special tokens at both ends.
    """
    prefix, suffix = special_frame(tokenizer)
    room = max(1, max_length - len(prefix) - len(suffix))
    dtype = np.uint16 if len(tokenizer) <= 2**16 else np.int32
    flat: list[NDArray[np.integer]] = []
    lengths: list[NDArray[np.int64]] = []
    done = truncated = pieces = 0
    for chunk in _chunks(_parts(texts, max_length * MAX_CHARACTERS, split=split)):
        # Not truncation=True: it is a state of the tokenizer, which other threads are using.
        read = [part.text for part in chunk]
        encoded = encode(tokenizer, read, return_attention_mask=False, return_token_type_ids=False)
        rows: list[list[int]] = []
        for place, (part, ids) in enumerate(zip(chunk, encoded["input_ids"], strict=True)):
            before = len(rows)
            if len(ids) > max_length and split:
                body = ids[len(prefix) : len(ids) - len(suffix)]
                offsets = _offsets(tokenizer, encoded, place, part.text)[len(prefix) :][: len(body)]
                ends = [0, *_piece_ends(part.text, offsets, room=room)]
                rows += [[*prefix, *body[start:end], *suffix] for start, end in pairwise(ends)]
            else:
                rows.append(cut_row(ids, max_length, closing=len(suffix)))
            too_long = part.of_many or len(ids) > max_length
            truncated += too_long and part.first
            pieces += too_long * (len(rows) - before)
            done += part.first
        flat.append(np.concatenate([np.asarray(ids, dtype=dtype) for ids in rows]))
        lengths.append(np.fromiter(map(len, rows), dtype=np.int64, count=len(rows)))
        yield done
    row_ends = np.concatenate([np.zeros(1, dtype=np.int64), *lengths]).cumsum()
    yield TokenizedTexts(np.concatenate(flat) if flat else np.zeros(0, dtype), row_ends, truncated, pieces)


def tokenize_all(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, max_length: int, split: bool = False
) -> TokenizedTexts:
    """``tokenize_texts`` in one go, where nobody waits for signs of life."""
    *_, tokenized = tokenize_texts(tokenizer, texts, max_length=max_length, split=split)
    assert isinstance(tokenized, TokenizedTexts)  # what comes last is the result
    return tokenized


@dataclass(frozen=True)
class _Part:
    """A text, or (``of_many``) a stretch of one that is too long to be tokenised at once."""

    text: str
    first: bool = True
    of_many: bool = False


def _parts(texts: Iterable[str], readable: int, *, split: bool) -> Iterator[_Part]:
    """Texts of at most ``readable`` characters: of longer ones the beginning, or (``split``) all of it in turn."""
    for text in texts:
        if len(text) <= readable:
            yield _Part(text)
            continue
        start = 0
        while start < (len(text) if split else 1):
            end = _part_end(text, start, readable) if split else readable
            yield _Part(text[start:end], first=start == 0, of_many=True)
            start = end


def _part_end(text: str, start: int, readable: int) -> int:
    """Behind a sentence if there is an end in the second half, else before a space, which goes with the word behind."""
    end = start + readable
    if end >= len(text):
        return len(text)
    sentence = max(text.rfind(mark, start + readable // 2, end) for mark in (". ", "! ", "? ", "。", "！", "？")) + 1
    space = text.rfind(" ", start + 1, end + 1)
    return sentence or (space if space > 0 else end)


def _chunks(parts: Iterable[_Part]) -> Iterator[list[_Part]]:
    chunk: list[_Part] = []
    size = 0
    for part in parts:
        chunk.append(part)
        size += len(part.text)
        if len(chunk) == ROWS_AT_ONCE or size >= CHARACTERS_AT_ONCE:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def cut_row(token_ids: list[int], max_length: int, *, closing: int) -> list[int]:
    """At most ``max_length`` tokens, the last of them the closing special ones: [CLS] a b c [SEP] -> [CLS] a [SEP]."""
    if len(token_ids) <= max_length:
        return token_ids
    return [*token_ids[: max_length - closing], *token_ids[len(token_ids) - closing :]]


Offsets: TypeAlias = Sequence[tuple[int, int]]  # of every token: where it begins and ends in the text


def _offsets(tokenizer: PreTrainedTokenizerBase, encoded: BatchEncoding, place: int, text: str) -> Offsets:
    """Where each token of the text at ``place`` stands in it; of a tokenizer that cannot say, where its word does."""
    if encoded.encodings is not None:
        offsets: Offsets = encoded.encodings[place].offsets
        return offsets
    prefix, suffix = special_frame(tokenizer)
    words = [(word.span(), len(tokenizer.tokenize(word[0]))) for word in re.finditer(r"\S+", text)]
    spans = [(0, 0)] * len(prefix) + [span for span, count in words for _ in range(count)] + [(0, 0)] * len(suffix)
    count = len(encoded["input_ids"][place])
    return spans if len(spans) == count else [(0, len(text))] * count


class _Boundary(IntEnum):
    """What lies between two tokens; the higher, the better a piece may end there."""

    CHARACTER = 0  # both are parts of one
    WORD_PART = 1  # "bark" and "##ed"
    MARK = 2  # within what is written without a space: "well" and "-"
    WORD = 3  # a space, or the next Chinese or Japanese character
    SENTENCE = 4


SENTENCE_NEAR = 0.5  # of a piece: a sentence's end within that distance is worth a shorter one
_ENDS, _SPACELESS_ENDS = (".", "!", "?", "…", "؟", "।"), ("。", "！", "？")
_CLOSING = "\"'”’»)]}」』）"
_OPENING = "\"'“‘«([{「『（¿¡ "
_KATAKANA = re.compile("[\u30a0-\u30ff]{2}")


def _piece_ends(text: str, offsets: Offsets, *, room: int) -> list[int]:
    """The tokens at which the pieces of a text end, each of at most ``room`` tokens: at the end of a sentence where one
    is near, else between words; within a word only where it is longer than a piece.

    The last two are about equally long, so that none is left with a few words and nothing to guess them from.
    """
    ends = []
    start, count = 0, len(offsets)
    while count - start > room:
        left = count - start
        start = _best_end(text, offsets, start, aim=room if left > 2 * room else (left + 1) // 2, room=room)
        ends.append(start)
    return [*ends, count]


def _best_end(text: str, offsets: Offsets, start: int, *, aim: int, room: int) -> int:
    """Of the places up to ``room`` tokens behind ``start`` the one nearest to ``aim`` among the best."""
    best, found = -1, start + aim
    for size in sorted(range(1, room + 1), key=lambda size: abs(size - aim)):
        boundary = _boundary(text, offsets[start + size - 1], offsets[start + size])
        if boundary is _Boundary.SENTENCE:
            if abs(size - aim) <= SENTENCE_NEAR * room:
                return start + size
            boundary = _Boundary.WORD
        if boundary > best:
            best, found = boundary, start + size
    return found


def _boundary(text: str, before: tuple[int, int], after: tuple[int, int]) -> _Boundary:
    """What lies between two neighbouring tokens, given where they stand in the text."""
    behind, ahead = text[max(0, before[1] - 4) : before[1]], text[before[1] : after[1]]
    last, first = behind[-1:], ahead.lstrip()[:1]
    if before[1] > after[0] or (first and unicodedata.category(first)[0] == "M"):  # an accent belongs to its letter
        return _Boundary.CHARACTER
    ended = behind.rstrip(_CLOSING)
    if ended.endswith(_SPACELESS_ENDS) and first not in (*_CLOSING, *_SPACELESS_ENDS):
        return _Boundary.SENTENCE
    if ahead != ahead.lstrip():
        following = text[before[1] : after[1] + 3].lstrip(_OPENING)[:1]
        return _Boundary.SENTENCE if ended.endswith(_ENDS) and not following.islower() else _Boundary.WORD
    if first.isalnum() and (HALF_WORD.match(first) or HALF_WORD.match(last)):
        return _Boundary.WORD_PART if _KATAKANA.match(last + first) else _Boundary.WORD
    within = (last.isalnum() and first.isalnum()) or last.isspace()  # a lone "▁" goes with what follows
    return _Boundary.WORD_PART if within else _Boundary.MARK


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
