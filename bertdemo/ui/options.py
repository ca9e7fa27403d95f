"""The options of the web app, and what they mean together: where it listens, whom it trusts, and how it logs.

``parse_options`` looks at words only; whether the port and the home folder can be used is asked apart.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import secrets
import socket
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bertdemo.cli.arguments import DEFAULT_MODEL, OneLineParser, whole_number
from bertdemo.mlm.errors import SettingsError
from bertdemo.mlm.settings import SETTINGS
from bertdemo.runs.store import default_home

from .security import LOOPBACK_HOSTS

SHORTEST_PASSWORD = 6
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
FORMATS = ("text", "json")
_ROOT_PATH = re.compile(r"(?:/[\w.~-]+)*/?")


@dataclass(frozen=True)
class AppOptions:
    """Checked options. ``public``: others than this machine's users may reach the app, if only through a proxy that
    passes the name of an ``--allowed-host`` on.

    ``allowed_hosts``: the names that it answers to, None for any; with ``any_address`` also to whatever IP address the
    machine, or the host of its container, is reached by. ``frame_ancestors``: whose pages may show this one in a
    frame, as a Content-Security-Policy lists them; None for anybody's. ``root_path``: where a proxy shows the page.
    """

    host: str
    port: int
    model: str
    home: Path
    password: str | None
    allowed_hosts: tuple[str, ...] | None
    allow_folders: bool
    share: bool
    public: bool
    operator_password: str = ""  # "": nobody is
    made_password: bool = False  # here, so that it has to be told
    runs_per_person: int = 2
    show_all_runs: bool = False
    any_address: bool = False
    frame_ancestors: str | None = "'self'"
    root_path: str = ""
    device: str | None = None

    @property
    def address(self) -> str:
        """The host as it stands in a URL."""
        return f"[{self.host}]" if ":" in self.host else self.host


def parse_options(arguments: Sequence[str] | None = None) -> AppOptions:
    """Command line and environment -> options; raises SettingsError for what cannot be or is not safe."""
    parser = _parser()
    options = parser.parse_args(arguments)
    space = os.environ.get("SPACE_ID")
    host = (options.host or ("0.0.0.0" if space else "127.0.0.1")).strip("[]")
    public = options.share or host not in LOOPBACK_HOSTS
    password = os.environ.get("BERTDEMO_PASSWORD") if options.password is None else options.password
    if password is not None and not password.strip():
        raise SettingsError("The password is empty; give one, or leave --password and BERTDEMO_PASSWORD out.")
    if public and not (space or password or options.allow_public):
        raise SettingsError(
            "Others could reach the app and train on this machine;"
            " give a --password, or --allow-public if that is meant."
        )
    if not 1 <= options.port <= 65535:
        raise SettingsError(f"The port must be from 1 to 65535, but is {options.port}.")
    public = public or any(name not in LOOPBACK_HOSTS for name in options.allowed_host)
    if options.runs_per_person < 1:
        raise SettingsError(f"--runs-per-person must be at least 1, but is {options.runs_per_person}.")
    operator = _operator_password(options.operator_password)
    return AppOptions(
        host=host,
        port=options.port,
        model=options.model,
        home=_home(options.home),
        password=password,
        allowed_hosts=_allowed_hosts(options, host=host),
        allow_folders=options.allow_folders or not public,
        share=options.share,
        public=public,
        operator_password=operator or (secrets.token_urlsafe(12) if public else ""),
        made_password=public and not operator,
        runs_per_person=options.runs_per_person,
        show_all_runs=options.show_all_runs,
        any_address=public and not options.allowed_host,
        frame_ancestors=_frame_ancestors(public=public, password=bool(password), space=bool(space)),
        root_path=_root_path(options.root_path),
        device=options.device,
    )


def _operator_password(chosen: str | None) -> str:
    """The one that was given; "" where none was. Raises SettingsError for one that anybody would guess."""
    password = os.environ.get("BERTDEMO_OPERATOR_PASSWORD") if chosen is None else chosen
    if password is not None and len(password.strip()) < SHORTEST_PASSWORD:
        raise SettingsError(
            f"The operator's password needs {SHORTEST_PASSWORD} characters or more; leave --operator-password out, and"
            " one is made and printed."
        )
    return password or ""


def _frame_ancestors(*, public: bool, password: bool, space: bool) -> str | None:
    """A page of another site may press our buttons in a frame, so it must gain nothing that it has not: a server that
    is open to everybody may be framed by anybody, but neither a login nor this machine's own page may be borrowed."""
    if public and not password:
        return None
    return "'self' https://huggingface.co" if space else "'self'"


