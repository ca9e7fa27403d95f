"""What the page says a run has changed, from reports made by hand and runs that are written, not trained."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest

from bertdemo.mlm.analysis.between import BlendPoint
from bertdemo.mlm.models.masked_lm import ModelRef
from bertdemo.mlm.settings import TrainingConfig
from bertdemo.mlm.training.report import Baseline, BeforeAfter, Interval, Quality, RowReport, RowToken, TargetWord
from bertdemo.runs.manager import RunManager
from bertdemo.runs.record import DataSource, Figures
from bertdemo.runs.report_file import RunReport
from bertdemo.runs.run import Run
from bertdemo.runs.store import RunStore
from bertdemo.ui.services import Services, model_choices
from bertdemo.ui.train.report_html import report_html
from bertdemo.ui.train.run_actions import compare_in_fill
from bertdemo.ui.train.run_view import BEST, LAST, Report, build_report, complete_report, new_reporter, show_report

HOSTILE = "<img src=x onerror=alert(1)>"
BEFORE, AFTER = Quality(3.0, 20.09, 0.3812, 0.6, 579, 463), Quality(2.5, 12.18, 0.4456, 0.7, 579, 463)
CHANGE = BeforeAfter(44, BEFORE, AFTER, Interval(-0.6, -0.4), Interval(0.03, 0.1))
ROW = RowReport(
    (RowToken("the", space=False), RowToken(HOSTILE, True, TargetWord(HOSTILE, 0.1, 0.2, 3, True))),
    True,
    1,
    2.3,
    1.6,
)
REPORT = RunReport(
    *(0, 78, "Its first guess was right for 38%; now 45%.", (f"It forgot {HOSTILE}",)),
    held_out=CHANGE,
    general=CHANGE,
    best=BEFORE,
    best_step=52,
    baseline=Baseline(5, Quality(6.5, 665.0, 0.054, 0.2, 579, 463)),
    frequent_token=HOSTILE,
    best_rows=(ROW,),
    worst_rows=(ROW,),
    blends=(BlendPoint(0.0, 3.0, 3.1), BlendPoint(0.5, 2.6, 3.2), BlendPoint(1.0, 2.5, 3.4)),
    between=f"At 0.5 it keeps 80% {HOSTILE}.",
)


@pytest.fixture
def services(tmp_path: Path) -> Services:
    store = RunStore(tmp_path / "home")
    registry = SimpleNamespace()  # nothing is loaded here
    return Services(registry, RunManager(store, registry), store, tmp_path / "home", tmp_path / "sample.csv")


@pytest.fixture
def run(services: Services) -> Run:
    """Finished at step 78, with its best epoch at step 52."""
    made = services.store.create(
        name="reviews",
        model=ModelRef("mini-bert", "/nowhere"),
        data=DataSource("reviews.csv", "/nowhere"),
        settings=TrainingConfig(),
    )
    for folder in (made.model_folder, made.best_model_folder):
        folder.mkdir()
    made.held_out_path.write_text("")
    figures = [{"step": step, "loss": loss, "top1": 0.3} for step, loss in ((0, 3.0), (52, 2.4), (78, 2.5))]
    made.update(state="finished", steps_done=78, figures=Figures(figures[0], figures[2], figures[1]))
    made.release()
    return made


def test_the_line_comes_first_and_the_numbers_behind_it() -> None:
    html = report_html(REPORT, base="mini-bert", tuned="reviews")
    assert html.index("now 45%") < html.index("<summary>Numbers")
    for words in ("38.1%", "44.6%", "20.1", "−0.500 [−0.600, −0.400]", "+6.4 [+3.0, +10.0]", "best epoch (step 52)"):
        assert words in html
    assert "At 0.5 it keeps 80% &lt;img" in html
    assert html.count("<circle") == 6  # three blends, on held-out rows and on general English


def test_every_text_is_escaped() -> None:
    assert "<img" not in report_html(REPORT, base=HOSTILE, tuned=HOSTILE)


def test_few_targets_draw_no_bars() -> None:
    short = dataclasses.replace(AFTER, targets=29)
    for change in (dataclasses.replace(CHANGE, after=short), dataclasses.replace(CHANGE, rows=19)):
        few = dataclasses.replace(REPORT, held_out=change, general=None)
        assert "bars-track" not in report_html(few, base="a", tuned="b")


def test_what_is_unknown_is_a_dash() -> None:
    nothing = Quality(None, None, None, None, 0, 0)
    unknown = BeforeAfter(0, nothing, nothing, Interval(None, None), Interval(None, None))
    html = report_html(
        dataclasses.replace(REPORT, held_out=unknown, general=None, best=None, baseline=None, best_rows=()),
        base="a",
        tuned="b",
    )
    assert "– [–, –]" in html
    assert "too few rows" in html


@pytest.fixture
def view() -> Report:
    with gr.Blocks():
        return build_report()


def test_before_a_run_has_ended_there_is_nothing_to_compare(services: Services, view: Report, run: Run) -> None:
    assert "When a run has ended" in show_report(view, None)[view.html]
    run.claim()
    run.update(state="training")
    assert not show_report(view, run)[view.compare].visible
    run.release()


def test_an_ended_run_is_announced_and_then_computed_or_explained(services: Services, view: Report, run: Run) -> None:
    assert "Comparing" in show_report(view, run)[view.html]
    run.held_out_path.write_text("{damaged\n")
    broken = dataclasses.replace(services, registry=SimpleNamespace(shared=lambda ref: None))
    shown = complete_report(broken, new_reporter(broken), view, run_id=run.id)
    assert "held-out rows cannot be read" in shown[view.html]


def test_both_sets_of_weights_can_be_chosen(services: Services, view: Report, run: Run) -> None:
    assert show_report(view, run)[view.weights].visible
    assert compare_in_fill(services, run_id=run.id, weights=LAST)[:2] == ("mini-bert", run.id)
    base, best, _ = compare_in_fill(services, run_id=run.id, weights=BEST)
    assert (base, best) == ("mini-bert", f"{run.id}@best")
    assert services.store.find_model(best) == run.best_model_folder.resolve()
    assert services.store.find_model(run.id) == run.model_folder.resolve()
    assert [reference for _, reference in model_choices(services)][:3] == ["mini-bert", run.id, f"{run.id}@best"]


def test_the_best_epoch_is_offered_only_where_it_is_another_one(services: Services, view: Report, run: Run) -> None:
    run.update(figures=dataclasses.replace(run.record.figures, best=run.record.figures.after))
    assert f"{run.id}@best" not in [reference for _, reference in model_choices(services)]
    assert not show_report(view, run)[view.weights].visible
