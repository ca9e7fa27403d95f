"""Whether DuckDB reads a large file as the csv module does, gives up where it would not, and sees nothing else."""

import csv
import io

import pytest

from bertdemo.mlm.data import bulk, corpus
from bertdemo.mlm.data.corpus import read_texts
from bertdemo.mlm.data.encoding import HEAD_BYTES
from bertdemo.mlm.data.table import open_table
from bertdemo.mlm.errors import DataError

ROWS = 15_000
ODD = [
    *(
        "",
        "N/A",
        "null",
        "Fish &amp; chips<br />twice",
        "two  spaces",
        " outer ",
        "tabs\there",
        "several\n\nlines, really",
    ),
    *('They said "no".', "Très déçu", "NO CASE HERE AT ALL", "no case here at all", "zero\u200bwidth", "nb\u00a0space"),
    *(
        "cafe\u0301 at noon",
        "caf\u00e9 at noon",
        "日本語のテキスト",
        "a, b; c | d",
        "It's 5\" tall",
        "<I love it> so much",
    ),
]


def rows(count=ROWS):
    for i in range(count):
        text = (
            ODD[i % 500] if i % 500 < len(ODD) else f"We watched part {i} twice, and the children loved it, they said."
        )
        yield i, i % 5, text


def written(tmp_path, *, above="", below="", names=("id", "stars", "text"), name="data.csv", **options):
    out = io.StringIO()
    writer = csv.writer(out, **{"lineterminator": "\n"} | options)
    writer.writerows([names] if names else [])
    writer.writerows(rows())
    path = tmp_path / name
    path.write_bytes((above + out.getvalue() + below).encode())
    assert path.stat().st_size > HEAD_BYTES
    return path


def by_records(path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(corpus, "copy_texts", lambda _table: None)
        return read_texts(path)


def copied(path):
    file = bulk.copy_texts(open_table(path, dialect=None, column=None, max_bytes=None))
    if file is None:
        return False
    file.close()
    return True


REGULAR = {
    "commas": {},
    "tabs and Windows line ends": {"delimiter": "\t", "lineterminator": "\r\n"},
    "every cell quoted": {"quoting": csv.QUOTE_ALL},
    "no header": {"names": None},
    "titles above": {"above": "My reviews, all of them\n# from 2024\n\n"},
    "a mark in front": {"above": "\ufeff"},
    "an awkward column name": {"names": ("id", "stars", "it's a \"text\"')--")},
}


@pytest.mark.parametrize("kind", REGULAR)
def test_a_regular_file_is_read_as_record_by_record(kind, tmp_path, monkeypatch):
    path = written(tmp_path, **REGULAR[kind])
    assert copied(path)
    texts, report, column, dialect = read_texts(path)
    slowly = by_records(path, monkeypatch)
    assert (report, column, dialect) == slowly[1:]
    assert list(texts) == list(slowly[0])
    assert (report.rows, report.empty) == (ROWS, 3 * ROWS // 500)


BELOW = {
    "a row too long": "1,2,Nobody quoted this, alas\n",
    "a row too short": "1\n",
    "the header again": "id,stars,text\n1,2,and a row\n",
    "a stray byte": "1,2,caf\udce9\n",
    "a NUL": "1,2,a\0b\n",
    "other line ends": "1,2,one\r2,3,two\r\n",
}


@pytest.mark.parametrize("kind", BELOW)
def test_where_a_file_is_odd_it_is_read_record_by_record(kind, tmp_path, monkeypatch):
    path = written(tmp_path)
    with path.open("ab") as file:
        file.write(BELOW[kind].encode("utf-8", "surrogateescape"))
    assert not copied(path)
    texts, report, _, _ = read_texts(path)
    slowly = by_records(path, monkeypatch)
    assert (list(texts), report) == (list(slowly[0]), slowly[1])
    assert report.rows == report.used + report.empty + report.duplicate


def test_an_unclosed_quote_far_below_is_refused_with_its_line(tmp_path):
    path = written(tmp_path, below='1,2,"This quote stays open\n3,4,end\n')
    line = path.read_text().count("\n") - 1
    with pytest.raises(DataError, match=rf"line {line}\b.*close it"):
        read_texts(path)


@pytest.mark.parametrize("name", ["*.csv", "a[1-9]?.csv", "it's.csv", "x.csv.gz", "s3:data.csv", "-.csv", "{a,b}.csv"])
def test_a_file_is_itself_alone_whatever_it_is_called(name, tmp_path):
    for other in ("data.csv", "a11.csv", "a", "b"):
        (tmp_path / other).write_text("id,stars,text\n1,2,from another file\n")
    path = written(tmp_path, name=name)
    assert copied(path)
    assert "from another file" not in list(read_texts(path)[0])


@pytest.mark.parametrize(
    "statement",
    ["SELECT * FROM read_csv('/etc/passwd')", "SELECT * FROM '/etc/passwd'", "INSTALL httpfs", "LOAD httpfs"],
)
def test_the_database_can_reach_nothing_else(statement, tmp_path, monkeypatch):
    import duckdb

    path = written(tmp_path)
    said = []
    connect = duckdb.connect

    class Watched:
        def __init__(self, *args, **kwargs):
            self._database = connect(*args, **kwargs)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self._database.close()

        def create_function(self, *args):
            self._database.create_function(*args)

        def execute(self, sql):
            if "COPY" in sql:
                shown = self._database.execute("SELECT current_setting('enable_progress_bar')").fetchone()
                assert shown == (False,)
                for tried in (statement, "SET enable_external_access = true"):
                    with pytest.raises(duckdb.Error) as refusal:
                        self._database.execute(tried)
                    said.append(str(refusal.value))
            self._database.execute(sql)

    monkeypatch.setattr(duckdb, "connect", Watched)
    assert copied(path)
    assert len(said) == 2
