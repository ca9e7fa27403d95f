"""The live chart's questions are answered on the way to Gradio, which gets everything else as it was sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from asgi import ask, behind

from bertdemo.ui.quick_poll import MOST_BYTES, PATH, QuickPoll


def news(data: Any) -> dict[str, Any] | None:
    return {"asked": data} if data == ["run", 7] else None


APP = QuickPoll(behind, answer=news)


def question(**changes: object) -> bytes:
    return json.dumps(
        {"data": ["run", 7], "fn_name": "poll", "component_id": 3, "session_hash": "x"} | changes
    ).encode()


@pytest.mark.parametrize("path", [PATH, f"/sub{PATH}"])
def test_a_question_about_a_run_is_answered(path: str) -> None:
    status, text = ask(APP, method="POST", path=path, body=[question()])
    assert (status, json.loads(text)) == (200, {"asked": ["run", 7]})


@pytest.mark.parametrize(
    "body",
    [
        question(data=["run", 0]),
        question(fn_name="__init__"),
        question(session_hash="x" * MOST_BYTES),
        b"[" * MOST_BYTES,
        b"\xff",
        b"[]",
        b"",
    ],
)
def test_everything_else_passes_on_unchanged(body: bytes) -> None:
    assert ask(APP, method="POST", path=PATH, body=[body]) == (200, str(len(body)))


def test_what_comes_in_parts_or_elsewhere_passes_on_unchanged() -> None:
    whole = question()
    assert ask(APP, method="POST", path=PATH, body=[whole[:5], whole[5:]]) == (200, str(len(whole)))
    assert ask(APP, method="POST", path="/gradio_api/queue/join", body=[whole]) == (200, str(len(whole)))
    assert ask(APP, path=PATH) == (200, "0")
