"""The four places that lean on what Gradio does not promise: each fails here, and says so, where that has changed.

Whoever takes a newer minor of Gradio reads these first, tries the page, and then writes down what is new.
"""

from __future__ import annotations

from collections.abc import Iterator

import gradio as gr
import pytest
from gradio.state_holder import SessionState, StateHolder
from packaging.version import Version
from served import call, raw_client

from bertdemo.ui.security import CLOSED_PATHS, HEARTBEAT_PATH, LOGIN_PATH, OWNER_HEADER, UPLOAD_PATH
from bertdemo.ui.services import asker, unchecked
from bertdemo.ui.sessions import LightSession, LightSessions

TESTED = "6.31"
KNOWN = {  # every door of the tested version that stays open
    *("", "/config", "/login", "/logout", "/openapi.json", "/favicon.ico", "/robots.txt", "/manifest.json"),
    *("/theme.css", "/pwa_icon", "/pwa_icon/{size}", "/static/{path}", "/assets/{path}", "/svelte/{path}"),
    *("/gradio_api/info", "/gradio_api/openapi.json", "/gradio_api/startup-events", "/gradio_api/theme.css"),
    *("/gradio_api/upload", "/gradio_api/upload_progress", "/gradio_api/file={path_or_url}", "/gradio_api/file/{path}"),
    *("/gradio_api/user", "/gradio_api/token", "/gradio_api/app_id", "/gradio_api/login_check"),
    *("/gradio_api/heartbeat/{session_hash}", "/gradio_api/cancel", "/gradio_api/reset", "/gradio_api/queue/join"),
    *("/gradio_api/queue/data", "/gradio_api/queue/status", "/gradio_api/api/{api_name}", "/gradio_api/run/{api_name}"),
    *("/gradio_api/call/{api_name}", "/gradio_api/call/{api_name}/{event_id}"),
    *("/gradio_api/call/v2/{api_name}", "/gradio_api/call/v2/{api_name}/{event_id}"),
}


@pytest.fixture(scope="module")
def routes() -> set[str]:
    with gr.Blocks() as demo:
        gr.Textbox()
    app = gr.routes.App.create_app(demo)
    return set(app.openapi()["paths"]) | {route.path for route in app.routes if hasattr(route, "path")}


def test_this_is_the_version_that_was_tested() -> None:
    assert gr.__version__.startswith(f"{TESTED}."), (
        f"Gradio {gr.__version__} is not the {TESTED} that the page was tried with: run the browser tests, read the "
        "other tests of this module, then write the new version here and in constraints.txt"
    )
    assert Version(TESTED).minor == Version(gr.__version__).minor


def test_every_door_of_gradio_is_known_or_closed(routes: set[str]) -> None:
    plain = {path.replace(":path}", "}").rstrip("/") for path in routes}
    new = sorted(path for path in plain - KNOWN if not path.startswith(CLOSED_PATHS))
    assert new == [], f"Gradio has new doors: close {new} in ui/security.py, or name them here"
    for path in (UPLOAD_PATH, LOGIN_PATH, HEARTBEAT_PATH + "{session_hash}"):
        assert path in plain, f"Gradio no longer has {path}; see ui/security.py"


def test_sessions_have_the_hooks_that_keep_them_light() -> None:
    for kind, light in ((SessionState, LightSession), (StateHolder, LightSessions)):
        for name in vars(light):
            if name not in ("__module__", "__doc__", "__firstlineno__", "__static_attributes__"):
                assert name in vars(kind), f"Gradio's {kind.__name__} has no {name} any more; see ui/sessions.py"
    with gr.Blocks() as demo:
        gr.Textbox("described")
    assert SessionState(demo).config_values, "Gradio describes no component for a session: ui/sessions.py can go"
    assert LightSession(demo).config_values == {}


def test_what_a_page_chose_reaches_the_handlers_unchecked() -> None:
    with gr.Blocks():
        plain, free = gr.Radio(["one"]), unchecked(gr.Radio(["one"]))
    with pytest.raises(gr.Error):
        plain.preprocess("two")
    assert free.preprocess("two") == "two", "Gradio checks choices elsewhere now; see unchecked in ui/services.py"


def test_a_handler_knows_which_request_it_answers() -> None:
    """Also each part of one that yields, in whatever thread: ``asker`` in ui/services.py reads the header there."""
    heard: list[str] = []

    def yields() -> Iterator[str]:
        heard.append(asker())
        yield "one"
        heard.append(asker())
        yield "two"

    def answers() -> str:
        heard.append(asker())
        return "three"

    with gr.Blocks() as demo:
        gr.api(yields)
        gr.api(answers)
    _, url, _ = demo.queue().launch(prevent_thread_lock=True, quiet=True)
    try:
        with raw_client(url.rstrip("/"), headers={OWNER_HEADER: "me"}) as client:
            for endpoint in ("yields", "answers"):
                call(client, endpoint)
    finally:
        demo.close(verbose=False)
    assert heard == ["me", "me", "me"]
    assert asker() == ""
