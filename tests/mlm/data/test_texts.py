"""Whether texts are cleaned as a reader would, told apart, and kept whole in little memory."""

import tempfile

import pytest

from bertdemo.mlm.data import texts as texts_module
from bertdemo.mlm.data.texts import Texts, clean_text, index_lines, is_missing, same_text_key


def built(rows) -> Texts:
    with tempfile.TemporaryFile() as file:
        file.writelines(row.encode("utf-8", "replace") + b"\n" for row in rows)
        return index_lines(file)[0]


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("one<br /><br/>two", "one two"),
        ("<p class='x'>a <b>bold</b>, claim</p>", "a bold, claim"),
        ("fish &amp; chips &#39;n&#39; peas", "fish & chips 'n' peas"),
        ("&amp;lt; is written so", "&lt; is written so"),
        ("&lt;b&gt; makes bold", "<b> makes bold"),
        ("I <3 it, 2 < 3 > 1", "I <3 it, 2 < 3 > 1"),
        ("  tabs\tand\r\nlines  ", "tabs and lines"),
        ("a\x00b\u200bc\ufeff", "abc"),
        ("<script>x</script>", "<script>x</script>"),
        ("naïve 😀 とても", "naïve 😀 とても"),
        ("<I love it> so much", "<I love it> so much"),
        ("<b so what> it is", "<b so what> it is"),
        ('see <a href="x.html" target=_blank>this</a>, <hr noshade/>now', "see this, now"),
    ],
)
def test_text_is_cleaned_once(raw, clean):
    assert clean_text(raw) == clean


@pytest.mark.parametrize("cell", ["", "NaN", "null", "NULL", "N/A", "None", "<NA>", "#N/A", "\\N"])
def test_missing_values_are_known(cell):
    assert is_missing(clean_text(cell))


@pytest.mark.parametrize("cell", ["0", "nan bread was great", "no", "None of it works"])
def test_texts_are_not_taken_for_missing(cell):
    assert not is_missing(clean_text(cell))


def test_texts_that_differ_in_case_or_encoding_form_only_are_the_same():
    assert same_text_key("Caf\u00e9 Straße") == same_text_key("CAFE\u0301 STRASSE")
    assert list(built(["Caf\u00e9 Straße", "CAFE\u0301 STRASSE", "cafe strasse"])) == ["Café Straße", "cafe strasse"]


def test_each_text_is_met_once_and_blank_rows_are_counted(tmp_path):
    with (tmp_path / "lines").open("w+b") as file:
        file.writelines(b"text %d\n\nTEXT %d\n" % (i, i) for i in range(5000))
        texts, rows, empty = index_lines(file)
    assert (rows, empty) == (15_000, 5000)
    assert list(texts) == [f"text {i}" for i in range(5000)]


@pytest.mark.parametrize("in_memory", [10**9, 100])
def test_texts_come_back_whole_from_memory_and_disk(in_memory, monkeypatch):
    monkeypatch.setattr(texts_module, "IN_MEMORY_BYTES", in_memory)
    rows = [f"row {i} naïve 😀 日本 \ud800" for i in range(51)]
    whole = [row.replace("\ud800", "?") for row in rows]
    texts = built(rows)
    assert list(texts) == whole
    assert (texts[0], texts[-1], len(texts)) == (whole[0], whole[-1], 51)
    assert list(texts[10:20][::2]) == whole[10:20:2]
    assert list(texts.select([5, 3])[1:]) == [whole[3]]
    with pytest.raises(IndexError):
        texts[51]


def test_no_texts_are_an_empty_sequence():
    assert list(built([])) == []
