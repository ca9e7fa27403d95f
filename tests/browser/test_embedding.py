"""The page where others put it: behind a reverse proxy, under a path, and in frames of its own site and of others."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import pytest
from proxied import BELOW, SCHOOL, framing_site, proxy
from served import served_app

pytestmark = pytest.mark.browser

PASSWORD = "a long one"
POINTS = "document.querySelector('.live-plot')?.data?.[0].x?.length"
STATE = "document.querySelector('.live')?.dataset.state"
PATIENCE = 120_000  # ms, for a machine that is busy with other things


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An open server behind a proxy that gives it another name and a path."""
    home = tmp_path_factory.mktemp("school") / "home"
    with served_app(home, "--allowed-host", SCHOOL, "--root-path", BELOW) as app, proxy(app.url) as url:
        yield f"{url}{BELOW}/"


@pytest.fixture(scope="module")
def closed_school(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The same with a password."""
    home = tmp_path_factory.mktemp("closed") / "home"
    named = ("--allowed-host", SCHOOL, "--root-path", f"{BELOW}/", "--password", PASSWORD)
    with served_app(home, *named) as app, proxy(app.url) as url:
        yield f"{url}{BELOW}/"


def write_csv(path: Path) -> Path:
    places, guests = ("harbour", "bakery", "library", "museum", "garden"), ("baker", "sailor", "teacher", "singer")
    rows = [f"We met the {guest} at the {place} and liked it very much." for place, guest in product(places, guests)]
    path.write_text("visit\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def fill(frame) -> None:
    """Write once the page has given its first answer, and see another one."""
    frame.locator(".strip-piece").first.wait_for(timeout=PATIENCE)
    box = frame.locator("#fill-text textarea")
    box.fill("The parrot can [MASK].")
    frame.locator(".strip-piece", has_text="can").wait_for(timeout=PATIENCE)
    frame.locator(".candidate-bars .bars-word").first.wait_for(timeout=PATIENCE)
    assert box.input_value() == "The parrot can [MASK]."


def train(frame, data: Path, *, epochs: str = "3") -> None:
    """Upload a file, start, and see points come."""
    frame.get_by_role("tab", name="Train").click()
    frame.locator(".live-plot.js-plotly-plot").wait_for(timeout=PATIENCE)
    frame.locator("#upload input[type=file]").set_input_files(data)
    frame.locator("#found").get_by_text(data.name).wait_for(timeout=PATIENCE)
    frame.locator("#settings > button").click()
    frame.get_by_label("Epochs", exact=True).fill(epochs)
    frame.get_by_label("Epochs", exact=True).blur()
    frame.locator("#start-training").click()
    frame.locator("#start-note").get_by_text(f"on {data.name}").wait_for(timeout=PATIENCE)
    frame.wait_for_function(f"{POINTS} >= 3", timeout=PATIENCE)


def wait_for_state(frame, state: str) -> None:
    frame.wait_for_function(f"{STATE} === '{state}'", timeout=PATIENCE)


def download(page, frame) -> list[str]:
    """The names of the files in the run's zip."""
    with page.expect_download(timeout=PATIENCE) as started:
        frame.locator("#download-run:not([disabled])").click(timeout=PATIENCE)
    with zipfile.ZipFile(started.value.path()) as archive:
        assert archive.testzip() is None
        return archive.namelist()


def framed(page):
    """The page within the page's frame."""
    return page.locator("iframe").element_handle().content_frame()


def log_in(frame) -> None:
    frame.get_by_label("username").fill("bertdemo", timeout=PATIENCE)
    frame.get_by_label("password").fill(PASSWORD)
    frame.get_by_role("button", name="Login").click()


def test_everything_works_under_a_path_behind_a_proxy(school: str, new_page: Callable, tmp_path: Path) -> None:
    page = new_page(school)
    fill(page)
    train(page, write_csv(tmp_path / "visits.csv"))
    wait_for_state(page, "finished")
    assert any(name.endswith("model.safetensors") for name in download(page, page))


def test_an_open_server_works_in_another_sites_frame(school: str, new_page: Callable, tmp_path: Path) -> None:
    with framing_site(school) as elsewhere:
        page = new_page(elsewhere)
        frame = framed(page)
        fill(frame)
        train(frame, write_csv(tmp_path / "framed.csv"), epochs="300")
        frame.locator("#stop-training").click(timeout=PATIENCE)  # as its owner, though the browser keeps no token here
        wait_for_state(frame, "stopped")
        assert any(name.endswith("model.safetensors") for name in download(page, frame))


def test_with_a_password_only_its_own_site_frames_it(closed_school: str, new_page: Callable) -> None:
    page = new_page(closed_school)
    log_in(page)
    fill(page)
    page.goto(f"{closed_school}health")  # a page of the same site
    page.evaluate("() => { document.body.innerHTML = '<iframe width=1200 height=850 src=./></iframe>'; }")
    fill(framed(page))
    with framing_site(closed_school) as elsewhere:
        page.goto(elsewhere)
        assert framed(page).url.startswith("chrome-error:")
        assert framed(page).locator("input, textarea").count() == 0
