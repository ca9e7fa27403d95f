"""Two processes train as one: the same losses, and one writer."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_checkpoints import VARIANTS

ROWS = [
    f"The {adjective} {noun} was {verb} by everyone who saw it on day {n}."
    for n, (adjective, noun, verb) in enumerate(
        [("old", "show", "loved"), ("new", "dog", "seen"), ("big", "house", "liked"), ("small", "cat", "heard")] * 12
    )
]


def losses_of(folder: Path, model: Path, *, processes: int) -> list[float]:
    """The losses of a run that ``torchrun`` starts with so many processes."""
    data = folder / "rows.csv"
    data.write_text("text\n" + "\n".join(ROWS) + "\n", encoding="utf-8")
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *launcher, "-m", "bertdemo", "train", str(data), "--json", "--model", str(model)]
    options = [
        "--epochs",
        "2",
        "--max-length",
        "32",
        "--precision",
        "fp32",
        "--output",
        str(folder / f"run-{processes}"),
    ]
    environment = {**os.environ, "BERTDEMO_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, *options], capture_output=True, text=True, env=environment, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert records[-1]["event"] == "finished"
    assert [record["event"] for record in records].count("started") == 1
    return [record["loss"] for record in records if record["event"] in ("step", "evaluated")]


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one(tmp_path, tiny_bert_folder):
    alone = losses_of(tmp_path, tiny_bert_folder, processes=1)
    together = losses_of(tmp_path, tiny_bert_folder, processes=2)
    assert len(alone) == len(together) > 5
    assert max(abs(one - two) for one, two in zip(alone, together, strict=True)) < 1e-4


@pytest.mark.slow
def test_two_processes_train_a_model_with_a_weight_that_nobody_reads(tmp_path):
    """An untied BERT keeps a bias beside its decoder's: no process may wait for its gradient."""
    folder = VARIANTS["untied"](tmp_path / "untied")
    alone = losses_of(tmp_path, folder, processes=1)
    together = losses_of(tmp_path, folder, processes=2)
    assert len(alone) == len(together) > 5
    assert max(abs(one - two) for one, two in zip(alone, together, strict=True)) < 1e-4
