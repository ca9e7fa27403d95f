"""Many people on one server: what each may see and do with another's run, by every way there is; turns and quotas.

``SECURITY.md`` has the table of roles; each of its cells names a test here.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from served import PATIENCE, CallError, ServedApp, call, raw_client, served_app, upload

from bertdemo.cli import main
from bertdemo.mlm.models.masked_lm import ModelRef
from bertdemo.mlm.settings import TrainingConfig
from bertdemo.runs.people import token_hash
from bertdemo.runs.record import DataSource
from bertdemo.runs.run import Run

OPERATOR = "the one who runs it"
ANN, BEN = "a secret of Ann's", "a secret of Ben's"
SECRET = "zebra lullaby"  # in Ann's run, everywhere where texts are
FOR_OTHERS = ("--host", "0.0.0.0", "--allow-public", "--operator-password", OPERATOR)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApp]:
    with served_app(tmp_path_factory.mktemp("class") / "home", *FOR_OTHERS) as served:
        yield served


@contextmanager
def person(app: ServedApp, token: str) -> Iterator[httpx.Client]:
    with raw_client(app.url, headers={"X-Bertdemo-Owner": token} if token else {}) as client:
        yield client


@pytest.fixture
def ann(app: ServedApp) -> Iterator[httpx.Client]:
    with person(app, ANN) as client:
        yield client


@pytest.fixture
def ben(app: ServedApp) -> Iterator[httpx.Client]:
    with person(app, BEN) as client:
        yield client


@pytest.fixture
def stranger(app: ServedApp) -> Iterator[httpx.Client]:
    with person(app, "") as client:
        yield client


@pytest.fixture
def operator(app: ServedApp) -> Iterator[httpx.Client]:
    """A browser that has given the password."""
    app.services.access.let_in("the operator's browser", OPERATOR)
    with person(app, "the operator's browser") as client:
        yield client
    app.services.access.let_out("the operator's browser")


@pytest.fixture
def run(app: ServedApp, tiny_bert_folder: Path) -> Run:
    """Ann's, stopped, with a model, a watched sentence and a name."""
    made = app.services.store.create(
        name=SECRET,
        model=ModelRef("tiny", str(tiny_bert_folder)),
        data=DataSource("reviews.csv", "/nowhere"),
        settings=TrainingConfig(probes=(f"{SECRET} [MASK]",)),
        owner=token_hash(ANN),
    )
    made.log.append({"event": "step", "step": 1, "epoch": 1, "loss": 3.0, "learning_rate": 0.001, "seconds": 1})
    probe = {"text": f"{SECRET} [MASK]", "masks": []}
    made.log.append({"event": "probe", "step": 1, "probes": [probe]})
    made.model_folder.mkdir()
    for file in tiny_bert_folder.iterdir():
        (made.model_folder / file.name).write_bytes(file.read_bytes())
    made.update(state="stopped", steps=9, steps_done=1)
    made.release()
    return made


SHOWING = {"show_run", "follow_up", "refresh_overlay", "show_overlay", "ask_to_delete", "compare_in_fill", "opening"}
CHANGING = {"stop", "resume", "share", "rename", "delete", "publish"}


def events(client: httpx.Client, app: ServedApp, run: Run, names: set[str]) -> str:
    """All that the page's own events, sent by a program, answer to somebody who asks for this run."""
    config = client.get("/config").json()
    parts = {part["id"]: part for part in config["components"]}
    chart = next(n for n, part in parts.items() if "live-chart" in (part["props"].get("elem_classes") or []))
    overlaid = next(n for n, part in parts.items() if part["props"].get("elem_id") == "overlaid-runs")
    known = {chart: run.id, overlaid: [run.id]}
    called = {event["id"]: handler_name(app, event["id"]) for event in config["dependencies"]}
    assert names <= set(called.values())
    session = f"session-{time.monotonic()}"
    for event in config["dependencies"]:
        if called[event["id"]] in names:
            data = [known.get(given, parts[given]["props"].get("value")) for given in event["inputs"]]
            asked = {"data": data, "fn_index": event["id"], "session_hash": session}
            client.post("/gradio_api/queue/join", json=asked).raise_for_status()
    answers = ""
    with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as lines:
        for line in lines.iter_lines():
            answers += line
            if "close_stream" in line:
                return answers
    raise AssertionError("the answers ended early")


