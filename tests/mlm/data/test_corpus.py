"""Whether a file becomes the texts it holds: nothing lost, nothing twice, every row accounted for."""

import csv
import hashlib
import io

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bertdemo.mlm.data.corpus import Dialect, Texts, preview, read_corpus, read_texts, split_texts
from bertdemo.mlm.errors import DataError, SettingsError

FUZZ = settings(
    max_examples=300,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
ROWS = 30


def sentence(number):
    return f"We watched part {number} twice, and the children loved it."


def save(tmp_path, content, name="data.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def table(rows, header=("id", "review")):
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([header, *rows])
    return out.getvalue()


def plain_rows(count=ROWS):
    return [(i, sentence(i)) for i in range(count)]


def test_every_row_is_used_empty_or_duplicate(tmp_path):
    rows = [*plain_rows(), (90, ""), (91, "N/A"), (92, sentence(3).upper()), (93, f"  {sentence(4)}<br />")]
    texts, report, column, dialect = read_texts(save(tmp_path, table(rows)))
    assert list(texts) == [sentence(i) for i in range(ROWS)]
    assert (report.rows, report.used, report.empty, report.duplicate) == (ROWS + 4, ROWS, 2, 2)
    assert (report.truncated, report.ragged, report.warnings) == (0, 0, ())
    assert (column, dialect) == ("review", Dialect("ascii", ",", '"', header=True))


def test_corpus_names_its_source_and_splits_it(tmp_path):
    path = save(tmp_path, table(plain_rows()))
    corpus = read_corpus(path)
    assert (len(corpus.train), len(corpus.held_out)) == (27, 3)
    assert sorted([*corpus.train, *corpus.held_out]) == sorted(sentence(i) for i in range(ROWS))
    assert corpus.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (corpus.name, corpus.column) == ("data.csv", "review")
    again = read_corpus(path)
    assert list(again.held_out) == list(corpus.held_out)
    assert list(read_corpus(path, seed=1).held_out) != list(corpus.held_out)


def test_limit_takes_the_first_usable_rows(tmp_path):
    rows = [(0, sentence(0)), (1, ""), (2, sentence(0)), *plain_rows()[1:]]
    texts, report, _, _ = read_texts(save(tmp_path, table(rows)), limit=10)
    assert list(texts) == [sentence(i) for i in range(10)]
    assert (report.rows, report.used, report.empty, report.duplicate) == (12, 10, 1, 1)
    with pytest.raises(SettingsError):
        read_texts(save(tmp_path, table(rows)), limit=0)


def test_no_duplicate_crosses_the_split(tmp_path):
    rows = [(i, sentence(i % 20).title() if i % 2 else sentence(i % 20)) for i in range(200)]
    corpus = read_corpus(save(tmp_path, table(rows)), held_out_share=0.5)
    assert corpus.report.duplicate == 180
    assert not {text.casefold() for text in corpus.train} & {text.casefold() for text in corpus.held_out}


@pytest.mark.parametrize("kind", ["tuple", "texts"])
def test_split_holds_out_at_least_one_and_at_most_the_maximum(kind, tmp_path):
    texts = tuple(sentence(i) for i in range(ROWS))
    if kind == "texts":
        texts = read_texts(save(tmp_path, table(plain_rows())))[0]
        assert isinstance(texts, Texts)
    for share, maximum, held in [(0.001, 500, 1), (0.5, 500, 15), (0.5, 4, 4), (0.999, 500, 29)]:
        train, held_out = split_texts(texts, held_out_share=share, held_out_max=maximum, seed=0)
        assert (len(train), len(held_out)) == (ROWS - held, held)
        assert not set(train) & set(held_out)
    with pytest.raises(DataError):
        split_texts(texts[:1], held_out_share=0.1, held_out_max=500, seed=0)
    with pytest.raises(SettingsError):
        split_texts(texts, held_out_share=1.0, held_out_max=500, seed=0)


def test_commas_that_nobody_quoted_are_joined_back(tmp_path):
    for header, line in [
        ("label,review", "{1},{0}"),
        ("review,label", "{0},{1}"),
        ("id,review,label", "{1},{0},pos"),
    ]:
        lines = [line.format(f"Good, {'very, ' * (i % 3)}very good for the {i}th time", i % 5) for i in range(ROWS)]
        texts, report, column, _ = read_texts(save(tmp_path, header + "\n" + "\n".join(lines) + "\n"))
        assert column == "review"
        assert list(texts) == [f"Good, {'very, ' * (i % 3)}very good for the {i}th time" for i in range(ROWS)]
        assert (report.rows, report.ragged) == (ROWS, ROWS)


def test_one_broken_row_is_mended_and_counted(tmp_path):
    data = table(plain_rows()) + "77,Nobody quoted this, and still it is whole\n78\n"
    texts, report, _, _ = read_texts(save(tmp_path, data))
    assert texts[-1] == "Nobody quoted this, and still it is whole"
    assert (report.rows, report.used, report.empty, report.ragged) == (ROWS + 2, ROWS + 1, 1, 2)


def test_surplus_that_fits_nowhere_is_dropped_and_said(tmp_path):
    data = table([(sentence(i), i) for i in range(ROWS)], ("review", "stars"))
    texts, report, _, _ = read_texts(save(tmp_path, data + '"A whole text, in quotes.",5,extra\n'))
    assert texts[-1] == "A whole text, in quotes."
    assert report.ragged == 1
    assert any("dropped" in warning for warning in report.warnings)


def test_column_names_are_unique_and_never_blank(tmp_path):
    rows = [(i, sentence(i), i % 5, i % 3, "") for i in range(ROWS)]
    path = save(tmp_path, table(rows, ("", " review ", "score", "score", "")))
    seen = preview(path)
    assert seen.columns == ("Unnamed: 0", "review", "score", "score.1", "Unnamed: 4")
    assert seen.text_column == "review"
    assert preview(path, column=" review  ").text_column == "review"
    assert preview(path, column="review").text_columns == ("review",)


def test_row_names_without_a_heading_become_a_column(tmp_path):
    rows = [(f"row{i}", sentence(i), i % 5) for i in range(ROWS)]
    seen = preview(save(tmp_path, table(rows, ("review", "stars"))))
    assert seen.columns == ("Unnamed: 0", "review", "stars")
    assert (seen.text_column, seen.report.ragged) == ("review", 0)


def test_column_without_text_is_refused_and_others_named(tmp_path):
    rows = [(i, f"2024-01-{i % 28 + 1:02}", f"https://e.example/{i}", "", sentence(i)) for i in range(ROWS)]
    path = save(tmp_path, table(rows, ("id", "day", "link", "blank", "review")))
    for column, kind in [("id", "numbers"), ("day", "dates"), ("blank", "nothing")]:
        with pytest.raises(DataError, match=f"{kind}.*choose 'review'"):
            read_corpus(path, column=column)
    with pytest.raises(DataError, match=r"no column 'reviews'.*'day'"):
        preview(path, column="reviews")


def test_file_without_free_text_says_so(tmp_path):
    path = save(tmp_path, table([(i, i / 7) for i in range(ROWS)], ("id", "price")))
    seen = preview(path)
    assert (seen.text_column, seen.text_columns) == (None, ())
    assert (seen.rows, seen.report.rows, seen.report.empty) == (ROWS, 0, 0)  # rows that were not read are not empty
    with pytest.raises(DataError, match="no column with free text"):
        read_corpus(path)


def test_names_are_not_guessed_but_may_be_chosen(tmp_path):
    rows = [(f"The Last {name} {i}", i) for i in range(10) for name in ("Harbour", "Valley")]
    path = save(tmp_path, table(rows, ("game", "id")))
    assert preview(path).text_column is None
    assert read_corpus(path, column="game").report.used == 20


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "empty"),
        ("id,review\n", "no rows"),
        (table(plain_rows(1)), "only 1 usable"),
        (table(plain_rows(7)), "only 7 usable"),
        (table([(i, "the same words every time") for i in range(ROWS)]), "no column with free text"),
        (table([(i, "the same words every time, a lot of them") for i in range(9)]), "only 1 usable"),
    ],
)
def test_too_little_is_refused(content, why, tmp_path):
    with pytest.raises(DataError, match=why):
        read_corpus(save(tmp_path, content))


