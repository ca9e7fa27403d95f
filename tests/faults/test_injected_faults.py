"""Faults put into a run that is under way, wherever its code can break: it fails in words, and the next run is well.

What is imitated is named as such: a bug is a ZeroDivisionError out of nowhere, and a GPU that is full says so itself.
"""

from __future__ import annotations

import logging
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from survival import assert_all_survived, losses, wait_for_line
from zygote import Zygote, zygote

from bertdemo.mlm.errors import BertDemoError, ModelError
from bertdemo.mlm.inference.fill_mask import fill_masks
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.settings import TrainingConfig
from bertdemo.mlm.training.optimizer import Optimizers
from bertdemo.mlm.training.probes import Prober
from bertdemo.mlm.training.step import BatchLoss
from bertdemo.runs.execution import claim_to_resume, execute, prepare, restore
from bertdemo.runs.log import EventLog
from bertdemo.runs.record import DataSource, RunRequest
from bertdemo.runs.run import Run, RunStatus
from bertdemo.ui.services import Services

ENDED = ("finished", "stopped", "failed", "interrupted")
SHORT = TrainingConfig(epochs=2, batch_size=12, max_length=24, precision="fp32", probes=("the [MASK] can bark",))


@pytest.fixture(scope="module")
def parent() -> Iterator[Zygote]:
    with zygote() as started:
        yield started


def ended(services: Services, run_id: str) -> RunStatus:
    for _ in range(6000):
        status = services.manager.status(run_id)
        if status.state in ENDED and run_id not in services.manager.live():
            return status
        time.sleep(0.01)
    raise AssertionError(f"still {status.state}")


def trained(services: Services, data: Path, settings: TrainingConfig = SHORT, **request: Any) -> RunStatus:
    return ended(services, services.manager.submit(RunRequest(data, settings, **request), owner="me").run_id)


# --- stopped, wherever it is


def new_run(services: Services, data: Path) -> Run:
    model = services.registry.resolve("mini-bert")
    return services.store.create(name="run", model=model, data=DataSource("rows.csv", str(data)), settings=SHORT)


def records_until(services: Services, run: Run, *, stop_after: int) -> list[dict[str, Any]]:
    seen: list[dict[str, Any]] = []
    session = prepare(run, services.registry, general=("the old dog can bark", "we love the new house"))
    if run.record.state != "preparing" or run.record.steps_done:
        restore(run, session)
    for record in execute(run, session, stop=lambda: len(seen) >= stop_after):
        seen.append(record)
    return seen


@pytest.mark.slow
def test_a_stop_at_any_moment_keeps_what_was_learned_and_can_be_taken_up(services: Services, reviews: Path) -> None:
    whole = new_run(services, reviews)
    moments = len(records_until(services, whole, stop_after=10**9))
    assert moments > 15
    for moment in range(1, moments - 1):
        run = new_run(services, reviews)
        last = records_until(services, run, stop_after=moment)[-1]
        assert last["event"] == "stopped", moment
        assert ("model" in run.models()) == bool(run.record.steps_done)
        claim_to_resume(run)
        assert records_until(services, run, stop_after=10**9)[-1]["event"] == "finished"
        assert losses(run) == losses(whole)
        services.store.delete(run.id)
    assert_all_survived(services.home)


def goes_on_for_ever(*_arguments: object, **_options: object) -> None:
    """A download over a line that hangs, a library deep in a file: deaf to everything, until the test is over."""
    OVER.wait(60)
    raise BertDemoError("The test is over.")


def endless_tokens(*_arguments: object, **_options: object) -> Iterator[int]:
    for number in range(100_000):
        time.sleep(0.01)
        yield number


OVER = threading.Event()
PHASES: dict[str, tuple[str, Callable[..., Any] | None]] = {
    "reading the data": ("bertdemo.runs.execution.read_corpus", goes_on_for_ever),
    "loading the model": ("bertdemo.mlm.models.registry.load_masked_lm", goes_on_for_ever),
    "tokenising": ("bertdemo.mlm.training.loop.tokenize_texts", endless_tokens),
    "planning": ("", None),  # ten thousand epochs really take that long
}