def handler_name(app: ServedApp, number: int) -> str:
    handler = app.demo.fns[number].fn
    return getattr(getattr(handler, "func", handler), "__name__", "")


def sees_by_id(client: httpx.Client, app: ServedApp, run: Run) -> bool:
    try:
        return SECRET in json.dumps(call(client, "run_status", run.id, 0)["events"])
    except CallError as error:
        return "that you may see" not in error.sentence


def sees_by_name(client: httpx.Client, app: ServedApp, run: Run) -> bool:
    try:
        return SECRET in json.dumps(call(client, "run_status", SECRET, 0)["events"])
    except CallError:
        return False


def sees_in_the_list(client: httpx.Client, app: ServedApp, run: Run) -> bool:
    return SECRET in json.dumps(call(client, "runs"))


def sees_the_news(client: httpx.Client, app: ServedApp, run: Run) -> bool:
    return SECRET in client.get(f"/live/{run.id}").text


def sees_it_as_the_newest(client: httpx.Client, app: ServedApp, run: Run) -> bool:
    return SECRET in client.get("/live/newest").text


def downloads(client: httpx.Client, app: ServedApp, run: Run) -> bool:
    key = client.post(f"/runs/{run.id}/key")
    by_header, by_key = client.get(f"/runs/{run.id}.zip"), client.get(f"/runs/{run.id}.zip?key={key.text}")
    assert by_header.status_code == by_key.status_code
    return by_header.status_code == key.status_code == 200


def uses_the_model(client: httpx.Client, app: ServedApp, run: Run) -> bool:
    """By its id, its name, or the folder that an event names."""
    answered = []
    for reference in (
        run.id,
        SECRET,
        f"{run.id}@best",
        f"{run.id}@0.5",
        f"{SECRET}@0.5",
        str(run.model_folder),
        f"{run.model_folder}@0.5",
        str(run.folder),
    ):
        try:
            answered.append(bool(call(client, "fill_mask", "I [MASK] it.", reference, 1, "")["masks"]))
        except CallError:
            answered.append(False)
    assert len(set(answered)) == 1, answered
    return answered[0]


def sees_on_the_page(client: httpx.Client, app: ServedApp, run: Run) -> bool:
    return SECRET in events(client, app, run, SHOWING)


SEEING = (
    *(sees_by_id, sees_by_name, sees_in_the_list, sees_the_news, sees_it_as_the_newest),
    *(downloads, uses_the_model, sees_on_the_page),
)


@pytest.mark.parametrize("way", SEEING, ids=lambda way: way.__name__)
def test_a_run_is_seen_by_its_owner_and_the_operator_until_it_is_shown_to_all(
    app: ServedApp, run: Run, ann: httpx.Client, ben: httpx.Client, stranger: httpx.Client, operator: httpx.Client, way
) -> None:
    assert way(ann, app, run)
    assert way(operator, app, run)
    assert not way(ben, app, run)
    assert not way(stranger, app, run)
    with pytest.raises(CallError):
        call(ben, "share_run", run.id, True, "")
    assert call(ann, "share_run", run.id, True, "") == {"run": run.id, "shared": True}
    assert way(ben, app, run)
    assert way(stranger, app, run)
    call(ann, "share_run", run.id, False, "")
    assert not way(ben, app, run)


def test_what_is_handed_out_is_too(app: ServedApp, run: Run, ann: httpx.Client, ben: httpx.Client) -> None:
    for suffix in ("ipynb", "html", "zip"):
        assert ben.get(f"/runs/{run.id}.{suffix}").status_code == 404
        assert ann.get(f"/runs/{run.id}.{suffix}").status_code in (200, 404)  # what this run has
    assert SECRET in ann.get(f"/runs/{run.id}.html").text


def test_no_file_route_shows_a_run(app: ServedApp, run: Run, ben: httpx.Client) -> None:
    for file in ("run.json", "events.jsonl", "model/config.json"):
        for door in ("/gradio_api/file=", "/gradio_api/file/"):
            answer = ben.get(f"{door}{run.folder / file}")
            assert answer.status_code >= 400
            assert SECRET not in answer.text


def test_nobody_is_given_back_what_was_uploaded(ann: httpx.Client, ben: httpx.Client, rows: Path) -> None:
    path = upload(ann, rows)["path"]
    for door in ("/gradio_api/file=", "/gradio_api/file/"):
        for client in (ann, ben):
            answer = client.get(f"{door}{path}")
            assert answer.status_code == 403
            assert "really good" not in answer.text