def test_more_columns_than_a_spreadsheet_has_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"20,000 columns"):
        preview(save(tmp_path, "\n".join([",".join(["word"] * 20_000)] * 3)))


@pytest.mark.parametrize("after", ["", '12,"quoted, well"\n', "13,plain\n14,plain\n"])
def test_unclosed_quote_is_refused_with_its_line(after, tmp_path):
    data = table(plain_rows(10)) + '11,"This quote, alas, stays open\n' + after
    with pytest.raises(DataError, match=r"line 12\b.*close it"):
        read_corpus(save(tmp_path, data))


def test_unclosed_quote_is_found_after_longer_cells(tmp_path):
    data = table([(i, sentence(i) + "\nA second line.") for i in range(10)]) + '11,"open\n12,end\n'
    with pytest.raises(DataError, match=r"line 22\b"):
        preview(save(tmp_path, data))


def test_mixed_encodings_are_read_right_and_counted(tmp_path):
    lines = [
        f"{i},café number {i}, naïve and très nice".encode("cp1252" if i % 3 == 0 else "utf-8") for i in range(ROWS)
    ]
    texts, report, _, dialect = read_texts(save(tmp_path, b"id,review\n" + b"\n".join(lines)))
    assert list(texts) == [f"café number {i}, naïve and très nice" for i in range(ROWS)]
    assert dialect.encoding == "utf-8"
    assert any("30 characters" in warning for warning in report.warnings)


