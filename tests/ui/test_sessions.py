"""Sessions of the served page: each with states of its own, and light."""

from __future__ import annotations

from collections.abc import Iterator

import gradio as gr
import pytest
from served import ServedApp, call, raw_client, served_app

from bertdemo.ui.question import ask
from bertdemo.ui.services import NO_MODEL
from bertdemo.ui.sessions import LightSessions
from bertdemo.ui.train.run_view import show_overlay


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


def test_what_an_event_changes_is_kept_and_not_described(sessions: LightSessions) -> None:
    shown = next(key for key, block in sessions.blocks.blocks.items() if isinstance(block, gr.Textbox))
    changed = gr.Textbox("changed", render=False)
    sessions["one"][shown] = changed
    assert (sessions["one"][shown], sessions["one"].config_values) == (changed, {})


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApp]:
    with served_app(tmp_path_factory.mktemp("served") / "home") as served:
        yield served


def test_a_served_session_keeps_nothing_of_what_it_was_asked(app: ServedApp) -> None:
    with raw_client(app.url) as client:
        assert call(client, "fill_mask", "I [MASK] it.", "mini-bert", 1, "", session="mine")["masks"]
    kept = app.demo.app.state_holder
    assert isinstance(kept, LightSessions)
    assert "mine" in kept
    assert kept["mine"].config_values == {}


def test_what_a_forgotten_page_has_chosen_is_taken_as_far_as_it_goes(app: ServedApp) -> None:
    """Its second blank, run or layer is on no list that the server still has; Gradio would answer with that list."""
    sentence, second = "A [MASK] and a [MASK].", 1
    forgotten: dict[str, object] = {
        "which-blank": second,
        "overlaid-runs": ["20261122-1130-gone-ab12"],
        "attention-layer": "3",
        "attention-head": "4",
        "guess-tuned": "20261122-1130-gone-ab12",
        "masks-row": 40,
    }
    built = {block.elem_id: block for block in app.demo.blocks.values() if block.elem_id in forgotten}
    assert {name: built[name].preprocess(chosen) for name, chosen in forgotten.items()} == forgotten
    for blank, looked_at in ((second, 1), (7, 1), (-2, 0)):
        asked = {"text": sentence, "strip": None, "model": "mini-bert", "compared": NO_MODEL, "blank": blank}
        assert ask(app.services, **asked).blank == looked_at
    assert show_overlay(app.services, ["20261122-1130-gone-ab12"]) is None
