"""Files as large as they come, read within bounded memory by a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from served import ROOT

ROWS = int(os.environ.get("BERTDEMO_ROWS", "10000000"))
MEGABYTES = int(os.environ.get("BERTDEMO_MEGABYTES", "2000"))
Figure = Callable[[str, str], None]


def inspect(path: Path) -> tuple[int, str, str, float, float]:
    """(exit code, standard output, standard error, seconds, peak megabytes) of ``bertdemo inspect --json``."""
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as error:
        command = [sys.executable, "-m", "bertdemo", "inspect", str(path), "--json"]
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=error)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said = [(stream.seek(0), stream.read())[1] for stream in (out, error)]
    return process.returncode, *said, time.monotonic() - began, usage.ru_maxrss / 1000


READ = """
import json, resource, sys, time
from bertdemo.mlm.data.corpus import preview, read_corpus
began = time.monotonic()
about = preview(sys.argv[1]).rows
looked = time.monotonic()
report = read_corpus(sys.argv[1]).report
seconds = looked - began, time.monotonic() - looked
print(json.dumps([about, report.rows, report.used, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


def test_half_a_gigabyte_is_cleaned_and_split_in_seconds(tmp_path: Path, figure: Figure) -> None:
    path, rows = tmp_path / "reviews.csv", 5_000_000
    row = '{0},{1},"We watched part {0} twice, and the children loved it; the ""best"" of {2}, they all said."\n'
    with path.open("w") as file:
        file.write("id,stars,review\n")
        file.writelines(row.format(i, i % 5 + 1, i * 7919 % 1_000_003) for i in range(rows))
    done = subprocess.run([sys.executable, "-c", READ, path], cwd=ROOT, capture_output=True, text=True, check=True)
    about, counted, used, (looked, read), peak = json.loads(done.stdout)
    figure("542 MB", f"preview in {looked:.2f} s, cleaned and split in {read:.1f} s, peak memory {peak:,.0f} MiB")
    assert (counted, used) == (rows, rows)
    assert abs(about - rows) < rows / 10
    assert peak < 500
    assert looked < 5
    assert read < 60


def write_rows(path: Path, *, rows: int, words: int) -> None:
    with path.open("w") as file:
        file.write("id,review\n")
        for number in range(rows):
            file.write(f"{number},show {number} {'was a long story ' * words}and I liked it\n")


@pytest.mark.parametrize(("rows", "words"), [(ROWS, 1), (MEGABYTES * 1_000_000 // 3450, 200)])
def test_a_very_long_file_is_read_within_bounded_memory(tmp_path: Path, figure: Figure, rows: int, words: int) -> None:
    path = tmp_path / "reviews.csv"
    write_rows(path, rows=rows, words=words)
    code, out, error, seconds, peak = inspect(path)
    assert code == 0, error
    assert json.loads(out)["rows"] == rows
    size = path.stat().st_size / 1e6
    figure(f"{rows:,} rows, {size:,.0f} MB", f"inspected in {seconds:.0f} s, peak memory {peak:,.0f} MB")
    assert peak < 1500 + rows / 5000


def test_one_cell_of_fifty_megabytes_is_read(tmp_path: Path, figure: Figure) -> None:
    path = tmp_path / "reviews.csv"
    write_rows(path, rows=40, words=1)
    with path.open("a") as file:
        file.write('40,"' + "word " * 10_000_000 + '"\n')
    code, out, error, seconds, peak = inspect(path)
    assert code == 0, error
    assert json.loads(out)["rows"] == 41
    figure("one cell of 50 MB", f"inspected in {seconds:.0f} s, peak memory {peak:,.0f} MB")
    assert peak < 2500


def test_one_line_of_two_hundred_megabytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    with path.open("wb") as file:
        for _ in range(200):
            file.write(b"word " * 200_000)
    code, out, error, _seconds, peak = inspect(path)
    assert (code, out) == (2, "")
    assert "100 MB" in error
    assert error.count("\n") == 1
    assert peak < 2500
