"""Sessions of the served page: each with states of its own, and light."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
import httpx
import pytest
from served import call, served_app

from bertdemo.ui.sessions import LightSessions


@pytest.fixture
def sessions() -> LightSessions:
    with gr.Blocks() as demo:
        gr.State([])
        gr.Textbox("shown")
    demo.state_session_capacity = 2
    light = LightSessions()
    light.set_blocks(demo)
    return light


def test_states_belong_to_one_session(sessions: LightSessions) -> None:
    state = next(key for key, block in sessions.blocks.blocks.items() if isinstance(block, gr.State))
    sessions["one"][state].append("mine")
    assert (sessions["one"][state], sessions["two"][state]) == (["mine"], [])


def test_only_the_latest_sessions_are_kept(sessions: LightSessions) -> None:
    for name in ("one", "two", "one", "three"):
        assert sessions[name].blocks_config.blocks.keys() == sessions.blocks.blocks.keys()
    assert list(sessions.session_data) == ["one", "three"]


def test_a_served_session_keeps_nothing_of_what_it_was_asked(tmp_path: Path) -> None:
    with served_app(tmp_path) as app, httpx.Client(base_url=app.url, trust_env=False, timeout=60) as client:
        assert call(client, "fill_mask", "I [MASK] it.", "mini-bert", 1, "", session="mine")["masks"]
        kept = app.demo.app.state_holder
        assert isinstance(kept, LightSessions)
        assert "mine" in kept
        assert kept["mine"].config_values == {}
