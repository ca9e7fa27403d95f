"""Two processes train as one: the same losses, and one writer; where one runs out of memory, both know."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import command
from transformers import AutoModelForMaskedLM, AutoTokenizer

ROWS = [
    f"The {adjective} {noun} was {verb} by everyone who saw it on day {n}."
    for n, (adjective, noun, verb) in enumerate(
        [("old", "show", "loved"), ("new", "dog", "seen"), ("big", "house", "liked"), ("small", "cat", "heard")] * 12
    )
]

# The command line, in a process whose memory fails where WHEN holds: an imitation, since no GPU is at hand.
STARVED = """
import os, sys
import torch
from bertdemo.cli import main
from bertdemo.mlm.models.masked_lm import MaskedLM

real, calls = MaskedLM.hidden_at, []

def starved(self, token_ids, *arguments, **options):
    if torch.is_grad_enabled() and os.environ["RANK"] == "1":
        calls.append(1)
        if WHEN:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    return real(self, token_ids, *arguments, **options)

MaskedLM.hidden_at = starved
sys.exit(main(sys.argv[1:]))
"""


def arguments(folder: Path, model: Path, *, run: str) -> list[str]:
    data = folder / "rows.csv"
    data.write_text("text\n" + "\n".join(ROWS) + "\n", encoding="utf-8")
    settings = ["--epochs", "2", "--max-length", "32", "--precision", "fp32", "--json"]
    return ["train", str(data), "--model", str(model), *settings, "--output", str(folder / run)]


def trained(folder: Path, model: Path, program: list[str]) -> tuple[int, list[dict]]:
    """Exit code and records of a run by two processes that ``torchrun`` starts."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words = [*launcher, *program, *arguments(folder, model, run="together")]
    environment = {**os.environ, "BERTDEMO_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=120, check=False)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert records, done.stderr
    assert [record["event"] for record in records].count("started") == 1
    return done.returncode, records


def losses(records: list[dict]) -> list[float]:
    assert records[-1]["event"] == "finished"
    return [record["loss"] for record in records if record["event"] in ("step", "evaluated")]


def starved_program(folder: Path, when: str) -> list[str]:
    path = folder / "starved.py"
    path.write_text(STARVED.replace("WHEN", when), encoding="utf-8")
    return [str(path)]


def assert_as_alone(records: list[dict], folder: Path, model: Path) -> None:
    alone = losses(command(*arguments(folder, model, run="alone")).records)
    together = losses(records)
    assert len(alone) == len(together) > 5
    assert max(abs(one - two) for one, two in zip(alone, together, strict=True)) < 1e-4


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one(tmp_path, tiny_bert_folder):
    code, records = trained(tmp_path, tiny_bert_folder, ["-m", "bertdemo"])
    assert code == 0
    assert_as_alone(records, tmp_path, tiny_bert_folder)


@pytest.mark.slow
def test_where_one_of_two_runs_out_of_memory_both_try_again(tmp_path, tiny_bert_folder):
    """At its third batch, of a model whose head has a table of its own: both halve it, and nothing else changes."""
    untied = tmp_path / "untied"
    AutoModelForMaskedLM.from_pretrained(tiny_bert_folder, tie_word_embeddings=False).save_pretrained(untied)
    AutoTokenizer.from_pretrained(tiny_bert_folder).save_pretrained(untied)
    code, records = trained(tmp_path, untied, starved_program(tmp_path, "len(calls) == 3"))
    assert code == 0
    assert [record["event"] for record in records].count("warning") == 1
    assert_as_alone(records, tmp_path, untied)


@pytest.mark.slow
def test_where_memory_never_suffices_for_one_of_two_both_end_with_a_sentence(tmp_path, tiny_bert_folder):
    code, records = trained(tmp_path, tiny_bert_folder, starved_program(tmp_path, "True"))
    assert code == 1
    assert records[-1]["event"] == "failed"
    assert "does not fit into memory; choose a shorter maximum length" in records[-1]["error"]
