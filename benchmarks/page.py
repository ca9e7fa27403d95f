"""What watching costs: an update of the live chart for short and long runs, and ten watchers beside a training run.

An update must not grow with the run. The watchers are HTTP clients that ask once a second, as the page does; training
speed is measured without and with them, in turn.

    python benchmarks/page.py
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gradio as gr
from _measure import load, machine, median_seconds, print_table, sample_csv

from bertdemo.mlm.corpus import read_corpus
from bertdemo.mlm.events import StepDone, event_record
from bertdemo.mlm.models import ModelRef
from bertdemo.mlm.settings import TrainingConfig
from bertdemo.mlm.training import TrainingSession
from bertdemo.runs.manager import RunManager
from bertdemo.runs.record import DataSource
from bertdemo.runs.run import Run
from bertdemo.runs.workspace import Workspace
from bertdemo.ui.components.live_chart import live_chart
from bertdemo.ui.live_feed import live_payload

LENGTHS = (1_000, 10_000, 100_000)
WATCHERS, ASKS_PER_SECOND = 10, 1
STEPS, ROUNDS = 40, 3


def main() -> None:
    print(f"{machine()}\n")
    with tempfile.TemporaryDirectory() as home:
        workspace = Workspace(Path(home))
        manager = RunManager(workspace.store, workspace.registry)
        runs = {steps: long_run(workspace, steps) for steps in LENGTHS}
        print_table(
            ("steps so far", "one update", "its size", "whole history", "its size"), list(update_costs(manager, runs))
        )
        print_table(("", "steps per second"), watched_training(manager, runs[LENGTHS[-1]].id))


def long_run(workspace: Workspace, steps: int) -> Run:
    """A run on disk with so many steps in its log."""
    data = DataSource("sample.csv", str(sample_csv()))
    ref = ModelRef("mini-bert", "mini-bert")
    run = workspace.store.create(name=f"{steps} steps", model=ref, data=data, settings=TrainingConfig())
    for step in range(1, steps + 1):
        run.log.append(event_record(StepDone(step, 1, 3.0 + 1.0 / step, 1e-4, 200, 1400, step * 0.1)))
    run.update(state="training", steps=steps + 1, steps_done=steps)
    return run


def update_costs(manager: RunManager, runs: dict[int, Run]) -> Iterator[tuple[object, ...]]:
    for steps, run in runs.items():
        whole = live_payload(manager, run.id, 0)
        cursor = whole["to"] - 200  # as if a few steps were new
        update = live_payload(manager, run.id, cursor)
        took = median_seconds(lambda: live_payload(manager, run.id, cursor), times=50)  # noqa: B023 (called at once)
        took_whole = median_seconds(lambda: live_payload(manager, run.id, 0), times=3)  # noqa: B023
        sizes = (f"{len(json.dumps(payload)) / 1e3:.1f} kB" for payload in (update, whole))
        yield f"{steps:,}", f"{took * 1e3:.2f} ms", next(sizes), f"{took_whole * 1e3:.0f} ms", next(sizes)


def watched_training(manager: RunManager, run_id: str) -> list[tuple[str, str]]:
    with gr.Blocks() as demo:
        chart = live_chart(manager, run_id=run_id)
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True)
    alone, watched = [], []
    for _ in range(ROUNDS):
        alone.append(training_speed())
        with watchers(url, chart._id, run_id):
            watched.append(training_speed())
    demo.close(verbose=False)
    best, best_watched = max(alone), max(watched)
    slower = f"{best_watched:.2f} ({1 - best_watched / best:+.1%} slower)"
    return [("nobody watches", f"{best:.2f}"), (f"{WATCHERS} watchers", slower)]


def training_speed() -> float:
    """Steps per second of the bundled model on the sample reviews."""
    config = TrainingConfig(max_steps=STEPS, evaluate_every=STEPS)
    events = TrainingSession(load("mini-bert"), read_corpus(sample_csv()), config).events()
    seconds = [event.seconds for event in events if isinstance(event, StepDone)]
    return (len(seconds) - 1) / (seconds[-1] - seconds[0])


@contextmanager
def watchers(url: str, component: int, run_id: str) -> Iterator[None]:
    """Ten clients that ask for the newest step, each once a second."""
    done = threading.Event()
    body = {"component_id": component, "fn_name": "poll", "session_hash": "benchmark", "data": [run_id, 2**20]}
    request = urllib.request.Request(
        f"{url}gradio_api/component_server", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )

    def watch() -> None:
        while not done.wait(1 / ASKS_PER_SECOND):
            with urllib.request.urlopen(request) as answer:
                answer.read()

    threads = [threading.Thread(target=watch, daemon=True) for _ in range(WATCHERS)]
    for thread in threads:
        thread.start()
        time.sleep(1 / ASKS_PER_SECOND / WATCHERS)
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main()
