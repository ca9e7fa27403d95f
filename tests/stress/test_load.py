"""A full class: fifty fill masks while a run trains, ten watch it, five start runs. The app is a process of its own."""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from served import ROOT, AppProcess, CallError, app_process, call, raw_client, upload

from bertdemo.ui.server import MAX_SESSIONS

SECONDS = float(os.environ.get("BERTDEMO_LOAD_SECONDS", "60"))
FILLERS, WATCHERS, STARTERS = 50, 10, 5
TABS = 50  # that do nothing but watch
TEXTS = ("I really really [MASK] this show!", "The capital of France is [MASK].", "She put the [MASK] in the [MASK].")
SAMPLE = ROOT / "assets" / "sample_reviews.csv"
Figure = Callable[[str, str], None]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppProcess]:
    with app_process(tmp_path_factory.mktemp("load") / "home") as started:
        yield started


def start_run(client: httpx.Client, *, epochs: int) -> str:
    settings = [None, "mini-bert", epochs, None, None, 64, None, None, None, None, [TEXTS[0]], ["love"], "", "class"]
    return str(call(client, "start_training", upload(client, SAMPLE), *settings))


class Crowd:
    """Threads that do one thing again and again until time is up; what each needed, and what went wrong."""

    def __init__(self, url: str, *, seconds: float = SECONDS) -> None:
        self.url, self.lasts, self.until = url, seconds, time.monotonic() + seconds
        self.seconds: dict[str, list[float]] = {}
        self.counts: dict[str, list[int]] = {}
        self.troubles: list[str] = []
        self._lock = threading.Lock()

    def one(self, kind: str, act: Callable[[httpx.Client], object], pause: float) -> None:
        needed: list[float] = []
        with raw_client(self.url) as client:
            while time.monotonic() < self.until:
                began = time.monotonic()
                try:
                    act(client)
                except (CallError, httpx.HTTPError, AssertionError) as error:
                    self.troubles.append(f"{kind}: {error!r}")
                needed.append(time.monotonic() - began)
                time.sleep(pause)
        with self._lock:
            self.seconds.setdefault(kind, []).extend(needed)
            self.counts.setdefault(kind, []).append(len(needed))

    def figures(self, figure: Figure) -> None:
        for kind, seconds in self.seconds.items():
            cuts = statistics.quantiles(seconds, n=100)
            counts = self.counts[kind]
            words = f"{len(seconds)} requests of {len(counts)} clients in {self.lasts:.0f} s, median {cuts[49]:.2f} s,"
            words += f" p95 {cuts[94]:.2f} s, worst {max(seconds):.2f} s; {min(counts)} to {max(counts)} a client"
            figure(kind, words)


