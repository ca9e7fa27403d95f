"""Every way a data file can be wrong: it is read as it was meant, or refused in one sentence with the mend."""

from __future__ import annotations

import gzip
import io
import os
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest

from bertdemo.mlm.data.corpus import read_corpus
from bertdemo.mlm.errors import DataError
from bertdemo.mlm.training.estimate import inspect_file

ADJECTIVES = ("good", "bad", "long", "short", "loud", "quiet", "new", "old", "happy", "sad", "funny", "dull")
SHOWS = [
    f"The show number {n} is a {word} story about the sea, and I would see it again."
    for n, word in enumerate(ADJECTIVES, start=1)
]


def table(*, delimiter: str = ",", end: str = "\n", header: str = "id,review", rows: list[str] | None = None) -> str:
    lines = [header.replace(",", delimiter)]
    lines += [f'{number}{delimiter}"{text}"' for number, text in enumerate(rows or SHOWS, start=1)]
    return end.join(lines) + end


def zipped(name: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, b"0" * 5_000_000)
    return packed.getvalue()


REFUSED: dict[str, tuple[bytes, str]] = {
    "an empty file": (b"", "is empty"),
    "nothing but blanks": (b" \n\n\t\n", "is empty"),
    "nothing but a byte order mark": (b"\xef\xbb\xbf", "is empty"),
    "nothing but NULs": (b"\0" * 1000, "is empty"),
    "a header and no rows": (b"id,review\n", "no rows|no column with free text"),
    "one row": (table(rows=SHOWS[:1]).encode(), "usable rows|no column with free text"),
    "seven rows": (table(rows=SHOWS[:7]).encode(), "only 7 usable rows"),
    "the same row again and again": (table(rows=SHOWS[:1] * 50).encode(), "usable rows|no column"),
    "an all-empty column": (b"id,review\n" + b"1,\n" * 50, "no column with free text"),
    "an all-NaN column": (b"id,review\n" + b"1,NaN\n" * 50, "no column with free text"),
    "numbers only": ("a,b\n" + "".join(f"{n},{n * 7}\n" for n in range(50)), "no column with free text"),
    "dates only": ("day\n" + "".join(f"2024-01-{n:02}\n" for n in range(1, 29)), "no column with free text"),
    "an unclosed quote": (table().replace('."\n7', '.\n7').encode(), "quote that opens on line 7"),
    "an unclosed quote on the last line": (table().encode()[:-2], "quote that opens on line 13"),
    "a damaged Excel workbook": (zipped("xl/workbook.xml"), "Excel workbook"),
    "a damaged Parquet file": (b"PAR1" + bytes(500) + b"PAR1", "damaged"),
    "JSON that is none": (b'{"review": "Good."}\n{"review": Good}\n', "not JSON in the record on line 2"),
    "one JSON object": (b'{"review": {"0": "Good.", "1": "Bad."}}', "one JSON object"),
    "a zip archive": (zipped("reviews.csv"), "zip archive"),
    "a gzip bomb": (gzip.compress(b"0" * 50_000_000), "unpacks to more than 10 MB"),
    "a gzip bomb of lines": (gzip.compress(b"a\n" * 25_000_000), "unpacks to more than 10 MB"),
    "a gzip file that is cut off": (gzip.compress(table().encode())[:100], "cannot be read"),
    "a PDF": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + b"x" * 1000, "PDF document"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 10, "PNG picture"),
    "a web page": (b"<!DOCTYPE html><html><body>" + b"<p>hi</p>" * 50, "web page"),
    "a program": (b"\x7fELF" + bytes(range(256)) * 10, "program"),
    "noise": (bytes(range(256)) * 50, "not a text file|cannot|quote"),
    "more columns than a spreadsheet has": ((",".join(map(str, range(20_000))) + "\n").encode() * 3, "columns"),
}  # fmt: skip

