"""Who may talk to the server and how much it may send: known host names, pages of our own, bodies that fit; and whose
pages may show ours in a frame.

Plain ASGI, so that it stands in front of everything, our own routes and Gradio's. Knows nothing of what is behind it
but the addresses below.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TypeAlias
from urllib.parse import urlsplit

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bertdemo.runs.people import short, token_hash

from .uploads import Upload, UploadRoom

logger = logging.getLogger(__name__)

# One of four places that lean on Gradio's inside: addresses and a header of its server. Where they change, a door that
# nobody needs stands open, uploads are bounded as small requests are, or whoever has logged in is kept from our own
# routes. ``tests/ui/test_gradio_inside.py`` knows every route of the tested version and fails at the first other one.
# Closed is what this app has no use for: a video converter, usage figures, links that write files, a relay to other
# sites, streams, a history of calls, components of others and their functions, an editor of the app's source.
CLOSED_PATHS = (
    *("/monitoring", "/gradio_api/monitoring", "/gradio_api/profiling", "/gradio_api/process_recording"),
    *("/gradio_api/deep_link", "/gradio_api/proxy=", "/gradio_api/stream/", "/gradio_api/run-history"),
    *("/gradio_api/runs", "/gradio_api/custom_component/", "/gradio_api/component_server"),
    *("/gradio_api/vibe-", "/gradio_api/undo-vibe-edit", "/gradio_api/dev/"),
)
FILE_PATHS = ("/gradio_api/file=", "/gradio_api/file/")  # uploads; closed where others upload, too
UPLOAD_PATH = "/gradio_api/upload"
LOGIN_PATH = "/gradio_api/login_check"  # 200 for whoever may see the page
OWNER_HEADER = "x-bertdemo-owner"  # whose request it is: a secret that a browser or a program keeps
HEARTBEAT_PATH = "/gradio_api/heartbeat/"  # held open by every page that is open; behind it the session's name
GRADIO_SERVER = b"x-gradio-server"  # what a proxy says is the server's URL; Gradio writes it into its answers

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")
FORWARDED_NAMES = (b"x-forwarded-host", GRADIO_SERVER)
MEGABYTE = 1_000_000
ROOM_BYTES = 50 * MEGABYTE  # each time that so much of an upload has come, there must still be room
TOO_LARGE = "The request is larger than the {limit:,} MB that are taken here; send less."
_HOST = re.compile(r"(?:\[(?P<address>[0-9A-Fa-f:.]+)\]|(?P<name>[\w.-]+))(?::(?P<port>[0-9]{1,5}))?")

Check: TypeAlias = Callable[[bytes, int], PlainTextResponse | None]  # (a piece, all so far) -> the refusal, if any


class HostGuard:
    """Refuses any Host header that is not allowed (DNS rebinding), and whatever another site's page asks for.

    ``allowed_hosts`` None allows every name; ``any_address`` allows every IP address as a name, which no rebinding can
    forge since it takes a name of the attacker's. A page of another site is known by its Origin: browsers send it with
    every write, and with every read whose answer a script could see. A proxy's word on what it is called is passed on
    only if that is an allowed name. ``closed`` begin the paths that nobody may ask for.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        allowed_hosts: Iterable[str] | None,
        any_address: bool = False,
        closed: tuple[str, ...] = CLOSED_PATHS,
    ) -> None:
        self._app = app
        self._allowed = None if allowed_hosts is None else {name.lower() for name in allowed_hosts}
        self._any_address, self._closed = any_address, closed

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
        if path.startswith(self._closed):
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
        written = _HOST.fullmatch(host)
        own, own_port = host_name(host), written and written["port"]
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


