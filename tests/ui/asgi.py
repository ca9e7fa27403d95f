"""One ASGI request without a server: what an application in front of another answers."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send


async def behind(scope: Scope, receive: Receive, send: Send) -> None:
    """The application behind: reads the whole body and answers 200 with its size."""
    size, more = 0, scope["type"] == "http"
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    prefix = "websocket.http" if scope["type"] == "websocket" else "http"
    await send({"type": f"{prefix}.response.start", "status": 200, "headers": []})
    await send({"type": f"{prefix}.response.body", "body": str(size).encode()})


def ask(
    app: ASGIApp,
    headers: Iterable[tuple[str, str]] = (),
    *,
    method: str = "GET",
    path: str = "/",
    kind: str = "http",
    body: Iterable[bytes] = (b"",),
) -> tuple[int, str]:
    """(the status, the text) of the answer."""
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    scope = {
        "type": kind,
        "method": method,
        "path": path,
        "headers": raw,
        "extensions": {"websocket.http.response": {}},
    }
    parts = list(body)
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts[:-1]]
    incoming = iter([*messages, {"type": "http.request", "body": parts[-1], "more_body": False}])
    answers: list[Message] = []

    async def receive() -> Message:
        return next(incoming)

    async def send(message: Message) -> None:
        answers.append(message)

    run(app(scope, receive, send))
    return answers[0]["status"], b"".join(answer.get("body", b"") for answer in answers).decode()


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run it to its end in a thread of its own: a browser's driver keeps a loop running in this one."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, coroutine).result()
