"""What may stand before the app: a reverse proxy that shows it under a path, and another site that frames it.

The names end in ".localhost", which browsers look for on this machine and nowhere else.
"""

from __future__ import annotations

import http.client
import http.server
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from urllib.parse import urlsplit

SCHOOL = "school.localhost"  # what the proxy is called
OTHER_SITE = "elsewhere.localhost"
BELOW = "/demo"
_HOP_BY_HOP = ("transfer-encoding", "connection", "content-length", "keep-alive")


class _Proxy(http.server.BaseHTTPRequestHandler):
    """Takes ``BELOW`` off the path and passes all else on, the Host header too; the answer comes as it is made."""

    behind = ""

    def do_GET(self) -> None:
        if not self.path.startswith(f"{BELOW}/"):
            self.send_error(404)
            return
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size) if size else None
        with closing(http.client.HTTPConnection(urlsplit(self.behind).netloc, timeout=120)) as server:
            server.request(self.command, self.path.removeprefix(BELOW), body, dict(self.headers))
            with suppress(ConnectionError):  # whoever left need not hear the rest
                self._pass_back(server.getresponse())

    do_POST = do_GET  # noqa: N815

    def _pass_back(self, answer: http.client.HTTPResponse) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        self.end_headers()
        while block := answer.read1(65536):
            self.wfile.write(block)
            self.wfile.flush()

    def log_message(self, *_arguments: object) -> None:
        pass


class _Framing(http.server.BaseHTTPRequestHandler):
    """A page of its own that shows another one in a frame."""

    framed = ""

    def do_GET(self) -> None:
        self.send_response_only(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        frame = f'<iframe src="{self.framed}" width="1200" height="850"></iframe>'
        self.wfile.write(f"<!doctype html><title>Another site</title>{frame}".encode())

    def log_message(self, *_arguments: object) -> None:
        pass


@contextmanager
def proxy(behind: str) -> Iterator[str]:
    """A reverse proxy before the app at ``behind``; its address, where the page is at ``BELOW``."""
    with _serving(type("Proxy", (_Proxy,), {"behind": behind})) as port:
        yield f"http://{SCHOOL}:{port}"


@contextmanager
def framing_site(framed: str) -> Iterator[str]:
    """Another site whose only page frames the address ``framed``."""
    with _serving(type("Framing", (_Framing,), {"framed": framed})) as port:
        yield f"http://{OTHER_SITE}:{port}/"


@contextmanager
def _serving(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
