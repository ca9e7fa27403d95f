"""The command line inside the test's own process: what it printed, and the exit code."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertdemo.cli import main

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def records(self) -> list[dict[str, Any]]:
        """Standard output as JSON lines; fails where anything else was printed."""
        return [json.loads(line) for line in self.out.splitlines()]

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["event"] == kind]


def command(*arguments: object) -> Outcome:
    """Run ``bertdemo`` with these arguments."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as exit_:  # --help and --version
            code = int(exit_.code or 0)
    return Outcome(code, out.buffer.getvalue().decode("utf-8"), err.buffer.getvalue().decode("utf-8"))


@contextmanager
def process(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """``python -m bertdemo`` from this checkout, on one thread; it does not outlive the block."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "bertdemo", *map(str, arguments)]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, env=environment, text=True, stdout=pipe, stderr=pipe) as started:
        try:
            yield started
        finally:
            started.kill()
