"""What the audit of dependencies says and how it ends, for each answer that pip-audit gives."""

from __future__ import annotations

import json
import runpy
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

AUDIT = Path(__file__).resolve().parents[1] / ".ci" / "audit.py"
WELL = {"name": "torch", "version": "1", "vulns": []}
HOLE = {"name": "pillow", "version": "1", "vulns": [{"id": "PYSEC-1"}]}
SKIPPED = {"name": "torch", "skip_reason": "not found"}


def report(*packages: dict) -> SimpleNamespace:
    return SimpleNamespace(stdout=json.dumps({"dependencies": packages}), stderr="")


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (report(WELL), 0, "1 packages looked up"),
        (report(WELL, HOLE), 1, "pillow: PYSEC-1"),
        (report(HOLE, SKIPPED), 1, "pillow: PYSEC-1"),
        (report(SKIPPED), 0, "NOTHING WAS LOOKED UP"),
        (SimpleNamespace(stdout="", stderr="ERROR:\nConnection refused"), 0, "LOOKED UP: Connection refused"),
    ],
)
def test_a_known_hole_fails_and_a_database_out_of_reach_is_said(
    answer: SimpleNamespace, code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_command, **_options: answer)
    assert runpy.run_path(str(AUDIT))["main"]() == code
    written = capsys.readouterr()
    assert said in written.out + written.err
