"""The report that is kept with a run, on a real run of a tiny model."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_runs import GENERAL, SETTINGS, FolderRegistry, load, new_run, new_session, sentences
from transformers import AutoModelForMaskedLM

from bertdemo.mlm.errors import ModelError, RunError
from bertdemo.mlm.models.masked_lm import MaskedLM, ModelRef
from bertdemo.runs.execution import execute
from bertdemo.runs.record import DataSource
from bertdemo.runs.report_file import can_report, kept_report, make_report, read_fixed_masks
from bertdemo.runs.run import Run
from bertdemo.runs.store import RunStore


class Loading(FolderRegistry):
    """Loads whatever a reference's folder holds."""

    def shared(self, ref: ModelRef) -> MaskedLM:
        return self.private_copy(ref)


@pytest.fixture
def run(store: RunStore, base_folder: Path, tmp_path: Path) -> Run:
    data = tmp_path / "reviews.csv"
    data.write_text("review\n" + "".join(f"{sentence}\n" for sentence in sentences(24)))
    source = DataSource("reviews.csv", str(data), column="review")
    made = new_run(store, base_folder, data=source)
    for _ in execute(made, new_session(base_folder, dataclasses.replace(SETTINGS, epochs=4))):
        pass
    return store.get(made.id)


@pytest.fixture
def registry(base_folder: Path) -> Loading:
    return Loading(base_folder)


def test_the_figures_can_be_recomputed_from_the_run_s_own_files(run: Run, registry: Loading) -> None:
    report = make_report(run, registry, general=GENERAL)
    rows = [json.loads(line) for line in run.held_out_path.read_text().splitlines()]
    for folder, quality in ((registry.folder, report.held_out.before), (run.model_folder, report.held_out.after)):
        model = AutoModelForMaskedLM.from_pretrained(folder).eval()
        losses: list[float] = []
        for row in rows:
            with torch.no_grad():
                scores = model(torch.tensor([row["input_ids"]])).logits[0].log_softmax(-1)
            losses += [-scores[at, label].item() for at, label in enumerate(row["labels"]) if label != -100]
        assert quality.loss == pytest.approx(sum(losses) / len(losses), abs=1e-4)
        assert report.held_out.targets == len(losses)
        shown = [row["input_ids"][at] for row in rows for at, label in enumerate(row["labels"]) if label != -100]
        assert quality.hidden == shown.count(registry.shared(run.record.model).mask_token_id)


def test_the_report_says_what_was_mixed_in_and_why_the_run_ended(
    store: RunStore, base_folder: Path, tmp_path: Path, registry: Loading
) -> None:
    data = tmp_path / "reviews.csv"
    data.write_text("review\n" + "".join(f"{sentence}\n" for sentence in sentences(24)))
    source = DataSource("reviews.csv", str(data), column="review", replay=str(tmp_path / "old.txt"))
    settings = dataclasses.replace(SETTINGS, epochs=60, learning_rate=0.05, patience=1, replay_share=0.25)
    made = new_run(store, base_folder, data=source, settings=settings)
    *_, last = execute(made, new_session(base_folder, settings, replay=GENERAL))
    mixed_in = "Against forgetting, 25% of the tokens that it was trained on came from general texts: 'old.txt'."
    remarks = make_report(store.get(made.id), registry, general=GENERAL).remarks
    assert remarks[0] == last["reason"]
    assert remarks[-1] == mixed_in
    assert mixed_in in (made.model_folder / "README.md").read_text()
    assert str(tmp_path) not in (made.model_folder / "README.md").read_text()
    assert "--replay old.txt --replay-share 0.25" in (made.model_folder / "README.md").read_text()


def test_what_is_kept_is_what_was_computed(run: Run, registry: Loading) -> None:
    assert kept_report(run) is None
    report = make_report(run, registry, general=GENERAL)
    assert kept_report(run) == report
    assert report.general is not None
    assert report.baseline is not None
    assert report.frequent_token


def test_a_resumed_run_is_reported_on_anew(run: Run, registry: Loading) -> None:
    make_report(run, registry)
    run.update(attempt=run.record.attempt + 1)
    assert kept_report(run) is None


def test_a_report_of_an_older_version_is_made_anew_and_its_run_is_still_listed(
    run: Run, registry: Loading, store: RunStore
) -> None:
    report = make_report(run, registry)
    path = run.folder / "report.json"
    kept = json.loads(path.read_text())
    old = {"loss": 3.0, "pseudo_perplexity": 20.1, "top1": 0.4, "top5": 0.6}
    path.write_text(json.dumps({**kept, "held_out": {**kept["held_out"], "before": old, "after": old}}))
    assert kept_report(run) is None
    assert make_report(run, registry) == report
    record = json.loads((run.folder / "run.json").read_text())
    record["figures"]["before"] = {"event": "evaluated", "step": 0, **old, "targets": 20}
    (run.folder / "run.json").write_text(json.dumps(record))
    before = store.get(run.id).record.figures.before
    assert (before["perplexity"], before["top1"], before["hidden"]) == (20.1, None, None)


def test_a_model_that_gives_no_numbers_has_no_report(run: Run, registry: Loading) -> None:
    weights = run.model_folder / "model.safetensors"
    save_file({name: torch.full_like(tensor, torch.nan) for name, tensor in load_file(weights).items()}, weights)
    with pytest.raises(ModelError, match="not numbers"):
        make_report(run, registry)
    assert kept_report(run) is None


def test_without_its_data_a_run_still_has_a_report(run: Run, registry: Loading) -> None:
    Path(run.record.data.path).unlink()
    run.update(data=dataclasses.replace(run.record.data, sha256="0" * 64))
    assert make_report(run, registry).baseline is None


def test_the_best_epoch_is_scored_where_it_is_not_the_last(run: Run, registry: Loading) -> None:
    best = {**run.record.figures.best, "step": 1}
    run.update(figures=dataclasses.replace(run.record.figures, best=best))
    report = make_report(run, registry)
    assert report.best_step == 1
    assert report.best is not None


def test_a_run_without_a_model_has_no_report(store: RunStore, base_folder: Path, registry: Loading) -> None:
    empty = new_run(store, base_folder)
    empty.release()
    assert not can_report(empty)
    with pytest.raises(RunError, match="no model"):
        make_report(empty, registry)


def test_damaged_masks_are_one_sentence(run: Run) -> None:
    run.held_out_path.write_text('{"input_ids": [1, 2]}\n')
    with pytest.raises(RunError, match="held-out rows"):
        read_fixed_masks(run.held_out_path)


def test_a_damaged_report_is_as_none(run: Run, registry: Loading) -> None:
    make_report(run, registry)
    (run.folder / "report.json").write_text('{"verdict": 1}')
    assert kept_report(run) is None


def test_the_report_goes_with_the_run(run: Run, registry: Loading, store: RunStore) -> None:
    make_report(run, registry)
    store.delete(run.id)
    assert not run.folder.exists()
    assert load(registry.folder)  # the base is as it was
