"""Only known host names and only our own pages get through, and only bodies that fit."""

from __future__ import annotations

from pathlib import Path

import pytest
from asgi import ask, behind, run
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from bertdemo.runs.people import Limits
from bertdemo.ui.security import LOOPBACK_HOSTS, BodyLimit, HostGuard, host_name
from bertdemo.ui.uploads import UploadRoom

LOOPBACK = HostGuard(behind, allowed_hosts=LOOPBACK_HOSTS)
ANY = HostGuard(behind, allowed_hosts=None)
LAN = HostGuard(behind, allowed_hosts=[*LOOPBACK_HOSTS, "classroom"], any_address=True)


def status(guard: HostGuard, host: str | None, origin: str | None = None, *, method: str = "GET", **scope: str) -> int:
    headers = [("Host", host)] if host is not None else []
    return ask(guard, [*headers, *([("Origin", origin)] if origin is not None else [])], method=method, **scope)[0]


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost", "LOCALHOST:1", "[::1]:7860", "[::1]"])
def test_the_machines_own_names_are_answered(host: str) -> None:
    assert status(LOOPBACK, host) == 200
    assert status(LOOPBACK, host, f"http://{host}", method="POST") == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:7860", "127.0.0.1.evil.example", "localhost.", "192.168.1.5:7860"),
        *("", None, "[::1", "::1", "localhost@evil.example", "evil.example/localhost", "evil.example#localhost"),
        *("localhost\\evil", "local host", "localhost:" + "9" * 5000, "[::1]evil", "127.0.0.1:7860, evil.example"),
    ],
)
def test_other_names_are_refused_whatever_else_is_said(host: str | None) -> None:
    assert status(LOOPBACK, host) == 403
    assert status(LOOPBACK, host, "http://127.0.0.1:7860", method="POST") == 403
    assert status(LOOPBACK, host, kind="websocket") == 403


def test_a_forwarded_host_changes_nothing() -> None:
    forged = [("X-Forwarded-Host", "localhost"), ("Forwarded", "host=localhost"), ("X-Host", "localhost")]
    assert ask(LOOPBACK, [("Host", "evil.example"), *forged])[0] == 403
    real = [("X-Forwarded-Host", "evil.example"), ("Origin", "http://evil.example")]
    assert ask(LOOPBACK, [("Host", "localhost"), *real], method="POST")[0] == 403


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "", "http://localhost.evil.example", "http://127.0.0.1@evil.example", "http://["],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PUT"])
def test_pages_of_other_sites_get_nothing(origin: str, method: str) -> None:
    for guard in (LOOPBACK, ANY):
        assert status(guard, "localhost:7860", origin, method=method) == 403
    assert status(LOOPBACK, "localhost", origin, kind="websocket") == 403


def test_a_page_on_another_port_is_another_site() -> None:
    for origin in ("http://localhost:3000", "http://127.0.0.1:3000", "http://localhost:x"):
        assert status(LOOPBACK, "localhost:7860", origin, method="POST") == 403
    assert status(LOOPBACK, "127.0.0.1:7860", "http://localhost:7860", method="POST") == 200
    for host, origin in (("classroom", "https://classroom:8443"), ("classroom:7860", "https://classroom")):
        assert status(LAN, host, origin, method="POST") == 200  # a proxy that leaves the port out, or adds its own


def test_a_proxy_on_this_machine_may_say_its_upstream_name() -> None:
    assert status(LAN, "127.0.0.1:7860", "https://classroom", method="POST") == 200
    for host, origin in (("127.0.0.1:7860", "https://classroom:3000"), ("192.168.1.5:7860", "https://classroom")):
        assert status(LAN, host, origin, method="POST") == 403
    assert status(LOOPBACK, "127.0.0.1:7860", "https://classroom", method="POST") == 403
    assert status(ANY, "127.0.0.1:7860", "https://classroom", method="POST") == 403


def test_without_a_list_of_hosts_the_origin_must_be_the_host() -> None:
    assert status(ANY, "abc.gradio.live", "https://abc.gradio.live", method="POST") == 200
    assert status(ANY, "abc.gradio.live", "https://other.gradio.live", method="POST") == 403
    assert status(ANY, None, "null", method="POST") == 403


def test_a_shared_server_answers_to_addresses_and_to_the_names_it_was_given() -> None:
    for host in ("192.168.1.5:7860", "[fe80::1]:7860", "classroom"):
        assert status(LAN, host) == 200
        assert status(LAN, host, f"http://{host}", method="POST") == 200
    assert status(LAN, "rebound.evil.example") == 403
    assert status(LAN, "192.168.1.5", "http://evil.example", method="POST") == 403


@pytest.mark.parametrize(
    "path",
    [
        *("/gradio_api/process_recording", "/monitoring", "/monitoring/summary", "/gradio_api/deep_link"),
        *("/gradio_api/proxy=https://evil.example", "/gradio_api/vibe-edit/", "/gradio_api/dev/reload"),
    ],
)
def test_doors_that_nobody_needs_are_closed(path: str) -> None:
    assert status(LOOPBACK, "localhost", path=path, method="POST") == 403


