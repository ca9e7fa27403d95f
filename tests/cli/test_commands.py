"""Every command as a program sees it: JSON by contract, exit codes, and one line for whatever can be mended."""

from __future__ import annotations

import csv
import json
import math
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from command_line import Outcome, command, process
from safetensors.torch import load_file, save_file
from transformers import AutoModelForMaskedLM

from bertdemo import __version__
from bertdemo.cli import commands, training_commands
from bertdemo.mlm.models.masked_lm import MaskedLM

Cli = Callable[..., Outcome]
TEXT = "i really love this show and you like the dog cat house car it was awesome full of mystery a good film"
ROWS = 40
FIGURES = {"step", "loss", "perplexity", "top1", "top5", "targets", "hidden"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def cli(home: Path) -> Cli:
    """The command line with a home of its own."""
    return lambda *arguments: command(*arguments, "--home", home)


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 different rows of the tiny models' words."""
    path = tmp_path_factory.mktemp("data") / "reviews.csv"
    rng = np.random.default_rng(0)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["user", "score", "review"])
        for row in range(ROWS):
            writer.writerow([f"u{row}", row % 5, " ".join(rng.choice(TEXT.split(), 8 + row % 9)) + "."])
    return path


@pytest.fixture(scope="module")
def trained(cli: Cli, reviews: Path, tiny_bert_folder: Path) -> Outcome:
    options = ("--epochs", 2, "--batch-size", 8, "--learning-rate", 0.01, "--precision", "fp32", "--name", "First try")
    watched = ("--probe", "I [MASK] this show!", "--watch", "love", "--watch", "like")
    return cli("train", reviews, "--model", tiny_bert_folder, *options, *watched, "--json")


# Training


def test_training_says_what_the_contract_says(trained: Outcome) -> None:
    assert (trained.code, trained.err) == (0, "")
    (begun,), steps = trained.events("started"), trained.events("step")
    assert trained.records[0] == begun
    named = {"run", "train_rows", "held_out_rows", "train_tokens", "steps", "precision", "device"}
    assert named < begun.keys()
    assert (begun["train_rows"], begun["held_out_rows"], begun["precision"]) == (36, 4, "fp32")
    assert [step["step"] for step in steps] == list(range(1, begun["steps"] + 1))
    keys = {"event", "step", "epoch", "loss", "learning_rate", "targets", "tokens", "seconds"}
    assert all(step.keys() == keys for step in steps)
    assert sum(step["tokens"] for step in steps) == 2 * begun["train_tokens"]
    assert [step["seconds"] for step in steps] == sorted(step["seconds"] for step in steps)
    ends = [0, *(max(step["step"] for step in steps if step["epoch"] == epoch) for epoch in (1, 2))]
    for kind in ("evaluated", "general"):
        assert [record["step"] for record in trained.events(kind)] == ends
        assert all(record.keys() == FIGURES | {"event"} for record in trained.events(kind))
    (probe,) = trained.events("probe")[0]["probes"]
    assert [word["word"] for word in probe["masks"][0]["watched"]] == ["love", "like"]
    last = trained.records[-1]
    assert (last["event"], last.keys()) == ("finished", {"event", "model", "best_model"})
    assert Path(last["model"]).is_absolute()
    for name in ("model", "best_model"):
        AutoModelForMaskedLM.from_pretrained(last[name])


def test_a_run_is_listed_and_named_as_a_model(cli: Cli, trained: Outcome) -> None:
    run = trained.records[0]["run"]
    listed = {record["run"]: record for record in cli("runs", "--json").records}
    assert listed[run]["state"] == "finished"
    assert listed[run]["held_out_loss"]["before"] == trained.events("evaluated")[0]["loss"]
    by_folder, by_id, by_name = (
        cli("fill", "I [MASK] this show!", "--model", reference, "--json")
        for reference in (trained.records[-1]["model"], run, "First try")
    )
    assert by_folder.code == 0
    assert by_folder.out == by_id.out == by_name.out


