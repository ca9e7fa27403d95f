"""Publishing against a stand-in for the hub on this machine, which speaks as much of its protocol as is needed."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
from tiny_runs import new_run, new_session

from bertdemo.mlm.errors import RunError
from bertdemo.runs.execution import execute
from bertdemo.runs.hub_upload import upload_model
from bertdemo.runs.run import Run
from bertdemo.runs.store import RunStore

TOKEN = "hf_secret"


class StandIn(ThreadingHTTPServer):
    """Keeps what was uploaded; ``taken`` names exist already."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.repositories: dict[str, dict[str, Any]] = {}
        self.files: dict[str, bytes] = {}
        self.objects: dict[str, bytes] = {}
        self.taken: set[str] = set()
        self.url = f"http://127.0.0.1:{self.server_port}"


class Answers(BaseHTTPRequestHandler):
    server: StandIn

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/api/validate-yaml":
            self.reply(200, {})
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.reply(401, {"error": "no"})
        elif self.path == "/api/repos/create":
            self.create(json.loads(body))
        elif "/preupload/" in self.path:
            files = [file["path"] for file in json.loads(body)["files"]]
            kinds = {name: "lfs" if name.endswith(".safetensors") else "regular" for name in files}
            self.reply(200, {"files": [{"path": n, "uploadMode": kinds[n], "shouldIgnore": False} for n in files]})
        elif self.path.endswith("/info/lfs/objects/batch"):
            self.batch(json.loads(body)["objects"])
        elif "/commit/" in self.path:
            self.commit(body)
        else:
            self.reply(404, {"error": self.path})

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.objects[hashlib.sha256(content).hexdigest()] = content
        self.reply(200, {})

    def create(self, asked: dict[str, Any]) -> None:
        name = "/".join(filter(None, [asked.get("organization") or "me", asked["name"]]))
        if name in self.server.taken:
            self.reply(409, {"error": "exists"})
            return
        self.server.repositories[name] = asked
        self.reply(200, {"url": f"{self.server.url}/{name}", "name": name})

    def batch(self, objects: list[dict[str, Any]]) -> None:
        def action(oid: str) -> dict[str, Any]:
            return {"upload": {"href": f"{self.server.url}/put/{oid}"}}

        self.reply(
            200, {"transfer": "basic", "objects": [{**item, "actions": action(item["oid"])} for item in objects]}
        )

    def commit(self, body: bytes) -> None:
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                self.server.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            elif line["key"] == "lfsFile":
                self.server.files[line["value"]["path"]] = self.server.objects[line["value"]["oid"]]
        name = self.path.split("/api/models/")[1].split("/commit/")[0]
        self.reply(200, {"commitUrl": f"{self.server.url}/{name}/commit/1", "commitOid": "1", "success": True})

    def reply(self, status: int, content: dict[str, Any]) -> None:
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_parts: object) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    monkeypatch.setattr(
        huggingface_hub.constants, "HF_HUB_DISABLE_XET", True
    )  # the newer protocol needs its own servers
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    server = StandIn()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.fixture
def run(store: RunStore, base_folder: Path) -> Run:
    made = new_run(store, base_folder)
    for _ in execute(made, new_session(base_folder)):
        pass
    return store.get(made.id)


@pytest.fixture
def publish(hub: StandIn, run: Run) -> Callable[..., str]:
    def call(name: str = "someone/reviews", **options: Any) -> str:
        return upload_model(run, name, **{"token": TOKEN, "endpoint": hub.url, **options})

    return call


def is_private(asked: dict[str, Any]) -> bool:
    """Two ways in which versions of the library ask for it."""
    return asked["private"] if "private" in asked else asked["visibility"] == "private"


def test_the_model_goes_up_whole_and_private(hub: StandIn, run: Run, publish: Callable[..., str]) -> None:
    address = publish()
    assert address == f"{hub.url}/someone/reviews"
    assert is_private(hub.repositories["someone/reviews"])
    sent = {path.name: path.read_bytes() for path in run.model_folder.iterdir()}
    assert hub.files == sent
    assert {"model.safetensors", "config.json", "tokenizer.json", "README.md"} <= set(sent)


def test_public_only_when_asked_and_the_best_epoch_when_asked(hub: StandIn, run: Run, publish) -> None:
    publish(private=False, best=True)
    assert not is_private(hub.repositories["someone/reviews"])
    assert hub.files["model.safetensors"] == (run.best_model_folder / "model.safetensors").read_bytes()


def test_nothing_is_overwritten(hub: StandIn, publish: Callable[..., str]) -> None:
    hub.taken.add("someone/reviews")
    with pytest.raises(RunError, match="already"):
        publish()
    assert hub.files == {}


def test_a_refused_token_is_one_sentence_without_the_token(publish: Callable[..., str]) -> None:
    with pytest.raises(RunError, match="write access") as refused:
        publish(token="hf_wrong_one")
    assert "hf_wrong_one" not in str(refused.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [({"token": " "}, "token with write access is needed"), ({"name": "../../x"}, "cannot be a repository")],
)
def test_what_cannot_be_is_refused_before_anything_is_sent(hub: StandIn, publish, options, said) -> None:
    with pytest.raises(RunError, match=said):
        publish(**options)
    assert hub.repositories == {}


def test_a_hub_out_of_reach_is_one_sentence(run: Run) -> None:
    with pytest.raises(RunError, match="out of reach"):
        upload_model(run, "someone/reviews", token=TOKEN, endpoint="http://127.0.0.1:9")


def test_a_run_without_a_model_cannot_be_published(store: RunStore, base_folder: Path) -> None:
    empty = new_run(store, base_folder)
    empty.release()
    with pytest.raises(RunError, match="no model to publish"):
        upload_model(empty, "someone/reviews", token=TOKEN)