@pytest.mark.parametrize("phase", PHASES)
def test_a_stop_is_heard_before_the_first_step_and_the_next_run_is_well(
    services: Services, reviews: Path, phase: str
) -> None:
    place, imitation = PHASES[phase]
    OVER.clear()
    with pytest.MonkeyPatch.context() as patch:
        if imitation is not None:
            patch.setattr(place, imitation)
        many = replace(SHORT, epochs=10_000, batch_size=1, probes=())
        run_id = services.manager.submit(RunRequest(reviews, many), owner="me").run_id
        while services.manager.status(run_id).activity.phase != phase:
            time.sleep(0.01)
        services.manager.stop(run_id, owner="me")
        asked = time.monotonic()
        status = ended(services, run_id)
        assert time.monotonic() - asked < 5  # a tenth of a second, and what a busy machine adds
    assert status.state == "stopped"
    assert [event["event"] for event in status.events] == ["stopped"]
    assert trained(services, reviews, replace(SHORT, epochs=1, probes=())).state == "finished"
    OVER.set()


# --- a bug in any part


def failing_at(call: int, real: Callable[..., Any]) -> Callable[..., Any]:
    calls: list[int] = []

    def imitation(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == call:
            raise ZeroDivisionError("a bug of ours")
        return real(*arguments, **options)

    return imitation


PARTS: dict[str, tuple[Any, str]] = {
    "collating": (BatchLoss, "draw"),
    "the optimiser": (Optimizers, "step"),
    "evaluating": ("bertdemo.mlm.training.loop", "score_targets"),
    "a probe": (Prober, "read"),
    "saving the model": ("bertdemo.runs.execution", "save_model"),
    "saving a checkpoint": ("bertdemo.runs.execution", "save_checkpoint"),
    "writing the log": (EventLog, "append"),
    "writing the record": (Run, "update"),
}


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_a_bug_in_any_part_is_told_plainly_and_logged_and_the_next_run_is_well(
    services: Services, reviews: Path, caplog: pytest.LogCaptureFixture, part: str
) -> None:
    place, name = PARTS[part]
    threads = threading.active_count()
    with pytest.MonkeyPatch.context() as patch:
        if isinstance(place, str):
            place = __import__(place, fromlist=[name])
        call = 6 if name == "update" else 2  # the first ones are the start's own
        patch.setattr(place, name, failing_at(call, getattr(place, name)))
        with caplog.at_level(logging.ERROR):
            status = trained(services, reviews)
    assert status.state == "failed"
    assert status.error == "The run failed because of a fault in bertdemo; the program's log has the details."
    assert "ZeroDivisionError" in caplog.text
    assert trained(services, reviews).state == "finished"
    assert threading.active_count() <= threads + 1  # the one worker
    assert_all_survived(services.home)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), "does not fit into memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 10 bytes"), "not fit into"),
    ],
)
def test_memory_that_never_suffices_ends_the_run_in_words_and_the_next_is_well(
    services: Services, reviews: Path, fault: RuntimeError, words: str
) -> None:
    real = MaskedLM.hidden_at

    def imitation(self: MaskedLM, *arguments: Any, **options: Any) -> torch.Tensor:
        if torch.is_grad_enabled():
            raise fault
        return real(self, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MaskedLM, "hidden_at", imitation)
        status = trained(services, reviews)
    assert status.state == "failed"
    assert words in (status.error or "")
    assert trained(services, reviews).state == "finished"


# --- values that only the model, or only the rows, can refuse


@pytest.mark.slow
@pytest.mark.parametrize("max_length", [513, 1_000_000])
def test_a_length_that_the_model_cannot_read_is_said(services: Services, reviews: Path, max_length: int) -> None:
    status = trained(services, reviews, replace(SHORT, max_length=max_length))
    assert status.state == "failed"
    assert "choose a length up to that" in (status.error or "")


@pytest.mark.slow
def test_a_batch_larger_than_the_rows_is_one_step_an_epoch(services: Services, reviews: Path) -> None:
    status = trained(services, reviews, replace(SHORT, batch_size=4096))
    assert (status.state, status.steps) == ("finished", SHORT.epochs)
    assert any("more than the" in event["message"] for event in status.events if event["event"] == "warning")


