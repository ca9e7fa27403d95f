"""Kinds of files that people have, each once, small: the texts that they hold, or a word about what looks wrong."""

import csv
import io

import pytest

from bertdemo.mlm.data.corpus import chosen_dialect, preview, read_corpus, read_texts
from bertdemo.mlm.errors import DataError

RUSSIAN = [
    *(
        "Очень хороший отель, всё понравилось.",
        "Еда была холодная, больше не приедем.",
        "Сюжет слабый, актёры хорошие.",
    ),
    *("Отличная цена и качество, спасибо.", "Батарея умерла через два дня.", "Детям очень нравится эта игра."),
    *("Доставка заняла слишком много времени.", "Лучший кофе в городе и красивый сад."),
]
CHINESE = [
    *("房间很干净，服务员也很友好。", "饭菜是凉的，不会再来了。", "性价比非常高，真的不错。", "电池两天就没电了。"),
    *("孩子们非常喜欢这个游戏。", "物流太慢了，等了很久。", "剧情一般，但是演员不错。", "一个星期就坏了，不要买。"),
]
TAIWANESE = [
    *("房間很乾淨，服務員也很友善。", "飯菜是涼的，不會再來了。", "性價比非常高，真的不錯。", "電池兩天就沒電了。"),
    *("孩子們非常喜歡這個遊戲。", "物流太慢了，等了很久。", "劇情一般，但是演員不錯。", "一個星期就壞了，不要買。"),
]
JAPANESE = [
    *("部屋はきれいで、スタッフも親切でした。", "料理が冷たくて、もう来ません。", "値段の割にとても良いです。"),
    *("電池は二日で切れました。", "子供たちはこのゲームが大好きです。", "配達に時間がかかりすぎました。"),
    *("話は薄いが、俳優は良い。", "一週間で壊れました。買わないでください。"),
]
KOREAN = [
    *(
        "방이 깨끗하고 직원들이 친절했습니다.",
        "음식이 차가웠고 다시는 오지 않겠습니다.",
        "가격 대비 품질이 아주 좋아요.",
    ),
    *("배터리가 이틀 만에 나갔어요.", "아이들이 이 게임을 정말 좋아합니다.", "배송이 너무 오래 걸렸습니다."),
    *("줄거리는 약하지만 배우들은 좋았다.", "일주일 만에 고장났으니 사지 마세요."),
]
GREEK = [
    *("Το δωμάτιο ήταν καθαρό και το προσωπικό φιλικό.", "Το φαγητό ήταν κρύο, δεν θα ξανάρθουμε."),
    *("Πολύ καλή τιμή και ποιότητα, ευχαριστώ.", "Η μπαταρία άδειασε σε δύο μέρες.", "Η παράδοση άργησε πάρα πολύ."),
    *("Τα παιδιά λατρεύουν αυτό το παιχνίδι.", "Ο καλύτερος καφές στην πόλη.", "Χάλασε μετά από μια εβδομάδα."),
]
ARABIC = [
    *("كانت الغرفة نظيفة والموظفون ودودون.", "كان الطعام باردا ولن نعود مرة أخرى.", "نفدت البطارية بعد يومين."),
    *("السعر ممتاز والجودة رائعة، شكرا.", "الأطفال يحبون هذه اللعبة كثيرا.", "استغرق التوصيل وقتا طويلا جدا."),
    *("القصة ضعيفة لكن الممثلين جيدون.", "تعطل بعد أسبوع، لا تشتروه."),
]
GERMAN = [
    *("Das Zimmer war schön und die Leute sehr freundlich.", "Das Essen war kalt, für mich nie wieder."),
    *("Guter Preis, wirklich süße Möbel und große Bäder.", "Der Akku hält nur zwei Tage, ärgerlich."),
    *("Lieferung dauerte viel zu lange, übel.", "Die Handlung ist dünn, die Schauspieler großartig."),
    *("Nach einer Woche kaputt, Käufer aufgepasst!", "Läuft wie beschrieben, keine Mängel."),
]
POLISH = [
    *("Pokój był czysty, a obsługa bardzo miła i życzliwa.", "Jedzenie było zimne, więcej tu nie przyjdę, żałuję."),
    *("Świetna cena i jakość, dziękuję.", "Bateria padła po dwóch dniach, szkoda pieniędzy."),
    *("Dostawa trwała zdecydowanie za długo.", "Fabuła słaba, ale aktorzy są świetni."),
    *("Zepsuł się po tygodniu, nie kupujcie tego więcej.", "Działa zgodnie z opisem, żadnych zastrzeżeń."),
]
TURKISH = [
    *("Oda çok temizdi ve çalışanlar güler yüzlüydü.", "Yemek soğuktu, bir daha gelmeyeceğiz."),
    *("Fiyatı ve kalitesi çok iyi, teşekkürler.", "Pil iki günde bitti, çok üzüldüm.", "Şehirdeki en iyi kahve."),
    *(
        "Çocuklar bu oyunu çok seviyor, öğretici.",
        "Teslimat çok uzun sürdü.",
        "Bir hafta sonra bozuldu, sakın almayın.",
    ),
]
ENCODED = [
    *((RUSSIAN, name) for name in ("cp1251", "koi8-r", "cp866", "iso8859-5", "mac_cyrillic", "utf-7", "utf-16-le")),
    *((CHINESE, name) for name in ("gbk", "utf-16-le", "utf-16-be", "utf-7")),
    *((JAPANESE, name) for name in ("cp932", "euc-jp", "iso2022_jp", "utf-16-le")),
    *((TAIWANESE, "big5"), (KOREAN, "cp949"), (GREEK, "cp1253"), (ARABIC, "cp1256"), (TURKISH, "cp857")),
    *((GERMAN, "cp850"), (GERMAN, "cp437"), (GERMAN, "mac_roman"), (POLISH, "cp852"), (POLISH, "iso8859-2")),
]
REVIEWS = [f"The room number {i} was clean and the staff friendly." for i in range(1, 25)]
ROWS = [(i, text, i % 5 + 1) for i, text in enumerate(REVIEWS, 1)]
NAMES = ("id", "text", "stars")
NOTES = [f"The first line of note {i} is here.\nAnd the second line goes on." for i in range(20)]
FILMS = [f"Great acting, dull plot, and {'very, ' * (i % 3)}very long (film {i})." for i in range(60)]


