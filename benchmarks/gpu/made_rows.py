"""A CSV file of so many made reviews, for machines without other texts: words of the sample reviews, drawn by chance.

Their lengths are those of film reviews: the median 28 words, one in a hundred over 250. The words mean nothing
together, so speeds can be read from them and losses cannot.

    python benchmarks/gpu/made_rows.py ROWS FILE
"""

from __future__ import annotations

import csv
import random
import sys
from pathlib import Path

MEDIAN_WORDS, SPREAD = 28, 0.95  # of a log-normal
MOST_WORDS = 400


def made_rows(count: int, words: list[str]) -> list[str]:
    draw = random.Random(0)
    lengths = [min(MOST_WORDS, max(3, round(MEDIAN_WORDS * draw.lognormvariate(0, SPREAD)))) for _ in range(count)]
    return [" ".join(draw.choices(words, k=length)) for length in lengths]


def main() -> None:
    count, target = int(sys.argv[1]), Path(sys.argv[2])
    sample = Path(__file__).parents[2] / "assets" / "sample_reviews.csv"
    with sample.open(encoding="utf-8", newline="") as file:
        words = [word for row in csv.reader(file) for word in max(row, key=len, default="").split()]
    with target.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["review"], *([row] for row in made_rows(count, words))])


if __name__ == "__main__":
    main()
