"""A run that gives its model new words: trained, stopped and resumed, loaded by others, reported on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from tiny_runs import FolderRegistry, load
from transformers import AutoModelForMaskedLM, AutoTokenizer

from bertdemo.mlm.analysis.compare import compare
from bertdemo.mlm.errors import TrainingError
from bertdemo.mlm.models.masked_lm import MaskedLM, ModelRef
from bertdemo.mlm.settings import TrainingConfig
from bertdemo.mlm.training.batching import TrainingTexts
from bertdemo.mlm.training.loop import TrainingSession
from bertdemo.runs.execution import execute, prepare, restore
from bertdemo.runs.record import DataSource, command_line
from bertdemo.runs.report_file import make_report
from bertdemo.runs.run import Run
from bertdemo.runs.store import RunStore

GENERAL = ("the dog can bark , the cat can not bark !", "paris is the capital of france .")
ENDS = ("show", "house", "car", "story", "film", "dog")
SETTINGS = TrainingConfig(
    epochs=2, batch_size=4, learning_rate=0.01, max_length=32, precision="fp32", device="cpu", new_words=2
)


class Loading(FolderRegistry):
    def shared(self, ref: ModelRef) -> MaskedLM:
        return load(Path(ref.source))


@pytest.fixture
def data(tmp_path: Path) -> DataSource:
    rows = [f"{number} we love anime and manga , the old {ENDS[number % 6]} ." for number in range(60)]
    path = tmp_path / "reviews.csv"
    path.write_text("review\n" + "".join(f'"{row}"\n' for row in rows))
    return DataSource("reviews.csv", str(path), column="review")


@pytest.fixture
def run(store: RunStore, tiny_bert_folder: Path, data: DataSource) -> Run:
    return store.create(name="", model=ModelRef("tiny", str(tiny_bert_folder)), data=data, settings=SETTINGS)


def _trained(run: Run, registry: Loading, *, stop_at: int | None = None) -> list[dict[str, object]]:
    session = prepare(run, registry, general=GENERAL)
    steps = 0
    records = []

    def stop() -> bool:
        return stop_at is not None and steps >= stop_at

    for record in execute(run, session, stop=stop):
        steps += record["event"] == "step"
        records.append(record)
    return records


@pytest.fixture
def registry(tiny_bert_folder: Path) -> Loading:
    return Loading(tiny_bert_folder)


def test_the_run_says_which_words_and_plain_transformers_reads_them_as_one_token(run: Run, registry: Loading) -> None:
    records = _trained(run, registry)
    started = next(record for record in records if record["event"] == "started")
    assert [word["word"] for word in started["new_words"]] == ["anime", "manga"]
    assert started["new_words"][0]["pieces"] == ["a", "##n", "##i", "##m", "##e"]
    assert records[-1]["event"] == "finished"
    for folder in (run.model_folder, run.best_model_folder):
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForMaskedLM.from_pretrained(folder)
        ids = [tokenizer(f"love {word}", add_special_tokens=False)["input_ids"] for word in ("anime", "Manga")]
        assert [len(row) for row in ids] == [2, 2]
        assert model.get_input_embeddings().num_embeddings == len(tokenizer)
        assert tokenizer.decode(ids[0]) == "love anime"
    held_out = [json.loads(line) for line in run.held_out_path.read_text().splitlines()]
    new_id = len(AutoTokenizer.from_pretrained(run.model_folder)) - 2
    assert all(new_id in [*row["input_ids"], *row["labels"]] for row in held_out)
    assert "--new-words 2" in command_line(run.record)


def test_a_resumed_run_has_the_same_words_and_losses(
    store: RunStore, run: Run, registry: Loading, data: DataSource
) -> None:
    whole = [record["loss"] for record in _trained(run, registry) if record["event"] == "step"]
    halved = store.create(name="", model=run.record.model, data=data, settings=SETTINGS)
    first = [record["loss"] for record in _trained(halved, registry, stop_at=5) if record["event"] == "step"]
    halved.claim()
    session = prepare(halved, registry, general=GENERAL)
    restore(halved, session)
    rest = [record["loss"] for record in execute(halved, session) if record["event"] == "step"]
    assert first + rest == pytest.approx(whole, abs=1e-6)


def test_a_state_with_other_words_is_refused(tiny_bert_folder: Path) -> None:
    texts = ["we love anime ."] * 9, ["we love manga ."] * 9
    sessions = [TrainingSession(load(tiny_bert_folder), TrainingTexts(rows, rows[:1]), SETTINGS) for rows in texts]
    with pytest.raises(TrainingError, match="no longer those of its texts"):
        sessions[1].restore(sessions[0].state())


def test_too_few_words_are_said(tiny_bert_folder: Path) -> None:
    rows = ["we love anime and the old house ."] * 9
    config = dataclasses.replace(SETTINGS, new_words=50, epochs=1)
    events = list(TrainingSession(load(tiny_bert_folder), TrainingTexts(rows, rows[:1]), config).events())
    assert any("Only 1 word is used" in getattr(event, "message", "") for event in events)


def test_the_report_asks_both_models_the_same_and_counts_by_the_word(run: Run, registry: Loading) -> None:
    records = _trained(run, registry)
    report = make_report(run, registry, general=GENERAL)
    losses = [record["loss"] for record in records if record["event"] == "evaluated"]
    general = [record["loss"] for record in records if record["event"] == "general"]
    assert report.held_out.before.loss == pytest.approx(losses[0], abs=1e-4)
    assert report.held_out.after.loss == pytest.approx(losses[-1], abs=1e-4)
    assert report.general is not None
    assert (report.general.before.loss, report.general.after.loss) == pytest.approx((general[0], general[-1]), abs=1e-4)
    remark = next(remark for remark in report.remarks if "tokens of their own" in remark)
    assert remark.startswith("2 words became tokens of their own; the held-out texts went from ")
    assert "nats each before" in remark


def test_base_and_tuned_are_compared_across_their_vocabularies(run: Run, registry: Loading) -> None:
    _trained(run, registry)
    base, tuned = registry.shared(run.record.model), load(run.model_folder)
    found = compare(base, tuned, "we love [MASK] and anime .", top_k=200)
    by_token = {candidate.token: candidate for candidate in found.masks[0].candidates}
    assert by_token["anime"].before.probability is None
    assert by_token["anime"].after.probability is not None
    assert by_token["anime"].log2_ratio is None
    love = by_token["love"]
    assert love.before.probability is not None
    assert love.after.probability is not None
    assert found.masks[0].position == found.masks[0].position_after
    assert any("different vocabularies" in note for note in found.notes)
