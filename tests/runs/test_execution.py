from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import SETTINGS, ScriptedSession, new_run, new_session, sentences
from transformers import AutoModelForMaskedLM, pipeline

from bertdemo.mlm.errors import RunError, TrainingError
from bertdemo.mlm.settings import MaskingConfig
from bertdemo.runs.execution import claim_to_resume, execute, restore, stop_on_signals
from bertdemo.runs.run import Run
from bertdemo.runs.store import RunStore

TRAIN = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from bertdemo.runs.execution import execute
from bertdemo.runs.store import RunStore
from tiny_runs import new_run, new_session
home, base = map(Path, sys.argv[1:])
for record in execute(new_run(RunStore(home), base), new_session(base), checkpoint_seconds=0):
    print(record["event"], record.get("step", ""), flush=True)
"""


def losses(records: list[dict[str, Any]]) -> list[tuple[str, int, float]]:
    kinds = ("step", "evaluated", "general")
    return [(record["event"], record["step"], record["loss"]) for record in records if record["event"] in kinds]


def resume(run: Run, base_folder: Path) -> list[dict[str, Any]]:
    claim_to_resume(run)
    session = new_session(base_folder)
    restore(run, session)
    return list(execute(run, session))


@pytest.fixture
def finished(store: RunStore, base_folder: Path) -> tuple[Run, list[dict[str, Any]]]:
    run = new_run(store, base_folder)
    return run, list(execute(run, new_session(base_folder)))


def test_a_finished_run_has_all_its_parts(finished: tuple[Run, list[dict[str, Any]]], store: RunStore) -> None:
    run, records = finished
    logged = [record for record in records if record["event"] != "progress"]
    assert list(run.log.records()) == logged
    assert (records[0]["event"], logged[0]["event"], logged[0]["run"]) == ("progress", "started", run.id)
    last = records[-1]
    assert last == {"event": "finished", "model": str(run.model_folder), "best_model": str(run.best_model_folder)}
    record = store.get(run.id).record
    steps = [item for item in logged if item["event"] == "step"]
    assert (record.state, record.steps, record.steps_done) == ("finished", logged[0]["steps"], len(steps))
    evaluated = [item for item in logged if item["event"] == "evaluated"]
    assert (record.figures.before, record.figures.after) == (evaluated[0], evaluated[-1])
    assert record.figures.general_after["event"] == "general"
    entries = {path.name for path in run.folder.iterdir()}
    assert entries == {
        *("run.json", "events.jsonl", "held_out.jsonl", "lock"),
        *("checkpoint", "model", "best_model"),
    }


def test_the_models_load_without_this_package(finished: tuple[Run, list[dict[str, Any]]]) -> None:
    run, records = finished
    fill = pipeline("fill-mask", model=str(run.model_folder), device="cpu")
    assert len(fill("the show was [MASK]")) == 5
    best = min((item for item in records if item["event"] == "evaluated" and item["step"]), key=lambda i: i["loss"])
    held_out = [json.loads(line) for line in run.held_out_path.read_text().splitlines()]
    model = AutoModelForMaskedLM.from_pretrained(run.best_model_folder).eval()
    total, targets = 0.0, 0
    for row in held_out:
        labels = torch.tensor([row["labels"]])
        with torch.no_grad():
            logits = model(torch.tensor([row["input_ids"]])).logits
        total += torch.nn.functional.cross_entropy(logits[0], labels[0], reduction="sum").item()
        targets += int((labels != -100).sum())
    assert targets == best["targets"]
    assert total / targets == pytest.approx(best["loss"], abs=1e-4)


def test_stop_keeps_what_was_trained_and_a_resumption_gives_the_same_losses(
    finished: tuple[Run, list[dict[str, Any]]], store: RunStore, base_folder: Path
) -> None:
    whole_run, whole = finished
    untrained = load_file(base_folder / "model.safetensors")
    for steps in (1, 4, 7):
        run, asked = new_run(store, base_folder), threading.Event()
        for record in execute(run, new_session(base_folder), stop=asked.is_set):
            if record.get("step") == steps:
                asked.set()
        assert run.record.state == "stopped"
        trained = load_file(run.model_folder / "model.safetensors")
        assert any((tensor != untrained[key]).any() for key, tensor in trained.items())
        after = resume(store.get(run.id), base_folder)
        assert after[-1]["event"] == "finished"
        assert losses(list(run.log.records())) == losses(whole)
        for name in ("model", "best_model"):
            weights = load_file(run.folder / name / "model.safetensors")
            expected = load_file(whole_run.folder / name / "model.safetensors")
            assert all(torch.equal(weights[key], expected[key]) for key in expected)


def test_a_run_whose_patience_ends_is_finished_and_says_why(store: RunStore, base_folder: Path) -> None:
    impatient = dataclasses.replace(SETTINGS, epochs=60, learning_rate=0.05, patience=1)
    run = new_run(store, base_folder, settings=impatient)
    *_, last = execute(run, new_session(base_folder, impatient))
    (ended,) = [record for record in run.log.records() if record["event"] == "ended_early"]
    assert (last["event"], last["reason"]) == ("finished", ended["reason"])
    record = store.get(run.id).record
    assert (record.state, record.steps_done) == ("finished", ended["step"])
    assert record.steps_done < record.steps
    assert record.figures.best["step"] == ended["best_step"]
    best = load_file(run.best_model_folder / "model.safetensors")
    assert any((tensor != best[key]).any() for key, tensor in load_file(run.model_folder / "model.safetensors").items())


def test_whole_words_and_general_texts_are_the_same_after_a_stop(store: RunStore, base_folder: Path) -> None:
    settings = dataclasses.replace(SETTINGS, masking=MaskingConfig(whole_words=True), replay_share=0.4)
    texts = tuple(f"{text} you loved it" for text in sentences(40))
    whole = list(execute(new_run(store, base_folder), new_session(base_folder, settings, replay=texts)))
    run, asked = new_run(store, base_folder), threading.Event()
    for record in execute(run, new_session(base_folder, settings, replay=texts), stop=asked.is_set):
        if record.get("step") == 5:
            asked.set()
    claim_to_resume(run)
    session = new_session(base_folder, settings, replay=texts)
    restore(run, session)
    list(execute(run, session))
    assert losses(list(run.log.records())) == losses(whole)


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_losses_of_an_uninterrupted_one(
    finished: tuple[Run, list[dict[str, Any]]], store: RunStore, base_folder: Path
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", TRAIN, str(store.home), str(base_folder)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if line == "step 3\n":
                os.kill(child.pid, signal.SIGKILL)
                break
    run = store.list()[0]
    assert run.record.state == "interrupted"
    resumed = resume(run, base_folder)
    assert resumed[0]["resumed_from"] >= 1
    assert losses(list(run.log.records())) == losses(finished[1])
    assert run.events(5).since != 5  # whoever watched the run before it died starts anew


def test_a_run_killed_before_its_first_checkpoint_starts_again(
    finished: tuple[Run, list[dict[str, Any]]], store: RunStore, base_folder: Path
) -> None:
    run = new_run(store, base_folder)
    run.update(state="training")
    run.log.append({"event": "started", "steps": 99})
    run.release()
    resume(store.get(run.id), base_folder)
    assert losses(list(run.log.records())) == losses(finished[1])


def test_closing_the_generator_saves_the_run_as_stopped(store: RunStore, base_folder: Path) -> None:
    run, session = new_run(store, base_folder), ScriptedSession(base_folder)
    records = execute(run, session)
    while next(records)["event"] != "step":
        pass
    records.close()
    assert session.closed
    record = store.get(run.id).record
    assert (record.state, record.steps_done) == ("stopped", 1)
    assert next(reversed(list(run.log.records())))["event"] == "stopped"
    assert run.model_folder.is_dir()


def test_stopped_before_the_first_step_there_is_no_model(store: RunStore, base_folder: Path) -> None:
    run = new_run(store, base_folder)
    *_, last = execute(run, ScriptedSession(base_folder), stop=lambda: True)
    assert last == {"event": "stopped"}
    assert not run.model_folder.exists()


def test_an_interrupt_from_the_keyboard_counts_as_a_stop(store: RunStore, base_folder: Path) -> None:
    run = new_run(store, base_folder)
    *_, last = execute(run, ScriptedSession(base_folder, fault=KeyboardInterrupt(), fault_at=3))
    assert last["event"] == "stopped"
    assert store.get(run.id).record.steps_done == 2


def test_a_failure_is_said_in_its_own_words_and_never_finished(store: RunStore, base_folder: Path) -> None:
    run = new_run(store, base_folder)
    fault = TrainingError("The loss was no longer finite; try a smaller learning rate.")
    *_, last = execute(run, ScriptedSession(base_folder, fault=fault, fault_at=5))
    assert (last["event"], last["error"]) == ("failed", str(fault))
    assert "model" not in last
    assert last["best_model"] == str(run.best_model_folder)
    record = store.get(run.id).record
    assert (record.state, record.error) == ("failed", str(fault))
    assert not run.model_folder.exists()


def test_a_bug_gets_a_plain_sentence_and_its_traceback_goes_to_the_log(
    store: RunStore, base_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = new_run(store, base_folder)
    *_, last = execute(run, ScriptedSession(base_folder, fault=ZeroDivisionError("secret"), fault_at=1))
    assert last["event"] == "failed"
    assert "fault in bertdemo" in last["error"]
    assert "secret" not in last["error"]
    assert "ZeroDivisionError" in caplog.text


def test_a_disk_that_refuses_the_model_makes_the_run_fail_not_finish(store: RunStore, base_folder: Path) -> None:
    run, session = new_run(store, base_folder), ScriptedSession(base_folder)
    records = []
    for record in execute(run, session):
        records.append(record)
        if record.get("step") == 6:
            shutil.rmtree(run.model_folder, ignore_errors=True)
            run.model_folder.with_name(".model.part").write_text("in the way")
    assert records[-1]["event"] == "failed"
    assert "could not be" in records[-1]["error"]
    assert store.get(run.id).record.state == "failed"
    assert not run.model_folder.exists()


@pytest.mark.slow
def test_two_cannot_work_on_one_run(store: RunStore, base_folder: Path) -> None:
    run = new_run(store, base_folder)
    with pytest.raises(RunError, match="being worked on"):
        next(execute(store.get(run.id), ScriptedSession(base_folder)))
    list(execute(run, ScriptedSession(base_folder)))
    with pytest.raises(RunError, match="finished"):
        claim_to_resume(store.get(run.id))


def test_checkpoints_by_the_clock_come_when_they_are_due(store: RunStore, base_folder: Path) -> None:
    for seconds, first in ((0.0, 1), (3600.0, 3)):
        run = new_run(store, base_folder)
        for record in execute(run, ScriptedSession(base_folder), checkpoint_seconds=seconds):
            if run.checkpoint_folder.exists():
                assert record["step"] == first
                break


def test_the_best_epoch_is_kept_beside_the_last(store: RunStore, base_folder: Path) -> None:
    run = new_run(store, base_folder)
    list(execute(run, ScriptedSession(base_folder, held_out=(3.0, 2.0, 2.5))))
    assert (run.record.figures.best["step"], run.record.figures.after["step"]) == (3, 6)
    last, best = (load_file(folder / "model.safetensors") for folder in (run.model_folder, run.best_model_folder))
    moved = last["cls.predictions.bias"] - best["cls.predictions.bias"]
    assert moved.tolist() == pytest.approx([3.0] * len(moved))


def test_signals_ask_for_a_stop_and_are_given_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stop_on_signals() as stopping:
        assert not stopping()
        signal.raise_signal(signal.SIGTERM)
        assert stopping()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is before
    heard = []
    thread = threading.Thread(target=lambda: heard.append(stop_on_signals().__enter__()()))
    thread.start()
    thread.join()
    assert heard == [False]
