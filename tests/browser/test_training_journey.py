"""The main journey in a real browser, on the bundled model: from a CSV file to a curve to a mask that is filled.

Everything is real: the server, the queue, the training, the files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import pytest
from served import ServedApp, served_app

pytestmark = pytest.mark.browser

POINTS = "document.querySelector('.live-plot')?.data?.[0].x"
STATE = "document.querySelector('.live')?.dataset.state"
SELECTED_TAB = "document.querySelector('[role=tab][aria-selected=true]').innerText"
PLACES = ("harbour", "bakery", "library", "museum", "garden", "station", "market", "theatre", "castle", "cinema")
PEOPLE = ("old baker", "young sailor", "tired teacher", "happy dentist", "quiet singer", "famous cook")


def write_csv(path: Path) -> Path:
    """Comments with semicolons between the columns, one of them empty and one twice."""
    pairs = list(product(PLACES, PEOPLE))
    comments = [f"I met the {person} at the {place}, and we liked it very much." for place, person in pairs]
    rows = [f'{number};"{comment}"' for number, comment in enumerate([*comments, comments[0], ""])]
    path.write_text("stars;comment\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def app(tmp_path: Path) -> Iterator[ServedApp]:
    with served_app(tmp_path / "home") as served:
        yield served


@pytest.fixture
def open_train_tab(app: ServedApp, new_page: Callable) -> Callable:
    def open_page(**look):
        page = new_page(app.url, **look)
        to_train_tab(page)
        return page

    return open_page


def to_train_tab(page) -> None:
    page.get_by_role("tab", name="Train").click(timeout=60_000)
    page.wait_for_selector(".live-plot.js-plotly-plot", timeout=60_000)
    page.locator("#settings > button").click()


def upload(page, path: Path, *, name: str) -> None:
    if page.locator("#upload .file-preview").count():
        page.locator("#upload").get_by_label("Clear", exact=True).click()
    page.locator("#upload input[type=file]").set_input_files(path)
    page.locator("#found").get_by_text(name).wait_for(timeout=30_000)


def set_number(page, label: str, value: str) -> None:
    page.get_by_label(label, exact=True).fill(value)
    page.get_by_label(label, exact=True).blur()


def start(page) -> None:
    page.locator("#start-training").click()
    page.locator("#start-note").get_by_text("Started").wait_for(timeout=30_000)


def wait_for_state(page, state: str) -> None:
    page.wait_for_function(f"{STATE} === '{state}'", timeout=120_000)


def wait_for_steps(page, count: int) -> int:
    page.wait_for_function(f"{POINTS}?.length >= {count}", timeout=120_000)
    return len(page.evaluate(POINTS))


def test_from_a_csv_to_a_curve_to_a_filled_mask(app: ServedApp, open_train_tab: Callable, tmp_path: Path) -> None:
    page = open_train_tab()
    assert "sample_reviews.csv" in page.locator("#found").inner_text()  # so that Start works at once
    upload(page, write_csv(tmp_path / "visitors.csv"), name="visitors.csv")
    found = page.locator("#found").inner_text()
    assert "semicolon, header, 62 rows" in found
    assert "used 60 · empty 1 · duplicate 1" in found
    page.locator("#first-rows > button").click()
    page.locator(".preview tbody tr").nth(4).wait_for()
    assert page.locator(".preview tbody tr").count() == 5
    set_number(page, "Epochs", "1.5")
    page.locator("#start-training").click()
    page.locator("#start-note [role=alert]").get_by_text("whole number").wait_for()
    assert app.services.store.list() == []
    set_number(page, "Epochs", "300")
    start(page)
    seen = wait_for_steps(page, 3)
    wait_for_steps(page, seen + 2)  # it grows by itself

    upload(page, write_csv(tmp_path / "others.csv"), name="others.csv")  # which does no harm to the run
    page.reload()
    to_train_tab(page)
    wait_for_steps(page, seen)
    assert page.evaluate(f"{POINTS}[0]") == 1  # the whole history
    assert page.evaluate(STATE) == "training"
    (run,) = app.services.store.list()
    assert run.record.data.name == "visitors.csv"

    page.locator("#stop-training").click()
    wait_for_state(page, "stopped")
    page.locator("#stop-training[disabled]").wait_for()
    page.locator("#runs").get_by_text("stopped").wait_for()

    page.get_by_role("tab", name="Fill mask").click()
    text = page.locator("#fill-text textarea")
    text.fill("I met the old [MASK] at the harbour.")
    page.locator("#fill-model input").click()
    page.get_by_role("option", name="visitors").first.click()
    page.locator("#fill-bars .bars-lane.tuned").first.wait_for(timeout=60_000)
    assert page.locator("#fill-bars .bars-word").count() == 5


def test_a_finished_run_is_reported_on_compared_and_downloaded(app, open_train_tab, tmp_path: Path) -> None:
    page = open_train_tab()
    upload(page, write_csv(tmp_path / "visitors.csv"), name="visitors.csv")
    page.locator("#ahead").get_by_text("of memory").wait_for(timeout=60_000)
    page.get_by_role("button", name="More settings").click()  # a look at them changes nothing
    page.get_by_label("Name of the run").fill("looked at")
    page.get_by_label("Name of the run").blur()
    start(page)
    wait_for_state(page, "finished")
    page.locator(".report-verdict").wait_for(timeout=60_000)
    assert "too few to say" in page.locator(".report-verdict").inner_text()  # of 6 held-out rows
    (run,) = app.services.store.list()
    with page.expect_download(timeout=60_000) as download:
        page.locator("#download-run").click()
    assert download.value.suggested_filename == f"{run.id}.zip"
    page.locator("#compare-in-fill").click()
    page.wait_for_function(f"{SELECTED_TAB} === 'Fill mask'")
    page.locator(".bars .pair").first.wait_for(timeout=60_000)
    assert page.locator("#fill-compared input").input_value().startswith("looked at")


def test_a_page_that_the_server_has_forgotten_trains_on_nothing_else(app, open_train_tab, tmp_path: Path) -> None:
    page = open_train_tab()
    upload(page, write_csv(tmp_path / "visitors.csv"), name="visitors.csv")
    app.demo.app.state_holder.session_data.clear()  # as when very many others have come meanwhile
    page.locator("#start-training").click()
    page.locator("#start-note [role=alert]").get_by_text("choose it again").wait_for(timeout=30_000)
    assert app.services.store.list() == []
    upload(page, write_csv(tmp_path / "again.csv"), name="again.csv")
    start(page)
    (run,) = app.services.store.list()
    assert (run.record.data.name, run.record.data.column) == ("again.csv", "comment")


def test_on_a_phone_nothing_hangs_over_the_edge(open_train_tab: Callable) -> None:
    page = open_train_tab(width=375, dark=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    heights = page.locator("#start-training, #stop-training, #use-sample").evaluate_all(
        "buttons => buttons.map((button) => button.getBoundingClientRect().height)"
    )
    assert min(heights) >= 44
