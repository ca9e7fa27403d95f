"""What a word costs two models with different vocabularies: the loss per word, since a token is not the same in both.

Both are asked about the same words at the same places of the same texts, each in its own pieces; all asked words of a
text are hidden together. A word of several pieces is spelled from left to right and its losses are summed (Kauf and
Ivanova 2023, "A Better Way to Do Masked Language Model Scoring"). Knows no file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..models.masked_lm import MaskedLM
from ..text.new_words import SpelledWord
from ..text.tokens import encode
from .batching import TokenizedTexts, cut_row
from .evaluation import FixedMasks, score_all
from .masking import IGNORED
from .report import MIN_ROWS, Interval, paired_bootstrap

SHARE = 0.15  # of the words that both models can be asked about, as many as there are targets in training
MIN_WORDS = 30  # below this a mean says next to nothing
_WORD = re.compile(r"\w+")
_MAX_CHARACTERS = 20_000  # of a text: beyond them no model reads in one go
Span = tuple[int, int]  # of characters


@dataclass(frozen=True)
class WordLosses:
    """The mean loss in nats of ``words`` words before and after; ``change``: its 95% interval, None from too few."""

    words: int
    before: float
    after: float
    change: Interval | None


@dataclass(frozen=True)
class PerWord:
    """``new``: the words that became tokens, None where no held-out text has one; tokens: of all held-out texts."""

    added: int
    every: WordLosses
    new: WordLosses | None
    tokens_before: int
    tokens_after: int


class _Row(NamedTuple):
    token_ids: list[int]
    words: dict[Span, tuple[int, ...]]  # where each word's tokens stand


def per_word(
    before: MaskedLM, after: MaskedLM, texts: Sequence[str], *, words: Sequence[SpelledWord], max_length: int, seed: int
) -> PerWord | None:
    """Ask both models about ``SHARE`` of the texts' words, and about every new one; None where there is nothing to ask.

    Texts are read up to ``max_length`` tokens. What is asked depends on the seed and the text's place alone.
    """
    read = [_read(model, texts, max_length=max_length) for model in (before, after)]
    asked = _chosen(texts, *read, new={word.word.casefold() for word in words}, seed=seed)
    if not asked:
        return None
    places = [place for place, _, _ in asked]
    one, two = _losses(before, read[0], places), _losses(after, read[1], places)
    rows = np.array([row for (row, _), _, _ in asked])
    is_new = np.array([new for _, new, _ in asked])
    # New words are all asked about, the others are a share: in the mean over all words they count as often as they are.
    drawn = np.array([share for _, _, share in asked])
    return PerWord(
        added=len(words),
        every=_means(one[drawn], two[drawn], rows[drawn]),
        new=_means(one[is_new], two[is_new], rows[is_new]) if is_new.any() else None,
        tokens_before=sum(len(row.token_ids) for row in read[0]),
        tokens_after=sum(len(row.token_ids) for row in read[1]),
    )


def _read(masked_lm: MaskedLM, texts: Sequence[str], *, max_length: int) -> list[_Row]:
    """Each text's tokens up to the maximum length, and the words that are made of whole tokens there."""
    rows = []
    closing = len(masked_lm.frame[1])
    for text in (whole[:_MAX_CHARACTERS] for whole in texts):
        encoded = encode(masked_lm.tokenizer, text, return_offsets_mapping=True)
        ids = cut_row(encoded["input_ids"], max_length, closing=closing)
        offsets = encoded["offset_mapping"][: len(ids) - closing]
        rows.append(_Row(ids, dict(_words(masked_lm, text, ids, offsets))))
    return rows


def _words(
    masked_lm: MaskedLM, text: str, ids: list[int], offsets: list[Span]
) -> Iterator[tuple[Span, tuple[int, ...]]]:
    """Words whose characters are those of some whole tokens, none of them special; a space in front is no character."""
    starting: dict[int, tuple[int, int]] = {}  # where a token's first character is -> the token, and its end
    for place, (start, end) in enumerate(offsets):
        first = end - len(text[start:end].lstrip())
        if first < end:
            starting.setdefault(first, (place, end))
    for found in _WORD.finditer(text):
        places: list[int] = []
        at = found.start()
        while at < found.end() and at in starting:
            place, at = starting[at]
            places.append(place)
        if at == found.end() and not masked_lm.special_ids & {ids[place] for place in places}:
            yield found.span(), tuple(places)


