"""Whether a table is read the way its author meant, whatever program wrote it."""

import csv
import io

import pytest

from bertdemo.mlm.data.corpus import Dialect, preview, sniff
from bertdemo.mlm.errors import DataError

ENGLISH = [
    "The second half was lovely, but the ending felt rushed.",
    "Honestly one of the worst evenings of my life; avoid!",
    "Great!",
    'My kids "adored" it, and so did I.',
    "It broke after two days. I would not buy it again, ever.",
    "Not bad, not good - just fine.",
    "We waited an hour for cold soup, then left.",
    "Boring. I fell asleep twice before the credits.",
    "Five stars from me: fast, cheap and friendly.",
    "Why does nobody talk about the sound?",
]
GERMAN = [
    "Das Frühstück war großartig, die Bedienung ließ auf sich warten.",
    "Für 20 € bekommt man anderswo mehr; schade.",
    "Nie wieder! Völlig überteuert, leider auch unfreundlich.",
    "Schöne Aussicht, gern wieder.",
]
FRENCH = [
    "Très déçue par la fin, les acteurs sont à côté du rôle.",
    "Où est passée l'intrigue ? Bref, à éviter.",
    "Une merveille, j'ai adoré chaque minute.",
]
POLISH = ["Bardzo dobry film, świetna gra aktorów.", "Zakończenie mogło być lepsze, żałuję wyjścia z domu."]
RUSSIAN = ["Очень хороший фильм, актёры играют прекрасно.", "Скучно, ушли через полчаса и не жалеем."]
JAPANESE = ["とても面白い映画でした。音楽も素晴らしい。", "期待していたほどではなかったです。"]
CHINESE = ["房间很大，床也很舒服，下次还会再来。", "早餐太差，服务员一直在聊天。", "位置不好找，但是很安静。"]
ARABIC = ["فيلم جميل جدا لكن النهاية مخيبة للآمال.", "الخدمة بطيئة والطعام بارد، لن أعود مرة أخرى."]
THAI = ["หนังสนุกมากนักแสดงเล่นดีทุกคน", "อาหารอร่อยแต่บริการช้ามาก"]
ROWS = 40


def written(rows, *, delimiter=",", header=None, quoting=csv.QUOTE_MINIMAL, end="\n"):
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator=end)
    writer.writerows(([header] if header else []) + rows)
    return out.getvalue()


def texts(bank):
    return [f"{bank[i % len(bank)]} ({i})" for i in range(ROWS)]


def rated(bank):
    return [[str(i % 5 + 1), text] for i, text in enumerate(texts(bank))]


def joined(rows, delimiter, header=None):
    return "".join(delimiter.join(row) + "\n" for row in ([header] if header else []) + rows)


