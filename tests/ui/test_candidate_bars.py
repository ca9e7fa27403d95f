"""What the page shows of an answer: safe whatever a token is, and the numbers as people read them."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertdemo.ui.fill.candidate_bars import (
    CandidateRow,
    MaskRows,
    Score,
    bars_html,
    percent,
    points,
    table_html,
    visible,
)

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "${alert(1)}",
    "{{value}}",
    "</li></ol><h1>",
    "&lt;b&gt;",
    "\x00\x1b[31m",
    "\u202eevil",
]
TAGS = {"div", "ul", "li", "ol", "span", "section", "h2", "bdi", "table", "caption", "thead", "tbody", "tr", "th", "td"}


class Reader(HTMLParser):
    """Collects tags, attributes and text, as a browser would see them."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def row(token: str = "love", probability: float = 0.4, rank: int = 1, after: Score | None = None) -> CandidateRow:
    return CandidateRow(token, 2293, probability, rank, after)


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("render", [bars_html, table_html])
def test_a_hostile_token_title_or_label_stays_text(render, text: str) -> None:
    pair = [MaskRows([row(text, after=Score(0.1, 3))], title=text), MaskRows([row(text)], title=text)]
    for masks in (pair, pair[1:]):
        read = Reader(render(masks, labels=[text, text]))
        assert read.tags <= TAGS
        assert not any(name.startswith("on") for name in read.attributes)
        assert text.strip("\x00\x1b\u202e")[-4:] in read.text


@given(st.text())
def test_any_token_is_escaped_and_seen(token: str) -> None:
    shown = visible(token)
    assert not re.search(r"[<>\"'\x00-\x1f]", shown)
    assert shown.strip()


@pytest.mark.parametrize(
    ("probability", "words"),
    [
        (0.0, "0.0%"), (1e-9, "< 0.1%"), (0.00099, "< 0.1%"), (0.001, "0.1%"), (0.4123, "41.2%"),
        (0.9994, "99.9%"), (0.99999, "> 99.9%"), (1.0, "100.0%"),
    ],
)  # fmt: skip
def test_percent_never_rounds_to_nothing_or_to_certainty(probability: float, words: str) -> None:
    assert percent(probability) == words


@pytest.mark.parametrize(
    ("change", "words"),
    [(0.0, "no change"), (0.2, "+20.0 points"), (-0.122, "−12.2 points"), (1e-6, "up < 0.1"), (-1e-6, "down < 0.1")],
)
def test_a_change_is_zero_only_when_it_is_exactly_zero(change: float, words: str) -> None:
    assert points(change) == words


def test_one_model_gives_a_bar_a_word_with_its_number_as_text() -> None:
    read = Reader(bars_html([MaskRows([row("love", 0.412), row("like", 0.0004, 2)])]))
    assert "love" in read.text
    assert "41.2%" in read.text
    assert "< 0.1%" in read.text


def test_two_models_give_before_after_and_change() -> None:
    shown = bars_html([MaskRows([row("love", 0.212, 2, Score(0.412, 1))])], labels=["mini-bert", "my run"])
    read = Reader(shown)
    assert "21.2% → 41.2%" in read.text
    assert "+20.0 points" in read.text
    assert "mini-bert" in read.text
    assert "before: rank 2" in shown
    assert "after: rank 1" in shown


def test_all_masks_share_one_scale_that_holds_the_longest_bar() -> None:
    masks = [MaskRows([row(probability=0.412)]), MaskRows([row(probability=0.05)])]
    widths = [float(width) for width in re.findall(r"--at:([\d.]+)%", bars_html(masks))]
    assert max(widths) <= 100
    assert widths[0] / widths[1] == pytest.approx(0.412 / 0.05, rel=1e-3)


def test_a_table_gives_id_rank_and_log_probability_for_both_models() -> None:
    text = Reader(table_html([MaskRows([row("love", 0.5, 2, Score(0.25, 7))])])).text
    for part in ("2293", "50.0%", "−0.693", "25.0%", "−1.386", "−25.0 points"):
        assert part in text


def test_nothing_to_show_is_still_valid() -> None:
    assert Reader(bars_html([])).tags == {"div"}
    assert Reader(bars_html([MaskRows([])])).text.strip().startswith("0%")
