"""Which of the first records of a table name its columns, and which stand above. Knows records alone."""

import re
from collections.abc import Sequence
from itertools import pairwise

from bertdemo.mlm.data.columns import ColumnProfile, Kind, cell_kind, count_words, is_number, profile_column
from bertdemo.mlm.data.texts import clean_text, is_missing

_MAX_ABOVE = 30
_MAX_SUBHEADERS = 3
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
_TYPED = (Kind.NUMBER, Kind.DATE, Kind.LINK)

Records = Sequence[Sequence[str]]


def find_header(records: Records, width: int) -> tuple[int, bool, int]:
    """``(above, header, subheaders)``: records above the table, whether one that names the columns follows, and how
    many below that are no rows either.

    >>> find_header([["My reviews"], ["id", "text"], ["1", "I liked it a lot."], ["2", "Not for me, sorry."]], 2)
    (1, True, 0)
    """
    above = 0
    while above < min(_MAX_ABOVE, len(records) - 2) and _stands_above(records, above, width):
        above += 1
    if not has_header(records[above:], width):
        return above, False, 0
    below = 0
    while below < min(_MAX_SUBHEADERS, len(records) - above - 3) and _is_subheader(records[above + below + 1 :], width):
        below += 1
    if not below:
        return above, True, 0
    # Of several lines that name the columns the likeliest is the header; those above it are titles.
    body = records[above + below + 1 :]
    weights = [_header_weight(record, body, width) for record in records[above : above + below + 1]]
    best = weights.index(max(weights))
    return above + best, True, below - best


def has_header(records: Records, width: int) -> bool:
    """Whether the first record names the columns: each of its cells is weighed against the column below it.

    >>> has_header([["stars", "text"], ["5", "I liked it a lot."], ["1", "Not for me, sorry."]], 2)
    True
    """
    return _header_weight(records[0], records[1:500], width) > (0.6 if width == 1 else 0.0)


def _stands_above(records: Records, place: int, width: int) -> bool:
    """Whether a record is a title, a comment or a blank line of a spreadsheet, above a table ``width`` fields wide."""
    record, rest = records[place], records[place + 1 :]
    filled = sum(not cell.isspace() and cell != "" for cell in record)
    full = next((at for at, later in enumerate(rest) if len(later) == width and later[0].strip()), None)
    if full is None:
        return False
    if record[0].startswith("#") and 2 * sum(later[0].startswith("#") for later in rest) < len(rest):
        return len(record) != width or width == 1 or has_header(rest[full:], width)
    if width == 1 or (len(record) >= width and filled > 1):
        return False
    return (len(record) == 1 and width > 2) or filled == 0 or has_header(rest[full:], width)


def _header_weight(record: Sequence[str], body: Records, width: int) -> float:
    """How much the record looks like the names of the columns; numbers above numbers count against it once only,
    since questions are numbered, too."""
    first = [clean_text(cell) for cell in record[:width]]
    if not any(first):
        return -1.0
    weights = [_name_evidence(cell, profile) for cell, profile in zip(first, _profiles(body, width), strict=False)]
    numbered = [is_number(cell) for cell in first]
    against = [weight for weight, number in zip(weights, numbered, strict=True) if number and weight < 0]
    weight = sum(weights) - sum(against) + min(against, default=0.0)
    names = [cell for cell, number in zip(first, numbered, strict=True) if cell and not number]
    weight -= min(1.0, 0.5 * (len(names) - len(set(names))))
    return weight + (3.0 if _counts_up(first) and not any(map(_counts_up, body[:20])) else 0.0)


def _counts_up(cells: Sequence[str]) -> bool:
    """Whether most numbers among at least five cells are one more than the number before, as in numbered names."""
    numbers = [int(cell) for cell in cells if cell.isdecimal() and len(cell) < 6]
    steps = [later - earlier for earlier, later in pairwise(numbers)]
    return len(steps) >= 4 and steps.count(1) >= 0.7 * len(steps)


def _profiles(body: Records, width: int) -> list[ColumnProfile]:
    exact = [record for record in body[:500] if len(record) == width]
    return [profile_column("", [record[place] for record in exact]) for place in range(width)]


def _name_evidence(cell: str, column: ColumnProfile) -> float:
    """How much a cell of the first record looks like the name of the column below; negative: like one of its cells."""
    if is_missing(cell):
        return 0.0
    kind, words = cell_kind(cell), count_words(cell)
    if words > 8 or len(cell) > 80:
        return -2.0
    weight = 0.0
    if cell.casefold() in _HEADER_NAMES or re.sub(r"[\W\d_]", "", cell.casefold()) in _HEADER_NAMES:
        weight = 2.0
    elif _IDENTIFIER.fullmatch(cell):
        weight = 0.7
    if _YEAR.fullmatch(cell) and not any(map(_YEAR.fullmatch, column.values)):
        return weight  # a table of figures by year
    if column.kind in _TYPED:
        return weight + (-2.0 if kind is column.kind else 2.0)
    if kind in _TYPED:
        return weight + (0.5 if len(column.values) > 9 and not any(map(is_number, column.values)) else -1.0)
    if cell in column.values:
        return weight - 2.0
    if column.kind is Kind.TEXT:
        return weight + (0.5 if words <= 3 and len(cell) < 0.5 * _usual_length(column.values) else -1.0)
    return weight + (0.7 if 0 < len(column.values) <= max(2, column.filled // 10) else 0.0)


def _is_subheader(records: Records, width: int) -> bool:
    """Whether the first record stands in no typed column for a value: types, units or questions below the names."""
    first, body = records[0], records[1:]
    if len(first) != width:
        return False
    typed = [(clean_text(cell), column.kind) for cell, column in zip(first, _profiles(body, width), strict=True)]
    typed = [(cell, kind) for cell, kind in typed if kind in _TYPED]
    names = all(not is_missing(cell) and cell_kind(cell) is not kind for cell, kind in typed)
    return names and (len(typed) > 1 or (len(typed) == 1 and _header_weight(first, body, width) >= 2))


def _usual_length(values: frozenset[str]) -> int:
    """The length that nine in ten cells reach."""
    lengths = sorted(map(len, values))
    return lengths[len(lengths) // 10] if lengths else 0
