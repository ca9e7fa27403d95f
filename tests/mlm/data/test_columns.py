"""Whether the column of free text is told from all the others, in any script."""

import pytest

from bertdemo.mlm.data.columns import Kind, count_words, is_date, is_number, profile_column


@pytest.mark.parametrize(
    ("kind", "cells"),
    [
        (Kind.NUMBER, ["1", "2.5", "-3,14", "1e9", "€ 20", "15 %", "1 234,56", "4/5"]),
        (Kind.DATE, ["2024-01-31", "31.01.2024 10:05", "Jan 5, 2020", "5. März 2021", "2024-01-31T10:00:00Z"]),
        (Kind.DATE, ["Mon Apr 06 22:19:45 PDT 2009", "10:30", "2024年1月5日"]),
        (Kind.LINK, ["https://a.example/b?c=d", "www.example.org", "someone@example.org"]),
        (Kind.CODE, ["tt0111161", "B00X4WHP5E", "5f3a-11", "user_17"]),
        (Kind.WORD, ["joy", "anger", "sad", "fear"]),
        (Kind.WORD, ["北京", "上海", "广州"]),
        (Kind.EMPTY, ["", "NaN", " "]),
        (Kind.STRUCTURED, ['{"a": 1}', "['x', 'y']"]),
        (Kind.PHRASE, ["Iron Valley", "Night Train to Oslo", "The Last Harbour", "Garden of Stars"]),
        (Kind.PHRASE, ["very satisfied", "not satisfied"] * 50),
        (Kind.PHRASE, ["Ann Lee, Bo Chen, Cy Diaz, Di Fox", "Ed Gray, Flo Hunt", "Gus Ito, Hal Jones, Ina King"]),
        (Kind.TEXT, ["We liked it a lot.", "not for me, sorry", "IT BROKE AFTER TWO DAYS"]),
        (Kind.TEXT, ["房间很大，床也很舒服。", "早餐太差，不会再来。"]),
        (Kind.TEXT, ["หนังสนุกมากนักแสดงเล่นดีทุกคน", "อาหารอร่อยแต่บริการช้ามาก"]),
        (Kind.TEXT, ["الخدمة بطيئة والطعام بارد", "فيلم جميل جدا لكن النهاية مخيبة"]),
    ],
)
def test_kind_of_column(kind, cells):
    assert profile_column("c", cells).kind is kind


def test_short_texts_count_as_text_where_the_name_says_so():
    cells = ["Loved it!", "Good value", "works fine", "not bad", "so so", "never again"]
    assert profile_column("comment", cells).kind is Kind.TEXT
    assert profile_column("3", cells).kind is Kind.PHRASE


def test_sentences_stay_text_when_most_are_duplicates():
    cells = ["We liked it a lot, all of us.", "It broke after two days, sadly enough."] * 200
    assert profile_column("2", cells).kind is Kind.TEXT


def test_sentences_outrank_titles_and_lists():
    review = profile_column("c1", ["We liked it a lot, all of us.", "It broke after two days, sadly."])
    cast = profile_column("c2", ["Ann Lee, Bo Chen, Cy Diaz, Di Fox, Ed Gray", "Flo Hunt, Gus Ito, Hal Jones"])
    assert review.score > cast.score


def test_words_are_counted_without_spaces():
    assert count_words("three plain words") == 3
    assert count_words("房间很大床舒服呀") == 4
    assert count_words("12 34") == 0


def test_words_that_begin_like_dates_are_not_dates():
    assert not is_date("May I have 2 of them")
    assert not is_date("march")
    assert not is_number("2 hot 2 handle")