def test_a_full_class(app: AppProcess, figure: Figure) -> None:
    with raw_client(app.url) as client:
        expected = {text: top_words(call(client, "fill_mask", text, "mini-bert", 5, "")) for text in TEXTS}
        run_id = start_run(client, epochs=500)
        while call(client, "run_status", run_id, 0)["step"] < 1:
            time.sleep(0.1)
        crowd = Crowd(app.url)
        turn = iter(range(10**9))

        def fill(asker: httpx.Client) -> None:
            text = TEXTS[next(turn) % len(TEXTS)]
            assert top_words(call(asker, "fill_mask", text, "mini-bert", 5, "")) == expected[text]

        def watch(asker: httpx.Client) -> None:
            answer = asker.get(f"/live/{run_id}").raise_for_status().json()
            assert answer["state"] == "training", answer["words"]

        def start(asker: httpx.Client) -> None:
            waiting = start_run(asker, epochs=1)
            assert call(asker, "stop_training", waiting, "class")["state"] == "stopped"

        jobs = [("fill_mask", fill, 0.0)] * FILLERS + [("watching", watch, 0.5)] * WATCHERS
        jobs += [("starting and stopping", start, 1.0)] * STARTERS
        with ThreadPoolExecutor(len(jobs)) as pool:
            for job in jobs:
                pool.submit(crowd.one, *job)
        steps = call(client, "run_status", run_id, 0)["step"]
        assert call(client, "stop_training", run_id, "class")["state"] == "stopping"
    crowd.figures(figure)
    figure("the run meanwhile", f"{steps} steps")
    assert crowd.troubles == []
    fills = crowd.counts["fill_mask"]
    assert min(fills) >= max(1, max(fills) // 3)  # nobody is served much less than others
    assert "Traceback" not in app.log.read_text()


def test_fifty_tabs_watch_one_run(app: AppProcess, figure: Figure) -> None:
    """Each asks twice a second for what is new, as the page does; the run must hardly notice."""
    with raw_client(app.url) as client:
        run_id = start_run(client, epochs=500)
        while call(client, "run_status", run_id, 0)["step"] < 5:
            time.sleep(0.1)
        alone = steps_per_second(client, run_id)
        crowd = Crowd(app.url, seconds=SECONDS / 2)
        cursors = threading.local()

        def watch(asker: httpx.Client) -> None:
            answer = asker.get(f"/live/{run_id}", params={"cursor": getattr(cursors, "at", 0)})
            news = answer.raise_for_status().json()
            assert news["state"] == "training", news["words"]
            assert news["from"] == getattr(cursors, "at", 0)
            cursors.at = news["to"]

        with ThreadPoolExecutor(TABS) as pool:
            for _ in range(TABS):
                pool.submit(crowd.one, f"{TABS} tabs", watch, 0.5)
            watched = steps_per_second(client, run_id)
        assert call(client, "stop_training", run_id, "class")["state"] == "stopping"
    crowd.figures(figure)
    figure(f"the run, alone and with {TABS} tabs", f"{alone:.1f} and {watched:.1f} steps per second")
    assert crowd.troubles == []
    assert "Traceback" not in app.log.read_text()


def steps_per_second(client: httpx.Client, run_id: str) -> float:
    """Over a sixth of the time that a test's crowd has."""
    first, began = call(client, "run_status", run_id, 0)["step"], time.monotonic()
    time.sleep(SECONDS / 6)
    return (call(client, "run_status", run_id, 0)["step"] - first) / (time.monotonic() - began)


def test_a_hundred_at_once_are_all_answered(app: AppProcess, figure: Figure) -> None:
    def ask(_number: int) -> float:
        with raw_client(app.url) as client:
            began = time.monotonic()
            assert call(client, "fill_mask", TEXTS[0], "mini-bert", 5, "")["masks"]
            return time.monotonic() - began

    with ThreadPoolExecutor(100) as pool:
        seconds = sorted(pool.map(ask, range(100)))
    figure("100 fill_mask at once", f"all answered, median {seconds[50]:.2f} s, last {seconds[-1]:.2f} s")


def test_a_queue_that_is_full_says_so_and_empties(app: AppProcess, figure: Figure) -> None:
    """500 requests that nobody waits for, as fast as one connection can send them."""
    statuses, sentences = [], set()
    with raw_client(app.url) as client:
        asked = {"data": ["[MASK] " * 100, "mini-bert", 50, ""]}
        for _ in range(500):
            answer = client.post("/gradio_api/call/fill_mask", json=asked)
            statuses.append(answer.status_code)
            if answer.status_code == 503:
                sentences.add(answer.json()["detail"].split(".")[0])
        assert set(statuses) <= {200, 503}
        assert sentences <= {"Queue is full"}
        deadline = time.monotonic() + 300
        while client.get("/gradio_api/queue/status").json()["queue_size"] and time.monotonic() < deadline:
            time.sleep(0.5)
        assert call(client, "fill_mask", TEXTS[0], "mini-bert", 5, "")["masks"]
    figure(
        "500 requests in one burst", f"{statuses.count(200)} taken, {statuses.count(503)} told that the queue is full"
    )


def top_words(answer: dict) -> list[list[str]]:
    return [[candidate["token"] for candidate in mask["candidates"]] for mask in answer["masks"]]


def resident_megabytes(pid: int) -> float:
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def test_memory_stays_where_it_was(app: AppProcess, figure: Figure) -> None:
    """Hundreds of requests more, uploads among them; whatever grows with each would show."""
    with raw_client(app.url) as client:
        for _ in range(MAX_SESSIONS + 50):  # what is kept of the latest sessions is full then
            call(client, "fill_mask", TEXTS[0], "mini-bert", 5, "")
        call(client, "inspect_csv", upload(client, SAMPLE), None, None, None)  # imports what reads files
        before = resident_megabytes(app.process.pid)
        rounds = int(SECONDS * 10)
        for number in range(rounds):
            call(client, "fill_mask", f"Show {number} was [MASK].", "mini-bert", 5, "")
            if number % 20 == 0:
                call(client, "inspect_csv", upload(client, SAMPLE), None, None, None)
        after = resident_megabytes(app.process.pid)
    figure(f"memory over {rounds} requests", f"{before:.0f} MB before, {after:.0f} MB after")
    assert after - before < 60
