"""Every value that a form or a program can send: taken, or refused in one sentence before anything is started."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fuzzing import ARGUMENTS, FAST, TRAINING_ARGUMENTS, check_endpoint
from hypothesis import given

from bertdemo.mlm.errors import BertDemoError
from bertdemo.runs.record import RunRequest
from bertdemo.ui.api import Endpoints
from bertdemo.ui.services import Services
from bertdemo.ui.train.form import run_request

REFUSED: dict[str, list[Any]] = {
    "epochs": [0, -1, 1.5, 1e9, "", "abc", "1e3x", float("nan"), float("inf"), 10**400, True, [3], {}],
    "learning_rate": [1e3, -1, float("nan"), float("-inf"), "5,e-5", "fast", "--", True, [1], 10**400],
    "batch_size": [0, -1, 0.5, 1e6, "many"],
    "max_length": [0, 1, 3, -5, 1e7, "long"],
    "mask_rate": [0, 1, 1.5, -0.1, float("nan"), "all"],
    "limit": [0, -1, 1.5, "abc"],
    "seed": [-1, "abc", 1.5, 2**63, 10**400],
    "precision": ["fp16", "double", "FP32"],
    "probe": ["no blank here", "I [MASK] it.\nno blank here", ["[MASK]"] * 11],
    "watch": [["word"] * 21, ",".join(["word"] * 50)],
}
TAKEN: dict[str, list[tuple[Any, Any]]] = {
    "epochs": [(1, 1), ("2", 2), (3.0, 3), (None, 3)],
    "learning_rate": [(0, 0), ("5e-5", 5e-5), (1, 1), (" 1e-4 ", 1e-4)],
    "batch_size": [(1, 1), (4096, 4096)],
    "max_length": [(16, 16), ("64", 64)],
    "seed": [(0, 0), (2**53 + 1, 2**53 + 1), (2**63 - 1, 2**63 - 1)],
    "precision": [("fp32", "fp32"), ("", None), (None, None)],
}
NAMES = (
    "../../x",
    "CON",
    "x" * 300,
    "a/b",
    "\0",
    "..",
    "C:\\x",
    "<b>bold</b>",
    "\ud800",
    "💬",
    "name\nwith lines",
    "~",
)


def submitted(services: Services, path: Path, *, name: object = "", **values: object) -> RunRequest:
    request = run_request(services, values, path=path, model="mini-bert", name=name)
    request.check()
    return request


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in REFUSED.items() for value in values])
def test_what_cannot_be_is_refused(services: Services, reviews: Path, field: str, value: object) -> None:
    if value == "" and field == "epochs":
        return  # an emptied field means the default
    with pytest.raises(BertDemoError) as caught:
        submitted(services, reviews, **{field: value})
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert services.store.list() == []


@pytest.mark.parametrize(
    ("field", "value", "meant"), [(field, *pair) for field, pairs in TAKEN.items() for pair in pairs]
)
def test_what_is_unusual_but_possible_is_taken(
    services: Services, reviews: Path, field: str, value: object, meant: object
) -> None:
    assert getattr(submitted(services, reviews, **{field: value}).settings, field) == meant


@pytest.mark.parametrize("name", NAMES)
def test_no_name_leads_out_of_the_home(services: Services, reviews: Path, name: str) -> None:
    request = submitted(services, reviews, name=name, epochs=1, max_length=16)
    run = services.store.get(services.manager.submit(request, owner="me").run_id)
    assert run.folder.resolve().parent == (services.home / "runs").resolve()
    assert run.record.name
    assert run.record.name.isprintable()
    json.dumps(run.summary()).encode()
    assert services.store.get(run.id).id == run.id


@pytest.mark.slow
def test_a_rate_of_nothing_is_taken_and_said_to_teach_nothing(services: Services, reviews: Path) -> None:
    request = submitted(services, reviews, learning_rate=0, epochs=1, max_length=16)
    run_id = services.manager.submit(request, owner="me").run_id
    services.manager._worker.join(0.1)
    while services.manager.live():
        services.manager._worker.join(0.05)
    messages = [event["message"] for event in services.manager.status(run_id).events if event["event"] == "warning"]
    assert any("nothing will be learned" in message for message in messages)


@pytest.mark.parametrize("path", ["", None, "/nowhere/reviews.csv"])
def test_no_file_is_said(services: Services, path: str | None) -> None:
    with pytest.raises(BertDemoError, match="upload"):
        run_request(services, {}, path=path, model="mini-bert").check()


@pytest.mark.parametrize(
    "model",
    ["", "/etc", "../..", "\0", "/\0", "\ud800", "/\ud800", "a" * 5000, "none", "C:\\x", "a/b/c", "~/x", 5, None, []],
)
def test_no_model_reference_opens_a_folder_or_breaks(services: Services, reviews: Path, model: object) -> None:
    def load() -> None:
        request = run_request(services, {}, path=reviews, model=model)
        services.registry.shared(services.registry.resolve(request.model, allow_folders=False))

    with pytest.raises(BertDemoError) as caught:
        load()
    assert "\n" not in str(caught.value)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.mark.parametrize("endpoint", ARGUMENTS)
def test_any_argument_is_answered_or_refused(services: Services, endpoint: str) -> None:
    @FAST
    @given(ARGUMENTS[endpoint])
    def asked(arguments: tuple[Any, ...]) -> None:
        check_endpoint(Endpoints(services), endpoint, arguments)

    asked()


@FAST
@given(TRAINING_ARGUMENTS)
def test_any_request_to_train_is_refused_or_queued(
    services: Services, reviews: Path, arguments: tuple[Any, ...]
) -> None:
    check_endpoint(Endpoints(services, received=Path), "start_training", (str(reviews), *arguments))