def test_a_key_opens_one_run_once(app: ServedApp, run: Run, ann: httpx.Client, stranger: httpx.Client) -> None:
    key = ann.post(f"/runs/{run.id}/key").text
    assert stranger.get(f"/runs/20261122-1130-other-ab12.zip?key={key}").status_code == 404
    assert stranger.get(f"/runs/{run.id}.zip?key={key}").status_code == 404  # used up on the wrong door
    key = ann.post(f"/runs/{run.id}/key").text
    assert stranger.get(f"/runs/{run.id}.zip?key={key}").status_code == 200
    assert stranger.get(f"/runs/{run.id}.zip?key={key}").status_code == 404


def test_a_shown_run_is_changed_by_its_owner_and_the_operator_only(
    app: ServedApp, run: Run, ann: httpx.Client, ben: httpx.Client, operator: httpx.Client
) -> None:
    call(ann, "share_run", run.id, True, "")
    for endpoint, others in (("stop_training", [""]), ("share_run", [False, ""])):
        with pytest.raises(CallError) as caught:
            call(ben, endpoint, run.id, *others)
        assert "Only whoever started" in caught.value.sentence
    assert call(operator, "stop_training", run.id, "")["state"] == "stopped"
    assert call(operator, "share_run", run.id, False, "")["shared"] is False


def test_the_pages_own_events_change_nothing_of_anothers(
    app: ServedApp, run: Run, ann: httpx.Client, ben: httpx.Client, stranger: httpx.Client
) -> None:
    for shown in (False, True):
        call(ann, "share_run", run.id, shown, "")
        before = (run.folder / "run.json").read_text()
        for other in (ben, stranger):
            answers = events(other, app, run, CHANGING)
            assert "Only whoever started" in answers if shown else SECRET not in answers
        assert (run.folder / "run.json").read_text() == before
        assert run.id not in app.services.manager.live()


def test_what_the_page_was_built_with_names_no_run(app: ServedApp, run: Run, stranger: httpx.Client) -> None:
    assert SECRET not in stranger.get("/config").text
    assert SECRET not in stranger.get("/").text


def test_another_persons_run_of_the_same_name_does_not_stand_before_ones_own(
    app: ServedApp, run: Run, ben: httpx.Client, tiny_bert_folder: Path
) -> None:
    own = app.services.store.create(
        name="mine", model=run.record.model, data=run.record.data, settings=TrainingConfig(), owner=token_hash(BEN)
    )
    own.update(state="stopped")
    own.release()
    run.update(name="mine")  # newer or older, it is Ann's
    assert call(ben, "run_status", "mine", 0)["run"] == own.id


# --- the operator


def test_without_the_password_nobody_operates(app: ServedApp, run: Run, ben: httpx.Client) -> None:
    for password in ("", "wrong", OPERATOR + " "):
        began = time.monotonic()
        for endpoint, others in (("operator_status", []), ("operator_do", ["delete", run.id, ""])):
            with pytest.raises(CallError) as caught:
                call(ben, endpoint, password, *others)
            assert "not the operator's password" in caught.value.sentence
        assert time.monotonic() - began > 2  # guessing is slow
    assert app.services.find_run(run.id) is None
    assert app.services.store.get(run.id).record.name == SECRET


def test_the_operator_sees_and_does(app: ServedApp, run: Run, stranger: httpx.Client, rows: Path) -> None:
    with person(app, BEN) as ben:
        upload(ben, rows)
    now = call(stranger, "operator_status", OPERATOR)
    assert [(row["name"], row["who"]) for row in now["runs"] if row["run"] == run.id] == [(SECRET, token_hash(ANN)[:6])]
    assert {row["who"] for row in now["people"]} >= {token_hash(ANN)[:6], token_hash(BEN)[:6]}
    assert all(now[figure] > 0 for figure in ("runs_mb", "disk_free_mb", "memory_mb", "upload_files"))
    assert "is 50 now" in call(stranger, "operator_do", OPERATOR, "limit", "rows", "50")
    with person(app, BEN) as ben, pytest.raises(CallError) as caught:
        start(ben, rows)
    assert "here a run may have 50" in caught.value.sentence
    call(stranger, "operator_do", OPERATOR, "limit", "rows", "300000")
    assert "deleted" in call(stranger, "operator_do", OPERATOR, "delete", run.id, "")
    for action, about, value, words in (
        ("explode", "", "", "choose one of"),
        ("limit", "patience", "5", "choose one of"),
        ("limit", "rows", "many", "whole number"),
        ("limit", "rows", "-1", "from 0 on"),
        ("first", run.id, "", "not waiting"),
        ("delete", run.id, "", "no run"),
    ):
        with pytest.raises(CallError) as caught:
            call(stranger, "operator_do", OPERATOR, action, about, value)
        assert words in caught.value.sentence


