"""Only known host names and only our own pages get through."""

from __future__ import annotations

import pytest
from asgi import ask, behind

from bertdemo.ui.security import LOOPBACK_HOSTS, HostGuard, host_name

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
