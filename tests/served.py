"""The real app for tests that talk to it from outside: in this process, or as ``python app.py`` in one of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    import gradio as gr

    from bertdemo.ui.services import Services

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 120.0  # seconds, for a machine that is busy with other things


class CallError(Exception):
    """What an endpoint said instead of an answer: its sentence, or None where it said nothing."""

    def __init__(self, sentence: str | None) -> None:
        super().__init__(sentence)
        self.sentence = sentence


@dataclass(frozen=True)
class ServedApp:
    """A running app: where it is, and what stands behind it."""

    port: int
    services: Services
    demo: gr.Blocks

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def served_app(home: Path, *arguments: str) -> Iterator[ServedApp]:
    """The app as ``main`` starts it, in this process."""
    from bertdemo.ui.app import build_app
    from bertdemo.ui.options import parse_options
    from bertdemo.ui.server import build_services, launch, quiet_network
    from bertdemo.ui.uploads import uploads_folder

    quiet_network()
    options = parse_options(["--home", str(home), "--port", str(free_port()), *arguments])
    services = build_services(options)
    with uploads_folder():
        demo = build_app(services)
        launch(demo, options, services)
        try:
            yield ServedApp(options.port, services, demo)
        finally:
            services.manager.shutdown(10)
            demo.close(verbose=False)
            _let_answers_end()


def _let_answers_end() -> None:
    """Wait for threads with an answer that nobody waits for any more: where Python ends while one of them is inside
    torch, the whole program is aborted."""
    deadline = time.monotonic() + PATIENCE
    while _at_work() and time.monotonic() < deadline:
        time.sleep(0.05)


def _at_work() -> bool:
    """Whether a thread in which the server answers is somewhere in the package."""
    package = str(ROOT / "bertdemo")
    answering = {thread.ident for thread in threading.enumerate() if thread.name.startswith("AnyIO")}
    frames = [frame for thread, frame in sys._current_frames().items() if thread in answering]
    while frames:
        if any(frame.f_code.co_filename.startswith(package) for frame in frames):
            return True
        frames = [frame.f_back for frame in frames if frame.f_back is not None]
    return False


@dataclass(frozen=True)
class AppProcess:
    process: subprocess.Popen[str]
    url: str
    log: Path


@contextmanager
def app_process(
    home: Path, *arguments: str, environment: Mapping[str, str] | None = None, command: Sequence[str] = ()
) -> Iterator[AppProcess]:
    """``python app.py`` once it answers; killed at the end if it is still there."""
    port, log = free_port(), home.with_name("app.log")
    line = [*command, sys.executable, "app.py", "--home", str(home), "--port", str(port), *arguments]
    with log.open("w") as errors:
        process = subprocess.Popen(
            line, cwd=ROOT, stdout=errors, stderr=errors, text=True, env={**os.environ, **(environment or {})}
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_ready(process, url, log)
        yield AppProcess(process, url, log)
    finally:
        process.kill()
        process.wait()


def _wait_until_ready(process: subprocess.Popen[str], url: str, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"the app ended with {process.returncode}:\n{log.read_text()}")
        try:
            if httpx.get(f"{url}/health", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise AssertionError(f"the app did not start within {PATIENCE:.0f} s:\n{log.read_text()}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def call(client: httpx.Client, endpoint: str, *data: object, session: str | None = None) -> Any:
    """Ask an endpoint as any program can, over HTTP; raises CallError with the sentence that it gave.

    Every call is a session of its own, unless one is named. What is left out at the end is the endpoint's default, as
    gradio_client does it.
    """
    left_out = _defaults(str(client.base_url), endpoint, cookies=dict(client.cookies))[len(data) :]
    body = {"data": [*data, *left_out], **({"session_hash": session} if session else {})}
    asked = client.post(f"/gradio_api/call/{endpoint}", json=body)
    if asked.status_code != 200:
        raise CallError(asked.text)
    with client.stream("GET", f"/gradio_api/call/{endpoint}/{asked.json()['event_id']}") as answer:
        event = ""
        for line in answer.iter_lines():
            if line.startswith("event: "):
                event = line.removeprefix("event: ")
            elif line.startswith("data: ") and event in ("complete", "error"):
                content = json.loads(line.removeprefix("data: "))
                if event == "error":
                    raise CallError(content.get("error") if isinstance(content, dict) else content)
                return content[0]
    raise CallError("the answer ended early")


@cache
def _info(url: str, cookies: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    with raw_client(url, cookies=dict(cookies)) as client:
        answer = client.get("/gradio_api/info")
        return answer.json()["named_endpoints"] if answer.status_code == 200 else {}


def _defaults(url: str, endpoint: str, *, cookies: Mapping[str, str]) -> list[Any]:
    """Of all arguments of an endpoint in order; none where it is the page's own or nobody may ask."""
    found = _info(url, tuple(sorted(cookies.items()))).get(f"/{endpoint}", {"parameters": []})
    return [argument.get("parameter_default") for argument in found["parameters"]]


def upload(client: httpx.Client, path: Path, *, name: str | None = None) -> dict[str, Any]:
    """Upload a file; what an endpoint takes for it."""
    with path.open("rb") as file:
        answer = client.post("/gradio_api/upload", files={"files": (name or path.name, file)})
    answer.raise_for_status()
    return {"path": answer.json()[0], "meta": {"_type": "gradio.FileData"}, "orig_name": name or path.name}


def raw_client(url: str, **options: Any) -> httpx.Client:
    # Without TLS there is nothing to verify, and loading certificates for a hundred clients takes seconds.
    return httpx.Client(base_url=url, timeout=PATIENCE, trust_env=False, verify=False, **options)
