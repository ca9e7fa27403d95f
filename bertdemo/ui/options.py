"""The options of the web app, and what they mean together: where it listens, and whom it trusts."""

from __future__ import annotations

import argparse
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bertdemo.cli.arguments import DEFAULT_MODEL, OneLineParser, whole_number
from bertdemo.mlm.errors import SettingsError
from bertdemo.runs.workspace import default_home

from .guard import LOOPBACK_HOSTS


@dataclass(frozen=True)
class AppOptions:
    """Checked options. ``public``: others than this machine's users may reach the app."""

    host: str
    port: int
    model: str
    home: Path
    password: str | None
    allowed_hosts: tuple[str, ...] | None  # None: any
    allow_folders: bool
    share: bool
    public: bool


def parse_options(arguments: Sequence[str] | None = None) -> AppOptions:
    """Command line and environment -> options; raises SettingsError for what cannot be or is not safe."""
    parser = _parser()
    options = parser.parse_args(arguments)
    space = os.environ.get("SPACE_ID")
    host = options.host or ("0.0.0.0" if space else "127.0.0.1")
    public = options.share or host not in LOOPBACK_HOSTS
    if public and not (space or options.password or options.allow_public):
        raise SettingsError(
            "Others could reach the app and train on this machine;"
            " give a --password, or --allow-public if that is meant."
        )
    if not 0 <= options.port <= 65535:
        raise SettingsError(f"The port must be from 0 to 65535, but is {options.port}.")
    return AppOptions(
        host=host,
        port=options.port,
        model=options.model,
        home=(options.home or default_home()).expanduser().resolve(),
        password=options.password,
        allowed_hosts=_allowed_hosts(options, host=host),
        allow_folders=options.allow_folders or not public,
        share=options.share,
        public=public,
    )


def check_port(options: AppOptions) -> None:
    """Raises SettingsError when the address cannot be listened on."""
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((options.host, options.port))
        except OSError as error:
            raise SettingsError(
                f"The address {options.host}:{options.port} cannot be used ({error.strerror});"
                f" choose another port, such as --port {min(options.port + 1, 65535)}."
            ) from error


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="app.py", description="bertdemo's web app.")
    parser.add_argument("--host", help="127.0.0.1 by default; others need --password or --allow-public")
    parser.add_argument("--port", type=whole_number, default=7860)
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="REF", help="the model that the page opens with")
    parser.add_argument("--home", type=Path, metavar="DIR", help="where runs are kept (else BERTDEMO_HOME)")
    parser.add_argument("--password", metavar="TEXT", help="ask for it; the user name is 'bertdemo'")
    parser.add_argument("--allow-public", action="store_true", help="let anyone who reaches the app use it")
    parser.add_argument("--allowed-host", action="append", default=[], metavar="NAME", help="a host name to answer to")
    parser.add_argument("--allow-folders", action="store_true", help="let pages name folders of this machine as models")
    parser.add_argument("--share", action="store_true", help="a public link through Gradio's servers")
    return parser


def _allowed_hosts(options: argparse.Namespace, *, host: str) -> tuple[str, ...] | None:
    names = [*LOOPBACK_HOSTS, *options.allowed_host, *filter(None, os.environ.get("SPACE_HOST", "").split(","))]
    if options.share:
        return None  # the tunnel's name is not known beforehand
    if host in ("0.0.0.0", "::") and not options.allowed_host and not os.environ.get("SPACE_HOST"):
        names += [socket.gethostname(), *_own_addresses()]
    return tuple(dict.fromkeys([*names, host]))


def _own_addresses() -> list[str]:
    try:
        found = socket.getaddrinfo(socket.gethostname(), None, proto=socket.IPPROTO_TCP)
    except OSError:
        return []
    return [str(address[4][0]) for address in found]
