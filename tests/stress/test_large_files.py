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
