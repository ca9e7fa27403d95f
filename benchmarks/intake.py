"""How fast a CSV file becomes clean texts, and how many real files are read right, against pandas and DuckDB.

    python benchmarks/intake.py [--full] [--reviews DIR]

``--full`` generates 500 MB instead of 50. ``DIR`` holds data files and ``expected.json``: a list of objects with
``file``, ``rows``, ``columns``, ``encoding``, ``delimiter``, ``header``, ``text_column`` (or ``text_column_index``).
Every measurement runs in a process of its own, so that peak memory is its own.
"""

import argparse
import csv
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROW = '{0},{1},"We watched part {0} twice, and the children loved it; the ""best"" of {2}, they all said."\n'
Reading = tuple[int, int, str, str, bool]  # rows, columns, encoding, delimiter, header


def generate(path: Path, *, megabytes: int) -> int:
    """Write ``id,stars,review`` rows, no two alike; their number."""
    rows = megabytes * 10_000
    with path.open("w", encoding="utf-8") as file:
        file.write("id,stars,review\n")
        file.writelines(ROW.format(i, i % 5 + 1, i * 7919 % 1_000_003) for i in range(rows))
    return rows


def ours_preview(path: Path) -> int:
    from bertdemo.mlm.data.corpus import preview

    return preview(path).report.rows


def ours_read(path: Path) -> int:
    from bertdemo.mlm.data.corpus import read_corpus

    return read_corpus(path).report.rows


def pandas_preview(path: Path) -> int:
    import pandas

    return len(pandas.read_csv(path, nrows=10_000))


def pandas_read(path: Path) -> int:
    import pandas

    return len(pandas.read_csv(path))


def pandas_clean(path: Path) -> int:
    """The same work in pandas: tags, entities, white space, missing values, duplicates, split, hash of the file."""
    import hashlib
    import html

    import pandas

    hashlib.sha256(path.read_bytes())
    texts = pandas.read_csv(path)["review"].dropna()
    texts = texts.str.replace(r"<[^>]*>", " ", regex=True).map(html.unescape).str.split().str.join(" ")
    texts = texts[~texts.str.casefold().duplicated()]
    held_out = texts.sample(500, random_state=0)
    return len(texts.drop(held_out.index)) + 500


def _measure(job: Callable[[Path], int], path: Path, answers: "multiprocessing.Queue[tuple[int, float, int]]") -> None:
    before = _most_memory()
    job(path.parent / "warm.csv")  # imports are not what is measured
    start = time.perf_counter()
    rows = job(path)
    seconds = time.perf_counter() - start
    answers.put((rows, seconds, _most_memory() - before))


def _most_memory() -> int:
    """KiB of this process at its largest; 0 on Windows, which has no such figure for Python."""
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measured(job: Callable[[Path], int], path: Path) -> tuple[int, float, int]:
    """Rows, seconds and the growth of memory (KiB) of ``job(path)`` in a fresh process."""
    context = multiprocessing.get_context("spawn")
    answers: multiprocessing.Queue[tuple[int, float, int]] = context.Queue()
    process = context.Process(target=_measure, args=(job, path, answers))
    process.start()
    answer = answers.get()
    process.join()
    return answer


def report_speed(megabytes: int) -> None:
    jobs = {
        "preview, first megabyte": ours_preview,
        "pandas.read_csv, 10,000 rows": pandas_preview,
        "read_corpus: cleaned, no duplicates, split, hashed": ours_read,
        "pandas, the same steps": pandas_clean,
        "pandas.read_csv alone": pandas_read,
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "big.csv"
        rows = generate(path, megabytes=megabytes)
        generate(path.parent / "warm.csv", megabytes=1)
        print(f"{path.stat().st_size / 1e6:.0f} MB, {rows:,} rows")
        print(f"{'':52}{'seconds':>9}{'rows/s':>12}{'MiB more':>10}")
        for label, job in jobs.items():
            seen, seconds, kilobytes = measured(job, path)
            rate = f"{seen / seconds:,.0f}" if seen == rows else "-"
            print(f"{label:52}{seconds:9.2f}{rate:>12}{kilobytes / 1024:10.0f}")


def read_by_us(path: Path) -> tuple[Reading, str | None]:
    from bertdemo.mlm.data.corpus import preview

    seen = preview(path, max_bytes=None)
    dialect = seen.dialect
    shape = (seen.rows, len(seen.columns), dialect.encoding, dialect.delimiter or ",", dialect.header)
    return shape, seen.text_column


def read_by_duckdb(path: Path) -> tuple[Reading, None]:
    """chardet's encoding and DuckDB's sniffer; the text column is not its business."""
    import chardet
    import duckdb

    encoding = chardet.detect(path.read_bytes(), compat_names=False)["encoding"] or "utf-8"
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.csv"
        copy.write_bytes(path.read_bytes().decode(encoding).encode())
        query = "SELECT Delimiter, HasHeader, len(Columns) FROM sniff_csv(?, all_varchar = true)"
        delimiter, header, width = duckdb.execute(query, [str(copy)]).fetchone()
        rows = duckdb.execute("SELECT count(*) FROM read_csv(?, all_varchar = true)", [str(copy)]).fetchone()[0]
    return (rows, width, encoding, delimiter, header), None


def read_by_pandas(path: Path) -> tuple[Reading, None]:
    """pandas with ``sep=None``: the standard library's sniffer; encoding and header are what it takes for granted."""
    import pandas

    table = pandas.read_csv(path, sep=None, engine="python")
    with path.open(encoding="utf-8", newline="") as file:
        delimiter = csv.Sniffer().sniff(file.readline()).delimiter
    return (len(table), table.shape[1], "utf-8", delimiter, True), None


def same_encoding(found: str, expected: str) -> bool:
    """Names differ by tool; ASCII is UTF-8 too, and only an exact reader tells the byte order mark."""
    names = {"ascii": "utf-8", "utf-8 bom": "utf-8", "utf-8-sig": "utf-8", "windows-1252": "cp1252"}
    return names.get(found.lower(), found.lower()) == names.get(expected.lower(), expected.lower())


def report_reviews(folder: Path) -> None:
    files = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    print(f"\n{len(files)} real files: read right (and the column of free text found)")
    for label, read in {
        "ours": read_by_us,
        "chardet and DuckDB": read_by_duckdb,
        "pandas, sep=None": read_by_pandas,
    }.items():
        right = texts = 0
        for entry in files:
            try:
                (rows, columns, encoding, *rest), text = read(folder / entry["file"])
            except Exception as error:  # a tool under comparison may raise anything; that is a file not read
                print(f"  {label}: {entry['file']}: {type(error).__name__}", file=sys.stderr)
                continue
            fits = (rows, columns, *rest) == tuple(entry[key] for key in ("rows", "columns", "delimiter", "header"))
            right += fits and same_encoding(encoding, entry["encoding"])
            index = entry.get("text_column_index")
            texts += text == (entry["text_column"] if index is None else str(index))
        found = f"  ({texts})" if read is read_by_us else ""
        print(f"{label:20}{right:4}{found}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="500 MB instead of 50")
    parser.add_argument("--reviews", type=Path, help="folder with data files and expected.json")
    options = parser.parse_args()
    report_speed(500 if options.full else 50)
    if options.reviews:
        report_reviews(options.reviews)


if __name__ == "__main__":
    main()
