"""What strangers may not do: read files, speak for other sites, stop other people's runs, or send without end."""

from __future__ import annotations

import ast
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from served import PATIENCE, ROOT, CallError, ServedApp, call, raw_client, served_app, upload

from bertdemo.ui.plot import plotly_source

SECRET = "the-secret-of-this-machine"
PASSWORD = "open sesame"
OWN = ("/live/newest", "/runs/20261122-1130-reviews-ab12.zip", f"/{plotly_source()}")  # routes beside Gradio's


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApp]:
    with served_app(tmp_path_factory.mktemp("private") / "home") as served:
        yield served


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApp]:
    """A server for others: it asks for a password."""
    home = tmp_path_factory.mktemp("shared") / "home"
    with served_app(home, "--host", "0.0.0.0", "--password", PASSWORD) as served:
        yield served


@pytest.fixture
def guest(shared: ServedApp) -> Iterator[httpx.Client]:
    """Somebody who has logged in."""
    with raw_client(shared.url) as opened:
        assert opened.post("/login", data={"username": "bertdemo", "password": PASSWORD}).status_code == 200
        yield opened


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret.csv"
    path.write_text("id,review\n" + "".join(f"{n},{SECRET} number {n} is a text of some words.\n" for n in range(20)))
    return path


# --- reading files


@pytest.mark.slow
def test_no_file_of_the_machine_is_served(client: httpx.Client, app: ServedApp, secret: Path) -> None:
    inside = app.services.home / "runs" / "private.txt"
    inside.parent.mkdir(parents=True, exist_ok=True)
    inside.write_text(SECRET)
    paths = [
        str(secret),
        str(inside),
        f"/proc/self/root{secret}",
        f"file://{secret}",
        str(ROOT / "app.py"),
        "/etc/passwd",
    ]
    paths += [
        os.path.relpath(secret),
        os.path.relpath(secret, ROOT),
        "../" * 30 + str(secret)[1:],
        "app.py",
        "README.md",
    ]
    doors = ["/gradio_api/file=", "/gradio_api/file/", "/file=", "/file/", "/static/", "/assets/", "/svelte/"]
    doors += ["/custom_component/x/client/component/", "/gradio_api/proxy=", "/theme.css/"]
    for door in doors:
        for path in paths:
            for written in (path, quote(path, safe=""), quote(quote(path, safe=""), safe="")):
                answer = client.get(door + written)
                assert answer.status_code != 200 or door == "/svelte/", (door, written)
                for private in (SECRET, "root:x:0", "sys.exit(main())"):
                    assert private not in answer.text, (door, written)


def test_the_server_fetches_nothing_for_strangers(client: httpx.Client, app: ServedApp) -> None:
    inside = f"{app.url}/health"
    for door in ("/gradio_api/proxy=", "/gradio_api/file="):
        answer = client.get(door + inside, follow_redirects=False)
        assert '"ok"' not in answer.text
    for payload in ({"path": inside}, {"path": inside, "url": inside, "meta": {"_type": "gradio.FileData"}}):
        with pytest.raises(CallError):
            call(client, "inspect_csv", payload, None, None, None)


def payloads(path: Path) -> list[object]:
    described = {"meta": {"_type": "gradio.FileData"}}
    return [
        str(path),
        {"path": str(path)},
        {"path": str(path), **described},
        {"path": f"../../..{path}", **described},
        {"path": "x.csv", "url": f"file://{path}", **described},
        {"path": "x.csv", "url": f"/gradio_api/file={path}", **described},
        [{"path": str(path), **described}],
    ]


def test_a_path_is_not_taken_for_a_file(client: httpx.Client, secret: Path) -> None:
    training = [None, "mini-bert", *[None] * 8, [], [], "", ""]
    for payload in payloads(secret):
        for endpoint, others in (("inspect_csv", [None, None, None]), ("start_training", training)):
            with pytest.raises(CallError) as caught:
                call(client, endpoint, payload, *others)
            assert SECRET not in str(caught.value.sentence)
    assert call(client, "runs") == []


