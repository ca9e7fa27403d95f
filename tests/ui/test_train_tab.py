"""The Train tab's handlers over a real store and manager; the runs wait at a gate, for nothing is trained here."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from bertdemo.mlm.errors import BertDemoError, ModelError, SettingsError
from bertdemo.mlm.models.loading import bundled_assets, load_masked_lm
from bertdemo.mlm.models.masked_lm import MaskedLM, ModelRef
from bertdemo.mlm.settings import NOTEBOOK, TrainingConfig
from bertdemo.mlm.training.estimate import Estimate
from bertdemo.runs.manager import RunManager
from bertdemo.runs.people import Access
from bertdemo.runs.record import RunRequest
from bertdemo.runs.store import RunStore
from bertdemo.ui.api import Endpoints
from bertdemo.ui.services import Services, asked_by
from bertdemo.ui.train.data_panel import (
    AS_DETECTED,
    ChosenFile,
    DataPanel,
    build_data_panel,
    describe,
    name_on_page,
    show_again,
    show_new,
)
from bertdemo.ui.train.estimate import EstimateView, build_estimate, show_estimate
from bertdemo.ui.train.form import Fields, build_form, notebook_preset, run_request, usual_preset
from bertdemo.ui.train.live_chart import live_chart
from bertdemo.ui.train.run_actions import start, stop
from bertdemo.ui.train.run_view import RunView, Watch, build_report, build_runs, list_runs, show_run
from bertdemo.ui.train.runs_table import runs_html
from bertdemo.ui.train.tab import who_can_see

HOSTILE = "<img src=x onerror=alert(1)>"
DETECTED = dict.fromkeys(("encoding", "delimiter", "header"), AS_DETECTED)


class NamedModels:
    """Knows the bundled model by name and nothing else."""

    def resolve(self, reference: str, *, allow_folders: bool = True, run_lookup: object = None) -> ModelRef:
        if reference == "someone/large-bert":
            return ModelRef(reference, reference)
        if reference != "mini-bert":
            raise ModelError(f"There is no model {reference!r}.")
        return ModelRef("mini-bert", "/nowhere/mini-bert")

    def shared(self, ref: ModelRef) -> MaskedLM:
        return bundled_model()


@cache
def bundled_model() -> MaskedLM:
    return load_masked_lm(ModelRef("mini-bert", str(bundled_assets() / "mini-bert")))


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    path = tmp_path / "reviews.csv"
    rows = [f'{number},"Well, this is show number {number} and I like it a lot."' for number in range(20)]
    path.write_text("stars,review\n" + "\n".join(rows) + "\n")
    return path


@pytest.fixture
def make_services(tmp_path: Path, sample: Path) -> Iterator[Callable[..., Services]]:
    gate, made = threading.Event(), []

    def wait_and_fail(_run: object, _do: object) -> Any:
        gate.wait(20)
        raise BertDemoError("The test is over.")

    def make(*, owned: bool = False) -> Services:
        registry, store = NamedModels(), RunStore(tmp_path / "home")
        access = Access(owned=owned)
        manager = RunManager(store, registry, access=access, make_session=wait_and_fail)
        made.append(manager)
        return Services(registry, manager, store, tmp_path / "home", sample, access=access)

    yield make
    gate.set()
    for manager in made:
        assert manager.shutdown(20)


@pytest.fixture
def services(make_services: Callable[..., Services]) -> Services:
    return make_services()


@dataclass(frozen=True)
class Page:
    """The parts of the tab that handlers fill."""

    data: DataPanel
    fields: Fields
    watch: Watch
    runs: RunView
    estimate: EstimateView


@pytest.fixture
def page(services: Services) -> Page:
    with gr.Blocks():
        data = build_data_panel(services)
        watch = Watch(gr.Button(), gr.Button(), gr.HTML(), live_chart(), gr.State(""))
        runs = build_runs(watch, build_report())
        return Page(data, build_form(services), watch, runs, build_estimate(data.too_long))


@dataclass(frozen=True)
class Answer:
    note: str
    chart: str = ""


def press_start(
    services: Services,
    page: Page,
    path: Path | None,
    *,
    owner: str = "me",
    file: str = "",
    column: str | None = "review",
    **typed: Any,
) -> Answer:
    chosen = {"path": path and str(path), "file": file, "column": column, **DETECTED}
    form = {name: field.value for name, field in page.fields.items()} | typed  # all that the page sends
    with asked_by(owner):
        shown = start(services, page.watch, **chosen, **form)
    return Answer(shown[page.watch.note], shown.get(page.watch.chart, ""))


def can_stop(services: Services, page: Page, run_id: str, *, owner: str = "me") -> bool:
    with asked_by(owner):
        return bool(show_run(services, page.runs, run_id=run_id)[page.watch.stop].interactive)


def again(page: Page, path: str, file: str, **chosen: str) -> dict[str, Any]:
    """What is shown of the file then, by the names of the panel's parts."""
    shown = show_again(page.data, path=path, file=file, **{**DETECTED, **chosen})
    return {name: shown[part] for name, part in page.data._asdict().items() if name != "reading" and part in shown}