def _chosen(
    texts: Sequence[str], before: list[_Row], after: list[_Row], *, new: set[str], seed: int
) -> list[tuple[tuple[int, Span], bool, bool]]:
    """((row, where its characters are), whether it is a new word, whether it was drawn) of what both models are asked
    about."""
    chosen = []
    for row, (text, one, two) in enumerate(zip(texts, before, after, strict=True)):
        for span in sorted(one.words.keys() & two.words.keys()):
            is_new = len(two.words[span]) == 1 < len(one.words[span]) and text[slice(*span)].casefold() in new
            drawn = _is_drawn(seed, row, span)
            if is_new or drawn:
                chosen.append(((row, span), is_new, drawn))
    return chosen


def _is_drawn(seed: int, row: int, span: Span) -> bool:
    return bool(np.random.default_rng((seed, row, *span)).random() < SHARE)


def _losses(masked_lm: MaskedLM, rows: list[_Row], asked: list[tuple[int, Span]]) -> NDArray[np.float64]:
    """The loss of each word that is asked for, in nats.

    In its text all asked words are hidden at once, which asks for the first piece of each; every later piece takes a
    row of its own, in which the pieces before it are shown.
    """
    ids: list[NDArray[np.int64]] = []
    labels: list[NDArray[np.int64]] = []
    word_of: list[int] = []  # of every target, row by row, in the order of their places
    for row, words in groupby(range(len(asked)), key=lambda word: asked[word][0]):
        spelled = {word: list(rows[row].words[asked[word][1]]) for word in words}
        answers = np.array(rows[row].token_ids, dtype=np.int64)
        hidden = answers.copy()
        hidden[[place for places in spelled.values() for place in places]] = masked_lm.mask_token_id
        ids.append(hidden)
        labels.append(_only([places[0] for places in spelled.values()], answers))
        word_of += spelled
        for word, places in spelled.items():
            for done in range(1, len(places)):
                shown = hidden.copy()
                shown[places[:done]] = answers[places[:done]]
                ids.append(shown)
                labels.append(_only([places[done]], answers))
                word_of.append(word)
    offsets = np.cumsum([0, *map(len, ids)])
    fixed = FixedMasks(TokenizedTexts(np.concatenate(ids), offsets), np.concatenate(labels))
    scores = score_all(masked_lm, fixed, precision="fp32")
    in_order = scores.losses[np.argsort(scores.rows, kind="stable")]
    losses = np.zeros(len(asked))
    np.add.at(losses, word_of, in_order)
    return losses


def _only(places: list[int], answers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Labels (T,) that ask for these places alone."""
    labels = np.full(len(answers), IGNORED, dtype=np.int64)
    labels[places] = answers[places]
    return labels


def _means(before: NDArray[np.float64], after: NDArray[np.float64], rows: NDArray[np.int64]) -> WordLosses:
    """Losses (W,) of the words in rows (W,)."""
    if not len(rows):
        return WordLosses(0, 0.0, 0.0, None)
    enough = len(rows) >= MIN_WORDS and len(np.unique(rows)) >= MIN_ROWS
    change = paired_bootstrap(after - before, rows) if enough else None
    return WordLosses(len(rows), float(before.mean()), float(after.mean()), change)


def word_sentence(found: PerWord) -> str:
    """What it cost and gained, in plain sentences; the loss is of whole words, so the two models can be compared."""
    tokens = f"{found.tokens_before:,} to {found.tokens_after:,}"
    became = (
        "1 word became a token of its own" if found.added == 1 else f"{found.added} words became tokens of their own"
    )
    parts = [f"{became}; the held-out texts went from {tokens} tokens."]
    if found.new:
        parts.append(f"New words {_cost(found.new)}, first spelled in pieces and now guessed whole.")
    else:
        parts.append("None of them is in the held-out texts.")
    if found.every.words:
        parts.append(f"Words of all kinds {_cost(found.every)}.")
    parts.append("That is the new words and the training together; a run with 0 new words tells the two apart.")
    return " ".join(parts)


def _cost(losses: WordLosses) -> str:
    figures = f"cost {losses.before:.2f} nats each before and {losses.after:.2f} after"
    if losses.change is None:
        return f"{figures} ({losses.words:,} asked about: too few for a verdict)"
    verdict = "" if losses.change.excludes_zero else "; that may be chance"
    return f"{figures} ({losses.words:,} asked about{verdict})"