def test_a_path_is_not_taken_through_the_pages_own_events_either(
    client: httpx.Client, app: ServedApp, secret: Path
) -> None:
    config = client.get("/config").json()
    files = {item["id"] for item in config["components"] if item["type"] in ("file", "uploadbutton")}
    events = [item for item in config["dependencies"] if files & set(item["inputs"])]
    assert len(events) >= 3
    for event in events:
        for payload in payloads(secret):
            data = [payload if given in files else None for given in event["inputs"]]
            asked = {"data": data, "fn_index": event["id"], "session_hash": "stranger"}
            client.post("/gradio_api/queue/join", json=asked)
    with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": "stranger"}) as answers:
        for line in answers.iter_lines():
            assert SECRET not in line
            if "close_stream" in line:
                break


NAMES = (
    "../../../evil.csv",
    "/etc/evil.csv",
    "<img src=x>.csv",
    "a\\b.csv",
    "x" * 400 + ".csv",
    "\u202e.csv",
    "..",
    ".",
)


@pytest.mark.parametrize("name", NAMES)
def test_an_upload_is_refused_or_a_plain_name_in_the_uploads_folder(
    client: httpx.Client, rows: Path, name: str
) -> None:
    folder = Path(os.environ["GRADIO_TEMP_DIR"]).resolve()
    try:
        path = Path(upload(client, rows, name=name)["path"])
    except httpx.HTTPStatusError as error:
        assert error.response.status_code in (400, 422)  # noqa: PT017 - being refused is one of two right answers
        return
    assert path.resolve().parent.parent == folder
    assert path.is_file()
    assert not set(path.name) & set('<>/\\"')


@pytest.mark.parametrize("name", ["page.html", "picture.svg", "page.xhtml", "data.xml", "script.js", "none"])
def test_an_uploaded_page_is_never_shown_as_one_of_ours(client: httpx.Client, tmp_path: Path, name: str) -> None:
    path = tmp_path / "content"
    path.write_text("<html><script xmlns='http://www.w3.org/1999/xhtml'>alert(document.domain)</script></html>")
    served = client.get(f"/gradio_api/file={upload(client, path, name=name)['path']}")
    shown_in_place = "attachment" not in served.headers.get("content-disposition", "")
    kind = served.headers.get("content-type", "").split(";")[0]
    assert not shown_in_place or kind in ("text/plain", "application/octet-stream", "application/json")


# --- who is asking


def test_other_hosts_and_other_sites_are_refused_by_the_whole_server(client: httpx.Client) -> None:
    for headers in ({"Host": "evil.example"}, {"Host": "evil.example", "X-Forwarded-Host": "localhost"}):
        for path in (
            "/",
            "/config",
            "/health",
            *OWN,
            "/gradio_api/info",
            "/gradio_api/heartbeat/x",
            "/gradio_api/queue/data",
        ):
            assert client.get(path, headers=headers).status_code == 403
    for origin in ("https://evil.example", "null"):
        for path in ("/config", *OWN, "/gradio_api/queue/data?session_hash=x", "/gradio_api/heartbeat/x"):
            assert client.get(path, headers={"Origin": origin}).status_code == 403
        for path in (
            "/gradio_api/queue/join",
            "/gradio_api/call/runs",
            "/gradio_api/upload",
        ):
            answer = client.post(
                path, headers={"Origin": origin, "Content-Type": "text/plain"}, content=b'{"data": []}'
            )
            assert answer.status_code == 403
    assert client.get("/", headers={"Host": "localhost:1"}).status_code == 200


def test_the_page_is_framed_by_its_own_site_only(client: httpx.Client, shared: ServedApp) -> None:
    with raw_client(shared.url) as stranger:
        ours = [client.get(path) for path in OWN]
        for answer in (client.get("/"), client.get("/config"), *ours, stranger.get("/"), stranger.post("/login")):
            assert answer.headers["content-security-policy"] == "frame-ancestors 'self'"