def test_an_output_folder_is_the_run(cli: Cli, reviews: Path, tiny_bert_folder: Path, tmp_path: Path) -> None:
    options = ("--as-in-the-notebook", "--epochs", 1, "--limit", 20, "--output", tmp_path / "run", "--json")
    outcome = cli("train", reviews, "--model", tiny_bert_folder, *options)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.records[-1]["model"] == str(tmp_path / "run" / "model")
    settings = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]
    assert (settings["learning_rate"], settings["batch_size"], settings["epochs"]) == (1e-5, 16, 1)
    begun = outcome.records[0]
    assert begun["train_rows"] + begun["held_out_rows"] == 20
    assert begun["run"] in {record["run"] for record in cli("runs", "--json").records}


def test_the_same_seed_gives_the_same_run(cli: Cli, trained: Outcome, reviews: Path, tiny_bert_folder: Path) -> None:
    options = ("--epochs", 2, "--batch-size", 8, "--learning-rate", 0.01, "--precision", "fp32", "--json")
    again = cli("train", reviews, "--model", tiny_bert_folder, *options)
    assert [step["loss"] for step in again.events("step")] == [step["loss"] for step in trained.events("step")]


def test_a_stopped_run_goes_on_with_the_same_losses(
    cli: Cli, trained: Outcome, reviews: Path, tiny_bert_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def after_twelve_events() -> Iterator[Callable[[], bool]]:
        counter = count()
        yield lambda: next(counter) > 12

    options = ("--epochs", 2, "--batch-size", 8, "--learning-rate", 0.01, "--precision", "fp32", "--json")
    with monkeypatch.context() as patch:
        patch.setattr(training_commands, "stop_on_signals", after_twelve_events)
        stopped = cli("train", reviews, "--model", tiny_bert_folder, *options)
    done = len(stopped.events("step"))
    assert (stopped.code, stopped.err, stopped.records[-1]["event"]) == (130, "", "stopped")
    assert 0 < done < len(trained.events("step"))
    resumed = cli("resume", stopped.records[0]["run"], "--json")
    assert (resumed.code, resumed.err) == (0, "")
    assert (resumed.records[0]["event"], resumed.records[0]["resumed_from"]) == ("started", done)
    losses = [step["loss"] for step in stopped.events("step") + resumed.events("step")]
    assert losses == [step["loss"] for step in trained.events("step")]
    assert resumed.events("evaluated")[-1] == trained.events("evaluated")[-1]
    assert resumed.records[-1]["event"] == "finished"


def test_general_texts_are_mixed_in_and_found_again_by_a_resumption(
    cli: Cli, reviews: Path, tiny_bert_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def after_twelve_events() -> Iterator[Callable[[], bool]]:
        counter = count()
        yield lambda: next(counter) > 12

    general = tmp_path / "general.txt"
    general.write_text("".join(f"the {word} is a good old house\n" for word in TEXT.split()), encoding="utf-8")
    options = ("--batch-size", 8, "--precision", "fp32", "--replay", general, "--replay-share", 0.2, "--whole-words")
    with monkeypatch.context() as patch:
        patch.setattr(training_commands, "stop_on_signals", after_twelve_events)
        stopped = cli("train", reviews, "--model", tiny_bert_folder, *options, "--json")
    begun = stopped.records[0]
    assert (stopped.code, stopped.err) == (130, "")
    assert begun["replay_tokens"] == pytest.approx(begun["train_tokens"] / 4, abs=12)
    kept = general.read_text(encoding="utf-8")
    general.write_text(kept + "one more\n", encoding="utf-8")
    refused = cli("resume", begun["run"], "--json")
    assert (refused.code, refused.out) == (2, "")
    assert "general texts 'general.txt' have changed" in refused.err
    general.write_text(kept, encoding="utf-8")
    assert cli("resume", begun["run"], "--json").records[-1]["event"] == "finished"


def test_a_run_ends_when_its_patience_does_and_scores_by_steps(cli: Cli, reviews: Path, tiny_bert_folder: Path) -> None:
    options = ("--epochs", 60, "--batch-size", 8, "--learning-rate", 0.05, "--precision", "fp32", "--limit", 30)
    outcome = cli(
        "train", reviews, "--model", tiny_bert_folder, *options, "--patience", 1, "--evaluate-every", 2, "--json"
    )
    (ended,) = outcome.events("ended_early")
    assert (outcome.code, outcome.records[-1]["reason"]) == (0, ended["reason"])
    assert ended["step"] == outcome.events("step")[-1]["step"] < outcome.records[0]["steps"]
    assert {2, 4, 6} <= {record["step"] for record in outcome.events("evaluated")}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--replay", "nowhere.txt"), "There is no file 'nowhere.txt'"),
        (("--replay-share", 0.2), "add --replay general"),
        (("--replay", "general", "--replay-share", 1), "share of general texts must be"),
        (("--patience", -1), "patience must be a whole number from 0"),
        (("--evaluate-every", 0), "interval between scores must be"),
        (("--whole-words=yes",), "explicit argument"),
    ],
)
def test_options_of_a_run_that_cannot_be_are_refused_in_a_line(
    cli: Cli, reviews: Path, tiny_bert_folder: Path, options: tuple[object, ...], said: str
) -> None:
    outcome = cli("train", reviews, "--model", tiny_bert_folder, *options, "--json")
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1)
    assert said in outcome.err