READ: dict[str, tuple[bytes, str]] = {
    "commas": (table().encode(), "utf-8|ascii"),
    "semicolons": (table(delimiter=";").encode(), "utf-8|ascii"),
    "tabs": (table(delimiter="\t").encode(), "utf-8|ascii"),
    "bars": (table(delimiter="|").encode(), "utf-8|ascii"),
    "UTF-8 with a mark": (table().encode("utf-8-sig"), "utf-8-sig"),
    "UTF-16": (table().encode("utf-16"), "utf-16"),
    "UTF-16 without a mark": (table().encode("utf-16-le"), "utf-16-le"),
    "Windows-1252": (table(rows=[f"{text} Très bon café." for text in SHOWS]).encode("cp1252"), "cp1252"),
    "Latin-1 and UTF-8 in one file": (
        table().encode() + "13,Très bon.\n".encode("latin-1") + "14,Café très bon.\n".encode(),
        "utf-8|cp1252|latin-1",
    ),
    "Windows line ends": (table(end="\r\n").encode(), "utf-8|ascii"),
    "old Mac line ends": (table(end="\r").encode(), "utf-8|ascii"),
    "NULs inside": (table().replace("show", "sh\0ow").encode(), "utf-8|ascii"),
    "ragged rows": (table().encode() + b"13\n14,a,b,c\n", "utf-8|ascii"),
    "one column without a header": (("\n".join(SHOWS) + "\n").encode(), "utf-8|ascii"),
    "a column without a name": (table(header="id,").encode(), "utf-8|ascii"),
    "two columns of one name": (table(header="review,review").encode(), "utf-8|ascii"),
    "a column named as a script": (table(header="id,<script>alert(1)</script>").encode(), "utf-8|ascii"),
    "a column named in emoji": (table(header="id,💬👩‍👩‍👧").encode(), "utf-8"),
    "a very long column name": (table(header="id," + "review " * 500).encode(), "utf-8|ascii"),
    "spreadsheet formulas": (table(rows=[f"=HYPERLINK(1) {text}" for text in SHOWS]).encode(), "utf-8|ascii"),
    "markup in the cells": (table(rows=[f"<b onclick=alert(1)> {text}" for text in SHOWS]).encode(), "utf-8|ascii"),
    "a cell of a megabyte": (table(rows=[*SHOWS, "word " * 200_000]).encode(), "utf-8|ascii"),
}  # fmt: skip


def saved(folder: Path, content: bytes | str, name: str = "reviews.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("case", REFUSED)
def test_what_holds_no_texts_is_refused_in_one_sentence(case: str, tmp_path: Path) -> None:
    content, words = REFUSED[case]
    path = saved(tmp_path, content)
    with pytest.raises(DataError, match=words) as caught:
        read_corpus(path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    with suppress(DataError):  # a look at it may tell more than no, but never fails otherwise
        inspect_file(path)


@pytest.mark.parametrize("case", READ)
def test_what_only_looks_odd_is_read_whole(case: str, tmp_path: Path) -> None:
    content, encodings = READ[case]
    path = saved(tmp_path, content)
    found = inspect_file(path)
    assert found["encoding"] in encodings.split("|")
    report = found["report"]
    assert report["rows"] == report["used"] + report["empty"] + report["duplicate"]
    corpus = read_corpus(path)
    texts = [*corpus.train, *corpus.held_out]
    assert len(texts) >= len(SHOWS)
    assert sum("show number" in text for text in texts) == len(SHOWS)


@pytest.mark.parametrize(
    ("name", "words"),
    [("gone.csv", "no file"), (".", "is a folder"), ("a/b.csv", "no file"), ("x" * 300, "cannot be read")],
)
def test_a_path_that_leads_nowhere_is_one_sentence(name: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words):
        read_corpus(tmp_path / name)


@pytest.mark.posix
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(DataError, match="not an ordinary file"):
        read_corpus(tmp_path / "pipe.csv")


@pytest.mark.parametrize("column", ["stars", "", " ", "\0", "<script>", "0", "1", "x" * 5000])
def test_a_column_that_is_not_there_is_named_with_those_that_are(column: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no column .* its columns are 'id', 'review'"):
        read_corpus(saved(tmp_path, table()), column=column)


@pytest.mark.parametrize(
    "name", ["=1+1.csv", "<img src=x onerror=alert(1)>.csv", "a\nb.csv", "-rf.csv", "💬.csv", "%2e%2e.csv"]
)
def test_any_file_name_is_only_a_name(name: str, tmp_path: Path) -> None:
    assert read_corpus(saved(tmp_path, table(), name)).name == name
    with pytest.raises(DataError) as caught:
        read_corpus(saved(tmp_path, b"", name))
    assert "\n" not in str(caught.value)