def test_without_an_upload_the_sample_is_chosen(services: Services, page: Page) -> None:
    shown, panel = show_new(services, page.data, None), page.data
    assert {shown[part] for part in panel.reading} == {AS_DETECTED}
    assert (shown[panel.path], shown[panel.name]) == (str(services.sample_csv), name_on_page(shown[panel.path]))
    assert "used <b>20</b>" in shown[panel.found]
    assert shown[panel.column].value == "review"
    assert "show number 3" in shown[panel.rows]


def test_a_new_file_is_read_as_detected_whatever_was_chosen_before(
    services: Services, page: Page, sample: Path
) -> None:
    shown = show_new(services, page.data, str(sample))
    assert [shown[part] for part in page.data.reading] == [AS_DETECTED] * 3


def test_the_file_can_be_read_differently(page: Page, sample: Path) -> None:
    as_lines = again(page, str(sample), name_on_page(str(sample)), delimiter="", header="no")
    assert "one text a line, no header, 21 rows" in as_lines["found"]


def test_a_file_read_wrongly_is_explained_and_can_be_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    path.write_bytes(b"")
    described = describe(ChosenFile(str(path)))
    assert described.path == str(path)
    assert described.column is None
    assert "empty" in described.found


def test_a_file_that_the_server_has_forgotten_is_never_replaced_by_the_sample(services: Services, page: Page) -> None:
    sample = str(services.sample_csv)  # what a server has in mind for a page that it has forgotten
    answer = press_start(services, page, services.sample_csv, file="visitors.csv")
    assert "has forgotten this page&#x27;s file &#x27;visitors.csv&#x27;" in answer.note
    assert "choose it again." in answer.note
    assert services.store.list() == []
    shown = again(page, sample, "visitors.csv")
    assert "choose it again" in shown["found"]
    assert (shown["path"], shown["name"]) == (None, "")
    own = f"77ab/{services.sample_csv.name}"  # a visitor's file of the same name
    assert "choose it again" in press_start(services, page, services.sample_csv, file=own).note
    form = {name: field.value for name, field in page.fields.items()}
    chosen = {"path": sample, "file": "visitors.csv", "column": "review", **DETECTED, **form}
    (shown,) = show_estimate(services, lambda _: None, page.estimate, **chosen)
    assert "choose it again" in shown[page.estimate.line]


def test_a_column_that_is_not_there_is_said_and_the_others_are_offered(sample: Path) -> None:
    described = describe(ChosenFile(str(sample), "revue"))
    assert "revue" in described.found
    assert (described.columns, described.column) == (("review",), "review")


def test_numbers_alone_are_nothing_to_train_on(services: Services, page: Page, tmp_path: Path) -> None:
    path = tmp_path / "numbers.csv"
    path.write_text("a,b\n" + "".join(f"{number},{number * 2}\n" for number in range(30)))
    described = describe(ChosenFile(str(path)))
    assert "No column holds free text" in described.found
    answer = press_start(services, page, path, column=described.column)
    assert 'role="alert"' in answer.note
    assert services.store.list() == []


