"""The real app over HTTP while its clients misbehave: they leave, break off, send too much, ask for others' runs."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from served import CallError, ServedApp, call, raw_client, served_app, upload

from bertdemo.ui import uploads
from bertdemo.ui.security import OWNER_HEADER

OWNER = "token of the owner"
LONG_RUN = [
    "review",
    "mini-bert",
    500,
    None,
    None,
    16,
    None,
    None,
    None,
    None,
    ["I [MASK] it."],
    [],
    "mine",
    OWNER,
]
SHORT_RUN = ["review", "mini-bert", 1, None, None, 16, None, None, None, None, [], [], "mine", OWNER]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApp]:
    """A server for others, which asks for no password."""
    home = tmp_path_factory.mktemp("app") / "home"
    with served_app(home, "--host", "0.0.0.0", "--allow-public") as served:
        yield served


@pytest.fixture
def client(app: ServedApp) -> Iterator[httpx.Client]:
    """Of the owner of all runs here."""
    with raw_client(app.url, headers={OWNER_HEADER: OWNER}) as opened:
        yield opened


def wait_for(client: httpx.Client, run_id: str, *states: str) -> dict[str, Any]:
    for _ in range(1200):
        status = call(client, "run_status", run_id, 0)
        if status["state"] in states:
            return status
        time.sleep(0.05)
    raise AssertionError(f"still {status['state']}")


@pytest.fixture
def at_work(client: httpx.Client, rows: Path) -> Iterator[str]:
    """Somebody else's run, under way."""
    run_id = call(client, "start_training", upload(client, rows), *LONG_RUN)
    wait_for(client, run_id, "training")
    yield run_id
    call(client, "stop_training", run_id, OWNER)
    wait_for(client, run_id, "stopped")


