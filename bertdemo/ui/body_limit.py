"""How much a request may send: uploads up to a limit and while there is room for them, anything else far less.

Plain ASGI in front of Gradio, which reads a whole body into memory before it looks at it; of an upload, what is no
file. What a client declares is checked at once, what it really sends is counted. Knows nothing of what is sent.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .form_fields import FormFields

MEGABYTE = 1_000_000
ROOM_BYTES = 50 * MEGABYTE  # each time that so much of an upload has come, there must still be room
TOO_LARGE = "The request is larger than the {limit:,} MB that are taken here; send less."
NO_ROOM = "The server has no room for this upload now; try a smaller file, or again later."
_NO_ROOM_NOW = PlainTextResponse(NO_ROOM, status_code=507)

Check: TypeAlias = Callable[[bytes, int], PlainTextResponse | None]  # (a piece, all so far) -> the refusal, if any


class BodyLimit:
    """Answers 413 to a body beyond its limit, and 507 to an upload for which ``has_room(bytes)`` is False."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        most_bytes: int,
        most_upload_bytes: int,
        upload_path: str = "/gradio_api/upload",
        has_room: Callable[[int], bool] = lambda _size: True,
    ) -> None:
        self._app = app
        self._most_bytes, self._most_upload_bytes = most_bytes, most_upload_bytes
        self._upload_path, self._has_room = upload_path, has_room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        is_upload = scope["path"].rstrip("/").endswith(self._upload_path)
        limit = self._most_upload_bytes if is_upload else self._most_bytes
        declared = _declared(scope)
        if declared > limit:
            await _too_large(limit)(scope, receive, send)
        elif is_upload and not self._has_room(declared):
            await _NO_ROOM_NOW(scope, receive, send)
        else:
            check = self._check_upload(Headers(scope=scope)) if is_upload else self._check_size
            await self._passed_on(scope, receive, send, check=check)

    async def _passed_on(self, scope: Scope, receive: Receive, send: Send, *, check: Check) -> None:
        """Pass the body on until ``check`` refuses it; then the app sees a client that went away."""
        received = 0
        refused: PlainTextResponse | None = None

        async def count() -> Message:
            nonlocal received, refused
            message = await receive()
            body = message.get("body", b"")
            received += len(body)
            refused = refused or check(body, received)
            return {"type": "http.disconnect"} if refused else message

        async def answer(message: Message) -> None:
            if refused is None:
                await send(message)

        with suppress(ClientDisconnect):
            await self._app(scope, count, answer)
        if refused is not None:
            await refused(scope, receive, send)

    def _check_size(self, _body: bytes, received: int) -> PlainTextResponse | None:
        return _too_large(self._most_bytes) if received > self._most_bytes else None

    def _check_upload(self, headers: Headers) -> Check:
        """For one upload: as large as uploads may be, its fields as large as other bodies, and room asked for on the
        way, since others upload too and a client may declare nothing."""
        fields = FormFields(headers.get("content-type", ""))

        def check(body: bytes, received: int) -> PlainTextResponse | None:
            fields.feed(body)
            if received > self._most_upload_bytes:
                return _too_large(self._most_upload_bytes)
            if fields.size > self._most_bytes:
                return _too_large(self._most_bytes)
            asks_again = received // ROOM_BYTES > (received - len(body)) // ROOM_BYTES
            return _NO_ROOM_NOW if asks_again and not self._has_room(0) else None

        return check


def _too_large(limit: int) -> PlainTextResponse:
    return PlainTextResponse(TOO_LARGE.format(limit=limit // MEGABYTE), status_code=413)


def _declared(scope: Scope) -> int:
    """The Content-Length; 0 where none is declared (the server refuses one that is no number)."""
    length = Headers(scope=scope).get("content-length", "0")
    return int(length) if length.isdecimal() else 0