def test_nul_bytes_are_removed_and_counted(tmp_path):
    texts, report, _, _ = read_texts(save(tmp_path, table(plain_rows()).replace("watched", "wat\x00ched")))
    assert texts[0] == sentence(0)
    assert any(f"{ROWS} NUL" in warning for warning in report.warnings)


def test_dialect_seen_in_the_beginning_serves_the_whole_file(tmp_path):
    path = save(tmp_path, table(plain_rows(30_000)) + "30001,un café très naïve\n")
    seen = preview(path)
    assert (seen.dialect.encoding, seen.complete) == ("ascii", False)
    texts, _, _, dialect = read_texts(path, dialect=seen.dialect)
    assert (texts[-1], dialect.encoding) == ("un café très naïve", "utf-8")


def test_preview_of_the_beginning_estimates_the_whole(tmp_path):
    path = save(tmp_path, table(plain_rows(40_000)))
    part, whole = preview(path), preview(path, max_bytes=None)
    assert (part.complete, whole.complete) == (False, True)
    assert whole.report.rows == 40_000
    assert part.report.rows == pytest.approx(40_000, rel=0.05)
    assert part.report.rows == part.report.used + part.report.empty + part.report.duplicate
    assert part.sample_rows == whole.sample_rows == tuple((str(i), sentence(i)) for i in range(5))


def test_preview_shortens_cells_for_show(tmp_path):
    path = save(tmp_path, table([(i, sentence(i) * 500) for i in range(10)]))
    assert all(len(cell) <= 201 for row in preview(path).sample_rows for cell in row)


def test_one_huge_cell_is_read(tmp_path):
    huge = "word " * 1_000_000
    path = save(tmp_path, table([(0, huge), *plain_rows(10)[1:]]))
    assert preview(path).columns == ("id", "review")
    assert len(read_texts(path)[0][0]) == len(huge) - 1


def test_override_of_the_dialect_is_obeyed(tmp_path):
    path = save(tmp_path, table(plain_rows()).encode("utf-16"))
    forced = Dialect("utf-16", ",", '"', header=False)
    seen = preview(path, dialect=forced, column="1")
    assert (seen.columns, seen.report.rows) == (("0", "1"), ROWS + 1)
    with pytest.raises(DataError):
        read_corpus(save(tmp_path, table(plain_rows())), dialect=Dialect("utf-32", ",", '"', header=True))


def test_file_deleted_after_the_preview_is_one_sentence(tmp_path):
    path = save(tmp_path, table(plain_rows()))
    preview(path)
    path.unlink()
    with pytest.raises(DataError, match="no file"):
        read_corpus(path)


def check_any_file(path):
    """Either a result whose rows add up, or one sentence."""
    for read in (
        lambda: preview(path).report,
        lambda: preview(path, max_bytes=64).report,
        lambda: read_texts(path)[1],
    ):
        sentence = ""
        try:
            report = read()
        except DataError as error:
            sentence = str(error)
        else:
            assert report.rows == report.used + report.empty + report.duplicate
        assert sentence.count("\n") == 0


@FUZZ
@given(st.binary(max_size=300))
@example(b"\xff\xfe")
@example(b"\xff\xfe\x00\x00a")
@example(b"a,b\n\xe9")
@example(b'"')
@example(b"\x00" * 40)
@example(b"a\x00" * 40)
def test_arbitrary_bytes_give_a_result_or_a_sentence(tmp_path, data):
    check_any_file(save(tmp_path, data))


CELLS = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        ["", "NaN", "5", "2024-01-01", '"', '""', '\\"', "a,b", "c;d\n", "sep=;", "\x00", "\ufeff", "日本語"]
    ),
    st.integers(0, 99).map(sentence),
)


@pytest.mark.slow
@FUZZ
@given(
    rows=st.lists(st.lists(CELLS, max_size=4), max_size=12),
    delimiter=st.sampled_from(",;\t|"),
    quoted=st.booleans(),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252", "gb18030"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_arbitrary_tables_give_a_result_or_a_sentence(tmp_path, rows, delimiter, quoted, encoding, end):
    out = io.StringIO()
    if quoted:
        csv.writer(out, delimiter=delimiter, lineterminator=end).writerows(rows)
    else:
        out.write(end.join(delimiter.join(row) for row in rows))
    check_any_file(save(tmp_path, out.getvalue().encode(encoding, "replace")))