def leave(port: int, request: str, *, read: int = 0) -> None:
    """Send this much of a request, read this much of the answer, and hang up."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(request.encode())
        if read:
            connection.recv(read)


@pytest.mark.slow
def test_readers_who_leave_change_nothing(client: httpx.Client, app: ServedApp, at_work: str) -> None:
    """Closed tabs, sleeping laptops: streams cut in the middle, answers that nobody waits for."""
    get = "GET /gradio_api/{} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n"
    for number in range(10):
        leave(app.port, get.format(f"heartbeat/left{number}", app.port), read=100)
        asked = client.post("/gradio_api/call/fill_mask", json={"data": ["I [MASK] it.", "mini-bert", 5, ""]}).json()
        leave(app.port, get.format(f"call/fill_mask/{asked['event_id']}", app.port), read=1)
        leave(app.port, get.format(f"queue/data?session_hash=left{number}", app.port), read=1)
    step = call(client, "run_status", at_work, 0)["step"]
    while call(client, "run_status", at_work, 0)["step"] <= step:  # the test's own time limit ends this
        time.sleep(0.05)
    assert call(client, "run_status", at_work, 0)["state"] == "training"
    assert call(client, "fill_mask", "I [MASK] it.", "mini-bert", 1, "")["masks"]


def test_a_second_upload_while_a_run_trains_waits_its_turn(client: httpx.Client, at_work: str, rows: Path) -> None:
    rows.write_text(rows.read_text().replace("show", "another film"))
    assert call(client, "inspect_csv", upload(client, rows), None, None, None)["rows"] == 40
    waiting = call(client, "start_training", upload(client, rows), *SHORT_RUN)
    status = call(client, "run_status", waiting, 0)
    assert (status["state"], status["position"]) == ("queued", 1)
    assert call(client, "run_status", at_work, 0)["state"] == "training"
    assert call(client, "stop_training", waiting, OWNER)["state"] == "stopped"


def test_an_upload_that_is_broken_off_is_cleared_away(client: httpx.Client, app: ServedApp, rows: Path) -> None:
    folder = Path(os.environ["GRADIO_TEMP_DIR"])
    head = f"POST /gradio_api/upload HTTP/1.1\r\nHost: 127.0.0.1:{app.port}\r\nContent-Length: 9000000\r\n"
    part = 'Content-Disposition: form-data; name="files"; filename="a.csv"\r\n\r\n'
    for _ in range(3):
        leave(app.port, f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n{part}{'word ' * 200_000}")
    assert call(client, "inspect_csv", upload(client, rows), None, None, None)["rows"] == 40
    for path in folder.iterdir():
        if path.is_file():
            os.utime(path, (time.time() - 1000,) * 2)
    uploads.sweep(folder)
    assert [path.name for path in folder.iterdir() if path.is_file()] == ["lock"]
    assert call(client, "inspect_csv", upload(client, rows), None, None, None)["rows"] == 40


def test_what_an_upload_says_beside_its_files_is_bounded(client: httpx.Client, rows: Path) -> None:
    with suppress(httpx.WriteError):  # the server may hang up before it has been told all
        assert client.post("/gradio_api/upload", files={"files": (None, b"x" * 9_000_000)}).status_code == 413
    assert call(client, "inspect_csv", upload(client, rows), None, None, None)["rows"] == 40


# --- the page's own events, sent by somebody else


GUESSES: dict[str, Any] = {"textbox": "renamed", "checkbox": False, "number": 1, "slider": 1}


def run_events(client: httpx.Client) -> list[tuple[int, list[str]]]:
    """(id, kinds of its inputs) of every event of the page that is given the run that is shown."""
    config = client.get("/config").json()
    kinds = {part["id"]: part["type"] for part in config["components"]}
    chart = next(
        part["id"] for part in config["components"] if "live-chart" in (part["props"].get("elem_classes") or [])
    )
    kinds[chart] = "chart"
    events = [(event["id"], [kinds[given] for given in event["inputs"]]) for event in config["dependencies"]]
    return [(number, given) for number, given in events if "chart" in given]


def send_all(client: httpx.Client, run_id: str, *, token: str) -> int:
    """Send every such event for this run with this token; returns how many were answered."""
    events = run_events(client)
    for number, kinds in events:
        known = {**GUESSES, "chart": run_id}
        data = [known.get(kind) for kind in kinds]
        asked = {"data": data, "fn_index": number, "session_hash": "thief"}
        client.post("/gradio_api/queue/join", json=asked, headers={OWNER_HEADER: token}).raise_for_status()
    answered = 0
    with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": "thief"}) as answers:
        for line in answers.iter_lines():
            answered += '"process_completed"' in line
            if "close_stream" in line:
                return answered
    raise AssertionError("the answers ended early")


@pytest.mark.slow
def test_no_event_of_the_page_changes_a_run_without_its_token(client: httpx.Client, app: ServedApp, rows: Path) -> None:
    run_id = call(client, "start_training", upload(client, rows), *LONG_RUN)
    while not wait_for(client, run_id, "training")["step"]:
        time.sleep(0.05)
    for token in ("", "a guess"):
        assert send_all(client, run_id, token=token) >= 9
    assert app.services.manager.status(run_id).state == "training"
    call(client, "stop_training", run_id, OWNER)
    wait_for(client, run_id, "stopped")
    before = (app.services.store.get(run_id).folder / "run.json").read_text()
    for token in ("", "a guess"):
        assert send_all(client, run_id, token=token) >= 9
    assert (app.services.store.get(run_id).folder / "run.json").read_text() == before
    assert app.services.manager.live() == ()
    assert "model" in app.services.store.get(run_id).models()
    send_all(client, run_id, token=OWNER)  # so that the test knows what it is about: now it goes on, or is gone
    with suppress(CallError):
        assert call(client, "run_status", run_id, 0)["state"] != "stopped"
        call(client, "stop_training", run_id, OWNER)
        wait_for(client, run_id, "stopped", "finished")


@pytest.mark.slow
def test_no_argument_leaves_the_home(client: httpx.Client, app: ServedApp, at_work: str, tmp_path: Path) -> None:
    """Paths in the place of run ids, models and names."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "run.json").write_bytes((app.services.store.get(at_work).folder / "run.json").read_bytes())
    (outside / "events.jsonl").write_text('{"event":"secret"}\n')
    relative = os.path.relpath(outside, app.services.home / "runs")
    for path in (str(outside), relative, f"{at_work}/../{relative}", f"file://{outside}", f"{at_work}/.", "..", "\0"):
        for endpoint, arguments in (
            ("run_status", [path, 0]),
            ("stop_training", [path, OWNER]),
            ("fill_mask", ["I [MASK] it.", path, 5, ""]),
            ("compare", ["I [MASK] it.", "mini-bert", path, 5]),
            ("score_sentence", ["I love it.", f"{path}@best"]),
        ):
            with pytest.raises(CallError) as caught:
                call(client, endpoint, *arguments)
            assert "secret" not in str(caught.value.sentence)
    assert sorted(path.name for path in outside.iterdir()) == ["events.jsonl", "run.json"]
