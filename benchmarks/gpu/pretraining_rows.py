"""The rows that the bundled model read: stretches of one stream of tokens, without their [CLS] and [SEP].

Three views of the same text: paragraphs in pieces, windows of one to three sentences (a learner types sentences), and
long stretches of documents (so that every position is trained).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

PIECE, WINDOW, STRETCH = 126, 56, 510  # tokens at most, without the special ones
PERSONAL_SHARE = 0.04  # of a document's words: from here on it is told by people, not about things
OTHER_WINDOWS, OPINION_PASSES, STRETCHES = 0.15, 5, 0.16
PARAGRAPHS_AT_ONCE = 5000
_PERSONAL = re.compile(r"\b(?:i|you|me|my|your|i'm|i've|don't|she|he|we)\b", re.IGNORECASE)
_OPINION = re.compile(
    r"\b(love[ds]?|hate[ds]?|great|awesome|awful|terrible|horrible|worst|best|amazing|boring|suck(?:s|ed)|enjoy(?:ed|s)?"
    r"|fun|nice|recommend(?:ed)?|disappoint(?:ed|ing)|excellent|delicious|rude|friendly|wonderful|fantastic|crap|stupid"
    r"|poor|bad|good)\b",
    re.IGNORECASE,
)
_NO_END = (
    "mr mrs dr st ms u s no vol p jr sr prof gen col capt lt e g etc vs inc co a b c d f h j k l m n o q r t v w x y z"
)

Rows: TypeAlias = tuple[list[int], list[int]]  # starts and lengths


class Kind(IntEnum):
    OTHER = 0
    PERSONAL = 1
    OPINION = 2


@dataclass(frozen=True)
class Stream:
    """All paragraphs end to end; ``starts`` and ``lengths`` (P,), ``documents`` (P,) in order, ``kinds`` a document."""

    token_ids: NDArray[np.uint16]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    documents: NDArray[np.int64]
    kinds: NDArray[np.uint8]


def read_documents(paths: Sequence[Path]) -> Iterator[list[str]]:
    """Paragraphs a document, without any that came before; documents are parted by empty lines."""
    seen: set[int] = set()
    for path in paths:
        for document in path.read_text(encoding="utf-8").split("\n\n"):
            paragraphs = [line.strip() for line in document.split("\n") if line.strip()]
            new = [paragraph for paragraph in paragraphs if hash(paragraph) not in seen]
            seen.update(map(hash, new))
            if new:
                yield new


def kind_of(paragraphs: Sequence[str]) -> Kind:
    """By its words alone: full of opinions and no dialogue of questions, told by people, or anything else."""
    text = " ".join(paragraphs)
    words = text.count(" ") + 1
    opinions, questions = (len(_OPINION.findall(text)) + text.count("!")) / words, text.count("?") / words
    if 8 <= words < 1500 and opinions > 0.03 and questions < 0.02:
        return Kind.OPINION
    return Kind.PERSONAL if len(_PERSONAL.findall(text)) / words > PERSONAL_SHARE else Kind.OTHER


def vocabulary_texts(documents: Iterable[list[str]]) -> Iterator[str]:
    """Every paragraph, those told by people twice: everyday words become whole tokens."""
    for paragraphs in documents:
        yield from paragraphs
        if len(_PERSONAL.findall(" ".join(paragraphs))) / (" ".join(paragraphs).count(" ") + 1) > PERSONAL_SHARE:
            yield from paragraphs


def tokenized(documents: Sequence[list[str]], tokenizer: PreTrainedTokenizerFast) -> Stream:
    parts: list[NDArray[np.uint16]] = []
    owners: list[int] = []
    texts = [(number, text) for number, paragraphs in enumerate(documents) for text in paragraphs]
    for start in range(0, len(texts), PARAGRAPHS_AT_ONCE):
        chunk = texts[start : start + PARAGRAPHS_AT_ONCE]
        encoded = tokenizer.backend_tokenizer.encode_batch_fast([text for _, text in chunk], add_special_tokens=False)
        for (number, _), encoding in zip(chunk, encoded, strict=True):
            if encoding.ids:
                parts.append(np.asarray(encoding.ids, dtype=np.uint16))
                owners.append(number)
    lengths = np.fromiter(map(len, parts), dtype=np.int64, count=len(parts))
    kinds = np.fromiter(map(kind_of, documents), dtype=np.uint8, count=len(documents))
    return Stream(np.concatenate(parts), lengths.cumsum() - lengths, lengths, np.asarray(owners), kinds)


def rows_of(stream: Stream, tokenizer: PreTrainedTokenizerFast) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Starts and lengths of all rows of one pass."""
    sentences = _sentences(stream, tokenizer.get_vocab())
    kinds = stream.kinds[stream.documents[sentences[2]]]
    rng = np.random.default_rng(5)
    views = [_pieces(stream)]
    views.append(_windows(sentences, (kinds >= Kind.PERSONAL) | (rng.random(len(kinds)) < OTHER_WINDOWS), seed=1))
    views += [_windows(sentences, kinds == Kind.OPINION, seed=10 + number) for number in range(OPINION_PASSES)]
    views.append(_stretches(stream, rng))
    starts, lengths = (np.concatenate([np.asarray(view[part], dtype=np.int64) for view in views]) for part in (0, 1))
    return starts[lengths >= 3], lengths[lengths >= 3]


