"""A run as a notebook: run in a kernel of its own from a fresh folder, it finds what the run found."""

from __future__ import annotations

import ast
import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
from command_line import command

from bertdemo.mlm.errors import RunError
from bertdemo.mlm.models.loading import bundled_assets
from bertdemo.runs.notebook_file import notebook_json, source_of, write_notebook
from bertdemo.runs.run import open_run
from bertdemo.runs.store import default_home

TEXT = "i really love this show and you like the dog cat house car it was awesome full of mystery a good film"
WORDS = TEXT.split()


def write_rows(path: Path, count: int) -> Path:
    """Rows in cp1252 with semicolons, a title above, a double, an empty text, tags, and a comma too many."""
    rows = [
        " ".join(WORDS[(row * 5 + step * (row % 7 + 1)) % len(WORDS)] for step in range(10)) for row in range(count)
    ]
    rows[3], rows[4], rows[5] = rows[2].upper(), "n/a", f"<b>{rows[5]}</b><br/>Größe &amp; more"
    lines = ["My reviews", "user;review;stars", *(f"u{row};{text};{row % 5}" for row, text in enumerate(rows))]
    lines[20] = f"u18;{' '.join(rows[18:22])}. And {rows[30]}! “Größe” counts.;2"  # longer than a row may be
    lines[9] = f"u7;{rows[7]}; and so on;3"
    path.write_text("\n".join(lines) + "\n", encoding="cp1252")
    return path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BERTDEMO_HOME", str(tmp_path / "home"))
    return default_home()


@pytest.fixture
def run_folder(home: Path, tmp_path: Path, tiny_bert_folder: Path) -> Path:
    path = write_rows(tmp_path / "reviews.csv", 120)
    options = ("--epochs", 3, "--batch-size", 8, "--learning-rate", 0.002, "--max-length", 16, "--precision", "fp32")
    probe = ("--probe", "i [MASK] this show", "--limit", 100, "--seed", 3)
    done = command("train", path, "--model", tiny_bert_folder, *options, *probe, "--output", tmp_path / "run", "--json")
    assert done.code == 0, done.err
    return tmp_path / "run"


def executed(path: Path) -> Any:
    """The notebook's last value, from a kernel that starts in its folder and knows nothing of this package."""
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("matplotlib")
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    client = nbclient.NotebookClient(notebook, timeout=800, resources={"metadata": {"path": str(path.parent)}})
    client.execute()
    return ast.literal_eval(notebook.cells[-1].outputs[-1]["data"]["text/plain"])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_notebook_finds_what_the_run_found(run_folder: Path, tmp_path: Path) -> None:
    figures = open_run(run_folder).record.figures
    path = write_notebook(source_of(open_run(run_folder)), tmp_path / "elsewhere")
    result = executed(path)
    assert result["targets"] == figures.after["targets"]
    assert result["before"] == pytest.approx(figures.before["loss"], abs=1e-4)  # the very same questions
    assert result["after"] == pytest.approx(figures.after["loss"], rel=1e-3)  # 2% are promised; batches and masks agree
    assert figures.after["loss"] < 0.9 * figures.before["loss"]  # there was something to learn


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("rate", "epochs"), [(0.005, 3), (0, 2)])  # where nothing is learnt, patience ends
def test_settings_before_a_run_are_a_notebook_too(
    tmp_path: Path, home: Path, tiny_roberta: Any, rate: float, epochs: int
) -> None:
    """Of lines without columns, for a tokenizer of another kind, cut, in whole words, and stopped early."""
    texts = [" ".join(WORDS[(row + step * (row % 5 + 1)) % len(WORDS)] for step in range(9)) for row in range(40)]
    (tmp_path / "lines.txt").write_text("\n".join(texts) + "\n")
    folder = tmp_path / "notebook"
    recipe = ("--long-texts", "cut", "--patience", 1, "--learning-rate", rate, "--precision", "fp32")
    shape = ("--epochs", 3, "--batch-size", 8, "--max-length", 14, "--probe", "i ___ this show")
    options = (*shape, *recipe, "--notebook", folder)
    done = command("train", tmp_path / "lines.txt", "--model", tiny_roberta.ref.source, *options, "--json")
    assert done.code == 0, done.err
    assert not (home / "runs").exists()
    result = executed(Path(json.loads(done.out)["notebook"]))
    trained = command("train", tmp_path / "lines.txt", "--model", tiny_roberta.ref.source, *options[:-2], "--json")
    losses = [event["loss"] for event in trained.events("evaluated")]
    assert result["epochs"] == len(losses) - 1 == epochs
    before, after = losses[0], losses[-1]
    assert result["before"] == pytest.approx(before, abs=1e-4)
    assert result["after"] == pytest.approx(after, rel=1e-3)


def test_it_names_no_place_on_this_machine_and_explains_the_slips(run_folder: Path) -> None:
    text = notebook_json(source_of(open_run(run_folder)))
    notebook = json.loads(text)
    assert not re.search(r"/(?:tmp|home|root|work)/", text)
    assert "{{" not in text
    first_code = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    assert first_code["source"][0].startswith("%pip install")
    words = "".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    for slip in ("-100", "padding", "once, before the first epoch"):
        assert slip in words
    assert "bertdemo" not in "".join(
        "".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"
    )


def test_what_cannot_be_repeated_is_said(run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "reviews.csv").write_text("mine")
    with pytest.raises(RunError, match="already"):
        write_notebook(source_of(open_run(run_folder)), tmp_path / "full")
    assert (tmp_path / "full" / "reviews.csv").read_text() == "mine"
    mixed = source_of(open_run(run_folder))
    mixed = dataclasses.replace(mixed, data=dataclasses.replace(mixed.data, replay="general"))
    with pytest.raises(RunError, match="mixed in"):
        notebook_json(mixed)
    (tmp_path / "reviews.csv").unlink()
    with pytest.raises(RunError, match="gone"):
        notebook_json(source_of(open_run(run_folder)))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_on_the_sample_reviews_with_the_bundled_model(home: Path, tmp_path: Path) -> None:
    """The run may compute in bf16 and the notebook does not: within 2%."""
    sample = bundled_assets() / "sample_reviews.csv"
    options = ("--epochs", 2, "--limit", 120, "--max-length", 64, "--probe", "I really [MASK] this show!")
    done = command("train", sample, *options, "--output", tmp_path / "run", "--json")
    assert done.code == 0, done.err
    figures = open_run(tmp_path / "run").record.figures
    result = executed(write_notebook(source_of(open_run(tmp_path / "run")), tmp_path / "notebook"))
    assert result["before"] == pytest.approx(figures.before["loss"], abs=1e-3)
    assert result["after"] == pytest.approx(figures.after["loss"], rel=0.02)
