"""Hostile text in every place that a stranger can fill, on the real page: it is shown as text and nothing runs.

``new_page`` fails on any dialog, script error or request to another machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from served import ServedApp, served_app

from bertdemo.mlm.settings import TrainingConfig
from bertdemo.runs.record import RunRequest

pytestmark = pytest.mark.browser

MARK = "</script><script>window.pwned=1</script>"
HOSTILE = f"<img src=x onerror=window.pwned=1> ${{window.pwned=1}} {{{{value}}}} '\"><svg onload=window.pwned=1> {MARK}"
INJECTED = "window.pwned === 1 || document.querySelector('img[src=\"x\"], svg[onload]') !== null"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory):
    with served_app(tmp_path_factory.mktemp("injection") / "home") as served:
        yield served


@pytest.fixture(scope="module")
def hostile_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "<img src=x onerror=window.pwned=1>.csv"
    quoted = HOSTILE.replace('"', '""')
    path.write_text(f'id,"{quoted}"\n' + "".join(f'{n},"{quoted} show {n} was good"\n' for n in range(40)))
    return path


@pytest.fixture(scope="module")
def run_id(app: ServedApp, hostile_csv: Path) -> str:
    """A finished run whose name, file, column, rows, probes and watched words are hostile."""
    settings = TrainingConfig(epochs=1, max_length=16, probes=(f"[MASK] {HOSTILE}.",), watch=("<b>", "${1}"))
    request = RunRequest(hostile_csv, settings, name=HOSTILE, data_name=hostile_csv.name, limit=16)
    started = app.services.manager.submit(request).run_id
    while started in app.services.manager.live():
        time.sleep(0.1)
    assert app.services.store.get(started).record.state == "finished"
    return started


def settle(page) -> None:
    page.wait_for_timeout(1500)
    assert page.evaluate(INJECTED) is False


def test_a_hostile_text_from_a_link_is_shown_as_text(app: ServedApp, new_page: Callable) -> None:
    page = new_page(f"{app.url}/?text={quote(HOSTILE + ' [MASK].')}&model={quote(HOSTILE)}&view={quote(HOSTILE)}&x=")
    page.locator("#fill-text textarea").wait_for()
    settle(page)
    assert page.locator("#fill-text textarea").input_value().startswith("<img src=x")


def test_a_hostile_text_is_filled_looked_into_and_compared(app: ServedApp, run_id: str, new_page: Callable) -> None:
    page = new_page(app.url)
    box = page.locator("#fill-text textarea")
    box.wait_for()
    page.wait_for_timeout(1500)
    box.fill(f"{HOSTILE} it was [MASK].")
    settle(page)
    for choice in page.locator("#look-inside label").all():
        choice.click()
        settle(page)
    box.fill(HOSTILE)  # no mask: what is missing is said
    settle(page)


def test_a_hostile_file_and_a_hostile_run_are_shown_as_text(
    app: ServedApp, run_id: str, hostile_csv: Path, new_page: Callable
) -> None:
    page = new_page(app.url)
    page.get_by_role("tab", name="Train").click()
    page.locator("#runs").get_by_text("<img src=x").first.wait_for()
    settle(page)
    page.locator("#upload input[type=file]").set_input_files(hostile_csv)
    page.locator("#first-rows > button").click()
    page.locator("#preview").get_by_text("show 1 was good").first.wait_for()
    settle(page)
    page.locator("#settings > button").click()
    page.get_by_label("Start from").fill(HOSTILE)  # refused, with the text in the sentence
    page.locator("#start-training button, button#start-training").first.click()
    settle(page)
    page.locator("#start-note").get_by_text("is neither a folder").wait_for()
