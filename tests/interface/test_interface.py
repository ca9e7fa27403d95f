"""``import bertdemo``: what it loads, and what each function returns, as a frame, a figure and in a notebook."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from command_line import command

import bertdemo
from bertdemo.interface.progress import Progressing, shown_progress
from bertdemo.interface.results import TrainedRun
from bertdemo.mlm.errors import BertDemoError, SettingsError
from bertdemo.mlm.models.masked_lm import MaskedLM

TEXT = "i really [MASK] this show ."
TEXT_OF_ROWS = "i really love this show and you like the dog cat house car it was awesome full of mystery a good film"
WORDS = TEXT_OF_ROWS.split()


def rows(count: int = 40) -> list[str]:
    return [
        " ".join(WORDS[(start * 5 + step * (start % 7 + 1)) % len(WORDS)] for step in range(9))
        for start in range(count)
    ]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BERTDEMO_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def trained(home: Path, tiny_bert_folder: Path) -> TrainedRun:
    frame = pd.DataFrame({"user": range(40), "review": rows()})
    return bertdemo.train(
        frame, model=tiny_bert_folder, epochs=2, batch_size=8, learning_rate=0.01, max_length=32, precision="fp32"
    )


def as_json(*arguments: object) -> dict[str, Any]:
    return json.loads(command(*arguments, "--json").out)


def test_the_import_is_light_and_lists_its_names() -> None:
    code = (
        "import bertdemo, sys; print(dir(bertdemo)); assert 'torch' not in sys.modules and 'pandas' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(name in done.stdout for name in bertdemo.__all__)
    with pytest.raises(AttributeError):
        _ = bertdemo.no_such_name


def test_frames_hold_the_keys_of_the_json(home: Path, tiny_bert_folder: Path) -> None:
    filled = bertdemo.fill_mask(TEXT, model=tiny_bert_folder, top_k=3, targets="dog, barked")
    (mask,) = as_json("fill", TEXT, "--model", tiny_bert_folder, "--top-k", 3)["masks"]
    frame = filled.to_frame()
    assert list(frame.columns) == ["position", *mask["candidates"][0]]
    assert frame.drop(columns="position").to_dict("records") == mask["candidates"]
    assert list(filled.targets_frame()["word"]) == ["dog", "barked"]
    scored = bertdemo.score_sentence("the dog barked .", model=tiny_bert_folder)
    tokens = as_json("score", "the dog barked .", "--model", tiny_bert_folder)["tokens"]
    assert scored.to_frame().to_dict("records") == tokens
    for result in (filled, scored):
        assert "<table" in result._repr_html_()
        assert result.figure().data


def test_the_run_is_a_model_and_its_figures_are_frames(trained: TrainedRun, tiny_bert_folder: Path) -> None:
    frame = trained.to_frame()
    assert list(frame["event"].unique()) == ["evaluated", "general", "step"]
    assert frame["loss"].notna().all()
    assert len(frame[frame["event"] == "step"]) == trained.run.record.steps
    report = trained.report()
    assert list(report.to_frame()["model"][:2]) == ["before", "after"]
    compared = bertdemo.compare(TEXT, before=tiny_bert_folder, after=trained, top_k=4)
    probability = bertdemo.fill_mask(TEXT, model=trained, top_k=1).to_frame()["probability"][0]
    assert compared.to_frame()["after_probability"].max() == pytest.approx(probability)
    for result in (trained, report, compared):
        assert "<table" in result._repr_html_()
        assert result.figure().data
    assert bertdemo.load_model(f"{trained.reference}@0.5").ref.label.endswith("@0.5")


def test_a_frame_s_rows_are_kept_with_the_run(trained: TrainedRun) -> None:
    data = trained.run.record.data
    assert Path(data.path).is_relative_to(trained.run.folder)
    assert list(bertdemo.read_table(data.path).to_frame()["review"]) == rows()


def test_a_parquet_file_keeps_the_columns_beside_its_texts(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "reviews.parquet"
    written = pd.DataFrame({"stars": [str(number) for number in range(len(rows()))], "review": rows()})
    written.to_parquet(path)
    read = bertdemo.read_table(path).to_frame()
    assert read.columns.tolist() == ["stars", "review"]
    assert read["stars"].tolist() == written["stars"].tolist()
    assert read["review"].tolist() == written["review"].tolist()


def test_a_table_is_read_as_it_is_written(home: Path, tmp_path: Path, tiny_bert_folder: Path) -> None:
    path = tmp_path / "reviews.csv"
    path.write_text("note;review\n" + "".join(f"{row % 3};Größe {text}\n" for row, text in enumerate(rows())), "cp1252")
    table = bertdemo.read_table(path, model=tiny_bert_folder)
    assert table.record == as_json("inspect", path, "--model", tiny_bert_folder)
    assert list(table.to_frame().columns) == ["note", "review"]
    assert table.to_frame()["review"][0].startswith("Größe")
    assert len(table.texts) == table.record["report"]["used"]
    assert "<table" in table._repr_html_()
    assert table.figure().data


@pytest.mark.parametrize(
    ("settings", "words"), [({"epoch": 3}, "no setting 'epoch'"), ({"epochs": 0}, "number of epochs")]
)
def test_a_setting_that_cannot_be_is_said_before_anything_is_written(
    home: Path, tiny_bert_folder: Path, settings: dict[str, int], words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        bertdemo.train(pd.DataFrame({"review": rows()}), model=tiny_bert_folder, **settings)
    assert not home.exists()


def test_without_plotly_a_figure_is_one_sentence(tiny_bert: MaskedLM, monkeypatch: pytest.MonkeyPatch) -> None:
    filled = bertdemo.fill_mask(TEXT, model=tiny_bert)
    for name in [
        name for name in sys.modules if name.partition(".")[0] == "plotly" or name.startswith("bertdemo.charts")
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr("builtins.__import__", _without_plotly(__import__))
    with pytest.raises(BertDemoError, match="pip install plotly"):
        filled.figure()


def _without_plotly(importing: Any) -> Any:
    def refused(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] == "plotly":
            raise ModuleNotFoundError("No module named 'plotly'", name="plotly")
        return importing(name, *rest, **more)

    return refused


class Display:
    """What IPython's display is asked to draw."""

    def __init__(self) -> None:
        self.drawn: list[str] = []

    def HTML(self, text: str) -> str:  # noqa: N802 - IPython's name
        return text

    def display(self, html: str, *, display_id: bool) -> Display:
        self.drawn.append(html)
        return self

    def update(self, html: str) -> None:
        self.drawn.append(html)


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Display:
    """A kernel, as far as the progress bar can see."""
    display = Display()
    kernel = type("Shell", (), {"kernel": object()})()
    ipython = type(sys)("IPython")
    ipython.get_ipython = lambda: kernel  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return display


STARTED = {"event": "started", "steps": 10}
STEP = {"event": "step", "step": 10, "epoch": 2, "loss": 2.5}


def test_a_notebook_sees_one_bar_that_moves(notebook: Display) -> None:
    with shown_progress() as show:
        for record in (STARTED, {"event": "evaluated", "loss": 3.0}, STEP, {"event": "finished"}):
            show(record)
    assert 'value="10" max="10"' in notebook.drawn[-1]
    assert "finished, epoch 2, step 10 of 10, loss 2.500, held out 3.000" in notebook.drawn[-1]


def test_progress_is_said_in_words() -> None:
    seen = Progressing()
    seen.take({"event": "progress", "phase": "tokenising"})
    assert seen.words == "tokenising"
    seen.take(STARTED)
    seen.take({**STEP, "step": 3, "loss": None})
    assert seen.words == "epoch 2, step 3 of 10"
