"""The bundled texts are what the page promises: enough of them, varied, and in the columns that a newcomer expects."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from bertdemo.mlm.data.corpus import preview, read_corpus
from bertdemo.mlm.models.loading import bundled_assets

REVIEWS = bundled_assets() / "sample_reviews.csv"
COLUMNS = ["site", "user", "review_target", "review", "score", "max_score"]
SHARED = 8  # words in a row that no two reviews may share


@cache
def rows() -> list[dict[str, str]]:
    with REVIEWS.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def runs_of_words(text: str) -> Iterator[tuple[str, ...]]:
    words = ["".join(filter(str.isalnum, word)) for word in text.lower().split()]
    words = [word for word in words if word]
    yield from (tuple(words[start : start + SHARED]) for start in range(len(words) - SHARED + 1))


def test_the_reviews_are_many_and_of_many_titles() -> None:
    assert list(rows()[0]) == COLUMNS
    assert len(rows()) >= 400
    assert len({row["review_target"] for row in rows()}) >= 60
    assert all(value and value.strip() == value for row in rows() for value in row.values())


def test_every_review_has_30_to_120_words() -> None:
    lengths = {row["review"][:40]: len(row["review"].split()) for row in rows()}
    assert {start: length for start, length in lengths.items() if not 30 <= length <= 120} == {}


def test_no_two_reviews_share_eight_words_in_a_row() -> None:
    counted = Counter(run for row in rows() for run in set(runs_of_words(row["review"])))
    assert [" ".join(run) for run, count in counted.items() if count > 1] == []


def test_scores_lie_within_their_scale_and_use_it() -> None:
    for row in rows():
        assert 0 <= float(row["score"]) <= float(row["max_score"])
    shares = [float(row["score"]) / float(row["max_score"]) for row in rows()]
    assert sum(share < 0.4 for share in shares) > 40
    assert sum(share > 0.7 for share in shares) > 40


def test_the_sample_is_read_without_a_word_lost() -> None:
    found, corpus = preview(REVIEWS, max_bytes=None), read_corpus(REVIEWS)
    assert (found.text_column, found.report.rows) == ("review", len(rows()))
    assert (corpus.report.used, corpus.report.ragged) == (len(rows()), 0)
    assert len(corpus.train) + len(corpus.held_out) == len(rows())


def test_general_english_is_of_everything_but_reviews() -> None:
    text = Path(bundled_assets() / "general_english.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip()]
    assert len(lines) >= 100
    assert len(set(lines)) == len(lines)
    assert min(len(line.split()) for line in lines) >= 5
