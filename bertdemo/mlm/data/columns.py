"""What a column holds: numbers, dates, links, codes, single words, short phrases or free text.

Judges a sample of cells and, second, the column's name. Words are counted so that scripts without spaces (Chinese,
Japanese, Thai...) count as well. Knows no file.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean

from bertdemo.mlm.data.texts import clean_text, is_missing

SAMPLE_CELLS = 1000
_CELL_CHARS = 2000
_MOST = 0.8

FREE_TEXT_SCORE = 2.2
_SENTENCE_WORDS = 6


class Kind(StrEnum):
    """What most cells of a column are; the value completes the sentence "the column holds ..."."""

    TEXT = "free text"
    PHRASE = "names or short phrases"
    STRUCTURED = "lists or JSON"
    WORD = "single words"
    CODE = "codes or ids"
    LINK = "links"
    DATE = "dates"
    NUMBER = "numbers"
    EMPTY = "nothing"


REFUSED = frozenset((Kind.DATE, Kind.NUMBER, Kind.EMPTY))  # even when the column is named
UNUSUAL = frozenset((Kind.WORD, Kind.CODE, Kind.LINK, Kind.STRUCTURED))  # taken when named, with a warning

_NUMBER = re.compile(
    r"[-+(~<>≤≥]{0,2}\s?[$€£¥₹]?\s?[-+]?(?:\d[\d.,'’\xa0\u202f_ ]*|[.,]\d+)(?:[eE][-+]?\d+)?\s?[%€$£¥₹°)]?"
    r"|[-+]?(?:inf|infinity)|\d+(?:[.,]\d+)?\s?/\s?\d+(?:[.,]\d+)?",
    re.IGNORECASE,
)
_LINK = re.compile(r"(?:https?://|ftp://|www\.)\S+|[^\s@]+@[^\s@]+\.[a-z]{2,}|(?:[a-z]:)?[\\/]\S+", re.IGNORECASE)
_STRUCTURE = re.compile(r"[\[{(].*[\]})]", re.DOTALL)
_DATE_SIGNS = re.compile(r"[\w\s,./:+\-()'’]+")
_LETTERS_OR_DIGITS = re.compile(r"[^\W\d_]+|\d+")
_DATE_TEXT = """
jan feb mar apr may jun jul aug sep sept oct nov dec january february march april june july august september
october november december januar februar märz mär mai juni juli oktober okt dezember dez janvier février mars
avril juin juillet août septembre octobre novembre décembre enero ene febrero marzo abril abr mayo junio julio
agosto ago septiembre octubre noviembre diciembre dic gennaio gen febbraio aprile maggio giugno luglio
settembre ottobre dicembre mon tue tues wed thu thur thurs fri sat sun monday tuesday wednesday thursday
friday saturday sunday am pm a p m t z h utc gmt est edt cst cdt mst mdt pst pdt bst cet cest ist jst st nd
rd th de of at um uhr on the 年 月 日 时 時 分 秒
"""
_DATE_WORDS = frozenset(_DATE_TEXT.split())
_WORD = re.compile(r"[^\W\d_]\S*")
# One Chinese or Japanese character carries about half a word, one Thai, Lao, Burmese or Khmer letter a fifth.
HALF_WORD = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]")
_FIFTH_OF_WORD = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")
_UNSPACED_RUN = re.compile(f"(?:{HALF_WORD.pattern}|{_FIFTH_OF_WORD.pattern})+")

_TEXT_NAME = re.compile(
    r"review(?!er|_?id|s?_?count)|text|comment|tweet|sentence|body|feedback|opinion|message|utterance|kommentar|"
    r"bewertung|rezension|avis|texte|comentario|reseña|texto|opinione|recensione|отзыв|текст|коммент|评论|評論|"
    r"内容|文本|レビュー|本文|感想|리뷰|댓글|تعليق|نص",
    re.IGNORECASE,
)
_PERHAPS_TEXT_NAME = re.compile(
    r"content|description|summary|post|note|story|article|quote|answer|question|headline|beschreibung|абзац",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class ColumnProfile:
    """A column's name, kind and, for ranking, how much like free text it is.

    ``values``: its distinct sampled cells; ``filled``: how many of those sampled hold one.
    """

    name: str
    kind: Kind
    score: float = 0.0
    values: frozenset[str] = frozenset()
    filled: int = 0


def count_words(text: str) -> float:
    """Words of a cleaned text, about; scripts without spaces are counted by their characters.

    >>> count_words("It is 5 o'clock"), count_words("房间很大")
    (3.0, 2.0)
    """
    unspaced = 0.0
    if not text.isascii():
        unspaced = len(HALF_WORD.findall(text)) / 2 + len(_FIFTH_OF_WORD.findall(text)) / 5
        if unspaced:
            text = _UNSPACED_RUN.sub(" ", text)
    return len(_WORD.findall(text)) + unspaced


def is_number(cell: str) -> bool:
    """Whether a cleaned cell is a number, an amount, a percentage or a rating such as 4/5."""
    return _NUMBER.fullmatch(cell) is not None


def is_date(cell: str) -> bool:
    """Whether a cleaned cell is a date or a time of day in one of the usual forms.

    >>> is_date("31-Jul-18"), is_date("September 9, 2019"), is_date("May I say")
    (True, True, False)
    """
    if len(cell) > 60 or not _DATE_SIGNS.fullmatch(cell):
        return False
    parts = _LETTERS_OR_DIGITS.findall(cell.casefold())
    digits = sum(part.isdigit() for part in parts)
    if not digits or any(not part.isdigit() and part not in _DATE_WORDS for part in parts):
        return False
    return digits >= 2 or digits < len(parts)


def cell_kind(cell: str) -> Kind:
    """The kind of one cleaned cell; PHRASE stands for anything in words."""
    if is_missing(cell):
        return Kind.EMPTY
    if is_number(cell):
        return Kind.NUMBER
    if is_date(cell):
        return Kind.DATE
    if _LINK.fullmatch(cell):
        return Kind.LINK
    if _STRUCTURE.fullmatch(cell) and any(sign in cell for sign in ",:"):
        return Kind.STRUCTURED
    return Kind.PHRASE


def profile_column(name: str, cells: Sequence[str]) -> ColumnProfile:
    """Judge a column by a sample of its raw cells."""
    cleaned = [clean_text(cell[:_CELL_CHARS]) for cell in cells[:SAMPLE_CELLS]]
    filled = [cell for cell in cleaned if not is_missing(cell)]
    if not filled:
        return ColumnProfile(name, Kind.EMPTY)
    values = frozenset(filled)
    kinds = [cell_kind(cell) for cell in filled]
    odd = [kind for kind in kinds if kind is not Kind.PHRASE]
    if len(odd) >= _MOST * len(kinds):
        return ColumnProfile(name, Counter(odd).most_common(1)[0][0], 0.0, values, len(filled))
    words = [min(count_words(cell), 60.0) for cell in filled]
    if fmean(words) < 1.6 and sum(count < 2 for count in words) >= _MOST * len(words):
        coded = sum(any(char.isdigit() for char in cell) for cell in filled)
        return ColumnProfile(name, Kind.CODE if coded > len(filled) / 2 else Kind.WORD, 0.0, values, len(filled))
    distinct = (len(values) / len(filled)) ** 0.5
    if fmean(words) >= _SENTENCE_WORDS and len(values) > 1:
        distinct = max(distinct, 0.4)  # no category is that long: sentences with many duplicates
    score = fmean(words) * distinct * _likeness(filled) * (len(filled) / len(cleaned)) ** 0.5
    score *= _name_weight(name)
    return ColumnProfile(name, Kind.TEXT if score >= FREE_TEXT_SCORE else Kind.PHRASE, score, values, len(filled))


def _likeness(filled: list[str]) -> float:
    """0 to 1: people write mostly in lower case, and not in lists.

    Titles And Names begin their words with capitals; lists end them with commas. Scripts without case lose nothing.
    """
    words = [word for cell in filled for word in _WORD.findall(cell)[1:]]
    cased = [word for word in words if len(word) > 1 and word[0].lower() != word[0].upper()]
    titled = sum(word[0].isupper() and not word.isupper() for word in cased) / max(len(cased), 1)
    listed = sum(word[-1] in ",;|" for word in words) / max(len(words), 1)
    likeness = 1 - 0.75 * max(0.0, (titled - 0.4) / 0.6)
    return likeness * (0.3 if listed > 0.4 else 1.0)


def _name_weight(name: str) -> float:
    if _TEXT_NAME.search(name):
        return 1.5
    return 1.2 if _PERHAPS_TEXT_NAME.search(name) else 1.0
