"""Start and stop the server: options, services, the page, and a stop that saves what is being trained."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Sequence
from typing import Any

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from bertdemo.mlm.errors import BertDemoError
from bertdemo.runs.manager import RunManager
from bertdemo.runs.signals import stop_on_signals
from bertdemo.runs.workspace import Workspace

from .app import build_app
from .context import Services
from .guard import HostGuard
from .options import AppOptions, check_port, parse_options
from .theme import STYLE_SHEET, theme

logger = logging.getLogger(__name__)

MAX_UPLOAD = "1gb"
SAVE_SECONDS = 60.0  # the most that a stop waits for a training run to be saved
USER = "bertdemo"


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; returns the exit code."""
    logging.basicConfig(
        level=os.environ.get("BERTDEMO_LOG", "INFO"), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for library in ("httpx", "httpcore"):
        logging.getLogger(library).setLevel(logging.WARNING)
    quiet_network()
    try:
        options = parse_options(arguments)
        check_port(options)
        services = build_services(options)
    except BertDemoError as error:
        print(error, file=sys.stderr)
        return 2
    demo = build_app(services)
    with stop_on_signals() as stopped:
        demo.launch(**launch_settings(options))
        print(f"bertdemo is ready at http://{options.host}:{options.port}", flush=True)
        threading.Thread(target=_warm_up, args=(services,), daemon=True).start()
        while not stopped():
            threading.Event().wait(0.2)
    if not services.manager.shutdown(SAVE_SECONDS):
        logger.warning("the run at work could not be saved within %.0f seconds", SAVE_SECONDS)
    demo.close(verbose=False)
    return 0


def quiet_network() -> None:
    """No telemetry; and no proxy for the one request that the server sends to its own address when it starts."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1", "localhost"]))


def build_services(options: AppOptions) -> Services:
    workspace = Workspace(options.home)
    manager = RunManager(
        workspace.store,
        workspace.registry,
        general=workspace.general_english,
        require_owner=options.public,
        allow_folders=options.allow_folders,
    )
    return Services(
        registry=workspace.registry,
        manager=manager,
        store=workspace.store,
        home=options.home,
        sample_csv=workspace.sample_csv,
        default_model=options.model,
        allow_folders=options.allow_folders,
        require_owner=options.public,
    )


def launch_settings(options: AppOptions) -> dict[str, Any]:
    """Everything for ``Blocks.launch``; tests serve the same page with the same guard."""
    guard = Middleware(HostGuard, allowed_hosts=options.allowed_hosts)
    return {
        "server_name": options.host,
        "server_port": options.port,
        "share": options.share,
        "auth": (USER, options.password) if options.password else None,
        "theme": theme(),
        "css_paths": [STYLE_SHEET],
        "footer_links": [],
        "max_file_size": MAX_UPLOAD,
        "enable_monitoring": False,
        "run_history": False,
        "show_error": False,
        "prevent_thread_lock": True,
        "quiet": True,
        "app_kwargs": {"middleware": [guard], "routes": [Route("/health", _health)]},
    }


async def _health(_request: Request) -> JSONResponse:
    return JSONResponse({"status": "ok"})


def _warm_up(services: Services) -> None:
    """Load the model that the page opens with, after the server is up: the first reader does not wait for it."""
    try:
        services.registry.shared(services.registry.resolve(services.default_model))
    except BertDemoError as error:
        logger.warning("the model to open with cannot be loaded: %s", error)