# --- turns and quotas


def start(client: httpx.Client, rows: Path, *, epochs: int = 200) -> str:
    settings = [None, "mini-bert", epochs, None, None, 16, None, None, None, None, [], [], "", ""]
    return str(call(client, "start_training", upload(client, rows), *settings))


@pytest.mark.slow
def test_the_queue_is_fair_bounded_and_the_operators(app: ServedApp, rows: Path, stranger: httpx.Client) -> None:
    manager = app.services.manager
    with person(app, ANN) as ann, person(app, BEN) as ben:
        at_work = start(ann, rows)
        deadline = time.monotonic() + PATIENCE
        while call(ann, "run_status", at_work, 0)["position"] is not None and time.monotonic() < deadline:
            time.sleep(0.1)
        first, second = start(ann, rows), start(ann, rows)
        with pytest.raises(CallError) as caught:
            start(ann, rows)
        assert "2 of your runs are waiting already" in caught.value.sentence
        other = start(ben, rows)
        assert manager.live() == (at_work, other, first, second)  # Ben has had no turn yet
        assert call(ben, "run_status", other, 0)["position"] == 1
        with pytest.raises(CallError):
            call(ben, "run_status", first, 0)
    call(stranger, "operator_do", OPERATOR, "first", second, "")
    assert manager.live() == (at_work, second, other, first)
    assert "3 runs were taken" in call(stranger, "operator_do", OPERATOR, "empty", "", "")
    assert "stopping" in call(stranger, "operator_do", OPERATOR, "stop", at_work, "")


def test_a_program_without_a_token_is_told_how_to_have_one(stranger: httpx.Client, rows: Path) -> None:
    with pytest.raises(CallError) as caught:
        start(stranger, rows)
    assert "X-Bertdemo-Owner" in caught.value.sentence


def test_more_work_than_one_run_may_be_is_refused_with_the_number(ben: httpx.Client, rows: Path) -> None:
    with pytest.raises(CallError) as caught:
        start(ben, rows, epochs=10_000)
    assert "40 rows in 10,000 epochs are 400,000 rows to go through, and here a run may have 300,000" in (
        caught.value.sentence
    )


def test_one_person_uploads_so_much_a_day(app: ServedApp, ben: httpx.Client, ann: httpx.Client, rows: Path) -> None:
    limits, used = app.services.manager.limits, app.services.uploads.used_by(token_hash(BEN))[1]
    before, limits.upload_files_each = limits.upload_files_each, used + 2
    try:
        upload(ben, rows)
        upload(ben, rows)
        with rows.open("rb") as file:
            refused = ben.post("/gradio_api/upload", files={"files": ("a.csv", file)})
        assert (refused.status_code, f"{used + 2} files a day" in refused.text) == (507, True)
    finally:
        limits.upload_files_each = before


def test_no_number_of_calls_takes_an_open_page_its_file(app: ServedApp, ann: httpx.Client) -> None:
    kept, capacity = app.demo.app.state_holder, app.demo.app.state_holder.capacity
    kept.capacity = 5
    try:
        with ann.stream("GET", "/gradio_api/heartbeat/anns-page") as heartbeat:
            beats = heartbeat.iter_lines()  # dropped, it would hang up
            next(beats)
            kept["anns-page"]
            for number in range(30):
                call(ann, "runs", session=f"call {number}")
            assert "anns-page" in kept
            assert len(kept.session_data) <= 6
        deadline = time.monotonic() + PATIENCE
        while "anns-page" in app.services.pages and time.monotonic() < deadline:
            time.sleep(0.05)
        for number in range(30):
            call(ann, "runs", session=f"later call {number}")
        assert "anns-page" not in kept
    finally:
        kept.capacity = capacity


