"""Long runs: what server and page keep in memory does not grow with the run, and its log only ever grows."""

from __future__ import annotations

import gc
import math
import os
import shutil
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from served import ROOT, app_process, call, raw_client, upload

from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.models.registry import ModelRegistry
from bertdemo.mlm.training.events import Evaluated, RunStarted, StepDone, TrainingEvent
from bertdemo.runs.manager import RunManager
from bertdemo.runs.record import RunRequest
from bertdemo.runs.store import RunStore
from bertdemo.ui.train.live_chart import live_payload

STEPS = int(os.environ.get("BERTDEMO_SOAK_STEPS", "200000"))
MINUTES = float(os.environ.get("BERTDEMO_SOAK_MINUTES", "20"))
Figure = Callable[[str, str], None]


class ImitatedSession:
    """A session that trains nothing: the events of a long run, as fast as they are taken."""

    def __init__(self, masked_lm: MaskedLM) -> None:
        self.masked_lm = masked_lm

    def events(self) -> Generator[TrainingEvent, None, None]:
        yield RunStarted(1000, 100, 50_000, 0, STEPS, "fp32", "cpu", 5e-5)
        yield Evaluated(0, 6.0, 400.0, 0.1, 0.3, 800, 640)
        for step in range(1, STEPS + 1):
            yield StepDone(step, 1 + step * 10 // STEPS, 2 + math.exp(-step / 5000), 5e-5, 60, 400, step * 0.1)
            if step % (STEPS // 10) == 0:
                yield Evaluated(step, 3.0, 20.0, 0.4, 0.6, 800, 640)

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
    manager = RunManager(store, registry, make_session=lambda _run, _do: ImitatedSession(tiny_bert))
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


class WatchingPage:
    """A Chromium that shows the run, and what it keeps when its garbage is collected; nothing without a browser."""

    def __init__(self, url: str, closing: ExitStack) -> None:
        self.megabytes: list[float] = []
        self.nodes: list[int] = []
        self._page = self._tools = None
        path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        if path is None:
            return
        from playwright.sync_api import sync_playwright

        driver = closing.enter_context(sync_playwright())
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        closing.callback(browser.close)
        self._page = browser.new_page()
        self._page.goto(url)
        self._page.get_by_role("tab", name="Train").click()
        self._page.locator(".live-plot .main-svg").first.wait_for(timeout=120_000)
        self._tools = self._page.context.new_cdp_session(self._page)
        self._tools.send("Performance.enable")

    def measure(self) -> None:
        if self._tools is None:
            return
        self._tools.send("HeapProfiler.collectGarbage")
        found = {item["name"]: item["value"] for item in self._tools.send("Performance.getMetrics")["metrics"]}
        self.megabytes.append(found["JSHeapUsedSize"] / 1e6)
        self.nodes.append(int(found["Nodes"]))


def early_and_late(values: Sequence[float]) -> tuple[float, float]:
    """The most in the first half, once it has settled, and the most in the second."""
    settled = values[len(values) // 10 :]
    return max(settled[: len(settled) // 2]), max(settled[len(settled) // 2 :])


@pytest.mark.skipif(MINUTES <= 0, reason="BERTDEMO_SOAK_MINUTES is 0")
def test_a_real_run_of_many_minutes_keeps_memory_flat(tmp_path: Path, figure: Figure) -> None:
    with app_process(tmp_path / "home") as app, raw_client(app.url) as client, ExitStack() as closing:
        settings = [None, "mini-bert", 10_000, None, None, 64, None, None, None, None, ["I [MASK] it."], [], "", ""]
        run_id = call(client, "start_training", upload(client, ROOT / "assets" / "sample_reviews.csv"), *settings)
        while call(client, "run_status", run_id, 0, session="watcher")["step"] < 20:
            time.sleep(0.5)
        page = WatchingPage(app.url, closing)
        log = RunStore(tmp_path / "home").get(run_id).log
        server, sizes, cursor, steps = [], [0], 0, 0
        until = time.monotonic() + MINUTES * 60
        while time.monotonic() < until:
            status = call(client, "run_status", run_id, cursor, session="watcher")
            assert status["state"] == "training"
            assert status["step"] >= steps
            cursor, steps = status["cursor"], status["step"]
            server.append(resident_megabytes(app.process.pid))
            sizes.append(log.size())
            if len(server) % 5 == 0:
                page.measure()
            time.sleep(1)
    assert sizes == sorted(sizes)
    early, late = early_and_late(server)
    figure(f"{MINUTES:g} minutes, real", f"{steps:,} steps, server {early:.0f} MB early and {late:.0f} MB late")
    assert late - early < 60
    if page.megabytes:
        early, late = early_and_late(page.megabytes)
        nodes = early_and_late(page.nodes)
        words = f"heap {early:.0f} MB early and {late:.0f} MB late, {nodes[0]:,} and {nodes[1]:,} nodes"
        figure(f"the page that watched for {MINUTES:g} minutes", words)
        assert late - early < 10
        assert nodes[1] - nodes[0] < 500
