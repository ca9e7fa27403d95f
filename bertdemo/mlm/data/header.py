"""Whether the first record of a table names its columns. Knows records, not how they are written down."""

import re
from collections.abc import Sequence

from bertdemo.mlm.data.columns import Kind, cell_kind, count_words, profile_column
from bertdemo.mlm.data.texts import clean_text

_NAMES_TEXT = """
id index no nr number name title text review reviews comment comments tweet sentence sentences content body
message description summary headline post label labels class category categories target sentiment polarity
emotion score rating ratings stars star date time timestamp year month day user username author source url link
type lang language country city location product helpful votes likes liked recommended verified feedback
question answer quote lyrics notes subject topic tags datum sterne bewertung kommentar titel autor note avis
texte auteur texto reseña puntuación fecha comentario отзыв текст оценка дата 评论 标签 内容 标题 评分 日期
レビュー 本文 評価 タイトル 日付 ラベル 리뷰 평점 النص التقييم
"""
_HEADER_NAMES = frozenset(_NAMES_TEXT.split())
_YEAR = re.compile(r"(?:19|20)\d\d")
_IDENTIFIER = re.compile(r"[^\W\d]\w*(?:[_.-]\w+)+|[a-z]+(?:[A-Z][a-z0-9]+)+|[a-zA-Z]{1,3}\d{1,2}")


def has_header(records: Sequence[Sequence[str]], width: int) -> bool:
    """Whether the first record names the columns: each of its cells is weighed against the column below it.

    >>> has_header([["stars", "text"], ["5", "I liked it a lot."], ["1", "Not for me, sorry."]], 2)
    True
    """
    first = [clean_text(cell) for cell in records[0]]
    if not any(first):
        return False
    body = [record for record in records[1:500] if len(record) == width]
    weight = 0.0
    for place, cell in enumerate(first[:width]):
        weight += _name_evidence(cell, [record[place] for record in body])
    filled = [cell for cell in first if cell]
    weight -= 0.5 * (len(filled) - len(set(filled)))
    return weight > (0.6 if width == 1 else 0.0)


def _name_evidence(cell: str, below: Sequence[str]) -> float:
    """How much a cell of the first record looks like the name of the cells below it; negative: like one of them."""
    if not cell:
        return 0.0
    kind, words = cell_kind(cell), count_words(cell)
    if words > 8 or len(cell) > 80:
        return -2.0
    weight = 0.0
    if cell.casefold() in _HEADER_NAMES or re.sub(r"[\W\d_]", "", cell.casefold()) in _HEADER_NAMES:
        weight = 2.0
    elif _IDENTIFIER.fullmatch(cell):
        weight = 0.7
    profile = profile_column("", below)
    if _YEAR.fullmatch(cell) and not any(map(_YEAR.fullmatch, profile.values)):
        return weight  # a table of figures by year
    if profile.kind in (Kind.NUMBER, Kind.DATE, Kind.LINK):
        return weight + (-2.0 if kind is profile.kind else 2.0)
    if kind in (Kind.NUMBER, Kind.DATE, Kind.LINK):
        return weight - 1.0
    if cell in profile.values:
        return weight - 2.0
    if profile.kind is Kind.TEXT:
        return weight + (0.5 if words <= 3 and len(cell) < 0.5 * _usual_length(below) else -1.0)
    few = 0 < len(profile.values) <= max(2, len(below) // 10)
    return weight + (0.7 if few else 0.0)


def _usual_length(cells: Sequence[str]) -> float:
    """The length that nine in ten filled cells reach."""
    lengths = sorted(len(cell) for cell in cells if cell.strip())
    return lengths[len(lengths) // 10] if lengths else 0
