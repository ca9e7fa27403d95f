"""Every endpoint for programs, asked with ``gradio_client`` on the real app with the bundled model."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from served import ROOT, ServedApp, served_app

from bertdemo.mlm.analysis.compare import compare
from bertdemo.mlm.inference.fill_mask import fill_masks
from bertdemo.mlm.inference.pseudo_likelihood import score_sentence
from bertdemo.mlm.training.estimate import inspect_file
from bertdemo.runs.log import finite
from bertdemo.ui.api import MAX_CHARACTERS

SAMPLE = ROOT / "assets" / "sample_reviews.csv"
TEXT = "I really really [MASK] this show!"
SETTINGS = {"epochs": 1, "batch_size": 16, "max_length": 32, "limit": 60, "seed": 3, "name": "from a program"}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApp]:
    with served_app(tmp_path_factory.mktemp("api") / "home") as served:
        yield served


@pytest.fixture(scope="module")
def client(app: ServedApp) -> Client:
    return Client(app.url, verbose=False, analytics_enabled=False)


@pytest.fixture(scope="module")
def bundled(app: ServedApp):
    registry = app.services.registry
    return registry.shared(registry.resolve("mini-bert"))


@pytest.fixture(scope="module")
def trained(client: Client) -> str:
    """A run that has ended."""
    options = {**SETTINGS, "probe": [TEXT], "watch": ["love"], "whole_words": True, "patience": 3, "evaluate_every": 2}
    options |= {"replay": "general", "replay_share": 0.1}
    run_id = client.predict(file=handle_file(SAMPLE), **options, api_name="/start_training")
    follow(client, run_id)
    return run_id


def follow(client: Client, run_id: str) -> tuple[str, list[dict]]:
    """(the state in the end, all events)."""
    cursor, events = 0, []
    while True:
        status = client.predict(run_id=run_id, cursor=cursor, api_name="/run_status")
        cursor, events = status["cursor"], [*events, *status["events"]]
        if status["state"] in ("finished", "stopped", "failed", "interrupted") and not status["events"]:
            return status["state"], events
        time.sleep(0.05)


def test_the_endpoints_are_those_that_are_promised_with_the_command_lines_names(client: Client) -> None:
    described = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    names = {
        endpoint: [parameter["parameter_name"] for parameter in described[endpoint]["parameters"]]
        for endpoint in described
    }
    assert names == {
        "/fill_mask": ["text", "model", "top_k", "targets", "owner"],
        "/compare": ["text", "before", "after", "top_k", "owner"],
        "/score_sentence": ["text", "model", "owner"],
        "/inspect_csv": [
            *("file", "column", "model", "max_length", "encoding", "delimiter", "header", "long_texts", "owner"),
        ],
        "/start_training": [
            *("file", "column", "model", "epochs", "learning_rate", "batch_size", "max_length", "mask_rate", "limit"),
            *("seed", "precision", "probe", "watch", "name", "owner"),
            *("encoding", "delimiter", "header", "whole_words", "patience", "evaluate_every", "replay"),
            *("replay_share", "long_texts", "device", "new_words"),
        ],
        "/run_status": ["run_id", "cursor", "owner"],
        "/stop_training": ["run_id", "owner"],
        "/share_run": ["run_id", "everyone", "owner"],
        "/runs": ["owner"],
    }
    assert all(endpoint["description"] for endpoint in described.values())


def test_fill_mask_gives_what_the_engine_gives(client: Client, bundled) -> None:
    answer = client.predict(text=TEXT, model="mini-bert", top_k=7, targets="love, xyzzyx", api_name="/fill_mask")
    expected = finite(fill_masks(bundled, TEXT, top_k=7, targets=["love", "xyzzyx"]).to_record())
    assert [mask["position"] for mask in answer["masks"]] == [mask["position"] for mask in expected["masks"]]
    for got, wanted in zip(answer["masks"][0]["candidates"], expected["masks"][0]["candidates"], strict=True):
        assert (got["token"], got["token_id"], got["rank"]) == (wanted["token"], wanted["token_id"], wanted["rank"])
        assert got["probability"] == pytest.approx(wanted["probability"], rel=1e-4)
    assert [target["word"] for target in answer["masks"][0]["targets"]] == ["love", "xyzzyx"]
    assert answer["tokens"] == list(expected["tokens"])
    assert client.predict(text=TEXT, api_name="/fill_mask")["masks"][0]["candidates"]


def test_compare_gives_what_the_engine_gives(client: Client, bundled, trained: str) -> None:
    same = client.predict(text=TEXT, before="mini-bert", after="mini-bert", api_name="/compare")
    assert same["masks"][0]["js_divergence"] == 0
    answer = client.predict(text=TEXT, before="mini-bert", after=trained, top_k=3, api_name="/compare")
    assert set(answer["masks"][0]) >= {"position", "candidates", "js_divergence", "entropy"}
    assert answer["masks"][0]["js_divergence"] > 0
    assert compare(bundled, bundled, TEXT).to_record()["masks"][0].keys() == answer["masks"][0].keys()


def test_score_sentence_gives_what_the_engine_gives(client: Client, bundled) -> None:
    answer = client.predict(text="The show was good.", api_name="/score_sentence")
    expected = score_sentence(bundled, "The show was good.").to_record()
    assert answer["pll"] == pytest.approx(expected["pll"], rel=1e-4)
    assert [token["token"] for token in answer["tokens"]] == [token["token"] for token in expected["tokens"]]


def test_a_file_is_read_as_named(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "kritik.csv"
    path.write_bytes("".join(f"{n};Käse und Süßes Nummer {n}, sehr schön\n" for n in range(20)).encode("cp850"))
    named = {"encoding": "cp852", "delimiter": ",", "header": False}
    answer = client.predict(file=handle_file(path), **named, api_name="/inspect_csv")
    assert {name: answer[name] for name in named} == named


def test_inspect_csv_gives_what_the_engine_gives(client: Client) -> None:
    answer = client.predict(file=handle_file(SAMPLE), api_name="/inspect_csv")
    assert answer == inspect_file(SAMPLE)
    counted = client.predict(file=handle_file(SAMPLE), model="mini-bert", max_length=8, api_name="/inspect_csv")
    assert counted["report"]["truncated"] > 0


def test_a_run_is_started_followed_and_listed(client: Client, trained: str) -> None:
    state, events = follow(client, trained)
    assert state == "finished"
    kinds = [event["event"] for event in events]
    assert (kinds[0], kinds[-1]) == ("started", "finished")
    assert {"step", "evaluated", "general", "probe"} <= set(kinds)
    steps = [event["step"] for event in events if event["event"] == "step"]
    assert steps == list(range(1, events[0]["steps"] + 1))
    (listed,) = [run for run in client.predict(api_name="/runs") if run["run"] == trained]
    assert (listed["name"], listed["state"], listed["data"]) == ("from a program", "finished", "sample_reviews.csv")
    assert Path(listed["model"]).is_dir()
    answer = client.predict(text=TEXT, model=trained, api_name="/fill_mask")
    assert answer["masks"][0]["candidates"]


@pytest.mark.slow
def test_a_run_is_stopped_and_keeps_what_it_learnt(client: Client) -> None:
    options = {**SETTINGS, "epochs": 500, "name": "endless"}
    run_id = client.predict(file=handle_file(SAMPLE), **options, api_name="/start_training")
    while client.predict(run_id=run_id, api_name="/run_status")["step"] < 2:
        time.sleep(0.05)
    assert client.predict(run_id=run_id, api_name="/stop_training") == {"run": run_id, "state": "stopping"}
    state, events = follow(client, run_id)
    assert state == "stopped"
    assert Path(events[-1]["model"]).is_dir()
    assert client.predict(run_id=run_id, api_name="/stop_training")["state"] == "stopped"


REFUSED = {
    "no mask": ("/fill_mask", {"text": "no blank"}, "write [MASK] (or ___)"),
    "a model that is none": ("/fill_mask", {"text": TEXT, "model": "<script>/x/y"}, "'<script>/x/y' is neither"),
    "a text without end": ("/fill_mask", {"text": "x" * (MAX_CHARACTERS + 1)}, "at most 200,000"),
    "no words to show": ("/fill_mask", {"text": TEXT, "top_k": 0}, "1 or more"),
    "half a word to show": ("/fill_mask", {"text": TEXT, "top_k": 1.5}, "whole number"),
    "nothing to score": ("/score_sentence", {"text": ""}, "nothing to score"),
    "a run that is not there": ("/run_status", {"run_id": "nobody"}, "no run 'nobody'"),
    "a run that is not there to stop": ("/stop_training", {"run_id": "../x"}, "no run"),
    "no file": ("/inspect_csv", {"file": None}, "handle_file"),
    "no file to train on": ("/start_training", {"file": None}, "no data yet"),
    "a column that is not there": ("/inspect_csv", {"file": handle_file(SAMPLE), "column": "<b>"}, "no column '<b>'"),
    "no epoch": ("/start_training", {"file": handle_file(SAMPLE), "epochs": 0}, "epochs must be"),
    "too high a rate": ("/start_training", {"file": handle_file(SAMPLE), "learning_rate": 1000}, "learning rate must"),
    "a probe without a mask": ("/start_training", {"file": handle_file(SAMPLE), "probe": ["no blank"]}, "has no mask"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_is_said_as_plain_text(client: Client, case: str) -> None:
    endpoint, arguments, words = REFUSED[case]
    with pytest.raises(AppError) as caught:
        client.predict(**arguments, api_name=endpoint)
    assert words in str(caught.value)
    assert "&lt;" not in str(caught.value)
    assert "Traceback" not in str(caught.value)
