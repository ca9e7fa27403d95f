"""Watchers of a run in one light process: each sends what the page's live chart sends, as often, and nothing else.

    python benchmarks/_watchers.py COUNT PORT RUN     until it is ended, or an answer is wrong

It speaks HTTP by itself, because a library would take the processor for longer than the server does.
"""

from __future__ import annotations

import itertools
import json
import socket
import sys
import time

ASKED_EVERY = 1.0  # seconds: the chart's pace once its curve has begun
PATIENCE = 30.0
REQUEST = "GET /live/{run}?cursor={cursor} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"


class Watcher:
    """One open page: its connection, and how far it has read."""

    def __init__(self, port: int, run_id: str) -> None:
        self._port, self._run_id, self._cursor = port, run_id, 0
        self._socket: socket.socket | None = None

    def ask(self) -> None:
        request = REQUEST.format(run=self._run_id, cursor=self._cursor, port=self._port).encode("ascii")
        answer = json.loads(self._answer(request) or self._answer(request))
        if answer["state"] != "training":
            raise SystemExit(f"The run is not in training: {answer['words']}")
        self._cursor = answer["to"]

    def _answer(self, request: bytes) -> bytes:
        """The body; empty where the server had closed the connection, as it does after some seconds without a word."""
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE)
        try:
            self._socket.sendall(request)
            head, _, body = self._received(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            while len(body) < length:
                body += self._received()[0]
        except ConnectionError:
            self._socket = None
            return b""
        return body

    def _received(self, until: bytes = b"") -> tuple[bytes, bytes, bytes]:
        received = b""
        while not received or until not in received:
            piece = self._socket.recv(1 << 16)
            if not piece:
                raise ConnectionError
            received += piece
        return received.partition(until) if until else (received, b"", b"")


def main(count: int, port: int, run_id: str) -> None:
    watchers = [Watcher(port, run_id) for _ in range(count)]
    for watcher in watchers:  # the first answer is the whole history
        watcher.ask()
    print("watching", flush=True)
    for watcher in itertools.cycle(watchers):  # then evenly, one after another
        began = time.monotonic()
        watcher.ask()
        time.sleep(max(0.0, began + ASKED_EVERY / count - time.monotonic()))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]), sys.argv[3])