def test_a_request_without_a_host_gets_nothing(app: ServedApp) -> None:
    for lines in ("GET /config HTTP/1.0", "GET /config HTTP/1.1\r\nHost: localhost\r\nHost: evil.example"):
        with socket.create_connection(("127.0.0.1", app.port), timeout=30) as connection:
            connection.sendall(f"{lines}\r\nConnection: close\r\n\r\n".encode())
            assert connection.recv(100).split()[1] in (b"403", b"400")


def test_usage_figures_and_the_video_converter_are_closed(client: httpx.Client) -> None:
    for path in (
        "/monitoring",
        "/monitoring/summary",
        "/monitoring/x",
        "/gradio_api/monitoring",
        "/gradio_api/vibe-code/",
        "/gradio_api/deep_link?session_hash=x",
        "/gradio_api/proxy=https://huggingface.co/",
        "/gradio_api/dev/reload",
        "/gradio_api/component_server",
    ):
        assert client.get(path).status_code in (403, 404)
    assert client.post("/gradio_api/process_recording", files={"video": b"x"}).status_code == 403
    config = client.get("/config").json()
    assert config.get("analytics_enabled") is False


def test_the_health_of_the_server_can_be_asked(client: httpx.Client, shared: ServedApp) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    with raw_client(shared.url) as stranger:
        assert stranger.get("/health").json() == {"status": "ok"}


# --- a password, and whose run it is


def test_without_the_password_there_is_nothing_to_see_or_do(shared: ServedApp, rows: Path) -> None:
    with raw_client(shared.url) as stranger:
        for password in ("", "wrong", PASSWORD.upper(), PASSWORD + " "):
            answer = stranger.post("/login", data={"username": "bertdemo", "password": password})
            assert answer.status_code in (400, 422)
        for path in ("/config", *OWN, "/gradio_api/info", "/gradio_api/queue/status"):
            assert stranger.get(path).status_code == 401
        assert stranger.get(f"/gradio_api/file={rows}").status_code == 403  # nobody is served what was uploaded
        for path in ("/gradio_api/call/runs", "/gradio_api/queue/join", "/gradio_api/run/runs"):
            assert stranger.post(path, json={"data": []}).status_code == 401
        assert stranger.post("/gradio_api/upload", files={"files": b"x"}).status_code == 401
        for path in ("/", "/gradio_api/theme.css", "/manifest.json", "/gradio_api/user", "/gradio_api/token"):
            answer = stranger.get(path)  # the login page, which describes the endpoints, and Gradio's signs of life
            assert answer.status_code == 200
            for ours in ("live-chart", "I really really", "sample reviews", str(shared.services.home)):
                assert ours not in answer.text


@pytest.mark.slow
def test_only_the_owner_stops_a_run_on_a_shared_server(guest: httpx.Client, rows: Path) -> None:
    settings = [None, "mini-bert", 200, None, None, 16, None, None, None, None, [], [], "mine", "token of the owner"]
    run_id = call(guest, "start_training", upload(guest, rows), *settings)
    for token in ("", "guess", "token of the owne"):
        with pytest.raises(CallError) as caught:
            call(guest, "stop_training", run_id, token)
        assert "no run" in caught.value.sentence
    assert call(guest, "run_status", run_id, 0, "token of the owner")["state"] not in ("stopped", "stopping")
    assert call(guest, "stop_training", run_id, "token of the owner")["state"] in ("stopping", "stopped")
    listed = json.dumps(call(guest, "runs", "token of the owner"))
    assert run_id in listed
    assert "token of the owner" not in listed
    assert "/home/" not in listed


@pytest.mark.slow
def test_the_news_of_a_run_at_work_takes_the_password(guest: httpx.Client, shared: ServedApp, rows: Path) -> None:
    settings = [None, "mini-bert", 200, None, None, 16, None, None, None, None, [], [], "mine", "token of the owner"]
    run_id = call(guest, "start_training", upload(guest, rows), *settings)
    deadline = time.monotonic() + PATIENCE
    while (
        not (cursor := call(guest, "run_status", run_id, 0, "token of the owner")["cursor"])
        and time.monotonic() < deadline
    ):
        time.sleep(0.1)
    owner = {"X-Bertdemo-Owner": "token of the owner"}
    assert guest.get(f"/live/{run_id}?cursor={cursor}", headers=owner).json()["state"] == "training"
    assert guest.get(f"/live/{run_id}?cursor={cursor}").json()["state"] == "missing"
    with raw_client(shared.url) as stranger:
        assert stranger.get(f"/live/{run_id}?cursor={cursor}", headers=owner).status_code == 401
    call(guest, "stop_training", run_id, "token of the owner")


