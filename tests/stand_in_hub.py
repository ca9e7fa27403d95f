"""A stand-in for the Hugging Face hub on this machine: one repository out of a folder; it can be slow, break off in the
middle, lie about sizes, or refuse."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import huggingface_hub.constants
import pytest

REPOSITORY = "someone/bert"
WEIGHTS = "model.safetensors"


class StandInHub(http.server.BaseHTTPRequestHandler):
    """Answers for ``REPOSITORY``, whose files lie in ``folder``; everything with ``status`` where that is not 200.

    Of the weights: ``breaks_off`` lists how many bytes each answer gives before the connection is cut; ``held`` makes
    answers wait in the middle until it is set; ``stated`` is what the list of files says of their size, ``announced``
    what the file's own headers say.
    """

    folder: Path
    status = 200
    requests = 0
    breaks_off: list[int]
    held: threading.Event | None = None
    stated: int | None = None
    announced: int | None = None
    ranges: list[str]

    def do_GET(self) -> None:
        type(self).requests += REPOSITORY in self.path  # whatever else a library may ask of its home
        names = sorted(path.name for path in self.folder.iterdir())
        if self.status != 200:
            self._answer(b"{}", status=self.status)
        elif self.path.startswith(f"/api/models/{REPOSITORY}/tree/"):
            tree = [{"type": "file", "path": name, "size": self._size(name), "oid": name} for name in names]
            self._answer(json.dumps(tree).encode())
        elif self.path.startswith(f"/api/models/{REPOSITORY}"):
            siblings = [{"rfilename": name, "size": self._size(name)} for name in names]
            self._answer(json.dumps({"id": REPOSITORY, "sha": "a" * 40, "siblings": siblings}).encode())
        elif (name := self.path.rsplit("/", 1)[-1]) in names:
            self._send(name)
        else:
            self._answer(b"{}", status=404)

    do_HEAD = do_GET  # noqa: N815

    def _size(self, name: str) -> int:
        return self.stated if name == WEIGHTS and self.stated is not None else (self.folder / name).stat().st_size

    def _send(self, name: str) -> None:
        body, begin = (self.folder / name).read_bytes(), 0
        asked = self.headers.get("Range")
        if asked and self.command == "GET":
            begin = int(asked.removeprefix("bytes=").partition("-")[0])
            self.ranges.append(asked)
        announced = self.announced if name == WEIGHTS else None
        part = body[begin:]
        status = 206 if begin else 200
        self._head(len(part) if announced is None else announced - begin, status=status, etag=name)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(body) - 1}/{announced or len(body)}")
        self.end_headers()
        if self.command == "HEAD":
            return
        if name == WEIGHTS and self.held is not None:
            self.wfile.write(part[: len(part) // 2])
            self.wfile.flush()
            self.held.wait(20)
            part = part[len(part) // 2 :]
        if name == WEIGHTS and self.breaks_off:
            self.wfile.write(part[: self.breaks_off.pop(0)])
            self.wfile.flush()
            self.connection.close()
            return
        self.wfile.write(part)
        if announced is not None:
            self.connection.close()

    def _head(self, length: int, *, status: int, etag: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        if etag:
            self.send_header("ETag", f'"{etag}"')
            self.send_header("X-Repo-Commit", "a" * 40)

    def _answer(self, body: bytes, *, status: int = 200) -> None:
        self._head(len(body), status=status)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def serving(folder: Path, *, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[StandInHub]]:
    """The library's hub is this one inside the block, and its cache an empty folder."""
    handler = type("Hub", (StandInHub,), {"folder": folder, "breaks_off": [], "ranges": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", constants.HF_HUB_DISABLE_XET)  # a download sets it
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", constants.DOWNLOAD_CHUNK_SIZE)
    monkeypatch.setattr("bertdemo.mlm.models.hub.CHUNK_BYTES", 1000)  # the weights of a tiny model are no megabyte
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    try:
        yield handler
    finally:
        if handler.held is not None:
            handler.held.set()
        wait_for(lambda: not any(thread.name == "bertdemo-download" for thread in threading.enumerate()))
        server.shutdown()
        server.server_close()


def wait_for(condition: object, seconds: float = 10.0) -> None:
    """Until the condition, a function, says yes."""
    until = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.01)
