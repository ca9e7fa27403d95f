"""The live chart in a real browser, following a run that the test writes by hand into a real store."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from bertdemo.mlm.models.masked_lm import ModelRef
from bertdemo.mlm.settings import TrainingConfig
from bertdemo.runs.manager import RunManager
from bertdemo.runs.record import DataSource
from bertdemo.runs.run import Run
from bertdemo.runs.store import RunStore
from bertdemo.ui.theme import TOGGLE_DARK_JS
from bertdemo.ui.train.live_chart import live_chart

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=alert(1)> ${alert(2)} {{value}}"
# What the figure holds, read from Plotly's own node.
POINTS = "document.querySelector('.live-plot')?.data?.[0].x"
RANGE = "document.querySelector('.live-plot')._fullLayout.xaxis.range"
NODES = "document.querySelectorAll('*').length"
ASK_NOW = "document.dispatchEvent(new Event('visibilitychange'))"


class WrittenRun:
    """A run that the test writes: steps, evaluations and probes as training would log them."""

    def __init__(self, run: Run, *, steps: int) -> None:
        self.run, self.steps, self.done = run, steps, 0
        run.update(state="training", steps=steps)

    def train(self, count: int) -> None:
        for step in range(self.done + 1, self.done + count + 1):
            self.log("step", step=step, epoch=1, loss=2 + math.exp(-step / 50), learning_rate=5e-5, seconds=step / 4.0)
        self.done += count

    def evaluate(self, loss: float) -> None:
        self.log("evaluated", step=self.done, loss=loss)

    def probe(self, word: str, share: float) -> None:
        top = [{"token": word, "probability": share}, {"token": "plain", "probability": 0.01}]
        self.log("probe", step=self.done, probes=[{"text": HOSTILE, "masks": [{"candidates": top, "watched": []}]}])

    def log(self, event: str, **values: Any) -> None:
        self.run.log.append({"event": event, **values})


@pytest.fixture
def manager(tmp_path: Path) -> RunManager:
    return RunManager(RunStore(tmp_path), registry=SimpleNamespace())  # nothing is trained here


@pytest.fixture
def write_run(manager: RunManager) -> Iterator[Callable[..., WrittenRun]]:
    runs: list[Run] = []

    def create(*, steps: int = 190) -> WrittenRun:
        model, data = ModelRef("mini-bert", "mini-bert"), DataSource("reviews.csv", "/nowhere")
        runs.append(manager.store.create(name="run", model=model, data=data, settings=TrainingConfig(epochs=3)))
        return WrittenRun(runs[-1], steps=steps)

    yield create
    for run in runs:
        run.release()


@pytest.fixture
def open_chart(manager: RunManager, serve: Callable, new_page: Callable) -> Callable:
    """``open_chart(run, other="")``: a page with the chart of a run, and a button that makes it follow another."""

    def open_page(written: WrittenRun, *, other: str = "", **look: Any):
        with gr.Blocks() as blocks:
            chart = live_chart(run_id=written.run.id)
            gr.Button("other run").click(lambda: other, None, chart, show_progress="hidden")
            gr.Button("dark").click(None, js=TOGGLE_DARK_JS)
            seen = gr.Textbox(label="seen", elem_id="seen")
            chart.state_changed(_seen, None, seen, show_progress="hidden")
        page = new_page(serve(blocks, manager), **look)
        page.wait_for_selector(".live-plot.js-plotly-plot", timeout=60_000)
        return page

    return open_page


def _seen(event: gr.EventData) -> str:
    return f"{event.run_id} {event.state}"


def wait_for_points(page, count: int) -> None:
    page.wait_for_function(f"{POINTS}?.length === {count}", timeout=20_000)


def zoom_in(page) -> list[float]:
    """Drags over the middle of the plot, as a reader would; returns the range of steps then shown."""
    box = page.locator(".live-plot .nsewdrag").first.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.3 * box["width"], middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], middle, steps=5)
    page.mouse.up()
    page.wait_for_function(f"{RANGE}[0] > 10", timeout=10_000)
    return page.evaluate(RANGE)


def test_the_curve_grows_in_place_and_keeps_the_readers_zoom(write_run, open_chart) -> None:
    written = write_run()
    written.train(60)
    written.evaluate(2.9)
    page = open_chart(written)
    wait_for_points(page, 60)
    page.evaluate("window.plotNode = document.querySelector('.live-plot')")
    zoomed = zoom_in(page)
    for _ in range(5):  # steps alone are appended; an evaluation draws anew; neither may lose the zoom
        written.train(3)
        wait_for_points(page, written.done)
    written.evaluate(2.5)
    page.wait_for_function("document.querySelector('.live-plot').data[2].x.length === 2")
    assert page.evaluate(RANGE) == zoomed
    assert page.evaluate("window.plotNode === document.querySelector('.live-plot')")
    assert page.evaluate(POINTS) == list(range(1, 76))
    page.get_by_role("button", name="whole run").click()
    page.wait_for_function(f"{RANGE}[0] <= 0 && {RANGE}[1] >= 190")


def test_where_a_run_ended_early_is_marked_and_why_is_said(write_run, open_chart) -> None:
    written = write_run()
    written.train(40)
    page = open_chart(written)
    wait_for_points(page, 40)
    reason = "The held-out loss was no better for 2 epochs, so the run ended after epoch 3."
    written.log("ended_early", step=40, epoch=3, best_step=20, best_epoch=1, reason=reason)
    written.run.update(state="finished", steps_done=40)
    page.evaluate(ASK_NOW)
    page.wait_for_function("document.querySelector('.live-plot')._fullLayout.shapes.length === 1", timeout=20_000)
    assert page.evaluate("document.querySelector('.live-plot')._fullLayout.shapes[0].x0") == 40
    assert page.get_by_text("ended early", exact=True).is_visible()
    assert reason in page.inner_text(".live-caption")
    page.reload()
    page.wait_for_function("document.querySelector('.live-plot')?._fullLayout?.shapes.length === 1", timeout=60_000)


def test_a_page_that_is_fed_for_long_does_not_grow(write_run, open_chart) -> None:
    written = write_run(steps=5000)
    written.train(10)
    page = open_chart(written)
    wait_for_points(page, 10)
    before = page.evaluate(NODES)
    for _ in range(40):
        written.train(1)
        page.evaluate(ASK_NOW)
        wait_for_points(page, written.done)
    assert page.evaluate(NODES) <= before + 15  # tick labels come and go
    written.train(4990 - written.done)
    page.evaluate(ASK_NOW)
    page.wait_for_function(f"{POINTS}.at(-1) === 4990", timeout=20_000)
    assert page.evaluate(f"{POINTS}.length") <= 4000


def test_the_browser_thins_old_points_of_a_very_long_run(write_run, open_chart) -> None:
    page = open_chart(write_run())
    script = Path(live_chart.__code__.co_filename).with_name("live_chart.js").read_text(encoding="utf-8")
    script = script[: script.index("// --- the Plotly figure")]  # the part that knows the points
    result = page.evaluate(
        f"""() => {{ {script}
        const curve = new LossCurve();
        curve.clear(200000);
        let most = 0;
        for (let step = 1; step <= 200000; step += 1) {{
          curve.add([step], [step <= 100000 ? 4 : 2]);
          curve.thin();
          most = Math.max(most, curve.steps.length);
        }}
        const rises = curve.steps.every((step, place) => !place || step > curve.steps[place - 1]);
        const tail = curve.steps.slice(-500).every((s, i, a) => !i || s === a[i - 1] + 1);
        return {{ most, rises, tail, last: curve.last,
                  first: curve.loss[0], end: curve.smooth.at(-1), old: curve.steps.filter((s) => s <= 100000).length }};
        }}"""
    )
    assert result["most"] <= 4001
    assert result["rises"]
    assert result["tail"]
    assert result["old"] > 500
    assert (result["last"], result["first"], round(result["end"], 3)) == (200000, 4, 2)


def test_a_reload_and_a_second_tab_show_the_whole_history(write_run, open_chart) -> None:
    written = write_run()
    written.train(40)
    page = open_chart(written)
    wait_for_points(page, 40)
    written.train(20)
    page.reload()
    wait_for_points(page, 60)
    second = page.context.new_page()
    second.goto(page.url)
    wait_for_points(second, 60)
    assert "Step 60: training loss" in second.inner_text(".live-caption")


def test_another_run_starts_from_nothing(write_run, open_chart) -> None:
    first, second = write_run(), write_run()
    first.train(50)
    second.train(7)
    page = open_chart(first, other=second.run.id)
    wait_for_points(page, 50)
    page.get_by_role("button", name="other run").click()
    wait_for_points(page, 7)
    page.wait_for_function(
        f"document.querySelector('#seen textarea, #seen input').value === '{second.run.id} training'"
    )


def test_with_no_run_chosen_the_newest_is_followed(write_run, manager, serve, new_page) -> None:
    with gr.Blocks() as blocks:
        chart = live_chart()
        gr.Button("which").click(lambda run_id: run_id, chart, gr.Textbox(elem_id="seen"))
    page = new_page(serve(blocks, manager))
    page.wait_for_selector(".live[data-state='idle']", timeout=60_000)
    written = write_run()
    written.train(5)
    page.evaluate(ASK_NOW)
    wait_for_points(page, 5)
    page.get_by_role("button", name="which").click()
    page.wait_for_function(f"document.querySelector('#seen textarea, #seen input').value === '{written.run.id}'")


def test_every_state_is_told_in_words_and_announced(write_run, open_chart) -> None:
    written = write_run()
    page = open_chart(written)
    written.train(118)
    page.wait_for_function("document.querySelector('.live-words').textContent.includes('step 118 of 190')")
    assert page.inner_text(".live-words").startswith("epoch 1 of 3 · step 118 of 190 · 4.0 steps/s · ")
    written.run.update(state="failed", error="The loss is not a number at step 118; try a lower learning rate.")
    page.wait_for_selector(".live[data-state='failed']")
    assert "try a lower learning rate" in page.inner_text(".live-words")
    assert page.inner_text(".live-state-name") == "Failed"
    assert "Failed." in page.locator("[aria-live=polite].live-spoken").text_content()
    page.wait_for_function(f"document.querySelector('#seen textarea, #seen input').value === '{written.run.id} failed'")


def test_words_of_the_reader_stay_text(write_run, open_chart) -> None:
    written = write_run()
    written.log("warning", message=HOSTILE)
    written.probe("<b>love</b>", 0.2)
    written.train(5)
    written.probe("<b>love</b>", 0.4)
    page = open_chart(written)
    page.wait_for_selector(".live-ladder")
    assert page.inner_text(".live-sentence h4") == HOSTILE
    assert page.inner_text(".live-warnings li") == HOSTILE
    assert page.locator(".live-ladder li").first.inner_text().split() == ["<b>love</b>", "40.0%"]
    assert page.locator(".live img").count() == 0
    assert page.evaluate("document.querySelector('.live-plot').data[4].y") == [0.2, 0.4]


def test_a_lost_server_is_said_and_what_was_missed_is_caught_up(write_run, open_chart) -> None:
    written = write_run()
    written.train(10)
    page = open_chart(written)
    wait_for_points(page, 10)
    page.route("**/live/**", lambda route: route.abort())
    page.wait_for_selector(".live[data-state='offline']", timeout=20_000)
    written.train(30)
    page.unroute("**/live/**")
    page.wait_for_selector(".live[data-state='training']", timeout=20_000)
    wait_for_points(page, 40)


def test_a_hidden_page_asks_nothing_and_catches_up_when_it_is_seen_again(write_run, open_chart) -> None:
    written = write_run()
    written.train(10)
    page = open_chart(written)
    wait_for_points(page, 10)
    asked = []
    page.evaluate(
        "Object.defineProperty(document, 'hidden', { get: () => window.away, configurable: true }); away = true"
    )
    page.wait_for_timeout(1000)
    page.on("request", lambda request: "/live/" in request.url and asked.append(request.url))
    written.train(10)
    page.wait_for_timeout(2000)
    assert asked == []
    page.evaluate(f"away = false; {ASK_NOW}")
    wait_for_points(page, 20)


def test_dark_mode_and_log_scale_restyle_the_same_figure(write_run, open_chart) -> None:
    written = write_run()
    written.train(20)
    page = open_chart(written)
    wait_for_points(page, 20)
    colour = "document.querySelector('.live-plot').data[1].line.color"
    light = page.evaluate(colour)
    page.get_by_role("button", name="dark").click()
    page.wait_for_function(f"{colour} !== '{light}'")
    page.get_by_role("button", name="log", exact=True).click()
    page.wait_for_function("document.querySelector('.live-plot')._fullLayout.yaxis.type === 'log'")
    assert page.get_by_role("button", name="log", exact=True).get_attribute("aria-pressed") == "true"
    assert page.locator(".js-plotly-plot").count() == 1


def test_a_phone_sees_one_column_without_sideways_scrolling(write_run, open_chart) -> None:
    written = write_run()
    written.probe("love", 0.2)
    written.train(20)
    page = open_chart(written, width=375, height=800)
    page.wait_for_selector(".live-ladder")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for button in page.locator(".live button").all():
        assert button.bounding_box()["height"] >= 44


def test_a_fault_in_drawing_is_called_one_and_the_words_go_on(write_run, open_chart) -> None:
    """ "No connection" is said only where there is none."""
    written = write_run()
    written.train(20)
    page = open_chart(written)
    wait_for_points(page, 20)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.evaluate("() => { Plotly.react = Plotly.extendTraces = () => { throw new Error('the canvas is gone'); }; }")
    written.train(5)
    written.evaluate(2.5)
    page.evaluate(ASK_NOW)
    page.get_by_text("The chart could not be drawn (the canvas is gone)").wait_for(timeout=20_000)
    page.wait_for_function("document.querySelector('.live-caption').textContent.includes('Step 25')")
    assert page.locator(".live").get_attribute("data-state") == "training"
    assert any("could not be drawn" in text and "the canvas is gone" in text for text in said)
