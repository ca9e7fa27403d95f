"""What must be true of a home folder after a process was killed in it, at whatever moment."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from bertdemo.mlm.models.loading import load_masked_lm
from bertdemo.mlm.models.masked_lm import ModelRef
from bertdemo.runs.checkpoint import load_checkpoint
from bertdemo.runs.run import Run
from bertdemo.runs.store import RunStore


def assert_all_survived(home: Path) -> list[Run]:
    """No run counts as alive; whatever has its name is whole; nothing half-made is left. Returns the runs."""
    runs = RunStore(home).list()
    for run in runs:
        assert run.record.state in ("interrupted", "finished", "stopped", "failed"), run.record.state
        for folder in run.models().values():
            load_masked_lm(ModelRef("survivor", folder))
        if run.record.state == "finished":
            assert set(run.models()) == {"model", "best_model"}
        if run.checkpoint_folder.is_dir():
            checkpoint = load_checkpoint(run.checkpoint_folder)
            assert checkpoint["log_bytes"] <= run.log.size()
        steps = [record["step"] for record in run.log.records() if record["event"] == "step"]
        assert steps == list(range(1, len(steps) + 1))
        leftovers = [path.name for path in run.folder.iterdir() if path.name.endswith((".part", ".old"))]
        assert leftovers == []
    return runs


def losses(run: Run) -> list[tuple[str, int, float]]:
    """(event, step, loss) of everything that was measured."""
    return [(item["event"], item["step"], item["loss"]) for item in measured(run)]


def measured(run: Run) -> list[dict[str, Any]]:
    return [record for record in run.log.records() if record["event"] in ("step", "evaluated", "general")]


def wait_for_line(home: Path, word: str) -> Run:
    """The run in this home, once its log holds the word."""
    for _ in range(3000):
        for log in home.glob("runs/*/events.jsonl"):
            if word in log.read_text():
                return RunStore(home).list()[0]
        time.sleep(0.01)
    raise AssertionError(f"no {word!r} in any log")
