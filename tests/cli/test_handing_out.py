"""What the command line writes for use elsewhere: a blend as a checkpoint, a report as one file."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from command_line import Outcome, command
from safetensors.torch import load_file

TEXT = "i really love this show and you like the dog cat house car it was awesome full of mystery a good film"
WORDS = TEXT.split()
PROBE = "i really [MASK] this show ."


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("handing-out")


@pytest.fixture(scope="module")
def trained(home: Path, tiny_bert_folder: Path) -> Outcome:
    with (home / "reviews.csv").open("w", newline="") as file:
        rows = [[" ".join(WORDS[(row * 5 + step) % len(WORDS)] for step in range(8 + row % 5))] for row in range(60)]
        csv.writer(file).writerows([["<b>review"], *rows])
    options = ("--epochs", 2, "--learning-rate", 0.01, "--max-length", 32, "--precision", "fp32", "--probe", PROBE)
    named = ("--name", "<i>mine</i>", "--output", home / "run", "--home", home, "--json")
    return command("train", home / "reviews.csv", "--model", tiny_bert_folder, *options, *named)


def test_a_blend_is_exported_filled_compared_and_scored_by_its_name(
    trained: Outcome, home: Path, tiny_bert_folder: Path
) -> None:
    assert trained.code == 0, trained.err
    name = trained.events("started")[0]["run"]
    blend = f"{name}@0.25"
    done = command("export", blend, "--output", home / "blend", "--home", home, "--json")
    assert (done.code, done.err) == (0, "")
    base, tuned, mixed = (
        load_file(folder / "model.safetensors") for folder in (tiny_bert_folder, home / "run" / "model", home / "blend")
    )
    for key, weight in mixed.items():
        assert torch.allclose(weight, 0.75 * base[key] + 0.25 * tuned[key], atol=1e-6), key
    by_name = command("fill", PROBE, "--model", blend, "--home", home, "--json").records[0]
    by_folder = command("fill", PROBE, "--model", home / "blend", "--home", home, "--json").records[0]
    pairs = zip(by_name["masks"][0]["candidates"], by_folder["masks"][0]["candidates"], strict=True)
    assert all(one["probability"] == pytest.approx(other["probability"], rel=1e-4) for one, other in pairs)
    compared = command("compare", PROBE, "--before", blend, "--after", f"{name}@1.5", "--home", home, "--json").records[
        0
    ]
    assert any("extrapolated" in note for note in compared["notes"])
    assert command("score", PROBE, "--model", blend, "--home", home, "--json").code == 0


@pytest.mark.parametrize(("share", "same_as"), [("0", "base"), ("1", "tuned")])
def test_the_ends_give_the_figures_of_the_two_models(
    trained: Outcome, home: Path, tiny_bert_folder: Path, share: str, same_as: str
) -> None:
    model = tiny_bert_folder if same_as == "base" else home / "run"
    figures = [
        command("evaluate", home / "reviews.csv", "--model", reference, "--home", home, "--json").records[0]
        for reference in (f"{home / 'run'}@{share}", model)
    ]
    assert figures[0] == figures[1]


@pytest.mark.parametrize(
    ("reference", "words"), [("run@2", "between -0.5 and 1.5"), ("mini-bert@0.5", "not known what")]
)
def test_what_is_no_blend_is_one_sentence(trained: Outcome, home: Path, reference: str, words: str) -> None:
    reference = reference.replace("run", str(home / "run"))
    done = command("fill", PROBE, "--model", reference, "--home", home)
    assert done.code == 2
    assert words in done.err
    assert done.err.count("\n") == 1


def test_the_report_is_one_small_file(trained: Outcome, home: Path) -> None:
    path = home / "report.html"
    done = command("report", home / "run", "--output", path, "--home", home)
    assert (done.code, done.err) == (0, "")
    page = path.read_text(encoding="utf-8")
    assert len(page) < 200_000
    assert "<script" not in page
    assert "<b>review" not in page
    assert "<i>mine" not in page
    assert page.count("<svg") == 2  # the loss, and between before and after
    for words in ("i really [MASK] this show .", "SHA-256", "reviews.csv", "Learning rate", "bertdemo train", "0.01"):
        assert words in page, words


def test_a_full_folder_is_not_overwritten(trained: Outcome, home: Path) -> None:
    done = command("export", "mini-bert", "--output", home / "run", "--home", home)
    assert done.code == 2
    assert "not empty" in done.err