def _pieces(stream: Stream) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    counts = -(-stream.lengths // PIECE)
    places = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
    starts = np.repeat(stream.starts, counts) + places * PIECE
    return starts, np.minimum(np.repeat(stream.starts + stream.lengths, counts) - starts, PIECE)


def _sentences(stream: Stream, vocabulary: dict[str, int]) -> tuple[NDArray, NDArray, NDArray]:
    """(starts, lengths, paragraphs) (S,): a sentence ends behind . ! or ?, its quote closed, and with its paragraph."""
    ids = stream.token_ids
    before, behind = np.append(0, ids[:-1]), np.append(ids[1:], 0)
    ends = np.isin(ids, [vocabulary[mark] for mark in ".!?"])
    ends &= ~((ids == vocabulary["."]) & np.isin(before, [vocabulary[w] for w in _NO_END.split() if w in vocabulary]))
    quoted = np.flatnonzero(ends & np.isin(behind, [vocabulary[mark] for mark in "\"')" if mark in vocabulary]))
    ends[quoted] = False
    ends[quoted + 1] = True
    ends[stream.starts + stream.lengths - 1] = True
    stops = np.flatnonzero(ends) + 1
    starts = np.append(0, stops[:-1])
    return starts, stops - starts, np.searchsorted(stream.starts, starts, side="right") - 1


def _windows(sentences: tuple[NDArray, NDArray, NDArray], chosen: NDArray[np.bool_], *, seed: int) -> Rows:
    """One to three sentences of a paragraph that follow each other, up to ``WINDOW`` tokens."""
    wanted = np.random.default_rng(seed).choice([1, 1, 2, 2, 3], size=len(chosen)).tolist()
    starts, lengths, paragraphs = (part.tolist() for part in sentences)
    found: Rows = ([], [])
    first, flags = 0, chosen.tolist()
    while first < len(starts):
        end, length = first + 1, lengths[first]
        if flags[first]:
            while (
                end < len(starts)
                and end - first < wanted[first]
                and paragraphs[end] == paragraphs[first]
                and length + lengths[end] <= WINDOW
            ):
                length += lengths[end]
                end += 1
            if 4 <= length <= PIECE:
                found[0].append(starts[first])
                found[1].append(length)
        first = end
    return found


def _stretches(stream: Stream, rng: np.random.Generator) -> Rows:
    """About a sixth of what documents hold, in rows of up to ``STRETCH`` tokens."""
    found: Rows = ([], [])
    firsts = np.searchsorted(stream.documents, np.arange(len(stream.kinds) + 1))
    for first, last in pairwise(firsts):
        if first == last:
            continue
        start, end = int(stream.starts[first]), int(stream.starts[last - 1] + stream.lengths[last - 1])
        offset = int(rng.integers(0, STRETCH))
        for place in range(start + offset if end - start > 2 * STRETCH else start, end, STRETCH):
            length = min(STRETCH, end - place)
            if length >= 140 and rng.random() < STRETCHES:
                found[0].append(place)
                found[1].append(length)
    return found
