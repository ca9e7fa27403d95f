"""Files that are no CSV, as pandas writes them: the same rows come out, and what is none of them is refused."""

from __future__ import annotations

import gzip
import json
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from bertdemo.mlm.data.corpus import chosen_dialect, preview, read_corpus, read_texts
from bertdemo.mlm.data.dialect import Dialect
from bertdemo.mlm.errors import DataError
from bertdemo.mlm.training.estimate import inspect_file
from bertdemo.runs.execution import read_data
from bertdemo.runs.record import DataSource

ADJECTIVES = ("good", "bad", "long", "short", "loud", "quiet", "new", "old", "happy", "sad", "funny", "dull")
REVIEWS = [f'Sehr schön, "{word}" — a story\nabout the sea; I would see it again.' for word in ADJECTIVES]
TEXTS = [" ".join(review.split()) for review in REVIEWS]
FRAME = pd.DataFrame(
    {
        "stars": range(1, 13),
        "day": pd.date_range("2024-05-01", periods=12),
        "review": REVIEWS,
        "score": [0.5, None] * 6,
    }
)

WRITTEN: dict[str, tuple[str, Callable[[Path], object]]] = {
    "JSON Lines": ("r.jsonl", lambda path: FRAME.to_json(path, orient="records", date_format="iso", lines=True)),
    "JSON Lines, not escaped": (
        "r.txt",
        lambda path: FRAME.to_json(path, orient="records", date_format="iso", lines=True, force_ascii=False),
    ),
    "JSON array": ("r.json", lambda path: FRAME.to_json(path, orient="records", date_format="iso")),
    "JSON array, indented": ("r.data", lambda path: FRAME.to_json(path, orient="records", date_format="iso", indent=2)),
    "JSON in UTF-16": (
        "r16.json",
        lambda path: path.write_text(
            FRAME.to_json(orient="records", date_format="iso", force_ascii=False), encoding="utf-16"
        ),
    ),
    "Excel": ("r.xlsx", lambda path: FRAME.to_excel(path, index=False)),
    "Excel with row names": ("named.xlsx", FRAME.to_excel),
    "Excel under another name": ("r.csv", lambda path: FRAME.to_excel(path, index=False, engine="openpyxl")),
    "Excel below a title": ("titled.xlsx", lambda path: FRAME.to_excel(path, index=False, startrow=3, startcol=1)),
    "Parquet": ("r.parquet", FRAME.to_parquet),
    "Parquet in small groups": ("groups.parquet", lambda path: FRAME.to_parquet(path, row_group_size=2)),
    "CSV in gzip": ("r.csv.gz", lambda path: FRAME.to_csv(path, index=False)),
    "CSV in gzip under another name": ("r.tsv", lambda path: FRAME.to_csv(path, sep="\t", compression="gzip")),
    "JSON Lines in gzip": (
        "r.jsonl.gz",
        lambda path: FRAME.to_json(path, orient="records", date_format="iso", lines=True),
    ),
}


def written(case: str, folder: Path) -> Path:
    name, write = WRITTEN[case]
    path = folder / name
    if "another name" in case and case.startswith("Excel"):
        write(folder / "r.xlsx")
        return (folder / "r.xlsx").rename(path)
    write(path)
    return path


@pytest.mark.parametrize("case", WRITTEN)
def test_what_pandas_writes_is_read_as_it_was(case: str, tmp_path: Path) -> None:
    path = written(case, tmp_path)
    texts, report, column, _dialect = read_texts(path)
    assert list(texts) == TEXTS
    assert (report.rows, report.used, report.ragged, column) == (12, 12, 0, "review")
    assert {"stars", "day", "review", "score"} <= set(preview(path).columns)
    corpus = read_corpus(path)
    assert sorted([*corpus.train, *corpus.held_out]) == sorted(TEXTS)
    assert len(corpus.sha256) == 64
    with pytest.raises(DataError, match="numbers"):
        read_corpus(path, column="stars")
    with pytest.raises(DataError, match="no column"):
        read_corpus(path, column="rewiew")


