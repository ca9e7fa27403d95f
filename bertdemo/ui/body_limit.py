"""How much a request may send: uploads up to a limit and while there is room for them, anything else far less.

Plain ASGI in front of Gradio, which reads a whole body into memory before it looks at it. What a client declares is
checked at once, what it really sends is counted. Knows nothing of what is sent.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MEGABYTE = 1_000_000
TOO_LARGE = "The request is larger than the {limit:,} MB that are taken here; send less."
NO_ROOM = "The server has no room for this upload now; try a smaller file, or again later."


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
        refused = PlainTextResponse(TOO_LARGE.format(limit=limit // MEGABYTE), status_code=413)
        declared = _declared(scope)
        if declared > limit:
            await refused(scope, receive, send)
        elif is_upload and not self._has_room(declared):
            await PlainTextResponse(NO_ROOM, status_code=507)(scope, receive, send)
        else:
            await self._counted(scope, receive, send, limit=limit, refused=refused)

    async def _counted(
        self, scope: Scope, receive: Receive, send: Send, *, limit: int, refused: PlainTextResponse
    ) -> None:
        """Pass the body on until it exceeds the limit; then the app sees a client that went away."""
        received = 0

        async def count() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            return {"type": "http.disconnect"} if received > limit else message

        async def answer(message: Message) -> None:
            if received <= limit:
                await send(message)

        with suppress(ClientDisconnect):
            await self._app(scope, count, answer)
        if received > limit:
            await refused(scope, receive, send)


def _declared(scope: Scope) -> int:
    """The Content-Length; 0 where none is declared (the server refuses one that is no number)."""
    length = Headers(scope=scope).get("content-length", "0")
    return int(length) if length.isdecimal() else 0