class BodyLimit:
    """Answers 413 to a body beyond its limit, and 507 to an upload for which ``room`` has none."""

    def __init__(self, app: ASGIApp, *, max_bytes: int, max_upload_bytes: int, room: UploadRoom) -> None:
        self._app = app
        self._max_bytes, self._max_upload_bytes, self._room = max_bytes, max_upload_bytes, room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        is_upload = scope["path"].rstrip("/").endswith(UPLOAD_PATH)
        limit = self._max_upload_bytes if is_upload else self._max_bytes
        declared = _declared(scope)
        if declared > limit:
            await _too_large(limit)(scope, receive, send)
        elif is_upload:
            await self._take_upload(scope, receive, send, declared=declared)
        else:
            await self._passed_on(scope, receive, send, check=self._check_size)

    async def _take_upload(self, scope: Scope, receive: Receive, send: Send, *, declared: int) -> None:
        headers, began = Headers(scope=scope), time.monotonic()
        upload = _upload(scope, headers)
        refusal = self._room.grow(upload, size=declared, files=1)
        if refusal is not None:
            await PlainTextResponse(refusal, status_code=507)(scope, receive, send)
        else:
            size, whole = 0, False
            try:
                check = self._check_upload(upload, headers)
                size, whole = await self._passed_on(scope, receive, send, check=check)
            finally:
                self._room.end(upload, size=size, whole=whole)
        logger.info(
            "upload of %s: %s, %.1f MB in %.1f s",
            short(upload.who),
            "refused" if refusal else "whole" if whole else "broken off",
            upload.size / MEGABYTE,
            time.monotonic() - began,
        )

    async def _passed_on(self, scope: Scope, receive: Receive, send: Send, *, check: Check) -> tuple[int, bool]:
        """Pass the body on until ``check`` refuses it; then the app sees a client that went away. Returns how much has
        come, and whether that is all of it."""
        received = 0
        refused: PlainTextResponse | None = None
        whole = False

        async def count() -> Message:
            nonlocal received, refused, whole
            message = await receive()
            body = message.get("body", b"")
            received += len(body)
            refused = refused or check(body, received)
            ended = message["type"] == "http.request" and not message.get("more_body", False)
            whole = whole or (ended and refused is None)
            return {"type": "http.disconnect"} if refused else message

        async def answer(message: Message) -> None:
            if refused is None:
                await send(message)

        with suppress(ClientDisconnect):
            await self._app(scope, count, answer)
        if refused is not None:
            await refused(scope, receive, send)
        return received, whole

    def _check_size(self, _body: bytes, received: int) -> PlainTextResponse | None:
        return _too_large(self._max_bytes) if received > self._max_bytes else None

    def _check_upload(self, upload: Upload, headers: Headers) -> Check:
        """For one upload: as large as uploads may be, its fields as large as other bodies, and room asked for on the
        way, since others upload too and a client may declare nothing."""
        fields = FormFields(headers.get("content-type", ""))

        def check(body: bytes, received: int) -> PlainTextResponse | None:
            fields.feed(body)
            if received > self._max_upload_bytes:
                return _too_large(self._max_upload_bytes)
            if fields.size > self._max_bytes:
                return _too_large(self._max_bytes)
            asks_again = received // ROOM_BYTES > (received - len(body)) // ROOM_BYTES
            if not (asks_again or received > upload.size or fields.files > upload.files):
                return None
            refusal = self._room.grow(upload, size=max(received, upload.size), files=fields.files)
            return None if refusal is None else PlainTextResponse(refusal, status_code=507)

        return check


class FormFields:
    """How much of an upload is no file: Gradio writes the files of a form to the disk, but keeps its fields in memory.

    Fed with the body as it comes, by the parser that Gradio uses, so that both see the same parts; ``size`` is how many
    bytes belonged to parts without a file name, ``files`` how many parts had one. Keeps no content.
    """

    def __init__(self, content_type: str) -> None:
        self.size = self.files = 0
        self._is_file = False
        self._name = self._value = b""
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        callbacks = {
            "on_part_begin": self._begin,
            "on_header_field": self._take_name,
            "on_header_value": self._take_value,
            "on_header_end": self._end_header,
            "on_part_data": self._count,
        }
        self._parser = MultipartParser(boundary, callbacks) if boundary else None  # type: ignore[arg-type]

    def feed(self, body: bytes) -> None:
        """Take the next piece in; what is no form any more is left to whoever reads it after us."""
        try:
            if self._parser is not None:
                self._parser.write(body)
        except MultipartParseError:
            self._parser = None

    def _begin(self) -> None:
        self._is_file = False

    def _take_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _take_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._is_file = b"filename" in parse_options_header(self._value)[1]
            self.files += self._is_file
        self._name = self._value = b""

    def _count(self, _data: bytes, start: int, end: int) -> None:
        if not self._is_file:
            self.size += end - start


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


def _upload(scope: Scope, headers: Headers) -> Upload:
    """Whose it is: who sends a token is known by that, who sends none by the address."""
    address = (scope.get("client") or ("unknown",))[0]
    token = headers.get(OWNER_HEADER, "")
    return Upload(token_hash(token or address), address)


def _too_large(limit: int) -> PlainTextResponse:
    return PlainTextResponse(TOO_LARGE.format(limit=limit // MEGABYTE), status_code=413)


def _declared(scope: Scope) -> int:
    """The Content-Length; 0 where none is declared (the server refuses one that is no number)."""
    length = Headers(scope=scope).get("content-length", "0")
    return int(length) if length.isdecimal() else 0
