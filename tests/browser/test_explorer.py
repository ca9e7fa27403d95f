"""The explorer in a real browser: the strip by mouse, touch and keyboard; links; every view on a phone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import gradio as gr
import pytest
from explorer_services import explorer_services

from bertdemo.ui.fill.tab import build_fill_mask_tab
from bertdemo.ui.inside.look_inside import VIEWS

pytestmark = pytest.mark.browser

TEXT = "The dog barked."
HOSTILE = "<img src=x onerror=alert(1)> ${alert(2)} {{value}}"
PIECES = "[...document.querySelectorAll('.strip-piece bdi')].map((node) => node.textContent).join(' ')"
SAID = "document.querySelector('.strip-said').innerText"


@pytest.fixture
def explorer(serve: Callable, new_page: Callable, tmp_path: Path, tiny_bert_folder: Path) -> Callable:
    """``explorer(text, **look)``: a page of the fill tab, with this text read; a second call opens the same address."""
    services = explorer_services(tmp_path, model=tiny_bert_folder)
    with gr.Blocks() as blocks:
        build_fill_mask_tab(blocks, services)
    url = serve(blocks)

    def open_page(text: str = "", **look):
        page = new_page(url, **look)
        page.wait_for_selector(".strip-piece", timeout=60_000)
        if text:
            type_text(page, text)
        return page

    return open_page


def type_text(page, text: str) -> None:
    before = page.evaluate(PIECES)
    page.fill("#fill-text textarea", text)
    page.wait_for_function(f"{PIECES} !== {json.dumps(before)}")


def wait_for_pieces(page, pieces: str) -> None:
    page.wait_for_function(f"{PIECES} === {json.dumps(pieces)}", timeout=20_000)


def test_words_are_hidden_and_restored_by_mouse_and_typing_resets_them(explorer) -> None:
    page = explorer(TEXT)
    wait_for_pieces(page, "the dog bark ##ed .")
    page.locator(".strip-piece", has_text="bark").click()
    wait_for_pieces(page, "the dog [MASK] ##ed .")
    page.wait_for_function(f"{SAID}.includes('your word “bark”') && {SAID}.includes('rank')")
    page.wait_for_selector(".candidate-bars .bars-word")
    page.locator(".strip-piece", has_text="##ed").click(modifiers=["Shift"])
    wait_for_pieces(page, "the dog [MASK] [MASK] .")
    page.get_by_role("button", name="put all back").click()
    wait_for_pieces(page, "the dog bark ##ed .")
    page.get_by_role("button", name="whole words: off").click()
    page.locator(".strip-piece", has_text="bark").click()
    wait_for_pieces(page, "the dog [MASK] [MASK] .")
    type_text(page, "the cat barked .")
    wait_for_pieces(page, "the cat bark ##ed .")


def test_quick_taps_are_never_lost(explorer) -> None:
    page = explorer(TEXT)
    wait_for_pieces(page, "the dog bark ##ed .")
    for place in (0, 1, 4, 1):
        page.locator(".strip-piece").nth(place).click()
    page.wait_for_function(f"{SAID}.split('\\n').length === 2")
    page.wait_for_timeout(500)
    assert page.evaluate(PIECES) == "[MASK] dog bark ##ed [MASK]"


def test_the_strip_is_usable_by_keyboard_alone(explorer) -> None:
    page = explorer(TEXT)
    wait_for_pieces(page, "the dog bark ##ed .")
    page.locator(".strip-piece").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert "id " in page.inner_text(".strip-info")
    page.keyboard.press("Enter")
    wait_for_pieces(page, "the dog [MASK] ##ed .")
    page.wait_for_function(f"{SAID}.includes('bark')")
    focused = page.evaluate("[document.activeElement.dataset.place, document.activeElement.ariaPressed]")
    assert focused == ["3", "true"]
    page.keyboard.press("Enter")
    wait_for_pieces(page, "the dog bark ##ed .")
    page.keyboard.press("Shift+Enter")
    wait_for_pieces(page, "the dog [MASK] [MASK] .")
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.dataset.place") == "5"
    assert page.locator(".strip-piece[tabindex='0']").count() == 1


def test_a_long_press_hides_the_whole_word(explorer) -> None:
    page = explorer(TEXT, width=375)
    wait_for_pieces(page, "the dog bark ##ed .")
    piece = page.locator(".strip-piece", has_text="bark")
    piece.dispatch_event("pointerdown", {"pointerType": "touch", "bubbles": True, "clientX": 50, "clientY": 50})
    piece.dispatch_event("pointermove", {"pointerType": "touch", "bubbles": True, "clientX": 58, "clientY": 56})
    wait_for_pieces(page, "the dog [MASK] [MASK] .")
    page.locator(".strip-piece").nth(2).dispatch_event("click")
    page.wait_for_timeout(300)
    assert page.evaluate(PIECES) == "the dog [MASK] [MASK] ."


def test_a_copied_link_brings_back_what_was_hidden(explorer, new_page) -> None:
    page = explorer(TEXT)
    wait_for_pieces(page, "the dog bark ##ed .")
    page.locator(".strip-piece", has_text="bark").click()
    page.wait_for_function(f"{SAID}.includes('bark')")
    page.get_by_role("radio", name="Why this word?").check(force=True)
    page.get_by_role("button", name="Share and save").click()
    page.locator("#copy-link").click()
    page.wait_for_function("location.search.includes('hidden=')")
    opened = page.context.new_page()
    opened.goto(page.url)
    opened.wait_for_selector(".strip-piece", timeout=60_000)
    wait_for_pieces(opened, "the dog [MASK] ##ed .")
    opened.wait_for_function(f"{SAID}.includes('your word “bark”')")
    opened.wait_for_selector("#why-word")
    assert opened.input_value("#fill-text textarea") == TEXT


def test_predictions_are_saved_as_files(explorer) -> None:
    page = explorer("you [MASK] the show .")
    page.get_by_role("button", name="Share and save").click()
    with page.expect_download() as saved:
        page.locator("#save-json").click()
    record = json.loads(Path(saved.value.path()).read_text(encoding="utf-8"))
    assert len(record["masks"][0]["candidates"]) == 5
    with page.expect_download() as saved:
        page.locator("#save-csv").click()
    assert saved.value.suggested_filename == "predictions.csv"


def test_the_predictions_are_saved_as_a_picture(explorer) -> None:
    page = explorer("you [MASK] the show and [MASK] .")
    page.get_by_role("button", name="Share and save").click()
    with page.expect_download() as saved:
        page.locator("#save-png").click()
    assert saved.value.suggested_filename == "predictions.png"
    assert Path(saved.value.path()).read_bytes().startswith(b"\x89PNG")


def test_a_figure_is_drawn_anew_in_its_place_and_saved(explorer) -> None:
    page = explorer("you [MASK] the show .")
    page.get_by_role("radio", name="Why this word?").check(force=True)
    page.wait_for_selector(".figure-plot .bars path", timeout=30_000)
    page.evaluate("window.kept = document.querySelector('.figure-plot svg')")
    page.fill("#why-word :is(input, textarea)", "barked")
    page.wait_for_function("document.querySelector('.look-panel').innerText.includes('bark ##ed: 2 pieces')")
    page.wait_for_function("document.querySelector('.figure-plot').ariaLabel.includes('“barked”')")
    page.wait_for_selector(".figure-plot .bars path")
    assert page.evaluate("kept.isConnected && document.querySelector('.figure-plot svg') === kept")
    with page.expect_download() as saved:
        page.locator(".figure-save").locator("visible=true").click()
    assert Path(saved.value.path()).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("width", "dark"), [(375, True), (1440, False)])
def test_every_view_opens_with_a_hostile_text_and_fits(explorer, width: int, dark: bool) -> None:
    page = explorer(f"{HOSTILE} [MASK] the old [MASK] {HOSTILE}.", width=width, dark=dark)
    for view in VIEWS:
        page.get_by_role("radio", name=view.name, exact=True).check(force=True)
        page.wait_for_function(
            "(line) => [...document.querySelectorAll('.look-panel')]"
            ".some((panel) => panel.offsetParent && panel.innerText.includes(line))",
            arg=view.line,
            timeout=30_000,
        )
        assert page.locator(".look-panel:visible").count() == 1
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view.name
    assert page.locator("img[src='x']").count() == 0
    page.get_by_role("button", name="Close").locator("visible=true").click()
    page.wait_for_function("![...document.querySelectorAll('.look-panel')].some((panel) => panel.offsetParent)")


def test_a_figure_takes_the_colours_of_the_page_and_a_long_text_shows_its_blank(explorer) -> None:
    page = explorer(f"{'the old house and ' * 60} you [MASK] the show .", width=375)
    page.wait_for_function(
        "(() => { const all = document.querySelector('.strip-pieces').getBoundingClientRect();"
        " const blank = document.querySelector('.strip-mask').getBoundingClientRect();"
        " return blank.top >= all.top && blank.bottom <= all.bottom; })()"
    )
    type_text(page, "you [MASK] the show .")
    page.get_by_role("radio", name="Why this word?").check(force=True)
    page.wait_for_selector(".figure-plot .bars path", timeout=30_000)
    ink = "getComputedStyle(document.querySelector('.figure-plot .ytick text')).fill"
    light = page.evaluate(ink)
    page.evaluate("document.body.classList.add('dark')")
    page.wait_for_function(f"{ink} !== {json.dumps(light)}")


def test_an_empty_text_has_no_bars_and_one_pause_asks_once(explorer) -> None:
    page = explorer("you [MASK] the show .")
    page.wait_for_selector("#fill-bars .bars li")
    asked = []
    page.on("request", lambda request: asked.append(request.url) if "queue/join" in request.url else None)
    before = page.evaluate(PIECES)
    page.evaluate(
        """async () => {
          const box = document.querySelector('#fill-text textarea');
          for (const key of ' old house') {
            box.value += key;
            box.dispatchEvent(new Event('input', { bubbles: true }));
            await new Promise((resolve) => setTimeout(resolve, 20));
          }
        }"""
    )
    page.wait_for_function(f"{PIECES} !== {json.dumps(before)} && {PIECES}.endsWith('house')")
    page.wait_for_timeout(500)
    assert 1 <= len(asked) <= 3  # of ten keys
    page.fill("#fill-text textarea", "")
    page.wait_for_function("!document.querySelector('#fill-bars .bars') && !document.querySelector('.strip-piece')")