def test_only_about_that_many_rows_where_only_the_beginning_was_read(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_text(
        "review\n" + "".join(f"This is the long review number {number} of them.\n" for number in range(40_000))
    )
    assert "used <b>about " in describe(ChosenFile(str(path))).found


def test_names_and_cells_of_a_file_are_text(tmp_path: Path) -> None:
    path = tmp_path / "<b>x.csv"
    rows = "".join(f"{number},{HOSTILE} is what I wrote about show {number}\n" for number in range(9))
    path.write_text(f"{HOSTILE},review {HOSTILE}\n" + rows)
    described = describe(ChosenFile(str(path)))
    assert "<img" not in described.found + described.rows
    assert "<b>x" not in described.found
    assert "&lt;img" in described.rows


def test_start_says_what_was_started_and_the_next_one_queues(services: Services, page: Page, sample: Path) -> None:
    first = press_start(services, page, sample, name=HOSTILE)
    assert services.store.get(first.chart).record.settings.epochs == 3
    assert "Started" in first.note
    assert "<img" not in first.note
    second = press_start(services, page, sample)
    assert "Queued as number 1" in second.note
    assert "Taken out of the queue" in stop(services, run_id=second.chart, asked=second.chart)[0]
    assert services.store.get(second.chart).record.state == "stopped"
    assert "Stopping" in stop(services, run_id=first.chart, asked=first.chart)[0]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"epochs": 0}, "epochs must be"),
        ({"epochs": 1.5}, "whole number"),
        ({"learning_rate": 1e3}, "learning rate"),
        ({"learning_rate": "5,e-5"}, "learning rate"),
        ({"max_length": 1}, "maximum length"),
        ({"mask_rate": 1.5}, "mask"),
        ({"seed": "abc"}, "seed"),
        ({"limit": 0}, "limit"),
        ({"limit": "few"}, "limit of rows"),
        ({"model": "nothing"}, "no model"),
        ({"probe": "No blank here."}, "no mask"),
    ],
)
def test_what_cannot_be_gets_one_sentence_and_starts_nothing(services, page, sample, typed, said) -> None:
    answer = press_start(services, page, sample, **typed)
    assert said in answer.note
    assert 'role="alert"' in answer.note
    assert services.store.list() == []


def test_an_upload_that_vanished_is_said(services: Services, page: Page, tmp_path: Path) -> None:
    assert "upload it again" in press_start(services, page, tmp_path / "gone.csv").note


def test_only_a_run_that_goes_on_can_be_stopped(services: Services, page: Page, sample: Path) -> None:
    run_id = press_start(services, page, sample).chart
    assert can_stop(services, page, run_id)
    waiting = press_start(services, page, sample).chart
    stop(services, run_id=waiting, asked=waiting)
    assert not can_stop(services, page, waiting)
    assert not can_stop(services, page, "")
    assert not can_stop(services, page, "20990101-0000-none-0000")


def test_on_a_shared_server_only_the_owner_stops(
    make_services: Callable[..., Services], page: Page, sample: Path
) -> None:
    services = make_services(owned=True)
    assert "load the page again" in press_start(services, page, sample, owner="").note
    answer = press_start(services, page, sample, owner="me")
    assert can_stop(services, page, answer.chart, owner="me")
    assert not can_stop(services, page, answer.chart, owner="another")
    with asked_by("another"):
        assert "no run" in stop(services, run_id=answer.chart, asked="")[0]
    services.manager.share(answer.chart, shared=True, owner="me")
    with asked_by("another"):
        assert "Only whoever started" in stop(services, run_id=answer.chart, asked="")[0]


def test_before_an_upload_the_page_says_who_can_see_it(make_services: Callable[..., Services]) -> None:
    assert who_can_see(make_services()) == ""
    assert "only you, and whoever runs this server" in who_can_see(make_services(owned=True))
    open_to_all = dataclasses.replace(make_services(), access=Access(owned=True, show_all=True))
    assert who_can_see(open_to_all).startswith("Everyone who uses this server can see it")