@pytest.mark.parametrize("case", WRITTEN)
def test_inspect_says_what_the_file_is(case: str, tmp_path: Path) -> None:
    found = inspect_file(written(case, tmp_path))
    kind = case.split(maxsplit=1)[0].lower()
    assert (found["format"], found["rows"], found["rows_are"]) == (kind, 12, "record")
    assert found["delimiter"] == ({"r.csv.gz": ",", "r.tsv": "\t"}.get(found["file"]))
    assert found["header"] is (None if kind in ("json", "parquet") else True)
    assert (found["encoding"] is None) == (kind in ("excel", "parquet"))
    json.dumps(found)


@pytest.mark.parametrize("case", WRITTEN)
def test_a_run_finds_its_rows_again(case: str, tmp_path: Path) -> None:
    path = written(case, tmp_path)
    first = read_corpus(path)
    again = DataSource(path.name, str(path), first.sha256, first.column, None, vars(first.dialect))
    assert list(read_data(again, seed=0).train) == list(first.train)
    assert read_corpus(path, dialect=Dialect(**vars(first.dialect)), limit=9).report.used == 9


def test_what_a_sheet_holds_is_read_as_it_shows_it(tmp_path: Path) -> None:
    path = tmp_path / "mixed.xlsx"
    with pd.ExcelWriter(path) as writer:
        pd.DataFrame().to_excel(writer, sheet_name="Nothing")
        FRAME.to_excel(writer, sheet_name="Reviews", index=False)
    found = preview(path)
    assert found.sample_rows[0][:2] == ("1", "2024-05-01")
    assert [row[3] for row in found.sample_rows[:2]] == ["0.5", ""]
    assert "Of the workbook's 2 sheets only the first that holds rows is read." in found.report.warnings
    rows = FRAME[["review"]]
    rows.to_excel(path, index=False, header=False)
    assert read_texts(path)[1].rows == 12
    assert preview(path, dialect=chosen_dialect(path, None, None, True)).rows == 11


