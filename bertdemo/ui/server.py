"""Start and stop the server: options, services, the page, and a stop that saves what is being trained."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from bertdemo.mlm.errors import BertDemoError, SettingsError
from bertdemo.runs.execution import TIDY_SECONDS, give_back, stop_on_signals
from bertdemo.runs.manager import RunManager
from bertdemo.runs.people import Access, Limits, class_limits
from bertdemo.runs.store import Workspace

from .app import build_app
from .options import AppOptions, check_home, check_port, configure_logging, parse_options
from .routes import own_routes
from .security import CLOSED_PATHS, FILE_PATHS, MEGABYTE, BodyLimit, FrameRule, HostGuard
from .services import Services
from .sessions import OpenPages, keep_no_traffic_figures, use_light_sessions
from .theme import page_head, theme
from .uploads import UploadRoom, sweep, uploads_folder

logger = logging.getLogger(__name__)

MAX_UPLOAD = 1000 * MEGABYTE  # one file
MAX_BODY = 8 * MEGABYTE  # of any other request: forty times the longest text that is read
MAX_SESSIONS = 1000  # that Gradio remembers besides those of open pages, some 25 kB each; a call of the API is one
SWEEP_SECONDS = 600.0
WARM_UP_SECONDS = 5.0  # the most that the start waits for a model, which may have to be fetched
SAVE_SECONDS = 60.0  # the most that a stop waits for a training run to be saved
USER = "bertdemo"


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; returns the exit code: 0, or 2 for what the user can mend."""
    try:
        configure_logging()
        options = parse_options(arguments)
        check_home(options)
        check_port(options)
        quiet_network(options.host)
        services = build_services(options)
        services.registry.resolve(options.model)
        with uploads_folder() as uploads, stop_on_signals() as stopped:
            return serve(options, services, uploads=uploads, stopped=stopped)
    except BertDemoError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # asked a second time: go at once; the run at work can be resumed
        return 130


def serve(options: AppOptions, services: Services, *, uploads: Path, stopped: Callable[[], bool]) -> int:
    """Show the page until ``stopped`` says so, then save what is being trained. Raises SettingsError for a port that
    was taken meanwhile."""
    warming = threading.Thread(target=_warm_up, args=(services,), daemon=True)
    warming.start()
    demo = build_app(services)
    warming.join(WARM_UP_SECONDS)
    try:
        launch(demo, options, services)
    except OSError as error:
        raise SettingsError(f"The server could not start ({error}); choose another --port.") from error
    print(f"bertdemo is ready at http://{options.address}:{options.port}", flush=True)
    if options.made_password:
        print(f"The operator's password, until this server ends: {options.operator_password}", flush=True)
    swept = tidied = time.monotonic()
    while not stopped():
        threading.Event().wait(0.2)
        if time.monotonic() - swept > SWEEP_SECONDS:
            sweep(uploads)
            swept = time.monotonic()
        if time.monotonic() - tidied > TIDY_SECONDS:  # what answers of all sizes left free
            give_back()
            tidied = time.monotonic()
    logger.info("stopping; the run at work, if any, is saved first")
    if not services.manager.shutdown(SAVE_SECONDS):
        logger.warning("the run at work could not be saved within %.0f seconds", SAVE_SECONDS)
    demo.close(verbose=False)
    return 0


def launch(demo: gr.Blocks, options: AppOptions, services: Services) -> None:
    """Serve the page from now on, in threads of its own. Raises OSError where the port cannot be had."""
    settings = launch_settings(options, room=services.uploads, pages=services.pages)
    # Our routes come within the application that Gradio makes: --share and a proxy's path are then its affair.
    settings["app_kwargs"]["routes"] = own_routes(services.manager, needs_login=bool(options.password))
    demo.launch(**settings)
    use_light_sessions(demo, services.pages)


def quiet_network(host: str = "127.0.0.1") -> None:
    """No telemetry; and no proxy for the one request that the server sends to its own address when it starts."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    keep_no_traffic_figures()
    for name in ("NO_PROXY", "no_proxy"):
        own = dict.fromkeys([os.environ.get(name), "127.0.0.1", "localhost", host])
        os.environ[name] = ",".join(filter(None, own))


def build_services(options: AppOptions) -> Services:
    workspace = Workspace(options.home)
    access = Access(
        owned=options.public,
        show_all=options.show_all_runs,
        operator_password=options.operator_password,
        open_models=(options.model,),
    )
    limits = class_limits(waiting_each=options.runs_per_person) if options.public else Limits()
    manager = RunManager(
        workspace.store,
        workspace.registry,
        general=workspace.general_english,
        access=access,
        limits=limits,
        allow_folders=options.allow_folders,
        device=options.device,
    )
    return Services(
        registry=workspace.registry,
        manager=manager,
        store=workspace.store,
        home=options.home,
        sample_csv=workspace.sample_csv,
        default_model=options.model,
        allow_folders=options.allow_folders,
        general=workspace.general_english,
        access=access,
        can_publish=not options.public,
        uploads=UploadRoom(limits),
    )


def launch_settings(
    options: AppOptions, *, room: UploadRoom | None = None, pages: OpenPages | None = None
) -> dict[str, Any]:
    """Everything for ``Blocks.launch``; tests serve the same page with the same guard."""
    room = UploadRoom(Limits()) if room is None else room
    pages = OpenPages() if pages is None else pages  # an empty one is false
    closed = (*CLOSED_PATHS, *FILE_PATHS) if options.public else CLOSED_PATHS
    middleware = [
        Middleware(pages.watched),
        Middleware(HostGuard, allowed_hosts=options.allowed_hosts, any_address=options.any_address, closed=closed),
        Middleware(BodyLimit, max_bytes=MAX_BODY, max_upload_bytes=MAX_UPLOAD + MEGABYTE, room=room),
    ]
    if options.frame_ancestors:
        middleware.insert(0, Middleware(FrameRule, ancestors=options.frame_ancestors))
    return {
        "server_name": options.address,
        "server_port": options.port,
        "root_path": options.root_path,
        "share": options.share,
        "auth": (USER, options.password) if options.password else None,
        "theme": theme(),
        "head": page_head(),
        "footer_links": [],
        "max_file_size": MAX_UPLOAD,
        "state_session_capacity": MAX_SESSIONS,
        "enable_monitoring": False,
        "run_history": False,
        "show_error": False,
        "prevent_thread_lock": True,
        "quiet": True,
        "app_kwargs": {"middleware": middleware},
    }


def _warm_up(services: Services) -> None:
    """Load the model that the page opens with, so that the first page does not share the processor with it."""
    try:
        services.registry.shared(services.registry.resolve(services.default_model))
    except BertDemoError as error:
        logger.warning("the model to open with cannot be loaded: %s", error)