def test_names_are_found_with_and_without_a_port() -> None:
    assert [host_name(header) for header in ("a.b:80", "[::1]:80", "A", "", "x:y")] == ["a.b", "::1", "a", "", ""]


# --- how much may be sent


@pytest.fixture(autouse=True)
def _uploads_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))


def limited(app: ASGIApp, *, each: int | None = None, files: int | None = None, **sizes: int) -> BodyLimit:
    room = UploadRoom(Limits(upload_bytes_each=each, upload_files_each=files))
    return BodyLimit(app, **{"max_bytes": 1000, "max_upload_bytes": 5000, **sizes}, room=room)


LIMIT = limited(behind)
UPLOAD = "/gradio_api/upload"


def test_bodies_up_to_the_limit_pass_unchanged() -> None:
    assert ask(LIMIT, method="POST", body=[b"x" * 600, b"x" * 400]) == (200, "1000")
    assert ask(LIMIT, method="POST", path=UPLOAD, body=[b"x" * 3000, b"x" * 2000]) == (200, "5000")
    assert ask(LIMIT, method="GET") == (200, "0")


@pytest.mark.parametrize("path", ["/gradio_api/queue/join", UPLOAD, "/other", f"/sub{UPLOAD}/"])
@pytest.mark.parametrize("declared", [True, False])
def test_a_larger_body_is_refused_in_one_sentence(path: str, declared: bool) -> None:
    size = 6000 if "upload" in path else 1001
    headers = [("Content-Length", str(size))] if declared else []
    status, text = ask(LIMIT, headers, method="POST", path=path, body=[b"x" * (size // 3)] * 3 + [b"x" * 3])
    assert status == 413
    assert text.count("\n") == 0


def test_an_upload_without_room_is_refused_before_it_is_read() -> None:
    read = []

    async def reads(scope: Scope, receive: Receive, send: Send) -> None:
        read.append(scope["path"])
        await behind(scope, receive, send)

    status, text = ask(limited(reads, each=4000), [("Content-Length", "4500")], method="POST", path=UPLOAD)
    assert (status, "One person may upload" in text, read) == (507, True, [])


def test_room_is_asked_for_again_while_an_upload_comes() -> None:
    limit = limited(behind, each=2000)
    assert ask(limit, method="POST", path=UPLOAD, body=[b"x" * 800] * 2)[0] == 200
    status, text = ask(limit, method="POST", path=UPLOAD, body=[b"x" * 300] * 4)
    assert (status, "One person may upload" in text) == (507, True)
    someone_else = [("X-Bertdemo-Owner", "another")]
    assert ask(limit, someone_else, method="POST", path=UPLOAD, body=[b"x" * 800])[0] == 200


def test_files_in_one_upload_are_counted() -> None:
    files = form(*[('; filename="a.csv"', b"x")] * 5)
    headers = [("Content-Type", "multipart/form-data; boundary=edge")]
    status, text = ask(limited(behind, files=4), headers, method="POST", path=UPLOAD, body=[files])
    assert (status, "4 files a day" in text) == (507, True)


def form(*parts: tuple[str, bytes]) -> bytes:
    head = b'--edge\r\nContent-Disposition: form-data; name="x"%s\r\n\r\n%s\r\n'
    return b"".join(head % (extra.encode(), content) for extra, content in parts) + b"--edge--\r\n"


@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_what_is_no_file_in_an_upload_may_not_fill_the_memory(piece: int) -> None:
    file, field = ('; filename="a.csv"', b"x" * 2500), ("", b"x" * 900)
    headers = [("Content-Type", "multipart/form-data; boundary=edge")]
    for body, expected in ((form(file, field), 200), (form(field, file, field), 413), (form(file)[:1500], 200)):
        pieces = [body[start : start + piece] for start in range(0, len(body), piece)]
        assert ask(LIMIT, headers, method="POST", path=UPLOAD, body=pieces)[0] == expected
    assert ask(LIMIT, headers, method="POST", path=UPLOAD, body=[b"no form", b"x" * 3000])[0] == 200


def test_an_application_that_reads_json_does_not_see_more_than_the_limit() -> None:
    seen = []

    async def reads(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(await Request(scope, receive).json())
        await JSONResponse({})(scope, receive, send)

    limit = limited(reads, max_bytes=10, max_upload_bytes=10)
    assert ask(limit, method="POST", body=[b"[1,", b"2]"])[0] == 200
    assert ask(limit, method="POST", body=[b"[" * 6, b"[" * 6])[0] == 413
    assert seen == [[1, 2]]


def test_what_is_no_request_passes() -> None:
    seen = []

    async def lifespan(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope["type"])

    run(limited(lifespan)({"type": "lifespan"}, None, None))
    assert seen == ["lifespan"]
