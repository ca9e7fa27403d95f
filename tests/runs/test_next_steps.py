"""The four pieces of code that a finished run shows: each is run, in a folder that holds a model."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from bertdemo.runs.next_steps import NEXT_STEPS, NextStep


@pytest.mark.parametrize("step", NEXT_STEPS, ids=lambda step: step.title)
def test_it_runs_as_it_stands(
    step: NextStep,
    tiny_bert_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if step.needs and find_spec("optimum") is None:
        pytest.skip(f"needs {step.needs}, which is not installed")
    shutil.copytree(tiny_bert_folder, tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    exec(compile(step.code, step.title, "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out.strip()
    assert len(step.code.splitlines()) <= 25
