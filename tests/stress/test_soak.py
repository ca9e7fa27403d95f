"""Long runs: what the server keeps in memory does not grow with the run, and its log only ever grows."""

from __future__ import annotations

import gc
import math
import os
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from served import ROOT, app_process, call, raw_client, upload

from bertdemo.mlm.events import Evaluated, RunStarted, StepDone, TrainingEvent
from bertdemo.mlm.loading.registry import ModelRegistry
from bertdemo.mlm.models import MaskedLM
from bertdemo.runs.manager import RunManager
from bertdemo.runs.request import RunRequest
from bertdemo.runs.store import RunStore
from bertdemo.ui.live_feed import live_payload

STEPS = int(os.environ.get("BERTDEMO_SOAK_STEPS", "200000"))
MINUTES = float(os.environ.get("BERTDEMO_SOAK_MINUTES", "20"))
Figure = Callable[[str, str], None]


class ImitatedSession:
    """A session that trains nothing: the events of a long run, as fast as they are taken."""

    def __init__(self, masked_lm: MaskedLM) -> None:
        self.masked_lm = masked_lm

    def events(self) -> Generator[TrainingEvent, None, None]:
        yield RunStarted(1000, 100, 50_000, 0, STEPS, "fp32", "cpu", 5e-5)
        yield Evaluated(0, 6.0, 400.0, 0.1, 0.3, 800)
        for step in range(1, STEPS + 1):
            yield StepDone(step, 1 + step * 10 // STEPS, 2 + math.exp(-step / 5000), 5e-5, 60, 400, step * 0.1)
            if step % (STEPS // 10) == 0:
                yield Evaluated(step, 3.0, 20.0, 0.4, 0.6, 800)

    def state(self) -> dict[str, Any]:
        return {"step": 0}

    def restore(self, state: dict[str, Any]) -> None:
        raise NotImplementedError("the soak is never interrupted")

    def held_out_masks(self) -> Iterator[dict[str, Any]]:
        return iter(())


def resident_megabytes(pid: int | str = "self") -> float:
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def test_a_run_of_many_steps_keeps_nothing_in_memory(
    tmp_path: Path, tiny_bert: MaskedLM, tiny_bert_folder: Path, figure: Figure
) -> None:
    store = RunStore(tmp_path / "home")
    registry = ModelRegistry(tmp_path / "home", bundled=tiny_bert_folder)
    manager = RunManager(store, registry, make_session=lambda _run: ImitatedSession(tiny_bert))
    data = tmp_path / "reviews.csv"
    data.write_text("review\nhello\n")
    began = time.monotonic()
    run_id = manager.submit(RunRequest(data)).run_id
    cursor, sizes, memory, slowest = 0, [0], [], 0.0
    while manager.live():
        asked = time.monotonic()
        answer = live_payload(manager, run_id, cursor)
        slowest = max(slowest, time.monotonic() - asked)
        assert answer["from"] == cursor or cursor == 0
        cursor = answer["to"]
        sizes.append(store.get(run_id).log.size())
        gc.collect()
        memory.append(resident_megabytes())
        time.sleep(0.3)
    seconds = time.monotonic() - began
    assert manager.status(run_id).state == "finished"
    assert sizes == sorted(sizes)
    quarter = max(1, len(memory) // 4)
    early, late = max(memory[:quarter]), max(memory[-quarter:])
    asked = time.monotonic()
    whole = live_payload(manager, run_id, 0)
    words = f"{seconds:.0f} s, log {sizes[-1] / 1e6:.0f} MB, memory {early:.0f} MB early and {late:.0f} MB late,"
    words += f" slowest answer while it ran {slowest:.2f} s, the whole history in {time.monotonic() - asked:.1f} s"
    figure(f"{STEPS:,} steps, imitated", words)
    assert late - early < 40
    assert whole["to"] >= cursor
    assert len(whole["steps"]) <= 2000


@pytest.mark.skipif(MINUTES <= 0, reason="BERTDEMO_SOAK_MINUTES is 0")
def test_a_real_run_of_many_minutes_keeps_the_servers_memory_flat(tmp_path: Path, figure: Figure) -> None:
    with app_process(tmp_path / "home") as app, raw_client(app.url) as client:
        settings = [None, "mini-bert", 10_000, None, None, 64, None, None, None, None, ["I [MASK] it."], [], "", ""]
        run_id = call(client, "start_training", upload(client, ROOT / "assets" / "sample_reviews.csv"), *settings)
        while call(client, "run_status", run_id, 0)["step"] < 20:
            time.sleep(0.5)
        memory, cursor, steps = [], 0, 0
        until = time.monotonic() + MINUTES * 60
        while time.monotonic() < until:
            status = call(client, "run_status", run_id, cursor)
            assert status["state"] == "training"
            assert status["step"] >= steps
            cursor, steps = status["cursor"], status["step"]
            memory.append(resident_megabytes(app.process.pid))
            time.sleep(1)
        half = len(memory) // 2
        early, late = max(memory[:half]), max(memory[half:])
        figure(f"{MINUTES:g} minutes, real", f"{steps:,} steps, memory {early:.0f} MB early and {late:.0f} MB late")
        assert late - early < 60