CASES = {
    "German export": (
        written(rated(GERMAN), delimiter=";", header=["Sterne", "Kommentar"], end="\r\n").encode("cp1252"),
        Dialect("cp1252", ";", '"', header=True),
        "Kommentar",
    ),
    "Excel's Unicode text": (
        written(rated(FRENCH), delimiter="\t", header=["note", "avis"], end="\r\n").encode("utf-16"),
        Dialect("utf-16", "\t", '"', header=True),
        "avis",
    ),
    "UTF-16 without its mark": (
        written(rated(FRENCH), delimiter="\t", header=["note", "avis"]).encode("utf-16-be"),
        Dialect("utf-16-be", "\t", '"', header=True),
        "avis",
    ),
    "pipe": (
        joined(rated(ENGLISH), "|", ["stars", "body"]).encode(),
        Dialect("ascii", "|", '"', header=True),
        "body",
    ),
    "Latin-1": (
        written(rated(FRENCH), header=["note", "texte"]).encode("latin-1"),
        Dialect("cp1252", ",", '"', header=True),
        "texte",
    ),
    "Polish": (
        written(rated(POLISH), delimiter=";", header=["ocena", "opinia"]).encode("cp1250"),
        Dialect("cp1250", ";", '"', header=True),
        "opinia",
    ),
    "Cyrillic": (
        written(rated(RUSSIAN), delimiter=";", header=["Оценка", "Отзыв"]).encode("cp1251"),
        Dialect("cp1251", ";", '"', header=True),
        "Отзыв",
    ),
    "Shift-JIS": (
        written(rated(JAPANESE), header=["評価", "レビュー"]).encode("cp932"),
        Dialect("cp932", ",", '"', header=True),
        "レビュー",
    ),
    "Chinese, marked UTF-8": (
        written(rated(CHINESE), header=["label", "评论"]).encode("utf-8-sig"),
        Dialect("utf-8-sig", ",", '"', header=True),
        "评论",
    ),
    "Chinese, no header": (
        written(rated(CHINESE), delimiter="\t").encode("gb18030"),
        Dialect("gb18030", "\t", '"', header=False),
        "1",
    ),
    "Arabic": (
        written(rated(ARABIC), header=["التقييم", "النص"]).encode(),
        Dialect("utf-8", ",", '"', header=True),
        "النص",
    ),
    "Thai": (
        written(rated(THAI), header=["stars", "texts"]).encode(),
        Dialect("utf-8", ",", '"', header=True),
        "texts",
    ),
    "Mac": (
        written(rated(FRENCH), delimiter=";", header=["note", "avis"], end="\r").encode("mac_roman"),
        Dialect("mac_roman", ";", '"', header=True),
        "avis",
    ),
    "no header, numbers first": (
        written(rated(ENGLISH)).encode(),
        Dialect("ascii", ",", '"', header=False),
        "1",
    ),
    "header of words above words": (
        written([[text, "good"] for text in texts(ENGLISH)], header=["opinion", "verdict"]).encode(),
        Dialect("ascii", ",", '"', header=True),
        "opinion",
    ),
    "every cell quoted": (
        written(rated(ENGLISH), header=["stars", "text"], quoting=csv.QUOTE_ALL).encode(),
        Dialect("ascii", ",", '"', header=True),
        "text",
    ),
    "cells of several lines": (
        written([[s, f'{t}\n\nAnd; "more", below.'] for s, t in rated(ENGLISH)], header=["stars", "text"]).encode(),
        Dialect("ascii", ",", '"', header=True),
        "text",
    ),
    "backslash before quotes": (
        joined(
            [[s, '"They said \\"no\\", then: ' + t.replace('"', "") + '"'] for s, t in rated(ENGLISH)],
            ",",
            ["s", "text"],
        ).encode(),
        Dialect("ascii", ",", '"', header=True, escape="\\"),
        "text",
    ),
    "space before quotes": (
        joined(
            [[s, ' "Well, ' + t.replace('"', "") + '"'] for s, t in rated(ENGLISH)], ",", ["stars", " text"]
        ).encode(),
        Dialect("ascii", ",", '"', header=True, spaced=True),
        "text",
    ),
    "Excel's own first line": (
        ("sep=;\r\n" + written(rated(ENGLISH), delimiter=";", header=["stars", "text"])).encode(),
        Dialect("ascii", ";", '"', header=True),
        "text",
    ),
    "JSON in a cell": (
        written(
            [[s, '{"a": [1, 2], "b": "x y"}', t] for s, t in rated(ENGLISH)], header=["id", "meta", "text"]
        ).encode(),
        Dialect("ascii", ",", '"', header=True),
        "text",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_table_is_read_as_it_was_meant(name, tmp_path):
    data, dialect, column = CASES[name]
    path = tmp_path / "data.csv"
    path.write_bytes(data)
    assert sniff(path) == dialect
    seen = preview(path)
    assert (seen.report.rows, seen.text_column, seen.report.ragged) == (ROWS, column, 0)


def test_one_column_with_unquoted_commas_is_one_text_a_line(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("review\n" + "\n".join(texts(ENGLISH)) + "\n")
    seen = preview(path)
    assert seen.dialect == Dialect("ascii", None, seen.dialect.quote, header=True)
    assert (seen.columns, seen.report.rows) == (("review",), ROWS)


def test_text_file_has_a_text_a_line_and_no_header(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("\n\n".join(texts(ENGLISH)))
    seen = preview(path)
    assert (seen.dialect.delimiter, seen.dialect.header, seen.columns) == (None, False, ("0",))
    assert seen.report.rows == ROWS


def test_one_column_of_quoted_cells_is_a_table(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text(written([[text] for text in texts(ENGLISH)], header=["comment"], quoting=csv.QUOTE_ALL))
    assert sniff(path) == Dialect("ascii", ",", '"', header=True)


def test_stray_quotes_in_a_tab_separated_file_are_ordinary(tmp_path):
    path = tmp_path / "data.tsv"
    path.write_text("text\tliked\n" + "".join(f'"Hm, said nobody {i}\t1\nIt was 5" tall ({i})\t0\n' for i in range(20)))
    seen = preview(path)
    assert seen.dialect == Dialect("ascii", "\t", None, header=True)
    assert seen.sample_rows[0] == ('"Hm, said nobody 0', "1")


def test_decimal_commas_do_not_split(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("".join(f"{i},5;{i},25\n" for i in range(1, 30)))
    assert (sniff(path).delimiter, sniff(path).header) == (";", False)


def test_years_can_name_columns(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("country,2019,2020\n" + "".join(f"DE,{i}.5,{i}.25\n" for i in range(30)))
    assert sniff(path).header


@pytest.mark.parametrize(
    "wrong",
    [
        {"encoding": "klingon"},
        {"encoding": "base64"},
        {"encoding": "a\x00b"},
        {"delimiter": ",,"},
        {"delimiter": '"'},
        {"quote": "x"},
    ],
)
def test_impossible_dialect_is_refused(wrong):
    with pytest.raises(DataError):
        Dialect(**{"encoding": "utf-8", "delimiter": ",", "quote": '"', "header": True} | wrong)
