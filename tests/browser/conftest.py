"""A real Chromium for tests of the page. Where there is none they are skipped, loudly; in CI that is a failure."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import gradio as gr
import pytest

from bertdemo.ui.routes import own_routes
from bertdemo.ui.theme import page_head, theme

PATIENCE = 120_000  # ms, for a machine that is busy with other things
NO_RUNS = SimpleNamespace(live=tuple, store=SimpleNamespace(list=list))
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_NO_BROWSER = "no Chromium was found: install one, or name it in BERTDEMO_CHROMIUM"


def _chromium() -> str | None:
    return os.environ.get("BERTDEMO_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)


@pytest.fixture(scope="session")
def browser():
    """One Chromium for all tests; see ``new_page``."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        own = driver.chromium.executable_path
        path = _chromium() or (own if os.path.exists(own) else None)
        if path is None:
            (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(_NO_BROWSER)
        launched = driver.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-background-networking", "--disable-gpu"]
        )
        yield launched
        launched.close()


@pytest.fixture
def new_page(browser) -> Iterator[Callable]:
    """``new_page(url, width=1280, dark=False)`` opens a page; afterwards none may have failed or left the machine."""
    contexts, troubles = [], []

    def watch_request(request) -> None:
        url = urlsplit(request.url)
        here = url.hostname == "127.0.0.1" or (url.hostname or "").endswith(".localhost")
        if not here and url.scheme not in ("data", "blob"):
            troubles.append(f"asked for {request.url}")

    def open_page(url: str, *, width: int = 1280, height: int = 900, dark: bool = False):
        context = browser.new_context(viewport={"width": width, "height": height})
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.on("request", watch_request)
        page.on("pageerror", lambda error: troubles.append(f"script error: {error}"))
        page.on("dialog", lambda dialog: (troubles.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.goto(f"{url}{'&' if '?' in url else '?'}__theme={'dark' if dark else 'light'}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not troubles


@pytest.fixture
def serve(monkeypatch) -> Iterator[Callable[..., str]]:
    """``serve(blocks, manager)`` starts the blocks with the page's own look and routes and returns their address;
    without a manager there are no runs."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    started: list[gr.Blocks] = []

    def start(blocks: gr.Blocks, manager: object = NO_RUNS) -> str:
        started.append(blocks)
        _, url, _ = blocks.launch(
            server_name="127.0.0.1",
            theme=theme(),
            head=page_head(),
            prevent_thread_lock=True,
            quiet=True,
            app_kwargs={"routes": own_routes(manager, needs_login=False)},
        )
        return url

    yield start
    for blocks in started:
        blocks.close(verbose=False)


def pytest_terminal_summary(terminalreporter) -> None:
    skipped = [report for report in terminalreporter.stats.get("skipped", []) if _NO_BROWSER in str(report.longrepr)]
    if skipped:
        terminalreporter.section(f"{len(skipped)} BROWSER TESTS SKIPPED", sep="!")
        terminalreporter.write_line(_NO_BROWSER)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A browser on a busy machine may be too slow: what fails there is tried again, and fails if it fails thrice."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.flaky(reruns=2))