def _root_path(chosen: str | None) -> str:
    path = os.environ.get("GRADIO_ROOT_PATH", "") if chosen is None else chosen
    if not _ROOT_PATH.fullmatch(path):
        raise SettingsError(
            f"The root path must be plain letters that begin with a slash, such as /bert, but is {path[:80]!r}."
        )
    return path.rstrip("/")


def _home(chosen: Path | None) -> Path:
    try:
        return (chosen.expanduser() if chosen else default_home()).absolute()
    except RuntimeError as error:  # "~somebody" who has no account here
        raise SettingsError(f"The home folder {str(chosen or '')!r} cannot be found; give its full path.") from error


def check_port(options: AppOptions) -> None:
    """Raises SettingsError when the address cannot be listened on."""
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        if os.name != "nt":  # where it would let two servers share the port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((options.host, options.port))
        except OSError as error:
            raise SettingsError(
                f"The address {options.host}:{options.port} cannot be used ({error.strerror});"
                f" choose another port, such as --port {min(options.port + 1, 65535)}."
            ) from error


def check_home(options: AppOptions) -> None:
    """Raises SettingsError when no run could be kept in the home folder, which is made if it is not there."""
    try:
        options.home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=options.home):
            pass
    except OSError as error:
        raise SettingsError(
            f"The home folder {str(options.home)!r} cannot be written ({error.strerror});"
            " choose another one with --home or BERTDEMO_HOME."
        ) from error


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="app.py", description="bertdemo's web app.")
    parser.add_argument("--host", help="127.0.0.1 by default; others need --password or --allow-public")
    parser.add_argument("--port", type=whole_number, default=7860)
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="REF", help="the model that the page opens with")
    parser.add_argument("--home", type=Path, metavar="DIR", help="where runs are kept (else BERTDEMO_HOME)")
    parser.add_argument(
        "--password", metavar="TEXT", help="ask for it (else BERTDEMO_PASSWORD); the user is 'bertdemo'"
    )
    parser.add_argument(
        "--operator-password",
        metavar="TEXT",
        help="who gives it may see, stop and delete every run (else BERTDEMO_OPERATOR_PASSWORD; on a server for others"
        " one is made and printed)",
    )
    parser.add_argument(
        "--runs-per-person",
        type=whole_number,
        default=2,
        metavar="N",
        help="on a server for others: how many runs of one person may wait (default: 2)",
    )
    parser.add_argument(
        "--show-all-runs", action="store_true", help="on a server for others: let everyone see everyone's runs"
    )
    parser.add_argument("--allow-public", action="store_true", help="let anyone who reaches the app use it")
    parser.add_argument("--allowed-host", action="append", default=[], metavar="NAME", help="a host name to answer to")
    parser.add_argument(
        "--root-path", metavar="PATH", help="the path under which a proxy shows the page, such as /bert"
    )
    device = SETTINGS["device"]
    parser.add_argument(
        "--device", type=device.parse, metavar=device.unit, help=f"what runs train on ({device.expected})"
    )
    parser.add_argument("--allow-folders", action="store_true", help="let pages name folders of this machine as models")
    parser.add_argument("--share", action="store_true", help="a public link through Gradio's servers")
    return parser


def _allowed_hosts(options: argparse.Namespace, *, host: str) -> tuple[str, ...] | None:
    if options.share:
        return None  # the tunnel's name is not known beforehand
    space = filter(None, os.environ.get("SPACE_HOST", "").split(","))
    own = [socket.gethostname()] if host in ("0.0.0.0", "::") else []
    return tuple(dict.fromkeys([*LOOPBACK_HOSTS, *options.allowed_host, *space, *own, host]))


class JsonFormatter(logging.Formatter):
    """``{"time": ..., "level": "INFO", "logger": ..., "message": ..., "trace": ...}``; ``trace`` only for a bug."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line)


def configure_logging() -> None:
    """Log as BERTDEMO_LOG, a level, and BERTDEMO_LOG_FORMAT, text or json, say; raises SettingsError for others."""
    level = _choice("BERTDEMO_LOG", LEVELS, default="INFO").upper()
    handler = logging.StreamHandler()
    if _choice("BERTDEMO_LOG_FORMAT", FORMATS, default="text") == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for library in ("httpx", "httpx2", "httpcore", "httpcore2", "asyncio", "matplotlib"):
        logging.getLogger(library).setLevel(logging.WARNING)


def _choice(variable: str, choices: tuple[str, ...], *, default: str) -> str:
    value = os.environ.get(variable) or default
    if value.lower() not in map(str.lower, choices):
        raise SettingsError(f"{variable} must be one of {', '.join(choices)}, but is {value[:40]!r}.")
    return value.lower()