def table(rows, names=NAMES, **options):
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n", **options)
    writer.writerows(([names] if names else []) + list(rows))
    return out.getvalue()


def saved(tmp_path, content, name="data.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def one_line(texts):
    return [" ".join(text.split()) for text in texts]


@pytest.mark.parametrize(("bank", "encoding"), ENCODED, ids=lambda value: value if isinstance(value, str) else "")
def test_a_text_beside_an_english_column_is_read_in_its_own_encoding(bank, encoding, tmp_path):
    rows = [(f"Wireless Noise Cancelling Over Ear Headphones Mod {i}", text) for i, text in enumerate(bank)]
    path = saved(tmp_path, table(rows, ("product", "review")).encode(encoding))
    texts, report, column, dialect = read_texts(path)
    assert (column, list(texts), report.warnings) == ("review", bank, ())
    assert "".join(bank).encode(encoding).decode(dialect.encoding) == "".join(bank)


def test_what_can_only_be_guessed_is_said_before_anything_is_trained(tmp_path):
    path = saved(tmp_path, table(enumerate(ARABIC), ("id", "text")).encode("cp864", "replace"))
    (warning,) = preview(path).report.warnings
    assert "characters look wrong: is this really" in warning
    path = saved(tmp_path, table(enumerate(GERMAN), ("id", "text")))
    dialect = chosen_dialect(path, "cp1252", None, None)
    (warning,) = read_corpus(path, dialect=dialect).report.warnings
    wrong = 2 * sum(not char.isascii() for char in "".join(GERMAN))
    assert warning == f"About {wrong} characters look wrong: is this really cp1252? (The bytes look like utf-8.)"


ABOVE = {
    "a title": ("Customer reviews 2024\n", 1),
    "two titles": ("Customer reviews 2024\nExported by Ann on 2024-01-05\n", 2),
    "a title and a blank line": ("Customer reviews 2024\n\n", 1),
    "a title as wide as the table": ("Customer reviews,,\n", 1),
    "titles and a blank row of a spreadsheet": ("Customer reviews,,\nAll shops,,\n,,\n", 3),
    "a title with a comma": ("Reviews of Rome, Paris and Oslo\n", 1),
    "a sentence": ("These reviews were collected in our shops in 2024, and may be used freely.\n", 1),
    "a quoted title": ('"My export, all of it"\n', 1),
    "comments": ("# made by tool v2\n# on 2024-01-05\n", 2),
    "a comment with commas": ("# made by tool v2, at home, today\n", 1),
    "names and values": ("Report:,Reviews\nDate:,2024-01-06\n\n", 2),
    "blank lines": ("\n\n\n", 0),
}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("kind", ABOVE)
def test_lines_above_the_header_are_skipped_and_counted(kind, end, tmp_path):
    above, skipped = ABOVE[kind]
    texts, report, column, dialect = read_texts(saved(tmp_path, (above + table(ROWS)).replace("\n", end)))
    assert (column, list(texts), report.rows) == ("text", REVIEWS, len(REVIEWS))
    assert (dialect.header, dialect.skipped_lines) == (True, skipped)
    assert len(report.warnings) == (skipped > 0)


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_a_title_hides_no_delimiter(delimiter, tmp_path):
    path = saved(tmp_path, "Survey export 2025-01-06\n" + table(ROWS[:9], delimiter=delimiter))
    assert list(read_texts(path)[0]) == REVIEWS[:9]


def test_texts_that_begin_with_a_hash_are_no_comments(tmp_path):
    tags = [f"#love this {i} so much, really" for i in range(20)]
    assert list(read_texts(saved(tmp_path, table(enumerate(tags), ("id", "text"))))[0]) == tags
    assert list(read_texts(saved(tmp_path, "#id,text,stars\n" + table(ROWS, None)))[0]) == REVIEWS


@pytest.mark.parametrize(
    "lines",
    [
        "id,text,stars\nint,string,int\nnumber,the review,rating\n",
        "Survey,,\nQ1,Q2,Q3\nid,text,stars\n",
        "Survey,Survey,Survey\nQ1,Q2,Q3\nid,text,stars\n",
    ],
)
def test_of_three_lines_of_header_none_is_a_row(lines, tmp_path):
    texts, report, column, _ = read_texts(saved(tmp_path, lines + table(ROWS, None)))
    assert (column, list(texts), report.rows) == ("text", REVIEWS, len(REVIEWS))


def test_a_header_that_is_repeated_is_no_row(tmp_path):
    texts, report, _, _ = read_texts(saved(tmp_path, table(ROWS[:12]) + table(ROWS[12:])))
    assert (list(texts), report.rows) == (REVIEWS, len(REVIEWS))


@pytest.mark.parametrize("first", ["review", "1"])
def test_numbers_and_repeated_names_are_a_header(first, tmp_path):
    names = [first, *map(str, [*range(2, 40), *range(1, 40)])]
    rows = [[text, *(round(((i + 3) * j) ** 0.5 % 1, 3) for j in range(1, 78))] for i, text in enumerate(REVIEWS)]
    seen = preview(saved(tmp_path, table(rows, names)))
    assert (len(seen.columns), seen.text_column, seen.rows) == (78, first, len(REVIEWS))
    assert seen.sample_texts == tuple(REVIEWS)


def escaped(text, also="\t"):
    return text.replace("\\", "\\\\").replace("\n", "\\\n").replace(also, f"\\{also}")


QUOTED_NOTES = [f'He said "no {i}", then left.\nAnd the second line goes on.' for i in range(20)]
MYSQL = {
    "as it is": ("".join(f"{i}\t{escaped(text)}\t2024-01-{i + 1:02}\n" for i, text in enumerate(NOTES)), NOTES),
    "with NULL": ("".join(f"{i}\t{escaped(text)}\t\\N\n" for i, text in enumerate(NOTES)), NOTES),
    "CSV": ("".join(f'"{i}","{escaped(text)}","{i % 5}"\n' for i, text in enumerate(NOTES)), NOTES),
    "quotes": ("".join(f'{i},"{escaped(text, chr(34))}",7\n' for i, text in enumerate(QUOTED_NOTES)), QUOTED_NOTES),
    "commas": (
        "".join(f"{i},{escaped(text.replace(' is', ', is'), ',')},{i % 5}\n" for i, text in enumerate(NOTES)),
        [text.replace(" is", ", is") for text in NOTES],
    ),
}


@pytest.mark.parametrize("kind", MYSQL)
def test_what_mysql_writes_is_read_back(kind, tmp_path):
    data, notes = MYSQL[kind]
    texts, report, column, _ = read_texts(saved(tmp_path, data))
    assert (column, list(texts), report.ragged) == ("1", one_line(notes), 0)


def test_backslashes_that_escape_nothing_stay(tmp_path):
    paths = [f"See C:\\temp\\new{i} and tell me what \\d means" for i in range(20)]
    assert list(read_texts(saved(tmp_path, table(enumerate(paths), ("id", "text"))))[0]) == paths


@pytest.mark.parametrize(
    ("names", "line"),
    [
        ("review,sentiment", "{0},{1}"),
        ("sentiment,review", "{1},{0}"),
        ("id,review,stars", "{2},{0},4"),
        ("title,review,sentiment", "Film {2},{0},{1}"),
    ],
)
def test_most_rows_may_be_broken_by_their_own_commas(names, line, tmp_path):
    lines = [line.format(text, ("good", "bad")[i % 2], i) for i, text in enumerate(FILMS)]
    texts, report, column, dialect = read_texts(saved(tmp_path, "\n".join([names, *lines])))
    assert (dialect.delimiter, column, list(texts), report.rows) == (",", "review", FILMS, len(FILMS))


@pytest.mark.parametrize("first", ["sep=^\n", "sep=^\r\n", '"sep=^"\n', ""])
def test_a_delimiter_that_the_file_declares_is_taken(first, tmp_path):
    assert list(read_texts(saved(tmp_path, first + table(ROWS, delimiter="^")))[0]) == REVIEWS


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
def test_cells_may_be_quoted_with_apostrophes(quoting, tmp_path):
    texts = [f"It's good, {text}" for text in REVIEWS]
    path = saved(tmp_path, table([(i, text, 5) for i, text in enumerate(texts)], quotechar="'", quoting=quoting))
    assert list(read_texts(path)[0]) == texts
    plain = [f"'twas nice {i}, it's 'good'" for i in range(20)]
    assert list(read_texts(saved(tmp_path, table(enumerate(plain), ("id", "text"))))[0]) == plain


NAMED = {
    "single words": [f"{a}{b}" for a in ("plum", "fig", "nut", "pear") for b in ("cake", "tree", "jam")],
    "single words ": ["ACDEFGHIKLMNPQRSTVWY"[i:] * 3 for i in range(12)],  # proteins
    "codes or ids": [f"tt{i:07}" for i in range(12)],
    "links": [f"https://a.example/{i}" for i in range(12)],
}


@pytest.mark.parametrize("kind", NAMED)
def test_a_column_that_is_named_is_taken_with_a_warning(kind, tmp_path):
    path = saved(tmp_path, table(enumerate(NAMED[kind]), ("id", "sequence")))
    assert preview(path).text_column is None
    texts, report, _, _ = read_texts(path, column="sequence")
    assert (list(texts), report.empty) == (NAMED[kind], 0)
    assert [f"holds {kind.strip()}, not sentences" in warning for warning in report.warnings] == [True]


def test_what_is_named_is_obeyed(tmp_path):
    path = saved(tmp_path, table(ROWS, delimiter=";"))
    assert read_texts(path, dialect=chosen_dialect(path, None, "", None))[0][1] == f"1;{REVIEWS[0]};2"
    dialect = chosen_dialect(path, None, ";", False)
    assert (dialect.delimiter, dialect.header, preview(path, dialect=dialect).columns) == (";", False, ("0", "1", "2"))
    path = saved(tmp_path, table(enumerate(GERMAN), ("id", "text")).encode("cp850"))
    assert list(read_texts(path, dialect=chosen_dialect(path, "cp850", None, None))[0]) == GERMAN
    for wrong in ({"encoding": "klingon"}, {"delimiter": ",,"}):
        with pytest.raises(DataError, match="give one"):
            chosen_dialect(path, **{"encoding": None, "delimiter": None, "header": None} | wrong)
