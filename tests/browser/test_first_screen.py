"""What a class sees first: the answer under the text, Start without scrolling, large type that stays, tours that leave
everything as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from served import ServedApp, served_app

pytestmark = pytest.mark.browser

LARGE = "document.body.classList.contains('projector')"
BOTTOM = "selector => document.querySelector(selector).getBoundingClientRect().bottom + scrollY"
COVERED = """() => {
  const card = document.querySelector('.tour-card').getBoundingClientRect();
  const at = document.querySelector('[data-tour-framed]').getBoundingClientRect();
  return !(card.left > at.right || card.right < at.left || card.top > at.bottom || card.bottom < at.top);
}"""


@pytest.fixture
def app(tmp_path: Path) -> Iterator[ServedApp]:
    with served_app(tmp_path / "home") as served:
        yield served


def test_the_answer_and_start_stand_where_they_are_seen(app: ServedApp, new_page: Callable) -> None:
    phone = new_page(app.url, width=375, height=800)
    phone.wait_for_selector("#fill-bars .bars-word")
    assert "mini-bert, a very small BERT" in phone.locator(".page-title").first.inner_text()
    assert phone.evaluate(BOTTOM, "#fill-bars") < 800
    assert phone.evaluate("document.documentElement.scrollWidth") <= 375
    desk = new_page(app.url, width=1440, height=900)
    desk.get_by_role("tab", name="Train").click()
    desk.wait_for_selector(".live-plot.js-plotly-plot")
    assert desk.evaluate(BOTTOM, "#start-training") <= 900


def test_large_type_survives_a_reload_and_goes_along_in_a_link(app: ServedApp, new_page: Callable) -> None:
    page = new_page(f"{app.url}?large=1", width=1440)
    page.wait_for_selector("#fill-bars .bars-word")
    assert page.evaluate(LARGE)
    tab = page.get_by_role("tab", name="Train")
    assert tab.evaluate("node => parseFloat(getComputedStyle(node).fontSize)") >= 20
    page.goto(app.url)
    page.wait_for_selector("#fill-bars .bars-word")
    assert page.evaluate(LARGE)
    page.get_by_role("button", name="Large type").click()
    assert not page.evaluate(LARGE)
    page.reload()
    page.wait_for_selector("#fill-bars .bars-word")
    assert not page.evaluate(LARGE)
    assert "large" not in page.url


def test_a_tour_puts_the_sentence_back_and_returns(app: ServedApp, new_page: Callable) -> None:
    page = new_page(app.url, width=1440)
    page.wait_for_selector("#fill-bars .bars-word")
    box = page.locator("#fill-text textarea")
    box.fill("My own [MASK] sentence.")
    page.get_by_role("tab", name="Learn").click()
    page.click("#open-tours")
    page.wait_for_selector(".tour-guide[data-ready]")
    page.click(".tour-start[data-tour='mask']")
    for _ in range(4):
        page.wait_for_selector("[data-tour-framed]")
        page.wait_for_timeout(1500)
        assert not page.evaluate(COVERED)
        page.click(".tour-next")
    page.wait_for_function("document.querySelector('#fill-text textarea').value === 'My own [MASK] sentence.'")
    page.wait_for_selector("#lesson-tours.open")
    assert page.locator("[role=tab][aria-selected=true]").inner_text() == "Learn"
