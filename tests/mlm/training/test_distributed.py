"""Two processes train as one: the same losses, and one writer; where one runs out of memory, both know."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from command_line import command
from transformers import AutoModelForMaskedLM, AutoTokenizer

from bertdemo.cli.arguments import build_parser
from bertdemo.cli.pretraining_command import start_or_continue
from bertdemo.runs.store import Workspace

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


# What ``train`` does with each of several models, one after the other, in the processes of one launch.
IN_TURN = """
import json, sys
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer
from bertdemo.mlm.models.masked_lm import MaskedLM, ModelRef
from bertdemo.mlm.settings import TrainingConfig
from bertdemo.mlm.training import distributed as processes
from bertdemo.mlm.training.batching import TrainingTexts
from bertdemo.mlm.training.loop import train

def losses(folder, rows):
    model = AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32)
    masked_lm = MaskedLM(ModelRef("tiny", folder), model, AutoTokenizer.from_pretrained(folder))
    config = TrainingConfig(epochs=2, batch_size=5, learning_rate=0.001, max_length=32, precision="fp32", device="cpu")
    events = train(masked_lm, TrainingTexts(rows[6:], rows[:6]), config)
    return [event.loss for event in events if hasattr(event, "loss")]

if __name__ == "__main__":
    rows, *folders = json.loads(sys.argv[1])
    with processes.joined():
        found = [losses(folder, rows) for folder in folders]
        if processes.rank() == 0:
            print(json.dumps(found))
"""


def arguments(folder: Path, model: Path, *, run: str) -> list[str]:
    data = folder / "rows.csv"
    data.write_text("text\n" + "\n".join(ROWS) + "\n", encoding="utf-8")
    settings = ["--epochs", "2", "--max-length", "32", "--precision", "fp32", "--json"]
    return ["train", str(data), "--model", str(model), *settings, "--output", str(folder / run)]


def trained(folder: Path, model: Path, program: list[str]) -> tuple[int, list[dict]]:
    """Exit code and records of a run by two processes that ``torchrun`` starts."""
    done = launched([*program, *arguments(folder, model, run="together")], home=folder / "home")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert records, done.stderr
    assert [record["event"] for record in records].count("started") == 1
    return done.returncode, records


def launched(words: list[str], *, home: Path, processes: int = 2) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    environment = {**os.environ, "BERTDEMO_HOME": str(home), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*launcher, *words], capture_output=True, encoding="utf-8", env=environment, timeout=120, check=False
    )


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
def test_other_architectures_have_the_losses_of_one_too(tmp_path, tiny_distilbert, tiny_roberta):
    program = tmp_path / "in_turn.py"
    program.write_text(IN_TURN, encoding="utf-8")
    order = json.dumps([ROWS, tiny_distilbert.ref.source, tiny_roberta.ref.source])
    together, alone = (
        launched([str(program), order], home=tmp_path / "home", processes=count).stdout for count in (2, 1)
    )
    for one, two in zip(json.loads(alone), json.loads(together), strict=True):
        assert len(one) == len(two) > 15
        assert two == pytest.approx(one, abs=1e-4)


PRETRAINED = ("--vocabulary-size", "400", "--layers", "1", "--width", "32", "--heads", "2", "--steps", "12")


@pytest.mark.slow
def test_pretraining_by_two_has_the_losses_of_one_from_the_start_and_after_a_stop(tmp_path):
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("\n\n".join(" ".join(ROWS[n:] + ROWS[:n]) for n in range(len(ROWS))), encoding="utf-8")

    def order(name: str, *more: str) -> list[str]:
        words = ["pretrain", str(corpus), "--output", str(tmp_path / name), "--batch-rows", "4", "--json"]
        return [*words, *PRETRAINED, "--precision", "fp32", *more]

    fresh = launched(["-m", "bertdemo", *order("together")], home=tmp_path / "home")
    together = losses([json.loads(line) for line in fresh.stdout.splitlines()])
    for name in ("alone", "stopped"):  # the same vocabulary, whose order is another in every process
        shutil.copytree(tmp_path / "together" / "corpus", tmp_path / name / "corpus")
        shutil.copy(tmp_path / "together" / "recipe.json", tmp_path / name)
        record = (tmp_path / "together" / "run.json").read_text(encoding="utf-8").replace('"finished"', '"stopped"')
        (tmp_path / name / "run.json").write_text(record, encoding="utf-8")
    alone = losses(command(*order("alone"), "--home", tmp_path / "home").records)
    assert len(alone) == len(together) > 20
    assert together == pytest.approx(alone, abs=1e-3)

    options = build_parser().parse_args(order("stopped"))
    with closing(start_or_continue(Workspace(tmp_path / "home"), options, stop=lambda: False)) as records:
        assert any(record.get("step") == 6 and record["event"] == "step" for record in records)
    continued = launched(["-m", "bertdemo", *order("stopped")], home=tmp_path / "home")
    records = [json.loads(line) for line in continued.stdout.splitlines()]
    assert records[0]["resumed_from"] == 6, continued.stderr
    assert losses(records)[-12:] == pytest.approx(alone[-12:], abs=1e-3)


@pytest.mark.slow
def test_where_the_first_of_two_cannot_begin_neither_waits(tmp_path):
    done = launched(
        ["-m", "bertdemo", "pretrain", str(tmp_path / "none.txt"), "--output", str(tmp_path / "out")],
        home=tmp_path / "home",
    )
    assert done.returncode
    assert "There is no file 'none.txt'" in done.stderr


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