def unknown_rows(count: int) -> list[str]:
    """Sentences that a model of English has no word for."""
    words = "старая собака лает громко новый дом кошка любит фильм очень"
    return [" ".join(words.split()[start % 10 :] + words.split()[: start // 10 + 1]) for start in range(count)]


@pytest.mark.slow
def test_batches_without_anything_to_guess_are_passed_over(services: Services, tmp_path: Path) -> None:
    known = [f"the old dog number {number} can bark and love the new house" for number in range(12)]
    data = tmp_path / "mixed.csv"
    data.write_text("review\n" + "".join(f"{row}\n" for row in known + unknown_rows(24)), encoding="utf-8")
    status = trained(services, data, replace(SHORT, batch_size=1), column="review")
    assert (status.state, status.error) == ("finished", None)
    unscored = [event["loss"] for event in status.events if event["event"] == "step" and not event["targets"]]
    assert set(unscored) == {None}
    warned = [event["message"] for event in status.events if event["event"] == "warning"]
    assert sum("nothing to guess" in message for message in warned) == 1


@pytest.mark.slow
def test_rows_without_a_single_known_word_are_no_training_data(services: Services, tmp_path: Path) -> None:
    data = tmp_path / "unknown.csv"
    data.write_text("id,review\n" + "".join(f"{n},{row}\n" for n, row in enumerate(unknown_rows(40))), encoding="utf-8")
    status = trained(services, data, column="review")
    assert status.state == "failed"
    assert "choose another column, or a model of the texts' language" in (status.error or "")


# --- several at once


def at_once(acts: list[Callable[[], Any]]) -> list[Any]:
    barrier = threading.Barrier(len(acts))

    def act(one: Callable[[], Any]) -> Any:
        barrier.wait(30)
        return one()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(act, acts))


@pytest.mark.slow
def test_starts_at_the_same_moment_are_queued_and_none_is_lost(services: Services, reviews: Path) -> None:
    request = RunRequest(reviews, replace(SHORT, epochs=1, probes=()))
    submitted = at_once([lambda: services.manager.submit(request, owner="me")] * 8)
    ids = [submission.run_id for submission in submitted]
    assert len(set(ids)) == 8
    assert set(services.manager.live()) <= set(ids)
    while live := services.manager.live():
        states = [services.manager.status(run_id).state for run_id in live]
        assert sum(state in ("preparing", "training", "stopping") for state in states) <= 1
        time.sleep(0.02)
    assert {services.manager.status(run_id).state for run_id in ids} == {"finished"}


@pytest.mark.slow
def test_stops_at_the_same_moment_are_one_stop(services: Services, reviews: Path) -> None:
    run_id = services.manager.submit(RunRequest(reviews, replace(SHORT, epochs=500)), owner="me").run_id
    while services.manager.status(run_id).step < 2:
        time.sleep(0.01)
    states = at_once([lambda: services.manager.stop(run_id, owner="me")] * 8)
    assert set(states) <= {"stopping", "stopped"}
    assert ended(services, run_id).state == services.manager.stop(run_id, owner="me") == "stopped"


def test_a_model_that_cannot_be_loaded_harms_nobody_else(services: Services, tiny_bert_folder: Path) -> None:
    broken = services.home / "models" / "broken"
    shutil.copytree(tiny_bert_folder, broken)
    (broken / "model.safetensors").write_bytes(b"torn")

    def ask(reference: str) -> str:
        try:
            model = services.registry.shared(services.registry.resolve(reference))
            return fill_masks(model, "the [MASK] can bark").masks[0].candidates[0].token
        except BertDemoError as error:
            return str(error)

    answers = at_once([lambda: ask(str(broken)), lambda: ask("mini-bert")] * 6)
    assert len(set(answers[1::2])) == 1
    assert all("cut short, damaged" in answer for answer in answers[::2])
    shutil.copy(tiny_bert_folder / "model.safetensors", broken)
    assert ask(str(broken)) == ask("mini-bert")


# --- the disk and the network


@pytest.mark.slow
def test_a_folder_that_turns_read_only_is_said(
    parent: Zygote, tiny_bert_folder: Path, reviews: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    order = {"home": home, "model": tiny_bert_folder, "data": reviews, "powerless": True}
    parent.order(**order, epochs=12)
    folder = wait_for_line(home, '"step":3').folder
    folder.chmod(0o555)
    assert parent.wait() == 3
    folder.chmod(0o755)
    (run,) = assert_all_survived(home)
    assert run.record.state == "failed"
    assert "read-only; choose another home folder" in (run.record.error or "")
    parent.order(**order, resume=run.id)
    assert parent.wait() == 0
    assert assert_all_survived(home)[0].record.state == "finished"


def test_a_hub_that_never_answers_is_out_of_reach(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setattr("bertdemo.mlm.models.hub.ANSWER_WITHIN", 0.2)
        with pytest.raises(ModelError, match=r"hub is out of reach.*'mini-bert', which needs no download"):
            services.registry.shared(services.registry.resolve("someone/silent-model"))