def test_a_shared_server_opens_no_folder_as_a_model(guest: httpx.Client, tiny_bert_folder: Path) -> None:
    for reference in (str(tiny_bert_folder), os.path.relpath(tiny_bert_folder), "assets/mini-bert", ".", "~", "/"):
        with pytest.raises(CallError) as caught:
            call(guest, "fill_mask", "I [MASK] it.", reference, 5, "")
        assert "mini-bert" in caught.value.sentence or "check" in caught.value.sentence


def test_on_this_machine_a_folder_is_a_model(client: httpx.Client, tiny_bert_folder: Path) -> None:
    assert call(client, "fill_mask", "I [MASK] it.", str(tiny_bert_folder), 3, "")["masks"]


# --- sending without end


def declared_upload(port: int, size: int) -> bytes:
    """The first line of the answer to an upload that says how large it is going to be."""
    head = f"POST /gradio_api/upload HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Length: {size}\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n--x".encode())
        return connection.recv(100).splitlines()[0]


def test_what_is_too_large_is_refused_and_the_server_goes_on(client: httpx.Client, app: ServedApp) -> None:
    assert client.post("/gradio_api/call/fill_mask", content=b'{"data": ["' + b"x" * 9_000_000).status_code == 413
    assert b" 413 " in declared_upload(app.port, 2_000_000_000)
    for body in (b"[" * 100_000, b'{"data": ' + b"[" * 50_000, b"\xff\xfe", b"", b"null", b'{"data": 5}'):
        answer = client.post("/gradio_api/call/fill_mask", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code >= 400
        assert "Traceback" not in answer.text
    with pytest.raises(CallError) as caught:
        call(client, "fill_mask", "[MASK] " + "x" * 300_000, "mini-bert", 5, "")
    assert "at most 200,000" in caught.value.sentence
    assert call(client, "fill_mask", "I [MASK] it.", "mini-bert", 1, "")["masks"]


def test_nonsense_to_our_own_routes_is_refused(client: httpx.Client) -> None:
    for run, cursor in (("..%2F..%2Fetc", 0), ("%00", 0), ("newest", -1), ("newest", 10**30), ("newest", "x")):
        answer = client.get(f"/live/{run}?cursor={cursor}")
        assert answer.status_code == 404 or answer.json()["state"] == "missing"
    for run in ("..%2F..%2Fetc%2Fpasswd", "%00", "x" * 3000, "20261122-1130-reviews-ab12", "newest"):
        answer = client.get(f"/runs/{run}.zip")
        assert answer.status_code == 404
        assert "\n" not in answer.text
    for path in OWN:
        assert client.post(path, content=b"x").status_code == 405
        assert client.post(path, content=b"x" * 9_000_000).status_code == 413


# --- what the code itself may not do


FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "torch.load"}
FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "dill", "joblib", "subprocess", "tarfile", "gzip", "bz2"}
ALLOWED = {("encoding.py", "gzip")}  # which unpacks to memory, up to a limit, and writes nothing
UNPACKING = {"extractall", "extract", "unpack_archive"}


@pytest.mark.slow
def test_nothing_is_ever_unpickled_unpacked_evaluated_or_run() -> None:
    for path in sorted((ROOT / "bertdemo").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name.split(".")[0] for alias in node.names} | {
                    (getattr(node, "module", "") or "").split(".")[0]
                }
                assert not {name for name in names & FORBIDDEN_MODULES if (path.name, name) not in ALLOWED}, where
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in FORBIDDEN_CALLS, where
                assert called.rpartition(".")[2] not in UNPACKING, where
            if isinstance(node, ast.keyword) and node.arg in ("trust_remote_code", "allow_pickle"):
                assert isinstance(node.value, ast.Constant), where
                assert node.value.value is False, where