# --- where nobody is asked whose a run is


def stopped_run(app: ServedApp, base: Path) -> Run:
    """Ann's, with no model of its own."""
    made = app.services.store.create(
        name=SECRET,
        model=ModelRef("mini-bert", str(base)),
        data=DataSource("reviews.csv", "/nowhere"),
        settings=TrainingConfig(),
        owner=token_hash(ANN),
    )
    made.update(state="stopped")
    made.release()
    return made


def test_with_show_all_runs_everyone_sees_and_the_owner_changes(
    tmp_path: Path, tiny_bert_folder: Path, rows: Path
) -> None:
    with served_app(tmp_path / "home", *FOR_OTHERS, "--show-all-runs") as app:
        made = stopped_run(app, tiny_bert_folder)
        with person(app, BEN) as ben:
            assert sees_in_the_list(ben, app, made)
            with pytest.raises(CallError) as caught:
                call(ben, "stop_training", made.id, "")
            assert "Only whoever started" in caught.value.sentence
            assert "Everyone who uses this server can see it" in ben.get("/config").text


def test_on_this_machine_everything_is_everybodys(tmp_path: Path, tiny_bert_folder: Path) -> None:
    with served_app(tmp_path / "home") as app:
        made = stopped_run(app, tiny_bert_folder)
        with person(app, "") as anybody:
            assert sees_in_the_list(anybody, app, made)
            assert call(anybody, "stop_training", made.id, "")["state"] == "stopped"
            config = anybody.get("/config").text
            assert "operator" not in config.lower()
            assert "whoever runs this server" not in config
            assert "Publish on the Hugging Face hub as" in config


def test_the_log_tells_what_became_of_whose_and_no_text(
    app: ServedApp, run: Run, ann: httpx.Client, rows: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="bertdemo"):
        upload(ann, rows, name="zebra-lullaby.csv")
        call(ann, "share_run", run.id, True, "")
        ann.get(f"/runs/{run.id}.zip")
        call(ann, "operator_do", OPERATOR, "delete", run.id, "")
    who, which = token_hash(ANN)[:6], f"{run.id[:13]}-{run.id[-4:]}"
    for said in (f"upload of {who}: whole, 0.0 MB in", f"run {which} of {who}: shown to everyone"):
        assert said in caplog.text
    for said in (f"zip of run {which} of {who}: sent", f"run {which} of {who}: deleted", "operator: delete"):
        assert said in caplog.text
    for text in ("zebra", ANN, OPERATOR):
        assert text not in caplog.text


def test_the_command_line_operates(app: ServedApp, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    def operate(*words: str, password: str = OPERATOR) -> tuple[int, str, str]:
        code = main(["operate", app.url, *words, "--operator-password", password])
        return code, *capsys.readouterr()

    code, out, _ = operate("--json")
    assert code == 0
    assert run.id in {row["run"] for row in json.loads(out)["runs"]}
    code, out, _ = operate()
    assert code == 0
    assert "disk_free_mb" in out
    assert operate("delete", run.id, "--json")[:2] == (0, f'{{"said":"The run {run.id} is deleted."}}\n')
    code, out, error = operate(password="wrong one")
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert "not the operator's password" in error
    assert main(["operate", "http://127.0.0.1:9", "--operator-password", OPERATOR]) == 2
    assert "No server answers" in capsys.readouterr().err


def test_a_client_says_who_asks_by_header_or_by_argument(app: ServedApp, run: Run) -> None:
    ann, stranger = Client(app.url, headers={"X-Bertdemo-Owner": ANN}, verbose=False), Client(app.url, verbose=False)
    for status in (
        ann.predict(run_id=run.id, api_name="/run_status"),
        stranger.predict(run_id=run.id, owner=ANN, api_name="/run_status"),
    ):
        assert status["state"] == "stopped"
    assert ann.predict(text="I [MASK] it.", model=run.id, api_name="/fill_mask")["masks"]
    assert stranger.predict(text="I [MASK] it.", model=run.id, owner=ANN, api_name="/fill_mask")["masks"]
    with pytest.raises(AppError, match="that you may see"):
        stranger.predict(run_id=run.id, api_name="/run_status")
    assert run.id not in {listed["run"] for listed in stranger.predict(api_name="/runs")}
