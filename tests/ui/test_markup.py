"""What the page shows as plain HTML: safe whatever a token is, and the numbers as people read them."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertdemo.mlm.analysis.compare import ComparedCandidate, Comparison, MaskComparison, TokenStats
from bertdemo.mlm.inference.fill_mask import Candidate, FilledText, MaskPrediction
from bertdemo.mlm.wording import percent
from bertdemo.ui.fill.bars import BY_CHANGE, compared_bars, compared_table, filled_bars, filled_table
from bertdemo.ui.markup import (
    Bar,
    BarGroup,
    BarRow,
    Html,
    ShadedWord,
    bar_list,
    file_name,
    scale_end,
    shaded_words,
    table,
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
TAGS = {"div", "ul", "li", "ol", "span", "section", "small", "p", "h2", "bdi"}
TAGS |= {"table", "caption", "thead", "tbody", "tr", "th", "td"}


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


def mask(*words: tuple[str, float], covered: float = 0.5, position: int = 3) -> MaskPrediction:
    candidates = tuple(Candidate(word, 2293, chance, rank) for rank, (word, chance) in enumerate(words, start=1))
    return MaskPrediction(position, candidates, (), 1.0, covered)


def compared(*words: ComparedCandidate, gist: str = "Much changed.") -> Comparison:
    nothing = np.zeros(1, dtype=np.float32)
    one = MaskComparison(3, 3, words, (), 0.1, 1.0, 1.0, 0.5, 0.5, 1.0, 1.0, gist, nothing, nothing)
    fields = dict.fromkeys(Comparison.__dataclass_fields__)
    return Comparison(**{**fields, "masks": (one,)})


def pair(token: str, before: float, after: float, ranks: tuple[int, int] = (2, 1)) -> ComparedCandidate:
    return ComparedCandidate(token, TokenStats(before, ranks[0]), TokenStats(after, ranks[1]), 1.0)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_token_title_or_label_stays_text(text: str) -> None:
    row = BarRow(text, [Bar("base", 0.1, text)], under=text, notes=[text], hover=text, change=text)
    frame = pd.DataFrame([[text, text]], columns=[text, "b"])
    shown = [
        filled_bars([mask((text, 0.4))], names=[text], kind="base"),
        compared_bars(compared(pair(text, 0.1, 0.2), gist=text), names=[text], labels=[text, text], order=BY_CHANGE),
        bar_list([BarGroup([row], text)], end=1.0),
        table(frame, label=text, caption=text, marked=text),
        shaded_words([ShadedWord(text, 2.0, text, text)], label=text, kind="base"),
    ]
    for html in shown:
        read = Reader(html)
        assert read.tags <= TAGS
        assert not any(name.startswith("on") for name in read.attributes)
        assert text.strip("\x00\x1b\u202e")[-4:] in read.text


@given(st.text())
def test_any_token_is_escaped_and_seen(token: str) -> None:
    shown = visible(token)
    assert not re.search(r"[<>\"'\x00-\x1f]", shown)
    assert shown.strip()


def test_one_model_gives_a_bar_a_word_with_its_number_as_text() -> None:
    read = Reader(filled_bars([mask(("love", 0.412), ("like", 0.0004))], names=[""], kind="base"))
    for part in ("love", "41.2%", "< 0.1%"):
        assert part in read.text


def test_two_models_give_before_after_and_change() -> None:
    comparison = compared(pair("love", 0.212, 0.412))
    shown = compared_bars(comparison, names=[""], labels=["mini-bert", "my run"], order=BY_CHANGE)
    read = Reader(shown)
    for part in ("21.2% → 41.2%", "+20.0 points", "mini-bert", "my run"):
        assert part in read.text
    assert "before: rank 2" in shown
    assert "after: rank 1" in shown


def test_all_blanks_share_one_scale_that_holds_the_longest_bar() -> None:
    shown = filled_bars([mask(("a", 0.412)), mask(("b", 0.05))], names=["1st", "2nd"], kind="base")
    widths = [float(width) for width in re.findall(r"--at:([\d.]+)%", shown)]
    assert max(widths) <= 100
    assert widths[0] / widths[1] == pytest.approx(0.412 / 0.05, rel=1e-3)


@pytest.mark.parametrize("most", [1.0, 0.99, 0.2, 0.011, 0.0004, 1e-7, 0.0])
def test_the_scale_of_small_answers_never_ends_at_nothing(most: float) -> None:
    assert scale_end([most]) >= most
    (axis,) = re.findall(
        r"bars-axis.*?<span>0%</span><span>(.*?)</span>", filled_bars([mask(("a", most))], names=[""], kind="base")
    )
    assert axis != "0%"


def test_a_table_of_one_model_gives_id_rank_and_log_probability() -> None:
    filled = FilledText(None, (mask(("love", 0.5)), mask(("like", 0.25), position=5)))
    shown = filled_table(filled, names=["1st, after “a”", "2nd, after “b”"])
    assert list(shown.data.columns) == ["blank", "word", "id", "rank", "probability", "log p"]
    assert list(shown.data["probability"]) == [0.5, 0.25]  # numbers, so that they can be sorted
    for part in ("2293", "50.0%", "−0.693", "25.0%", "−1.386"):
        assert part in shown.to_html()
    assert "blank" not in filled_table(FilledText(None, filled.masks[:1]), names=[""]).data


def test_a_table_of_two_models_has_both_and_says_where_one_lacks_a_word() -> None:
    alone = ComparedCandidate("alone", TokenStats(), TokenStats(0.2, 2), None)
    shown = compared_table(compared(pair("love", 0.5, 0.25), alone), names=[""], labels=["a", "a"])
    for part in ("50.0%", "25.0%", "-25.0", "–"):
        assert part in shown.to_html()


def test_nothing_to_show_is_still_valid() -> None:
    assert Reader(bar_list([], end=1.0)).tags == {"div"}
    assert Reader(bar_list([BarGroup([])], end=1.0, axis=True)).text.strip().startswith("0%")


def test_a_table_takes_html_of_ours_as_it_is_and_marks_rows_and_columns() -> None:
    frame = pd.DataFrame({"word": ["a", Html("<b>b</b>")], "p": [0.5, None], "n": [1234, 5]})
    html = table(frame, label="Words", formats={"p": percent}, current=1, marked="p", total=True)
    assert '<tr aria-current="true" class="total"><th scope="row"><b>b</b></th>' in html
    assert '<td data-head="p" class="marked">50.0%</td>' in html
    assert '<td data-head="p" class="marked">–</td>' in html
    assert "1,234" in html


def test_a_file_name_may_break_between_its_words_only() -> None:
    assert file_name("a-b_<c>.csv").text == "a-<wbr>b_<wbr>&lt;c&gt;<wbr>.csv"