def test_json_objects_become_columns_and_texts_alone_a_column(tmp_path: Path) -> None:
    path = tmp_path / "nested.jsonl"
    records = [
        {"user": {"name": f"u{n}", "age": n}, "body": {"text": text}, "tags": ["a"]} for n, text in enumerate(TEXTS)
    ]
    path.write_text("\n".join(map(json.dumps, [*records, {"body": None}, {"other": 1}])))
    found = preview(path)
    assert found.columns == ("tags", "body.text", "user.name", "user.age", "body", "other")
    assert (found.text_column, found.rows, found.report.empty) == ("body.text", 14, 2)
    path = tmp_path / "texts.json"
    path.write_text(json.dumps(TEXTS, indent=1))
    assert list(read_texts(path)[0]) == TEXTS
    assert inspect_file(path)["column_names"] == ["text"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"text": "a"}\n{"text": "b"\n', "record on line 2"),
        ('[{"text": "a"},\n{"text": "b"}\n', "record on line 3"),
        ('[{"text": "a"}]\n[{"text": "b"}]\n', "goes on behind"),
        ('{"text": "a"}\n[1, 2]\n', "no JSON object on line 2"),
        ('{"data": [{"text": "a"}, {"text": "b"}]}', "one JSON object"),
        ('{"text": ' + '{"a":' * 100_000, "nests too deeply|not JSON"),
        ('{"text": "' + "a" * 3_000_000, "very long JSON record"),
    ],
)  # fmt: skip
def test_json_that_is_none_is_refused_with_its_line(content: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(content)
    with pytest.raises(DataError, match=words) as caught:
        read_corpus(path)
    assert "\n" not in str(caught.value)


def test_whoever_names_a_delimiter_reads_json_as_lines(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text("\n".join(f'{{"text": "{word} is what I would say of it"}}' for word in ADJECTIVES))
    texts, *_ = read_texts(path, dialect=chosen_dialect(path, None, "", None), column="0")
    assert texts[0].startswith('{"text"')


@pytest.mark.parametrize(
    ("case", "chosen"),
    [
        ("Excel", ("utf-8", None, None)),
        ("Excel", (None, ",", None)),
        ("Parquet", (None, None, False)),
        ("JSON array", (None, None, True)),
        ("Parquet", (None, "", None)),
    ],
)
def test_a_choice_that_means_nothing_for_a_format_is_refused(case: str, chosen: tuple, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="leave"):
        chosen_dialect(written(case, tmp_path), *chosen)


def test_without_openpyxl_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written("Excel", tmp_path)
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(DataError, match="pip install openpyxl, or save it as CSV"):
        preview(path)


# --- plain text

PARAGRAPH = """
This is paragraph number {}, which somebody has
wrapped at the end of the line so that it can be
read on paper as well as here.
"""
PROSE = "\n".join(map(PARAGRAPH.format, ADJECTIVES))
LINES = [f"A {word} story about the sea. I would see it again!" for word in ADJECTIVES]


def test_text_that_is_wrapped_is_read_by_paragraphs_and_else_by_lines(tmp_path: Path) -> None:
    wrapped, lines, apart = (tmp_path / name for name in ("wrapped.txt", "lines.txt", "apart.txt"))
    wrapped.write_text(PROSE)
    lines.write_text("\n".join(LINES))
    apart.write_text("\n\n".join(LINES))
    found = inspect_file(wrapped)
    assert (found["format"], found["rows_are"], found["rows"]) == ("text", "paragraph", 12)
    assert (found["delimiter"], found["header"]) == (None, False)
    assert read_texts(wrapped)[0][1] == " ".join(PARAGRAPH.format("bad").split())
    assert read_texts(wrapped, dialect=chosen_dialect(wrapped, None, "", None))[1].rows == 36
    for path in (lines, apart):
        found = inspect_file(path)
        assert (found["format"], found["rows_are"], found["rows"]) == ("text", "line", 12)
        assert list(read_texts(path)[0]) == LINES
    assert read_texts(apart, dialect=chosen_dialect(apart, None, "paragraph", None))[1].rows == 12


# --- bounds


def test_a_preview_of_a_large_file_counts_on_from_its_beginning(tmp_path: Path) -> None:
    frame = pd.DataFrame({"n": range(9000), "review": [f"{text} {n}" for n, text in enumerate(TEXTS * 750)]})
    frame.to_parquet(tmp_path / "r.parquet")
    frame[:5000].to_excel(tmp_path / "r.xlsx", index=False)
    for name, rows in (("r.parquet", 9000), ("r.xlsx", 5000)):
        found = preview(tmp_path / name)
        assert not found.complete
        assert found.rows == pytest.approx(rows, rel=0.001)
        assert preview(tmp_path / name, max_bytes=None).rows == rows
    frame = pd.concat([frame] * 4)
    frame.to_csv(tmp_path / "r.csv.gz", index=False)
    frame.to_json(tmp_path / "r.json", orient="records", date_format="iso")
    for name in ("r.csv.gz", "r.json"):
        found = preview(tmp_path / name)
        assert not found.complete
        assert found.rows == pytest.approx(36_000, rel=0.05)
        assert read_texts(tmp_path / name)[1].used == 9000


def bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
        archive.writestr("xl/sharedStrings.xml", b"<a>b</a>" * 10_000_000)


BOMBS: dict[str, Callable[[Path], object]] = {
    "gzip": lambda path: path.write_bytes(gzip.compress(b"a line of text\n" * 4_000_000)),
    "Excel": bomb,
    "Parquet": lambda path: pd.DataFrame({"review": ["a text of some words " * 5000] * 2000}).to_parquet(path),
}


@pytest.mark.parametrize("case", BOMBS)
def test_what_unpacks_to_far_more_than_it_is_is_refused_in_little_memory(case: str, tmp_path: Path) -> None:
    path = tmp_path / "r.data"
    BOMBS[case](path)
    assert path.stat().st_size < 1_000_000
    tracemalloc.start()
    with pytest.raises(DataError, match="unpacks to"):
        read_corpus(path)
    assert tracemalloc.get_traced_memory()[1] < 80_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("case", ["Excel", "Parquet", "CSV in gzip"])
def test_a_damaged_file_is_refused_in_a_sentence(case: str, tmp_path: Path) -> None:
    path = written(case, tmp_path)
    whole = path.read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 12)):
        for damaged in (whole[:place], whole[:place] + b"\xff" * 40 + whole[place + 40 :]):
            path.write_bytes(damaged)
            try:
                read_texts(path)
            except DataError as refusal:
                assert "\n" not in str(refusal)  # noqa: PT017 (some damage does no harm)
                assert str(tmp_path) not in str(refusal)  # noqa: PT017