def look(
    services: Services, page: Page, path: Path, *, asked: bool = False, **typed: Any
) -> tuple[list[tuple[str, str]], list[RunRequest]]:
    """(the line and what is too long, as shown before Start, in order; what was measured for it)."""
    measured: list[RunRequest] = []

    def measure(request: RunRequest) -> Estimate:
        measured.append(request)
        return Estimate(
            18, 2, 240, 3, 6, 75.0, 400_000_000, exact=True, warnings=("Such a rate is unusual.",), pieces=11
        )

    chosen = {"path": str(path), "file": name_on_page(str(path)), "column": "review", **DETECTED}
    form = {name: field.value for name, field in page.fields.items()} | typed
    shown = show_estimate(services, measure, page.estimate, asked=asked, **chosen, **form)
    return [(answer[page.estimate.line], answer[page.estimate.too_long]) for answer in shown], measured


def test_before_start_the_page_says_what_the_run_will_take(services: Services, page: Page, sample: Path) -> None:
    ((planned, _), (shown, too_long)), _ = look(services, page, sample)
    assert "about 18 rows" in planned
    assert "about 6 steps" in planned
    for words in (
        "18 rows to learn from, 2 held out",
        "240 tokens",
        "6 steps",
        "1 min 15 s",
        "0.4 GB",
        "rate is unusual",
    ):
        assert words in shown
    assert "<b>3</b> of 20 texts are longer than 256 tokens: <b>11</b> pieces" in too_long
    ((_, _), (_, too_long)), _ = look(services, page, sample, long_texts="cut")
    assert "<b>3</b> of 20 texts are cut at 256 tokens" in too_long


def test_a_vocabulary_that_cannot_write_the_texts_is_said_before_start(
    services: Services, page: Page, sample: Path
) -> None:
    rows = [f"{number},これは番組その{number}です。とても面白かった☃☃☃。" for number in range(20)]
    sample.write_text("stars,review\n" + "\n".join(rows) + "\n")
    ((planned, _), (warned, _), _), _ = look(services, page, sample)
    assert "multilingual" not in planned
    assert "of the tokens are [UNK]: the vocabulary of &#x27;mini-bert&#x27; cannot write these texts" in warned
    press_start(services, page, sample)
    (_, (warned, _)), _ = look(services, page, sample)  # a run is at work: nothing is measured, but this is said
    assert "choose a multilingual model" in warned


def test_the_page_says_what_was_skipped_and_what_looks_wrong(sample: Path) -> None:
    sample.write_text("My reviews\n# from 2024\n" + sample.read_text())
    assert "above the table, skipped: 2" in describe(ChosenFile(str(sample))).found
    sample.write_bytes(sample.read_bytes() + "7,Très bien et déjà vu mille fois\n".encode())
    assert "is this really cp866?" in describe(ChosenFile(str(sample), encoding="cp866")).found


