"""``bertdemo operate``: what a running server for others does, and what its operator wants of it.

It asks the same two endpoints that any program can, over HTTP.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from http.cookiejar import CookieJar
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, OpenerDirector, Request, build_opener

from rich.table import Table

from bertdemo.mlm.errors import RunError, SettingsError

from . import display

SECONDS = 60.0  # for an answer
USER = "bertdemo"
PASSWORD, OPERATOR_PASSWORD = "BERTDEMO_PASSWORD", "BERTDEMO_OPERATOR_PASSWORD"


def operate(options: argparse.Namespace) -> int:
    secret = options.operator_password or os.environ.get(OPERATOR_PASSWORD)
    if not secret:
        raise SettingsError(f"Give the server's --operator-password, or set {OPERATOR_PASSWORD}; the server prints it.")
    server = _Server(options.url, password=options.password or os.environ.get(PASSWORD, ""))
    if options.act == "status":
        display.show(server.ask("operator_status", secret), _tables, as_json=options.json)
        return 0
    said = server.ask("operator_do", secret, options.act, options.about, options.value)
    display.show({"said": said}, lambda record: iter([display.escape(record["said"])]), as_json=options.json)
    return 0


class _Server:
    """A running server, logged in to where it has a password. Raises RunError for all that keeps it from answering."""

    def __init__(self, url: str, *, password: str) -> None:
        if not url.startswith(("http://", "https://")):
            raise SettingsError(f"The server's address begins with http:// or https://, unlike {url[:80]!r}.")
        self._url = url.rstrip("/")
        self._opener: OpenerDirector = build_opener(HTTPCookieProcessor(CookieJar()))
        if password:
            self._open("/login", urlencode({"username": USER, "password": password}).encode())

    def ask(self, endpoint: str, *data: object) -> Any:
        path = f"/gradio_api/call/{endpoint}"
        event = json.loads(self._open(path, json.dumps({"data": data}).encode(), json_body=True))["event_id"]
        kind = ""
        for line in self._open(f"{path}/{event}").splitlines():
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: ") and kind in ("complete", "error"):
                content = json.loads(line.removeprefix("data: "))
                if kind == "complete":
                    return content[0]
                raise RunError(str(content.get("error") if isinstance(content, dict) else content))
        raise RunError(f"The server at {self._url} ended its answer early; ask again.")

    def _open(self, path: str, body: bytes | None = None, *, json_body: bool = False) -> str:
        headers = {"Content-Type": "application/json"} if json_body else {}
        try:
            with self._opener.open(Request(self._url + path, body, headers), timeout=SECONDS) as answer:
                return str(answer.read().decode("utf-8", "replace"))
        except HTTPError as error:
            raise RunError(_refused(error, self._url)) from error
        except (URLError, OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise RunError(f"No server answers at {self._url} ({reason}); look at its address.") from error


def _refused(error: HTTPError, url: str) -> str:
    if error.code in (400, 401):
        return f"The server at {url} asks for its --password, or that is wrong."
    if error.code == 404:
        return f"What answers at {url} is no bertdemo with an operator."
    return f"The server at {url} refused with status {error.code}: {error.read(200).decode('utf-8', 'replace')}"


def _tables(record: dict[str, Any]) -> Iterator[Table | str]:
    figures = ("runs_in_all", "waiting", "runs_mb", "disk_free_mb", "uploads_mb", "upload_files", "memory_mb")
    yield _table("server", [{"figure": name, "now": record[name]} for name in (*figures, "open_pages")])
    yield _table("limits", [{"limit": name, "now": value} for name, value in record["limits"].items()])
    yield _table("runs", record["runs"])
    yield _table("people", record["people"])


def _table(title: str, rows: list[dict[str, Any]]) -> Table | str:
    if not rows:
        return f"{title}: none"
    shown = Table(title=title)
    for head in rows[0]:
        shown.add_column(head)
    for row in rows:
        shown.add_row(*("–" if value is None else display.escape(str(value)) for value in row.values()))
    return shown
