"""What the page costs: a key at few and many runs on disk, a run's change of state with a class of pages open, an
update of the live chart for short and long runs, and ten watchers beside a training run.

A key is the whole answer to it, without the way through Gradio; a change of state is what every open page then asks of
the app, all of it through Gradio's queue, until the last page has its last answer.

An update must not grow with the run. The app is a process of its own, as a user starts it, and so are the watchers,
each of which sends what the page's chart sends, once a second. One run trains all the while, on rows of one length so
that its steps are alike; its speed is read from its own log, without and with watchers by turns, so that whatever else
the machine does meets both.

    python benchmarks/page.py
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from _measure import machine, median_seconds, print_table, sample_csv
from gradio_client import Client, handle_file

from bertdemo.mlm.models.masked_lm import ModelRef
from bertdemo.mlm.settings import TrainingConfig
from bertdemo.mlm.training.events import StepDone, event_record
from bertdemo.runs.log import EventLog, encode
from bertdemo.runs.manager import RunManager
from bertdemo.runs.record import DataSource
from bertdemo.runs.run import Run
from bertdemo.runs.store import Workspace
from bertdemo.ui.app import build_app
from bertdemo.ui.fill.answer import answer
from bertdemo.ui.options import parse_options
from bertdemo.ui.server import build_services
from bertdemo.ui.train.live_chart import live_payload

HERE = Path(__file__).parent
# Windows can put no process to sleep, so that this cannot be measured there
PAUSE, GO_ON = (getattr(signal, name, None) for name in ("SIGSTOP", "SIGCONT"))
LENGTHS = (1_000, 10_000, 100_000)
WATCHERS = (10, 100)  # what ten cost is less than what a machine varies by from second to second: a hundred show it
RUNS = (0, 30, 300)  # on disk
PAGES = 30
TYPED = {"text": "I really [MASK] this show!", "strip": None, "model": "mini-bert", "compared": "none", "top_k": 5}
TURNS, TURN_SECONDS = 13, 1.0  # of each kind
SETTLED, FEWEST_STEPS = 30, 3  # events before the first turn, steps in one
ROWS, WORDS = 2_000, 40
EPOCHS = 500  # more than there is time for


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--turns", type=int, default=TURNS)
    turns = arguments.parse_args().turns
    print(f"{machine()}\n")
    print_table(("runs on disk", "a key", "the list of runs"), [key_costs(count) for count in RUNS])
    heads = ("runs on disk", "pages", "events a page", "all answered in", "the slowest page")
    print_table(heads, [state_change_costs(count) for count in RUNS if count])
    with tempfile.TemporaryDirectory() as home:
        workspace = Workspace(Path(home))
        manager = RunManager(workspace.store, workspace.registry)
        runs = {steps: long_run(workspace, steps) for steps in LENGTHS}
        print_table(
            ("steps so far", "one update", "its size", "whole history", "its size"), list(update_costs(manager, runs))
        )
    with tempfile.TemporaryDirectory() as home, training_app(Path(home)) as app:
        print_table(("watchers", "steps per second", "slower by"), watched_training(app, turns=turns))


def write_runs(home: Path, count: int) -> str:
    """So many stopped runs; returns the id of the last one, or ""."""
    store, run_id = Workspace(home).store, ""
    for number in range(count):
        data = DataSource("sample.csv", str(sample_csv()))
        ref = ModelRef("mini-bert", "mini-bert")
        run = store.create(name=f"run {number}", model=ref, data=data, settings=TrainingConfig())
        done = (StepDone(step, 1, 3.0, 1e-4, 200, 1400, step * 0.1) for step in range(1, 9))
        run.log.path.write_text("".join(f"{encode(event_record(event))}\n" for event in done), encoding="utf-8")
        run.update(state="stopped", steps=8, steps_done=8)
        run.release()
        run_id = run.id
    return run_id


def key_costs(runs: int) -> tuple[object, ...]:
    """What a key in the text box of the first screen sets going, and what a look at the runs would cost."""
    with tempfile.TemporaryDirectory() as home:
        write_runs(Path(home), runs)
        services = build_services(parse_options(["--home", home]))
        wired = (block.fn for block in build_app(services).fns.values())
        fill = next(fn for fn in wired if getattr(fn, "func", None) is answer)
        took = median_seconds(lambda: fill(**TYPED), times=30)
        listed = median_seconds(services.store.list, times=10)
        return runs, f"{took * 1e3:.1f} ms", f"{listed * 1e3:.1f} ms"


def state_change_costs(runs: int) -> tuple[object, ...]:
    """A class watches one run, which enters another state: everything that the pages then ask."""
    with tempfile.TemporaryDirectory() as home:
        run_id = write_runs(Path(home), runs)
        with app_process(Path(home)) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
            config = client.get("/config").json()
            events = state_events(config, run_id)

            def page(number: int) -> float:
                began = time.perf_counter()
                for event in events:
                    send(client, event, session=f"page{number}")
                return time.perf_counter() - began

            page(PAGES)  # the estimate for the sample is worked out once
            began = time.perf_counter()
            with ThreadPoolExecutor(PAGES) as pool:
                slowest = max(pool.map(page, range(PAGES)))
            took = time.perf_counter() - began
            return runs, PAGES, len(events), f"{took:.2f} s", f"{slowest:.2f} s"


def state_events(config: dict[str, Any], run_id: str) -> list[dict[str, Any]]:
    """What a page sends in turn when the chart says that its run has entered another state."""
    values = {part["id"]: part["props"].get("value") for part in config["components"]}
    chart = chart_of(config)
    values[chart] = run_id
    wired, found = config["dependencies"], []
    after = [item for item in wired if [chart, "state_changed"] in item["targets"]]
    while after:
        found += [item for item in after if item["backend_fn"]]
        after = [item for item in wired if item.get("trigger_after") in [earlier["id"] for earlier in after]]
    asked = {"event_data": {"run_id": run_id, "state": "stopped"}, "trigger_id": chart}
    return [{"data": [values[given] for given in item["inputs"]], "fn_index": item["id"], **asked} for item in found]


def chart_of(config: dict[str, Any]) -> int:
    parts = config["components"]
    return next(part["id"] for part in parts if "live-chart" in (part["props"].get("elem_classes") or []))


def send(client: httpx.Client, event: dict[str, Any], *, session: str) -> None:
    """One event of a page, until its last answer."""
    client.post("/gradio_api/queue/join", json={**event, "session_hash": session}).raise_for_status()
    with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as answers:
        for line in answers.iter_lines():
            assert '"success":false' not in line.replace(" ", ""), line
            if "close_stream" in line:
                return


def long_run(workspace: Workspace, steps: int) -> Run:
    """A run on disk with so many steps in its log."""
    data = DataSource("sample.csv", str(sample_csv()))
    ref = ModelRef("mini-bert", "mini-bert")
    run = workspace.store.create(name=f"{steps} steps", model=ref, data=data, settings=TrainingConfig())
    done = (StepDone(step, 1, 3.0 + 1.0 / step, 1e-4, 200, 1400, step * 0.1) for step in range(1, steps + 1))
    run.log.path.write_text("".join(f"{encode(event_record(event))}\n" for event in done), encoding="utf-8")
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


@dataclass(frozen=True)
class TrainingApp:
    """The served app while it trains: where it is, and the run with its log."""

    port: int
    run_id: str
    log: EventLog


@contextmanager
def app_process(home: Path) -> Iterator[int]:
    """``python app.py`` in a process of its own; the port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    line = [sys.executable, str(HERE.parent / "app.py"), "--home", str(home), "--port", str(port)]
    with subprocess.Popen(
        line, stdout=subprocess.PIPE, encoding="utf-8", env={**os.environ, "BERTDEMO_LOG": "WARNING"}
    ) as app:
        try:
            assert "is ready" in app.stdout.readline(), "the app did not start"
            yield port
        finally:
            app.terminate()