def test_what_would_make_a_run_fail_is_said_before_it_and_leaves_none_behind(
    services: Services, page: Page, sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(repository: str) -> None:
        raise ModelError(f"{repository!r} is no model; check the spelling.")

    monkeypatch.setattr("bertdemo.ui.train.estimate.check_checkpoint", unreachable)
    one = sample.with_name("one.csv")
    one.write_text("review\nOne single row of text is here.\n", encoding="utf-8")
    for path, changed, said in (
        (sample, {"max_length": 100_000}, "maximum length must be from 4 to"),
        (sample, {"model": "someone/large-bert"}, "check the spelling"),
        (one, {}, "only 1 usable rows"),
    ):
        (line, *_), _ = look(services, page, path, **changed)
        assert said in line[0]
        assert said in press_start(services, page, path, **changed).note
    assert services.store.list() == []
    (planned, *_), _ = look(services, page, sample, learning_rate=0.5)
    assert "far above" in planned[0]  # before anything is measured
    assert planned[0].index("learning rate 0.5") < planned[0].index("rows to learn from")  # of which settings it speaks


def test_nothing_is_measured_unasked_where_that_would_be_dear(
    services: Services, page: Page, sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bertdemo.ui.train.estimate.check_checkpoint", lambda repository: None)
    planned, measured = look(services, page, sample, model="someone/large-bert")
    assert (len(planned), measured) == (1, [])
    assert len(look(services, page, sample, model="someone/large-bert", asked=True)[1]) == 1
    press_start(services, page, sample)
    assert look(services, page, sample)[1] == []  # a run is at work: leave it the processor


def test_what_start_would_refuse_is_said_before(services: Services, page: Page, sample: Path) -> None:
    ((shown, _),), measured = look(services, page, sample, epochs=1.5)
    assert "whole number" in shown
    assert measured == []


def test_a_name_is_no_reason_to_measure_again(services: Services, page: Page, sample: Path) -> None:
    assert look(services, page, sample, name="a")[1] == look(services, page, sample, name="b")[1]


def test_presets_fill_in_the_notebook_and_the_model_s_own_rate(services: Services) -> None:
    with gr.Blocks():
        fields = build_form(services)
    notebook = notebook_preset(fields)
    filled = {name: notebook[fields[name]] for name in fields if fields[name] in notebook}
    assert (filled["epochs"], filled["learning_rate"]) == (NOTEBOOK.epochs, 1e-5)
    assert (filled["batch_size"], filled["max_length"], filled["limit"]) == (16, 512, 100)
    assert filled["long_texts"] == "cut"
    usual = usual_preset(services, fields, "mini-bert")
    assert usual[fields["learning_rate"]] == 1e-4
    assert usual[fields["limit"]] == ""
    off = {"whole_words": False, "patience": 0, "evaluate_every": "", "replay": False}
    for preset in (notebook, usual):
        assert {name: preset[fields[name]] for name in off} == off


def test_the_form_as_it_opens_is_what_a_run_trains_with_by_itself(services: Services, sample: Path) -> None:
    with gr.Blocks():
        fields = build_form(services)
    values = {name: field.value for name, field in fields.items() if name not in ("model", "name")}
    request = run_request(services, values, path=sample, model=fields["model"].value)
    usual = TrainingConfig(learning_rate=1e-4, probes=tuple(values["probe"].splitlines()))
    assert (request.settings, request.limit, request.name) == (usual, None, "")
    assert request.replay is None


def test_the_rarer_switches_reach_the_run(services: Services, sample: Path) -> None:
    with gr.Blocks():
        fields = build_form(services)
    values = {name: field.value for name, field in fields.items() if name not in ("model", "name")}
    chosen = {"whole_words": True, "patience": 2, "evaluate_every": "50", "replay": True, "replay_share": 0.2}
    request = run_request(services, {**values, **chosen}, path=sample, model=fields["model"].value)
    settings = request.settings
    assert (settings.masking.whole_words, settings.patience, settings.evaluate_every) == (True, 2, 50)
    assert (request.replay, settings.replay_share) == ("general", 0.2)
    with pytest.raises(SettingsError, match="takes the command line"):
        run_request(services, {**values, "replay": "/etc/passwd"}, path=sample, model=fields["model"].value)


def test_the_list_of_runs_escapes_and_marks_the_one_shown(services: Services, page: Page, sample: Path) -> None:
    run_id = press_start(services, page, sample, name="first").chart
    html = list_runs(services, run_id)
    assert f'<tr aria-current="true"><th scope="row"><button type="button" data-run="{run_id}">first' in html
    record = dataclasses.replace(services.store.get(run_id).record, name=HOSTILE)
    assert "<img" not in runs_html([record], shown="")
    assert "No runs yet" in runs_html([], shown="")


def test_a_program_on_a_shared_server_is_asked_for_an_owner(
    make_services: Callable[..., Services], sample: Path
) -> None:
    shared = Endpoints(make_services(owned=True), received=Path)
    begun = {"file": str(sample), "column": "review", "model": "mini-bert", "probe": [], "watch": [], "name": ""}
    begun |= dict.fromkeys(("epochs", "learning_rate", "batch_size", "max_length", "mask_rate", "limit", "seed"))
    with pytest.raises(gr.Error, match="as owner"):
        shared.start_training(**begun, precision=None, owner="")
    run_id = shared.start_training(**begun, precision=None, owner="my secret")
    assert shared.stop_training(run_id, "my secret")["run"] == run_id
