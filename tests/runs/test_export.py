from __future__ import annotations

import csv
import dataclasses
import io
import json
import shlex
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tiny_runs import ScriptedSession, new_run
from transformers import AutoModelForMaskedLM

from bertdemo.cli.arguments import build_parser
from bertdemo.mlm.data.dialect import Dialect
from bertdemo.mlm.errors import RunError
from bertdemo.mlm.models.masked_lm import ModelRef
from bertdemo.mlm.settings import TrainingConfig
from bertdemo.runs import export
from bertdemo.runs.execution import execute
from bertdemo.runs.export import export_zip, stream_zip
from bertdemo.runs.files import replaced_folder
from bertdemo.runs.model_card import model_card
from bertdemo.runs.record import DataSource, command_line
from bertdemo.runs.store import RunStore


def test_the_zip_holds_all_that_was_promised_and_none_of_the_rows(
    store: RunStore, base_folder: Path, tmp_path: Path
) -> None:
    run = new_run(store, base_folder, owner="secret-hash")
    list(execute(run, ScriptedSession(base_folder)))
    with zipfile.ZipFile(export_zip(run)) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "out")
    assert {"settings.json", "metrics.csv", "reproduce.txt", "events.jsonl", "model/README.md"} <= names
    assert not any("held_out" in name or name.startswith("data") for name in names)
    out = tmp_path / "out"
    assert AutoModelForMaskedLM.from_pretrained(out / "model").config.hidden_size == 16
    assert (out / "events.jsonl").read_bytes() == run.log.path.read_bytes()
    settings = (out / "settings.json").read_text()
    assert json.loads(settings)["settings"]["learning_rate"] == 0.01
    assert not any(secret in settings for secret in ("secret-hash", "/nowhere", str(base_folder)))


def test_the_same_run_gives_the_same_zip(store: RunStore, base_folder: Path, tmp_path: Path, monkeypatch) -> None:
    """So that a server which keeps what it sends by its content keeps one of them, however often it is asked for."""
    run = new_run(store, base_folder)
    first = export_zip(run, tmp_path).read_bytes()
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)
    assert export_zip(run, tmp_path).read_bytes() == first


def test_eight_readers_at_once_get_the_same_bytes_while_another_run_is_made(store: RunStore, base_folder: Path) -> None:
    run, other = new_run(store, base_folder), new_run(store, base_folder, name="other")
    list(execute(run, ScriptedSession(base_folder)))
    with ThreadPoolExecutor(9) as pool:
        making = pool.submit(lambda: list(execute(other, ScriptedSession(base_folder))))
        zips = list(pool.map(lambda _: b"".join(stream_zip(run.folder)), range(8)))
        assert making.result()[-1]["event"] == "finished"
    assert set(zips) == {export_zip(run).read_bytes()}
    assert zipfile.ZipFile(io.BytesIO(zips[0])).testzip() is None


def test_a_zip_that_is_being_sent_is_of_the_moment_when_it_was_asked_for(store: RunStore, base_folder: Path) -> None:
    """The run goes on, replaces its model and is deleted in the end, while one reader has only begun."""
    run = new_run(store, base_folder)
    list(execute(run, ScriptedSession(base_folder)))
    whole, begun = b"".join(stream_zip(run.folder)), stream_zip(run.folder)
    with replaced_folder(run.model_folder) as part:
        (part / "config.json").write_text("{}")
    run.log.append({"event": "step", "step": 7, "loss": 1.0})
    assert b"".join(stream_zip(run.folder)) != whole
    store.delete(run.id)
    assert b"".join(begun) == whole


def test_a_zip_comes_in_pieces_and_holds_large_files_as_they_are(
    store: RunStore, base_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run(store, base_folder)
    list(execute(run, ScriptedSession(base_folder)))
    weights = (run.model_folder / "model.safetensors").read_bytes()
    monkeypatch.setattr(export, "CHUNK", 1000)
    monkeypatch.setattr(export, "LARGE", 2000)
    pieces = list(stream_zip(run.folder))
    assert len(pieces) > len(weights) // 2000
    assert max(map(len, pieces)) < 40_000
    with zipfile.ZipFile(io.BytesIO(b"".join(pieces))) as archive:
        assert archive.read("model/model.safetensors") == weights


def test_where_there_is_no_run_no_zip_is_begun(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run"):
        stream_zip(tmp_path)


def test_a_run_without_a_model_can_be_exported(store: RunStore, base_folder: Path, tmp_path: Path) -> None:
    path = export_zip(new_run(store, base_folder, name="../../CON"), tmp_path)
    assert path.parent == tmp_path
    assert sorted(zipfile.ZipFile(path).namelist()) == ["metrics.csv", "reproduce.txt", "settings.json"]
    assert [entry.name for entry in tmp_path.glob("*.part")] == []


def test_the_metrics_have_every_step_at_full_precision(store: RunStore, base_folder: Path) -> None:
    run = new_run(store, base_folder)
    list(execute(run, ScriptedSession(base_folder)))
    with zipfile.ZipFile(export_zip(run)) as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("metrics.csv").decode())))
    assert [row["step"] for row in rows if row["event"] == "step"] == list("123456")
    assert float(rows[3]["loss"]) == 3.0 / 3
    assert [row["loss"] for row in rows if row["event"] == "evaluated"] == ["3.0", "2.7", "2.4"]