@pytest.mark.slow
def test_ctrl_c_saves_a_training_run_as_stopped(
    cli: Cli, home: Path, reviews: Path, tiny_bert_folder: Path, tmp_path: Path
) -> None:
    options = ("--epochs", 2000, "--home", home, "--output", tmp_path / "run", "--json")
    with process("train", reviews, "--model", tiny_bert_folder, *options) as training:
        assert training.stdout is not None
        records = [json.loads(training.stdout.readline())]
        while records[-1]["event"] != "step":
            records.append(json.loads(training.stdout.readline()))
        training.send_signal(signal.SIGINT)
        out, err = training.communicate(timeout=120)
    records += map(json.loads, out.splitlines())
    assert (training.returncode, err) == (130, "")
    assert records[-1]["event"] == "stopped"
    AutoModelForMaskedLM.from_pretrained(records[-1]["model"])
    states = {record["run"]: record["state"] for record in cli("runs", "--json").records}
    assert states[records[0]["run"]] == "stopped"


def test_a_run_that_fails_is_exit_code_1_and_says_why(
    cli: Cli, reviews: Path, tiny_bert_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "spoilt"
    shutil.copytree(tiny_bert_folder, folder)
    weights = load_file(folder / "model.safetensors")
    weights["cls.predictions.bias"][3] = math.nan
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    failed = cli("train", reviews, "--model", folder, "--epochs", 1, "--json")
    assert failed.code == 1
    assert not failed.events("evaluated")  # such a model has no figures
    assert failed.records[-1].keys() == {"event", "error"}
    assert "probabilities that are not numbers (NaN)" in failed.records[-1]["error"]


# The commands that answer at once


def test_inspect(cli: Cli, reviews: Path, tiny_bert_folder: Path) -> None:
    (record,) = cli("inspect", reviews, "--json").records
    assert {"encoding", "delimiter", "header", "rows", "columns", "text_column", "report"} < record.keys()
    assert {"used", "empty", "duplicate", "truncated", "ragged"} < record["report"].keys()
    assert (record["encoding"], record["delimiter"], record["header"]) == ("ascii", ",", True)
    assert (record["rows"], record["columns"], record["text_column"]) == (ROWS, 3, "review")
    assert (record["report"]["used"], record["report"]["truncated"]) == (ROWS, 0)
    (cut,) = cli("inspect", reviews, "--model", tiny_bert_folder, "--max-length", 12, "--json").records
    assert 0 < cut["report"]["truncated"] < cut["report"]["used"] == ROWS


def test_how_a_file_is_read_can_be_named(cli: Cli, tmp_path: Path, tiny_bert_folder: Path) -> None:
    path = tmp_path / "kritik.csv"
    texts = [f"Käse, Brötchen und Süßes Nr. {number}: schön" for number in range(20)]
    path.write_bytes("\n".join(["Umfrage 2024", "id;text", *(f"{n};{t}" for n, t in enumerate(texts))]).encode("cp850"))
    (found,) = cli("inspect", path, "--json").records
    assert (found["skipped_lines"], found["encoding"], found["text_column"]) == (1, "cp850", "text")
    named = ("--encoding", "cp852", "--delimiter", ";", "--no-header", "--column", "1")
    (read,) = cli("inspect", path, *named, "--model", tiny_bert_folder, "--json").records
    assert (read["encoding"], read["delimiter"], read["header"], read["rows"]) == ("cp852", ";", False, 21)
    assert 0 < read["unknown_share"] < 1
    (line,) = cli("inspect", path, "--delimiter", "none", "--json").records
    assert (line["delimiter"], line["columns"]) == (None, 1)
    (scored,) = cli("evaluate", path, *named, "--model", tiny_bert_folder, "--json").records
    assert scored["targets"] > 0
    wrong = cli("train", path, "--encoding", "cp1252", "--model", tiny_bert_folder, "--epochs", 1, "--json")
    assert any("is this really cp1252?" in record.get("message", "") for record in wrong.records)
    for bad in (("--encoding", "klingon"), ("--delimiter", ";;")):
        assert cli("inspect", path, *bad).code == 2


def test_a_text_that_the_vocabulary_cannot_write_is_said(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "russian.csv"
    path.write_text("id,text\n" + "".join(f"{n},Очень хороший отель номер {n} ☃☃ ☃☃\n" for n in range(20)))
    (record,) = cli("inspect", path, "--model", "mini-bert", "--json").records
    warned = [warning for warning in record["report"]["warnings"] if "multilingual" in warning]
    assert bool(warned) == (record["unknown_share"] >= 0.05)
    assert record["unknown_share"] > 0.05


def test_fill(cli: Cli, tiny_bert: MaskedLM, tiny_bert_folder: Path) -> None:
    options = ("--model", tiny_bert_folder, "--top-k", 3, "--targets", "love, barked", "--json")
    (record,) = cli("fill", "I ___ this [MASK]!", *options).records
    assert record.keys() == {"tokens", "masks", "notes"}
    assert record["tokens"] == ["[CLS]", "i", "[MASK]", "this", "[MASK]", "!", "[SEP]"]
    assert [mask["position"] for mask in record["masks"]] == [2, 4]
    for mask in record["masks"]:
        assert mask.keys() == {"position", "candidates", "targets"}
        assert all(c.keys() == {"token", "token_id", "probability", "rank"} for c in mask["candidates"])
        assert [candidate["rank"] for candidate in mask["candidates"]] == [1, 2, 3]
        assert [target["word"] for target in mask["targets"]] == ["love", "barked"]
    assert any("___" in note for note in record["notes"])
    (all_words,) = cli("fill", "I [MASK] it.", "--model", tiny_bert_folder, "--top-k", 10**6, "--json").records
    candidates = all_words["masks"][0]["candidates"]
    assert len(candidates) == tiny_bert.vocabulary_size
    assert math.fsum(candidate["probability"] for candidate in candidates) == pytest.approx(1, abs=1e-5)


def test_compare(cli: Cli, trained: Outcome, tiny_bert_folder: Path) -> None:
    both = ("--before", tiny_bert_folder, "--after", trained.records[0]["run"], "--top-k", 4, "--json")
    (record,) = cli("compare", "I [MASK] this show!", *both).records
    (mask,) = record["masks"]
    assert {"position", "candidates", "js_divergence", "entropy"} <= mask.keys()
    assert mask["entropy"].keys() == {"before", "after"}
    assert 4 <= len(mask["candidates"]) <= 8
    for candidate in mask["candidates"]:
        assert {"token", "before", "after", "log2_ratio"} <= candidate.keys()
        before, after = candidate["before"], candidate["after"]
        assert before.keys() == after.keys() == {"probability", "rank"}
        assert candidate["log2_ratio"] == pytest.approx(
            math.log2(after["probability"] / before["probability"]), rel=1e-3
        )
    assert 0 < mask["js_divergence"] <= 1
    same = ("--before", tiny_bert_folder, "--after", tiny_bert_folder, "--json")
    (unchanged,) = cli("compare", "I [MASK] this show!", *same).records
    assert unchanged["masks"][0]["js_divergence"] == 0
    assert all(candidate["log2_ratio"] == 0 for candidate in unchanged["masks"][0]["candidates"])


def test_score(cli: Cli, tiny_bert_folder: Path) -> None:
    (record,) = cli("score", "The dog ☃ barked.", "--model", tiny_bert_folder, "--json").records
    assert {"tokens", "pll", "pseudo_perplexity"} <= record.keys()
    assert all(token.keys() == {"token", "surprisal_bits", "rank", "prediction"} for token in record["tokens"])
    assert [token["token"] for token in record["tokens"]] == ["the", "dog", "[UNK]", "bark", "##ed", "."]
    known = [token["surprisal_bits"] for token in record["tokens"] if token["token"] != "[UNK]"]
    assert record["tokens"][2] == {"token": "[UNK]", "surprisal_bits": None, "rank": None, "prediction": None}
    assert record["pll"] == pytest.approx(-sum(known) * math.log(2))
    assert record["pseudo_perplexity"] == pytest.approx(math.exp(-record["pll"] / 5))


@torch.no_grad()
def test_evaluate_gives_the_same_figures_twice_and_the_masks_to_recompute_them(
    cli: Cli, tiny_bert: MaskedLM, reviews: Path, tiny_bert_folder: Path, tmp_path: Path
) -> None:
    masks = tmp_path / "masks.jsonl"
    first = cli("evaluate", reviews, "--model", tiny_bert_folder, "--masks", masks, "--json")
    assert first.out == cli("evaluate", reviews, "--model", tiny_bert_folder, "--json").out
    (record,) = first.records
    assert record.keys() == FIGURES | {"event"}
    assert record["event"] == "evaluated"
    rows = [json.loads(line) for line in masks.read_text().splitlines()]
    assert len(rows) == ROWS
    assert all(row.keys() == {"input_ids", "labels"} for row in rows)
    losses = []
    for row in rows:
        chances = tiny_bert.model(torch.tensor([row["input_ids"]])).logits[0].log_softmax(-1)
        losses += [-chances[place, label].item() for place, label in enumerate(row["labels"]) if label != -100]
    assert (record["loss"], record["targets"]) == (pytest.approx(np.mean(losses), abs=1e-4), len(losses))
    (limited,) = cli("evaluate", reviews, "--model", tiny_bert_folder, "--limit", 5, "--json").records
    (other,) = cli("evaluate", reviews, "--model", tiny_bert_folder, "--seed", 1, "--json").records
    assert limited["targets"] < record["targets"]
    assert other["loss"] != record["loss"]


def test_people_read_tables(cli: Cli, trained: Outcome, reviews: Path, tiny_bert_folder: Path) -> None:
    model = ("--model", tiny_bert_folder)
    both = ("--before", tiny_bert_folder, "--after", trained.records[0]["run"])
    for words, arguments in {
        "Text column: review": ("inspect", reviews),
        "probability": ("fill", "I [MASK] the [bold]show!", *model, "--targets", "love,☃"),
        "before": ("compare", "I [MASK] this show!", *both),
        "surprisal": ("score", "The dog ☃ barked.", *model),
        "per target": ("evaluate", reviews, *model),
        "First try": ("runs",),
    }.items():
        outcome = cli(*arguments)
        assert outcome.code == 0
        assert words in outcome.out
        assert "{" not in outcome.out
    training = cli("train", reviews, *model, "--epochs", 1, "--probe", "I [MASK] it.", "--learning-rate", 0.5)
    assert (training.code, training.out) == (0, "")
    for words in ("36 rows", "held-out: loss", "I [MASK] it. ->", "Note: ", "finished: "):
        assert words in training.err


# What goes wrong


BAD = {
    "a missing file": "train {nowhere}/reviews.csv",
    "a missing file to evaluate": "evaluate {nowhere}/reviews.csv --model {model}",
    "a missing file to inspect": "inspect {nowhere}/reviews.csv",
    "a folder for a file": "inspect {nowhere}",
    "words for epochs": "train {csv} --model {model} --epochs many",
    "no epochs": "train {csv} --model {model} --epochs 0",
    "minus one epoch": "train {csv} --model {model} --epochs -1",
    "half an epoch": "train {csv} --model {model} --epochs 1.5",
    "a billion epochs": "train {csv} --model {model} --epochs 1000000000",
    "epochs in scientific notation": "train {csv} --model {model} --epochs 1e9",
    "no number for a rate": "train {csv} --model {model} --learning-rate nan",
    "a comma in a rate": "train {csv} --model {model} --learning-rate 5,e-5",
    "a huge rate": "train {csv} --model {model} --learning-rate 1e3",
    "a negative rate": "train {csv} --model {model} --learning-rate -1",
    "a small negative rate": "train {csv} --model {model} --learning-rate=-1e-5",
    "no rows in a batch": "train {csv} --model {model} --batch-size 0",
    "nothing masked": "train {csv} --model {model} --mask-rate 0",
    "everything masked": "train {csv} --model {model} --mask-rate 1",
    "rows of one token": "train {csv} --model {model} --max-length 1",
    "rows longer than the model": "train {csv} --model {model} --max-length 513",
    "rows of no token to evaluate": "evaluate {csv} --model {model} --max-length 0",
    "rows of a million tokens to inspect": "inspect {csv} --model {model} --max-length 1000000",
    "words for a seed": "train {csv} --model {model} --seed abc",
    "a negative seed": "train {csv} --model {model} --seed -1",
    "a negative seed to evaluate": "evaluate {csv} --model {model} --seed -1",
    "an unknown precision": "train {csv} --model {model} --precision fp16",
    "no rows": "train {csv} --model {model} --limit 0",
    "fewer than no rows to evaluate": "evaluate {csv} --model {model} --limit -5",
    "too few rows": "train {csv} --model {model} --limit 7",
    "an unknown column": "train {csv} --model {model} --column stars",
    "a column of numbers": "train {csv} --model {model} --column score",
    "a column of numbers to inspect": "inspect {csv} --column score",
    "an unknown model": "train {csv} --model {nowhere}/model",
    "an unknown hub model": "fill [MASK] --model nobody/no-such-model",
    "an empty model": "fill [MASK] --model=",
    "an output that is not empty": "train {csv} --model {model} --output {full}",
    "a probe without a mask": "train {csv} --model {model} --probe I~love~this~show!",
    "a text without a mask": "fill I~love~this~show! --model {model}",
    "an empty text": "fill  --model {model}",
    "an empty text to score": "score  --model {model}",
    "an empty text to compare": "compare  --before {model} --after {model}",
    "no words shown": "fill [MASK] --model {model} --top-k 0",
    "fewer than no words": "compare [MASK] --before {model} --after {model} --top-k -1",
    "an unknown run": "resume no-such-run",
    "masks into a folder": "evaluate {csv} --model {model} --masks {nowhere}",
    "an unknown option": "runs --colour",
    "an unknown command": "predict",
    "no command": "",
    "a file for a home": "train {csv} --model {model} --home {csv}",
}


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "tables"])
@pytest.mark.parametrize("line", BAD.values(), ids=BAD.keys())
def test_whatever_can_be_mended_is_one_line_and_exit_code_2(
    line: str, as_json: bool, reviews: Path, tiny_bert_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("BERTDEMO_HOME", str(tmp_path / "home"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear reader")
    places = {"csv": reviews, "model": tiny_bert_folder, "full": tmp_path / "full", "nowhere": tmp_path}
    arguments = [word.format(**places).replace("~", " ") for word in line.split(" ")] if line else []
    outcome = command(*arguments, *(["--json"] if as_json and arguments else []))
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.endswith(".\n"), outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert "Error" not in outcome.err
    assert not list((tmp_path / "home").glob("runs/*"))  # nothing was begun


def test_a_run_that_is_finished_or_gone_cannot_be_resumed(cli: Cli, trained: Outcome, tmp_path: Path) -> None:
    refused = cli("resume", trained.records[0]["run"], "--json")
    assert (refused.code, len(refused.err.splitlines())) == (2, 1)
    assert "is finished" in refused.err
    assert cli("resume", tmp_path, "--json").code == 2


def test_ctrl_c_is_exit_code_130_without_a_word(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_options: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setitem(commands.COMMANDS, "runs", interrupted)
    assert cli("runs") == Outcome(130, "", "")


def test_version_and_help() -> None:
    assert command("--version") == Outcome(0, f"bertdemo {__version__}\n", "")
    for words in ([], ["train"], ["fill"], ["pretrain"]):
        helped = command(*words, "--help")
        assert (helped.code, helped.err) == (0, "")
        assert helped.out.startswith("usage: bertdemo")
