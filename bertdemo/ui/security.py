"""Who may talk to the server: requests under a known host name, and none that another site's page sends; and whose
pages may show ours in a frame.

Plain ASGI, so that it stands in front of everything that Gradio answers. Knows nothing of what is behind it.
"""

from __future__ import annotations

import ipaddress
import logging
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")
# Gradio's own doors that this app has no use for: a video converter, usage figures and timings, links that write a file
# on the server, a relay to other sites, streams, and the editor of an app's source.
CLOSED_PATHS = (
    *("/monitoring", "/gradio_api/monitoring", "/gradio_api/profiling", "/gradio_api/process_recording"),
    *("/gradio_api/deep_link", "/gradio_api/proxy=", "/gradio_api/stream/", "/gradio_api/run-history"),
    *("/gradio_api/vibe-", "/gradio_api/undo-vibe-edit", "/gradio_api/dev/"),
)
# What proxies say of the name that was asked for, or as a URL. Gradio writes it into its answers as its own address.
GRADIO_SERVER = b"x-gradio-server"
FORWARDED_NAMES = (b"x-forwarded-host", GRADIO_SERVER)
_HOST = re.compile(r"(?:\[(?P<address>[0-9A-Fa-f:.]+)\]|(?P<name>[\w.-]+))(?::(?P<port>[0-9]{1,5}))?")


class HostGuard:
    """Refuses any Host header that is not allowed (DNS rebinding), and whatever another site's page asks for.

    ``allowed_hosts`` None allows every name; ``any_address`` allows every IP address as a name, which no rebinding can
    forge since it takes a name of the attacker's. A page of another site is known by its Origin: browsers send it with
    every write, and with every read whose answer a script could see. A proxy's word on what it is called is passed on
    only if that is an allowed name.
    """

    def __init__(self, app: ASGIApp, *, allowed_hosts: Iterable[str] | None, any_address: bool = False) -> None:
        self._app = app
        self._allowed = None if allowed_hosts is None else {name.lower() for name in allowed_hosts}
        self._any_address = any_address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            inside = scope["path"].removeprefix(scope.get("root_path", ""))  # as Gradio's router takes it off
            refusal = self._refusal(Headers(scope=scope), inside)
            if refusal is not None:
                logger.info("refused %r: %s", scope["path"][:200], refusal)
                await PlainTextResponse(refusal, status_code=403)(scope, receive, send)
                return
            scope["headers"] = [pair for pair in scope["headers"] if self._is_passed_on(*pair)]
        await self._app(scope, receive, send)

    def _refusal(self, headers: Headers, path: str) -> str | None:
        asked = headers.get("host", "")
        if not self._is_allowed(host_name(asked)):
            return "This host name is not allowed; start the app with --allowed-host to add it."
        origin = headers.get("origin")
        if origin is not None and not self._is_ours(origin, asked):
            return "Requests from other sites' pages are refused."
        if path.startswith(CLOSED_PATHS):
            return "This part of Gradio is closed here."
        return None

    def _is_ours(self, origin: str, host: str) -> bool:
        """Whether a page of this server asks: the Origin's name and port are those of the Host header.

        Every loopback name is the same machine. Ports count where both are written, since proxies leave them out. A
        proxy on this machine may also say Host: 127.0.0.1 whatever it is called; then the Origin has an allowed name.
        """
        try:
            parts = urlsplit(origin)
            name, port = parts.hostname or "", parts.port
        except ValueError:  # such as an IPv6 address that is not closed, or a port that is no number
            return False
        own, own_port = host_name(host), _HOST.fullmatch(host)["port"]
        if port is not None and own_port is not None and port != int(own_port):
            return False
        return name == own or (own in LOOPBACK_HOSTS and name in (self._allowed or LOOPBACK_HOSTS))

    def _is_passed_on(self, header: bytes, value: bytes) -> bool:
        """False for a forwarding header whose first name, the one that Gradio takes, is not an allowed one."""
        if header not in FORWARDED_NAMES:
            return True
        first = value.decode("latin-1").split(",")[0].strip()
        return self._is_allowed(host_name(_host_of(first) if header == GRADIO_SERVER else first))

    def _is_allowed(self, host: str) -> bool:
        if not host:
            return False
        return self._allowed is None or host in self._allowed or (self._any_address and _is_address(host))


class FrameRule:
    """Tells browsers whose pages may show this one in a frame, where its buttons could be pressed unwittingly.

    ``ancestors``: the sources as a Content-Security-Policy lists them, such as "'self'".
    """

    def __init__(self, app: ASGIApp, *, ancestors: str) -> None:
        self._app = app
        self._header = (b"content-security-policy", f"frame-ancestors {ancestors}".encode("ascii"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_rule(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), self._header]
            await send(message)

        await self._app(scope, receive, send_with_rule)


def host_name(header: str) -> str:
    """The name in a Host header, without its port; "" for what is none.

    >>> host_name("localhost:7860"), host_name("[::1]:7860"), host_name("a@b"), host_name("[::1]b")
    ('localhost', '::1', '', '')
    """
    match = _HOST.fullmatch(header)
    return (match["address"] or match["name"]).lower() if match else ""


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).netloc
    except ValueError:
        return ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