def test_the_command_line_says_all_that_was_chosen(store: RunStore, base_folder: Path) -> None:
    settings = TrainingConfig(epochs=5, probes=("it's [MASK]; rm -rf /",), watch=("a b",))
    data = DataSource("my reviews.csv", "/x", column="the text", limit=100)
    model = ModelRef("mini-bert", "/somewhere/mini-bert")
    run = new_run(store, base_folder, settings=settings, data=data, model=model)
    words = shlex.split(command_line(run.record))
    assert words[:3] == ["bertdemo", "train", "my reviews.csv"]
    options = dict(zip(words[3::2], words[4::2], strict=True))
    assert options == {
        "--column": "the text",
        "--model": "mini-bert",
        "--epochs": "5",
        "--learning-rate": "5e-05",
        "--batch-size": "16",
        "--max-length": "256",
        "--long-texts": "split",
        "--mask-rate": "0.15",
        "--limit": "100",
        "--seed": "0",
        "--new-words": "0",
        "--patience": "0",
        "--probe": "it's [MASK]; rm -rf /",
        "--watch": "a b",
    }


@pytest.mark.parametrize(("delimiter", "typed"), [(";", ";"), ("\t", "tab"), (None, "none")])
def test_how_the_file_was_read_stands_in_the_command_line(
    store: RunStore, base_folder: Path, delimiter: str | None, typed: str
) -> None:
    dialect = {"encoding": "cp1252", "delimiter": delimiter, "header": False}
    run = new_run(store, base_folder, data=DataSource("rows.csv", "/x", dialect=dialect))
    options = build_parser().parse_args(shlex.split(command_line(run.record))[1:])
    assert (options.encoding, options.header) == ("cp1252", False)
    assert options.delimiter == (delimiter or "")
    assert f"--delimiter {shlex.quote(typed)}" in command_line(run.record)


@pytest.mark.parametrize(
    ("dialect", "typed"),
    [
        (
            Dialect("utf-8", None, None, header=False, paragraphs=True),
            "--encoding utf-8 --delimiter paragraph --no-header",
        ),
        (Dialect("", None, None, header=False, format="excel"), "--no-header"),
        (Dialect("utf-16", None, None, header=True, format="json"), "--encoding utf-16"),
    ],
)
def test_of_other_formats_only_what_can_be_chosen_stands_there(
    store: RunStore, base_folder: Path, dialect: Dialect, typed: str
) -> None:
    run = new_run(store, base_folder, data=DataSource("rows", "/x", dialect=vars(dialect)))
    words = shlex.split(command_line(run.record))
    start = words.index("--epochs") - len(typed.split())
    assert words[start : words.index("--epochs")] == typed.split()
    build_parser().parse_args(words[1:])


def test_the_card_shows_figures_and_lets_no_markup_in(store: RunStore, base_folder: Path) -> None:
    data = DataSource("<img src=x>|`r`.csv", "/x")
    run = new_run(store, base_folder, name="a\n---\n<script>", data=data)
    list(execute(run, ScriptedSession(base_folder)))
    card = (run.model_folder / "README.md").read_text()
    assert card.startswith('---\nlibrary_name: "transformers"\n')
    assert "| loss per target | 3.0000 | 2.4000 | 2.4000 |" in card
    assert "| perplexity | 20.10 |" in card
    assert "| first guess right at [MASK] | 10.0% |" in card
    assert "| targets that show [MASK] | 32 | 32 |" in card
    assert "pseudo" not in card
    assert "<script>" not in card
    assert "<img" not in card.split("bertdemo train")[0]
    assert "base_model" not in card


def test_the_card_names_a_base_model_of_the_hub(store: RunStore, base_folder: Path) -> None:
    record = new_run(store, base_folder).record
    hub = "google-bert/bert-base-uncased"
    record = dataclasses.replace(record, model=ModelRef(hub, hub))
    assert f'base_model: "{hub}"' in model_card(record, mask_token="[MASK]")
    scratch = dataclasses.replace(record, model=ModelRef("from scratch", "from scratch"))
    card = model_card(scratch, mask_token="[MASK]")
    assert "trained from scratch" in card
    assert "bertdemo train" not in card
