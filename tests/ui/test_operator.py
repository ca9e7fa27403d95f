"""The operator's tab: nothing for whoever has not given the password, and what it does for whoever has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import pytest

from bertdemo.runs.people import Limits
from bertdemo.ui import operator
from bertdemo.ui.operator import Panel, act, do, enter, leave, overview, refresh
from bertdemo.ui.options import parse_options
from bertdemo.ui.server import build_services
from bertdemo.ui.services import Services, asked_by

PASSWORD = "open the door"


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Services:
    monkeypatch.setattr(operator, "WRONG_SECONDS", 0.0)
    public = ["--host", "0.0.0.0", "--allow-public", "--operator-password", PASSWORD]
    return build_services(parse_options([*public, "--home", str(tmp_path / "home")]))


@pytest.fixture
def panel() -> Panel:
    with gr.Blocks():
        return Panel(gr.Textbox(), gr.HTML(), gr.Column(), gr.HTML())


@pytest.fixture(autouse=True)
def _olga() -> Iterator[None]:
    with asked_by("olga"):
        yield


def test_without_the_password_there_is_nothing_inside(services: Services, panel: Panel) -> None:
    for shown in (refresh(services, panel), leave(services, panel)):
        assert not shown[panel.inside].visible
        assert "<table" not in shown[panel.shown]
    refused = enter(services, panel, password="a guess")
    assert "not the operator" in refused[panel.note]
    assert refused[panel.password] == ""
    assert panel.inside not in refused
    for action in operator.ACTS:
        assert do(services, panel, action, about="rows", value="5") == {
            panel.note: '<p class="note wrong" role="alert">Give the operator&#x27;s password first.</p>'
        }
    assert services.manager.limits.rows == 300_000


def test_with_it_this_browser_is_the_operator_until_it_leaves(services: Services, panel: Panel) -> None:
    entered = enter(services, panel, password=PASSWORD)
    assert entered[panel.inside].visible
    assert "memory of the server" in entered[panel.shown]
    assert PASSWORD not in str(entered)
    assert refresh(services, panel)[panel.inside].visible
    with asked_by("another"):
        assert not refresh(services, panel)[panel.inside].visible
    changed = do(services, panel, "limit", about="waiting_each", value="1,000")
    assert "1,000 now" in changed[panel.note]
    assert services.manager.limits.waiting_each == 1000
    assert "alert" in do(services, panel, "stop", about="nobody")[panel.note]
    assert "0 runs were taken" in do(services, panel, "empty")[panel.note]
    leave(services, panel)
    assert not refresh(services, panel)[panel.inside].visible


def test_the_overview_of_an_empty_server(services: Services) -> None:
    now = overview(services)
    assert (now["runs"], now["people"], now["waiting"]) == ([], [], 0)
    assert set(now["limits"]) == set(vars(Limits()))
    assert now["disk_free_mb"] > 0
    assert "is 7 now" in act(services, "limit", about="waiting", value="7")
