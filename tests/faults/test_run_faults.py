"""Runs whose process is killed, whose disk is full, whose model or data is broken: nothing finished is lost, nothing
unfinished is called finished, the sentence names the mend, and the next run is well."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import torch
from safetensors.torch import load_file, save_file
from served import app_process, call, raw_client, upload
from survival import assert_all_survived, losses, wait_for_line
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast
from zygote import Zygote, zygote

from bertdemo.mlm.errors import BertDemoError
from bertdemo.mlm.models.loading import load_masked_lm
from bertdemo.mlm.models.masked_lm import MaskedLM, ModelRef
from bertdemo.mlm.settings import TrainingConfig
from bertdemo.mlm.training.loop import TrainingSession
from bertdemo.runs.execution import Doing, prepare
from bertdemo.runs.manager import RunManager
from bertdemo.runs.record import RunRequest
from bertdemo.runs.run import Run, RunStatus
from bertdemo.ui.services import Services

ENDED = ("finished", "stopped", "failed", "interrupted")
QUICK = TrainingConfig(epochs=2, batch_size=4, max_length=24, precision="fp32")


@pytest.fixture(scope="module")
def parent() -> Iterator[Zygote]:
    with zygote() as started:
        yield started


@pytest.fixture
def order(tmp_path: Path, tiny_bert_folder: Path, reviews: Path) -> dict[str, object]:
    return {"home": tmp_path / "home", "model": tiny_bert_folder, "data": reviews}


# --- processes that die


@pytest.mark.slow
def test_kills_at_any_moment_leave_everything_finished_whole(parent: Zygote, order: dict, tmp_path: Path) -> None:
    parent.order(**order)
    assert parent.wait() == 0
    (whole,) = assert_all_survived(tmp_path / "home")
    moments = random.Random(4)
    for number in range(3):
        home = tmp_path / f"home{number}"
        pid = parent.order(**{**order, "home": home})
        wait_for_line(home, '"step"')
        time.sleep(moments.uniform(0, 0.4))
        os.kill(pid, signal.SIGKILL)
        parent.wait()
        (killed,) = assert_all_survived(home)
        if killed.record.state == "interrupted":
            parent.order(**{**order, "home": home, "resume": killed.id})
            assert parent.wait() == 0
        (resumed,) = assert_all_survived(home)
        assert losses(resumed) == losses(whole)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.posix
def test_a_polite_signal_saves_the_run(parent: Zygote, order: dict, tmp_path: Path, number: signal.Signals) -> None:
    pid = parent.order(**order, epochs=200, checkpoint_seconds=60)
    wait_for_line(tmp_path / "home", '"step":3')
    os.kill(pid, number)
    assert parent.wait() == 3
    (run,) = assert_all_survived(tmp_path / "home")
    assert run.record.state == "stopped"
    assert "model" in run.models()


@pytest.mark.slow
@pytest.mark.parametrize("room", ["for no model", "for no log"])
def test_a_full_disk_is_said_and_nothing_half_written_stays(
    parent: Zygote, order: dict, tmp_path: Path, room: str
) -> None:
    model_bytes = (Path(order["model"]) / "model.safetensors").stat().st_size
    parent.order(**order, epochs=8, file_bytes=model_bytes // 2 if room == "for no model" else 3000)
    assert parent.wait() in (1, 3)
    (run,) = assert_all_survived(tmp_path / "home")
    assert run.record.state in ("failed", "interrupted")
    assert run.models() == {}
    if room == "for no model":
        assert "disk is full" in run.record.error
        parent.order(**order, resume=run.id)  # once there is room again
        assert parent.wait() == 0
        assert assert_all_survived(tmp_path / "home")[0].record.state == "finished"


@pytest.mark.slow
def test_the_app_behind_a_dead_proxy_starts_and_saves_on_sigterm(tmp_path: Path) -> None:
    dead = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")
    environment = {**dead, "NO_PROXY": "", "no_proxy": "", "TMPDIR": str(tmp_path), "BERTDEMO_LOG_FORMAT": "json"}
    home, sample = tmp_path / "home", Path(__file__).parents[2] / "assets" / "sample_reviews.csv"
    with app_process(home, environment=environment) as app, raw_client(app.url) as client:
        settings = [None, "mini-bert", 100, None, None, 32, None, None, None, None, [], [], "a long one", ""]
        run_id = call(client, "start_training", upload(client, sample), *settings)
        while call(client, "run_status", run_id, 0)["step"] < 2:
            time.sleep(0.1)
        assert httpx.get(f"{app.url}/health", trust_env=False).json() == {"status": "ok"}
        app.process.send_signal(signal.SIGTERM)
        assert app.process.wait(90) == 0
    (run,) = assert_all_survived(home)
    assert (run.record.state, run.record.name) == ("stopped", "a long one")
    assert "model" in run.models()
    assert list(tmp_path.glob("bertdemo-uploads-*")) == []
    lines = app.log.read_text().splitlines()
    assert "Traceback" not in app.log.read_text()
    assert {json.loads(line)["level"] for line in lines if line.startswith("{")} == {"INFO"}


# --- models and data that are not what they were


def cut_weights(folder: Path) -> None:
    with (folder / "model.safetensors").open("rb+") as file:
        file.truncate(1000)


def pickle_weights(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def drop_head(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if not name.startswith("cls.")}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


def drop_mask_token(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    words = Tokenizer(WordLevel({"[UNK]": 0, "dog": 1, "bark": 2}, unk_token="[UNK]"))
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]").save_pretrained(folder)


def change_kind(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(
        json.dumps({**json.loads(path.read_text()), "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]})
    )


def poison(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["cls.predictions.bias"][:] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


MODEL_FAULTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "weights cut short": (cut_weights, "cut short, damaged"),
    "weights only as a pickle": (pickle_weights, "Python pickle"),
    "no head": (drop_head, "would be random"),
    "no mask token": (drop_mask_token, "no mask token"),
    "another architecture": (change_kind, "cannot fill masks|damaged|needs its own code"),
    "a folder that vanished": (shutil.rmtree, "no longer where it was|no model"),
    "weights that are not numbers": (poison, "probabilities that are not numbers (NaN)"),
}


def finish(manager: RunManager, run_id: str) -> RunStatus:
    for _ in range(6000):
        status = manager.status(run_id)
        if status.state in ENDED and run_id not in manager.live():
            return status
        time.sleep(0.01)
    raise AssertionError(f"still {status.state}")


@pytest.mark.slow
@pytest.mark.parametrize("fault", MODEL_FAULTS)
def test_a_broken_model_fails_its_run_in_words_and_the_next_is_well(
    services: Services, tiny_bert_folder: Path, reviews: Path, fault: str
) -> None:
    damage, words = MODEL_FAULTS[fault]
    broken = services.home / "models" / "broken"
    shutil.copytree(tiny_bert_folder, broken)
    gate = threading.Event()

    def session_behind_gate(run: Run, do: Doing) -> TrainingSession:
        assert gate.wait(30)
        return prepare(run, services.registry, do=do)

    manager = RunManager(services.store, services.registry, make_session=session_behind_gate)
    run_id = manager.submit(RunRequest(reviews, QUICK, str(broken))).run_id
    damage(broken)  # once it is queued
    gate.set()
    status = finish(manager, run_id)
    assert status.state == "failed"
    assert_matches(words, status.error)
    assert services.store.get(run_id).models() == {}
    good = manager.submit(RunRequest(reviews, QUICK)).run_id
    assert finish(manager, good).state == "finished"
    assert manager.shutdown(10)


def assert_matches(words: str, sentence: str | None) -> None:
    assert any(word in (sentence or "") for word in words.split("|")), sentence
    assert "\n" not in sentence
    assert "Traceback" not in sentence


@pytest.mark.slow
def test_an_upload_that_vanishes_after_start_is_not_missed(services: Services, reviews: Path) -> None:
    run_id = services.manager.submit(RunRequest(reviews, QUICK), owner="me").run_id
    reviews.unlink()
    assert finish(services.manager, run_id).state == "finished"
    with pytest.raises(BertDemoError, match="upload it again"):
        services.manager.submit(RunRequest(reviews, QUICK), owner="me")


@pytest.mark.slow
def test_many_runs_leave_no_thread_file_or_weights_behind(services: Services, reviews: Path) -> None:
    finish(services.manager, services.manager.submit(RunRequest(reviews, QUICK), owner="me").run_id)
    threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        finish(services.manager, services.manager.submit(RunRequest(reviews, QUICK), owner="me").run_id)
    assert threading.active_count() <= threads
    assert len(os.listdir("/proc/self/fd")) <= files


@pytest.mark.slow
def test_a_run_that_reads_is_never_shown_a_model_that_is_being_written(
    services: Services, reviews: Path, tiny_bert: MaskedLM
) -> None:
    longer = TrainingConfig(epochs=6, batch_size=4, max_length=24, precision="fp32")
    run_id = services.manager.submit(RunRequest(reviews, longer), owner="me").run_id
    seen = set()
    while run_id in services.manager.live():
        models = services.store.get(run_id).models()
        seen.update(name for name, folder in models.items() if load_masked_lm(ModelRef("seen", folder)))
    assert "best_model" in seen


# --- the machine misbehaves; these two are imitated, since neither a GPU nor another clock is at hand


@pytest.mark.slow
def test_too_little_memory_once_is_survived(services: Services, reviews: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, failures = MaskedLM.hidden_at, iter([True])

    def imitation(self: MaskedLM, token_ids: torch.Tensor, *arguments: object, **options: object) -> torch.Tensor:
        if torch.is_grad_enabled() and len(token_ids) > 1 and next(failures, False):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return real(self, token_ids, *arguments, **options)

    monkeypatch.setattr(MaskedLM, "hidden_at", imitation)
    run_id = services.manager.submit(RunRequest(reviews, QUICK), owner="me").run_id
    status = finish(services.manager, run_id)
    assert status.state == "finished"
    assert any("memory" in event["message"] for event in status.events if event["event"] == "warning")


@pytest.mark.slow
def test_a_clock_that_jumps_back_changes_no_duration(
    services: Services, reviews: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda real=time.time: real() - 86_400)
    run_id = services.manager.submit(RunRequest(reviews, QUICK), owner="me").run_id
    status = finish(services.manager, run_id)
    seconds = [event["seconds"] for event in status.events if event["event"] == "step"]
    assert seconds == sorted(seconds)
    assert 0 <= seconds[0] <= seconds[-1] < 60
