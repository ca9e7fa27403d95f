"""What is too large is refused, declared or not."""

from __future__ import annotations

import pytest
from asgi import ask, behind, run
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from bertdemo.ui.body_limit import BodyLimit

LIMIT = BodyLimit(behind, most_bytes=1000, most_upload_bytes=5000, has_room=lambda size: size < 4000)
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
    status, text = ask(LIMIT, [("Content-Length", "4500")], method="POST", path=UPLOAD)
    assert (status, "no room" in text) == (507, True)


def test_room_is_asked_for_again_while_an_upload_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bertdemo.ui.body_limit.ROOM_BYTES", 1000)
    rooms = iter([True, True, False])
    limit = BodyLimit(behind, most_bytes=1000, most_upload_bytes=5000, has_room=lambda _size: next(rooms))
    status, text = ask(limit, method="POST", path=UPLOAD, body=[b"x" * 800] * 4)
    assert (status, "no room" in text) == (507, True)
    assert next(rooms, "asked thrice") == "asked thrice"


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

    limit = BodyLimit(reads, most_bytes=10, most_upload_bytes=10)
    assert ask(limit, method="POST", body=[b"[1,", b"2]"])[0] == 200
    assert ask(limit, method="POST", body=[b"[" * 6, b"[" * 6])[0] == 413
    assert seen == [[1, 2]]


def test_what_is_no_request_passes() -> None:
    seen = []

    async def lifespan(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope["type"])

    run(BodyLimit(lifespan, most_bytes=1, most_upload_bytes=1)({"type": "lifespan"}, None, None))
    assert seen == ["lifespan"]
