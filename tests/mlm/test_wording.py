"""Numbers in words: never nothing or certainty that is none, and two that differ look different."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertdemo.mlm.wording import fine_percent, percent, percents, points


@pytest.mark.parametrize(
    ("probability", "words"),
    [
        (0.0, "0%"), (1e-9, "< 0.1%"), (0.00099, "< 0.1%"), (0.001, "0.1%"), (0.4123, "41.2%"),
        (0.9994, "99.9%"), (0.99999, "> 99.9%"), (0.9995, "> 99.9%"), (1.0, "100%"), (None, "–"), (float("nan"), "–"),
    ],
)  # fmt: skip
def test_percent_never_rounds_to_nothing_or_to_certainty(probability: float | None, words: str) -> None:
    assert percent(probability) == words


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (0.3, 0.3, "no change"), (0.2, 0.4, "+20.0 points"), (0.322, 0.2, "−12.2 points"),
        (0.2, 0.200001, "up < 0.1"), (0.2, 0.199999, "down < 0.1"), (0.0, 0.0004, "up < 0.1"),
        (0.05149, 0.37151, "+32.1 points"),  # 5.1% -> 37.2%: what is shown adds up
        (0.00004, 0.37151, "+37.2 points"),
    ],
)  # fmt: skip
def test_a_change_is_zero_only_when_it_is_exactly_zero_and_adds_up(before: float, after: float, words: str) -> None:
    assert points(before, after) == words


@pytest.mark.parametrize(
    ("probability", "words"),
    [(0.0017, "0.17%"), (0.0003, "0.030%"), (0.01, "1.0%"), (2e-9, "< 0.0001%"), (0.0, "0%"), (0.99999, "> 99.9%")],
)
def test_two_small_probabilities_beside_a_ratio_can_be_told_apart(probability: float, words: str) -> None:
    assert fine_percent(probability) == words


@given(st.floats(0, 1))
def test_only_nothing_is_nothing_and_only_certainty_is_certainty(probability: float) -> None:
    for words in (percent(probability), fine_percent(probability)):
        assert (words == "0%") == (probability == 0)
        assert (words == "100%") == (probability == 1)
        assert not re.fullmatch(r"0\.0+%|100\.0+%", words)


def test_two_shares_that_differ_a_little_do_not_look_the_same() -> None:
    assert percents(0.3941, 0.3944) == ("39.41%", "39.44%")
    assert percents(0.394, 0.3951) == ("39.4%", "39.5%")
    assert percents(0.5, 0.5) == ("50.0%", "50.0%")
    assert percents(0.0, 0.0001) == ("0%", "< 0.1%")


def test_nobody_writes_a_share_of_their_own() -> None:
    """One rule for the whole project: no other module formats a share with one place by itself."""
    package = Path(__file__).resolve().parents[2] / "bertdemo"
    own = [path.name for path in package.rglob("*.py") if re.search(r"\.1%\}", path.read_text(encoding="utf-8"))]
    assert own == []
