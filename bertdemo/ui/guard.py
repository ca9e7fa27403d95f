"""Who may talk to the server: requests under a known host name, and no changes asked for by other sites' pages.

Plain ASGI, so that it stands in front of everything that Gradio answers. Knows nothing of what is behind it.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class HostGuard:
    """Refuses any Host header that is not allowed (DNS rebinding), and writes whose Origin is another site.

    ``allowed_hosts`` None allows every host; the Origin of a write must then still be the host it was sent to.
    """

    def __init__(self, app: ASGIApp, *, allowed_hosts: Iterable[str] | None) -> None:
        self._app = app
        self._allowed = None if allowed_hosts is None else {name.lower() for name in allowed_hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            refusal = self._refusal(Headers(scope=scope), scope.get("method", "GET"))
            if refusal is not None:
                await PlainTextResponse(refusal, status_code=403)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, headers: Headers, method: str) -> str | None:
        host = host_name(headers.get("host", ""))
        if self._allowed is not None and host not in self._allowed:
            return "This host name is not allowed; start the app with --allowed-host to add it."
        origin = headers.get("origin")
        if method in _SAFE_METHODS or origin is None:
            return None
        asking = urlsplit(origin).hostname or ""
        if asking == host or (asking in LOOPBACK_HOSTS and host in LOOPBACK_HOSTS):
            return None
        return "Requests from other sites' pages are refused."


def host_name(header: str) -> str:
    """The name in a Host header, without its port: "localhost:7860" -> "localhost", "[::1]:7860" -> "::1"."""
    return (urlsplit(f"//{header}").hostname or "") if header and not set(header) & set("/?#@\\ ") else ""
