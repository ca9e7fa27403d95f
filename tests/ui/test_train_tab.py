"""The Train tab's handlers over a real store and manager; the runs wait at a gate, for nothing is trained here."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from bertdemo.mlm.errors import BertDemoError, ModelError
from bertdemo.mlm.models.loading import bundled_assets, load_masked_lm
from bertdemo.mlm.models.masked_lm import MaskedLM, ModelRef
from bertdemo.mlm.settings import NOTEBOOK
from bertdemo.mlm.training.estimate import Estimate
from bertdemo.runs.manager import RunManager, RunRequest
from bertdemo.runs.store import RunStore
from bertdemo.ui.api import Endpoints
from bertdemo.ui.services import Services
from bertdemo.ui.train.data_panel import AS_DETECTED, FileReading, describe, name_on_page, show_again, show_new
from bertdemo.ui.train.look_ahead import AheadView, look_ahead
from bertdemo.ui.train.run_form import RunForm
from bertdemo.ui.train.runs_panel import list_runs
from bertdemo.ui.train.runs_table import runs_html
from bertdemo.ui.train.settings_panel import notebook_preset, usual_preset
from bertdemo.ui.train.tab import show_state, start, stop

HOSTILE = "<img src=x onerror=alert(1)>"
DETECTED = (AS_DETECTED,) * 3


class NamedModels:
    """Knows the bundled model by name and nothing else."""

    def resolve(self, reference: str, *, allow_folders: bool = True) -> ModelRef:
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

    def make(*, require_owner: bool = False) -> Services:
        registry, store = NamedModels(), RunStore(tmp_path / "home")
        manager = RunManager(store, registry, require_owner=require_owner, make_session=wait_and_fail)
        made.append(manager)
        return Services(registry, manager, store, tmp_path / "home", sample, require_owner=require_owner)

    yield make
    gate.set()
    for manager in made:
        assert manager.shutdown(20)


@pytest.fixture
def services(make_services: Callable[..., Services]) -> Services:
    return make_services()


def press_start(
    services: Services,
    path: Path | None,
    *,
    owner: str = "me",
    file: str = "",
    column: str | None = "review",
    **typed: Any,
):
    form = RunForm(**{"model": "mini-bert", "epochs": 3, **typed})
    return start(services, owner, path and str(path), file, column, *DETECTED, *form)


def test_without_an_upload_the_sample_is_chosen(services: Services) -> None:
    encoding, delimiter, header, path, name, found, column, rows = show_new(services, None)
    assert (encoding, delimiter, header) == DETECTED
    assert (path, name) == (str(services.sample_csv), name_on_page(path))
    assert "used <b>20</b>" in found
    assert column.value == "review"
    assert "show number 3" in rows


def test_a_new_file_is_read_as_detected_whatever_was_chosen_before(services: Services, sample: Path) -> None:
    assert tuple(show_new(services, str(sample))[:3]) == DETECTED


def test_the_file_can_be_read_differently(sample: Path) -> None:
    as_lines = show_again(str(sample), name_on_page(str(sample)), AS_DETECTED, "", "no")
    assert "one text a line, no header, 21 rows" in as_lines.found


def test_a_file_read_wrongly_is_explained_and_can_be_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    path.write_bytes(b"")
    described = describe(str(path), FileReading(), None)
    assert described.path == str(path)
    assert described.column is None
    assert "empty" in described.found


def test_a_file_that_the_server_has_forgotten_is_never_replaced_by_the_sample(services: Services) -> None:
    sample = str(services.sample_csv)  # what a server has in mind for a page that it has forgotten
    answer = press_start(services, services.sample_csv, file="visitors.csv")
    assert "has forgotten this page&#x27;s file &#x27;visitors.csv&#x27;" in answer.note
    assert "choose it again." in answer.note
    assert services.store.list() == []
    again = show_again(sample, "visitors.csv", *DETECTED)
    assert "choose it again" in again.found
    assert (again.path, again.name) == (None, "")
    own = f"77ab/{services.sample_csv.name}"  # a visitor's file of the same name
    assert "choose it again" in press_start(services, services.sample_csv, file=own).note
    (ahead,) = look_ahead(services, lambda _: None, sample, "visitors.csv", "review", *DETECTED, *RunForm("mini-bert"))
    assert "choose it again" in ahead.line


def test_a_column_that_is_not_there_is_said_and_the_others_are_offered(sample: Path) -> None:
    described = describe(str(sample), FileReading(), "revue")
    assert "revue" in described.found
    assert (described.columns, described.column) == (("review",), "review")


def test_numbers_alone_are_nothing_to_train_on(services: Services, tmp_path: Path) -> None:
    path = tmp_path / "numbers.csv"
    path.write_text("a,b\n" + "".join(f"{number},{number * 2}\n" for number in range(30)))
    described = describe(str(path), FileReading(), None)
    assert "No column holds free text" in described.found
    answer = press_start(services, path, column=described.column)
    assert 'role="alert"' in answer.note
    assert services.store.list() == []


def test_only_about_that_many_rows_where_only_the_beginning_was_read(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_text(
        "review\n" + "".join(f"This is the long review number {number} of them.\n" for number in range(40_000))
    )
    assert "used <b>about " in describe(str(path), FileReading(), None).found


def test_names_and_cells_of_a_file_are_text(tmp_path: Path) -> None:
    path = tmp_path / "<b>x.csv"
    rows = "".join(f"{number},{HOSTILE} is what I wrote about show {number}\n" for number in range(9))
    path.write_text(f"{HOSTILE},review {HOSTILE}\n" + rows)
    described = describe(str(path), FileReading(), None)
    assert "<img" not in described.found + described.rows
    assert "<b>x" not in described.found
    assert "&lt;img" in described.rows


def test_start_says_what_was_started_and_the_next_one_queues(services: Services, sample: Path) -> None:
    first = press_start(services, sample, name=HOSTILE)
    assert services.store.get(first.chart).record.settings.epochs == 3
    assert "Started" in first.note
    assert "<img" not in first.note
    second = press_start(services, sample)
    assert "Queued as number 1" in second.note
    assert "Taken out of the queue" in stop(services, "me", second.chart)
    assert services.store.get(second.chart).record.state == "stopped"
    assert "Stopping" in stop(services, "me", first.chart)


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
        ({"limit": "few"}, "number of rows"),
        ({"model": "nothing"}, "no model"),
        ({"probes": "No blank here."}, "no mask"),
    ],
)
def test_what_cannot_be_gets_one_sentence_and_starts_nothing(services, sample, typed, said) -> None:
    answer = press_start(services, sample, **typed)
    assert said in answer.note
    assert 'role="alert"' in answer.note
    assert services.store.list() == []


def test_an_upload_that_vanished_is_said(services: Services, tmp_path: Path) -> None:
    assert "upload it again" in press_start(services, tmp_path / "gone.csv").note


def test_only_a_run_that_goes_on_can_be_stopped(services: Services, sample: Path) -> None:
    run_id = press_start(services, sample).chart
    assert show_state(services, "me", run_id)[0].interactive
    waiting = press_start(services, sample).chart
    stop(services, "me", waiting)
    assert not show_state(services, "me", waiting)[0].interactive
    assert not show_state(services, "me", "")[0].interactive
    assert not show_state(services, "me", "20990101-0000-none-0000")[0].interactive


def test_on_a_shared_server_only_the_owner_stops(make_services: Callable[..., Services], sample: Path) -> None:
    services = make_services(require_owner=True)
    answer = press_start(services, sample, owner="")
    assert answer.owner  # a browser without a token is given one to keep
    assert show_state(services, answer.owner, answer.chart)[0].interactive
    assert not show_state(services, "another", answer.chart)[0].interactive
    assert "Only whoever started" in stop(services, "another", answer.chart)


def look(
    services: Services, path: Path, *, asked: bool = False, **typed: Any
) -> tuple[list[AheadView], list[RunRequest]]:
    """What is shown before Start, in order, and what was measured for it."""
    measured: list[RunRequest] = []

    def measure(request: RunRequest) -> Estimate:
        measured.append(request)
        return Estimate(18, 2, 240, 3, 6, 75.0, 400_000_000, exact=True, warnings=("Such a rate is unusual.",))

    form = RunForm(**{"model": "mini-bert", "epochs": 3, **typed})
    return list(
        look_ahead(services, measure, str(path), name_on_page(str(path)), "review", *DETECTED, *form, asked=asked)
    ), measured


def test_before_start_the_page_says_what_the_run_will_take(services: Services, sample: Path) -> None:
    (planned, shown), _ = look(services, sample)
    assert "about 18 rows" in planned.line
    assert "about 6 steps" in planned.line
    for words in (
        "18 rows to learn from, 2 held out",
        "240 tokens",
        "6 steps",
        "1 min 15 s",
        "0.4 GB",
        "rate is unusual",
    ):
        assert words in shown.line
    assert "too long <b>3</b> (cut at 256 tokens)" in shown.too_long


def test_a_vocabulary_that_cannot_write_the_texts_is_said_before_start(services: Services, sample: Path) -> None:
    rows = [f"{number},これは番組その{number}です。とても面白かった☃☃☃。" for number in range(20)]
    sample.write_text("stars,review\n" + "\n".join(rows) + "\n")
    (planned, warned, _), _ = look(services, sample)
    assert "multilingual" not in planned.line
    assert "of the tokens are [UNK]: the vocabulary of &#x27;mini-bert&#x27; cannot write these texts" in warned.line
    press_start(services, sample)
    (_, warned), _ = look(services, sample)  # a run is at work: nothing is measured, and this is said all the same
    assert "choose a multilingual model" in warned.line


def test_the_page_says_what_was_skipped_and_what_looks_wrong(sample: Path) -> None:
    sample.write_text("My reviews\n# from 2024\n" + sample.read_text())
    assert "above the table, skipped: 2" in describe(str(sample), FileReading(), None).found
    sample.write_bytes(sample.read_bytes() + "7,Très bien et déjà vu mille fois\n".encode())
    assert "is this really cp866?" in describe(str(sample), FileReading(encoding="cp866"), None).found


def test_nothing_is_measured_unasked_where_that_would_be_dear(services: Services, sample: Path) -> None:
    planned, measured = look(services, sample, model="someone/large-bert")
    assert (len(planned), measured) == (1, [])
    assert len(look(services, sample, model="someone/large-bert", asked=True)[1]) == 1
    press_start(services, sample)
    assert look(services, sample)[1] == []  # a run is at work: leave it the processor


def test_what_start_would_refuse_is_said_before(services: Services, sample: Path) -> None:
    (shown,), measured = look(services, sample, epochs=1.5)
    assert "whole number" in shown.line
    assert measured == []


def test_a_name_is_no_reason_to_measure_again(services: Services, sample: Path) -> None:
    assert look(services, sample, name="a")[1] == look(services, sample, name="b")[1]


def test_presets_fill_in_the_notebook_and_the_model_s_own_rate(services: Services) -> None:
    notebook = notebook_preset()
    assert (notebook.epochs, notebook.learning_rate) == (NOTEBOOK.epochs, 1e-5)
    assert (notebook.batch_size, notebook.max_length, notebook.limit) == (16, 512, 100)
    assert usual_preset(services, "mini-bert").learning_rate == 3e-4
    assert usual_preset(services, "mini-bert").limit is None


def test_the_list_of_runs_escapes_and_marks_the_one_shown(services: Services, sample: Path) -> None:
    run_id = press_start(services, sample, name="first").chart
    html = list_runs(services, run_id)
    assert f'<tr aria-current="true"><th scope="row"><button type="button" data-run="{run_id}">first' in html
    record = dataclasses.replace(services.store.get(run_id).record, name=HOSTILE)
    assert "<img" not in runs_html([record], shown="")
    assert "No runs yet" in runs_html([], shown="")


def test_a_program_on_a_shared_server_is_asked_for_an_owner(
    make_services: Callable[..., Services], sample: Path
) -> None:
    shared = Endpoints(make_services(require_owner=True))
    begun = {"file": str(sample), "column": "review", "model": "mini-bert", "probe": [], "watch": [], "name": ""}
    begun |= dict.fromkeys(("epochs", "learning_rate", "batch_size", "max_length", "mask_rate", "limit", "seed"))
    with pytest.raises(gr.Error, match="as owner"):
        shared.start_training(**begun, precision=None, owner="")
    run_id = shared.start_training(**begun, precision=None, owner="my secret")
    assert shared.stop_training(run_id, "my secret")["run"] == run_id