@contextmanager
def training_app(home: Path) -> Iterator[TrainingApp]:
    with app_process(home) as port:
        client = Client(f"http://127.0.0.1:{port}", verbose=False)
        run_id = client.predict(file=handle_file(rows_alike(home)), epochs=EPOCHS, api_name="/start_training")
        client.close()
        yield TrainingApp(port, run_id, EventLog(home / "runs" / run_id / "events.jsonl"))


def rows_alike(folder: Path) -> Path:
    """Rows of so many common words each, drawn from the sample reviews."""
    words = re.findall(r"\b[a-z]{3,6}\b", sample_csv().read_text(encoding="utf-8"))
    draw = random.Random(0)
    rows = (" ".join(draw.choices(words, k=WORDS)) for _ in range(ROWS))
    path = folder / "rows.csv"
    path.write_text("\n".join(["text", *rows]), encoding="utf-8")
    return path


def watched_training(app: TrainingApp, *, turns: int) -> list[tuple[str, str, str]]:
    """By turns of a second: nobody watches, ten do, a hundred do."""
    while len(app.log.tail()) < SETTLED:
        time.sleep(0.2)
    with ExitStack() as stack:
        crowds = {0: None, **{count: stack.enter_context(watchers(app, count)) for count in WATCHERS}}
        taken = {count: [] for count in crowds}
        for count in list(crowds) * turns:
            with awake(crowds[count]):
                taken[count].append(seconds_per_step(app.log))
    alone = taken[0]
    return [(f"{count}", f"{1 / statistics.fmean(each):.2f}", slower(alone, each)) for count, each in taken.items()]


def slower(alone: list[float], watched: list[float]) -> str:
    """The mean over turns that follow each other, and its standard error."""
    shares = [1 - without / with_them for without, with_them in zip(alone, watched, strict=True)]
    if watched is alone:
        return ""
    return f"{statistics.fmean(shares):.1%} ± {statistics.stdev(shares) / len(shares) ** 0.5:.1%}"


def seconds_per_step(log: EventLog) -> float:
    """The mean over one turn, by the run's own clock; a step before which it evaluated is left out."""
    begin, taken = log.size(), []
    while len(taken) < FEWEST_STEPS:  # at once, unless it evaluates all the while
        time.sleep(TURN_SECONDS)
        records, _ = log.read(begin, limit=10**6)
        pairs = [pair for pair in itertools.pairwise(records) if pair[0]["event"] == pair[1]["event"] == "step"]
        taken = [after["seconds"] - before["seconds"] for before, after in pairs]
    return statistics.fmean(taken)


@contextmanager
def watchers(app: TrainingApp, count: int) -> Iterator[subprocess.Popen[str]]:
    """So many, asleep, in one process of their own."""
    line = [sys.executable, str(HERE / "_watchers.py"), str(count), str(app.port), app.run_id]
    with subprocess.Popen(line, stdout=subprocess.PIPE, encoding="utf-8") as process:
        try:
            assert process.stdout.readline() == "watching\n"
            process.send_signal(PAUSE)
            yield process
            assert process.poll() is None, "the watchers gave up"
        finally:
            process.kill()


@contextmanager
def awake(process: subprocess.Popen[str] | None) -> Iterator[None]:
    if process is not None:
        process.send_signal(GO_ON)
    yield
    if process is not None:
        process.send_signal(PAUSE)


if __name__ == "__main__":
    main()
