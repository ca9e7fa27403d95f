"""The list of runs in a real browser: chosen, renamed, drawn in one chart, deleted after a question, on a phone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from served import ServedApp, served_app

from bertdemo.charts.look import plain
from bertdemo.charts.runs import LONGEST_NAME
from bertdemo.mlm.models.masked_lm import ModelRef
from bertdemo.mlm.settings import TrainingConfig
from bertdemo.runs.record import DataSource, run_label

pytestmark = pytest.mark.browser

NAMES = ("first", "second", "a name that somebody typed because it says all about this run")
CURVES = "[...document.querySelectorAll('#overlay .legendtext')].map((name) => name.textContent).join()"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[ServedApp]:
    """Three stopped runs with a curve each and no model."""
    with served_app(tmp_path / "home") as served:
        for name in NAMES:
            data, model = DataSource("a_file_with_a_long_name_2026.csv", "/nowhere"), ModelRef("mini-bert", "/nowhere")
            run = served.services.store.create(name=name, model=model, data=data, settings=TrainingConfig())
            for step in range(1, 9):
                run.log.append(
                    {"event": "step", "step": step, "epoch": 1, "loss": 3 / step, "learning_rate": 0, "seconds": step}
                )
            run.update(state="stopped", steps_done=8)
            run.release()
        yield served


def label(app: ServedApp, name: str) -> str:
    """What the run of that name is called in every list."""
    return next(run_label(run.record) for run in app.services.store.list() if run.record.name == name)


def choose(page, shown: str) -> None:
    page.locator("#runs button").get_by_text(shown, exact=True).click()
    page.locator("#run-shown").get_by_text(shown, exact=True).wait_for()


def draw(page, shown: str) -> None:
    page.locator("#overlaid-runs input").click()
    page.get_by_role("option", name=shown).click()
    page.locator("#overlay .legendtext").get_by_text(plain(shown, most=LONGEST_NAME), exact=True).wait_for()


def test_runs_are_renamed_drawn_over_each_other_and_deleted(app: ServedApp, new_page: Callable) -> None:
    page = new_page(app.url, width=375)
    page.get_by_role("tab", name="Train").click(timeout=60_000)
    choose(page, label(app, "first"))
    page.get_by_role("button", name="Rename, publish or delete this run").click()
    page.wait_for_function("document.querySelector('#run-name input, #run-name textarea')?.value === 'first'")
    page.get_by_label("Name", exact=True).fill("better")
    page.get_by_role("button", name="Rename", exact=True).click()
    page.locator("#runs button").get_by_text("better, ").wait_for()

    page.get_by_role("button", name="Several runs in one chart").click()
    draw(page, label(app, "better"))
    draw(page, label(app, "second"))
    choose(page, label(app, "second"))
    assert page.locator("#run-note").inner_text() == ""  # what was said of the other run is gone
    page.locator("#delete-run").click()
    page.get_by_role("button", name="Delete for good").click()
    page.locator("#run-note").get_by_text("“second” is deleted").wait_for()
    page.wait_for_function(f"{CURVES} === {json.dumps(label(app, 'better'))}")
    draw(page, label(app, NAMES[2]))
    assert page.locator(".toast-body").count() == 0
    assert sorted(run.record.name for run in app.services.store.list()) == sorted(("better", NAMES[2]))
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    hangs_over = "cells => cells.filter((cell) => cell.scrollWidth > cell.clientWidth).length"
    assert page.locator("#runs td, #runs th").evaluate_all(hangs_over) == 0


@pytest.mark.parametrize("width", [1100, 1440])
def test_the_table_fits_and_breaks_no_word(app: ServedApp, new_page: Callable, width: int) -> None:
    page = new_page(app.url, width=width)
    page.get_by_role("tab", name="Train").click(timeout=60_000)
    page.locator("#runs tbody tr").first.wait_for()
    fits = "table => table.getBoundingClientRect().right <= table.parentElement.getBoundingClientRect().right + 1"
    assert page.locator("#runs table").evaluate(fits)
    heights = page.locator("#runs button").evaluate_all("names => names.map((name) => name.offsetHeight)")
    assert min(heights[1:]) < 30  # "second" and "first" stand on one line each
