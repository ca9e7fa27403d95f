"""The app behind a reverse proxy: the names that the app was given count, and no others, whatever the headers say."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from served import ServedApp, raw_client, served_app

SCHOOL = "school.example"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApp]:
    home = tmp_path_factory.mktemp("proxied") / "home"
    with served_app(home, "--allowed-host", SCHOOL, "--root-path", "/bert") as served:
        yield served


def root(client: httpx.Client, **headers: str) -> str:
    """The address that the page asks for everything."""
    answer = client.get("/config", headers={name.replace("_", "-"): value for name, value in headers.items()})
    return answer.raise_for_status().json()["root"]


def test_the_page_asks_where_the_proxy_shows_it(client: httpx.Client, app: ServedApp) -> None:
    assert root(client) == f"{app.url}/bert"
    assert root(client, host=SCHOOL) == f"http://{SCHOOL}/bert"
    assert root(client, host=SCHOOL, x_forwarded_proto="https") == f"https://{SCHOOL}/bert"
    assert root(client, x_forwarded_host=SCHOOL) == f"http://{SCHOOL}/bert"
    assert root(client, x_forwarded_host=f"{SCHOOL}, localhost") == f"http://{SCHOOL}/bert"


@pytest.mark.parametrize(
    "name",
    [
        *("evil.example", "evil.example, school.example", "school.example@evil.example", ""),
        *("evil.example://school.example", "evil.example/://school.example", "evil.example\\school.example", "["),
    ],
)
def test_a_forged_name_never_gets_into_an_answer(client: httpx.Client, app: ServedApp, name: str) -> None:
    assert root(client, x_forwarded_host=name) == f"{app.url}/bert"
    assert root(client, x_gradio_server=f"http://{name}/x") == f"{app.url}/bert"
    assert "evil.example" not in client.get("/", headers={"X-Forwarded-Host": name}).text


def test_pages_under_the_proxys_name_may_ask_and_no_others(client: httpx.Client) -> None:
    asked = {"json": {"data": []}}
    for headers in ({"Host": SCHOOL}, {}):  # passed on by the proxy, or replaced by the name of this machine
        answer = client.post("/gradio_api/call/runs", headers={**headers, "Origin": f"https://{SCHOOL}"}, **asked)
        assert answer.status_code == 200
    for origin in (f"https://other.{SCHOOL}", f"https://{SCHOOL}.evil.example", f"https://{SCHOOL}:3000", "null"):
        refused = client.post("/gradio_api/call/runs", headers={"Origin": origin, "X-Forwarded-Host": SCHOOL}, **asked)
        assert refused.status_code == 403


def test_what_is_closed_is_closed_under_the_proxys_path_too(client: httpx.Client) -> None:
    for path in ("/monitoring", "/gradio_api/deep_link", "/gradio_api/proxy=http://localhost:1/"):
        assert client.get(path).text == client.get(f"/bert{path}").text == "This part of Gradio is closed here."


def test_an_open_server_may_be_framed_by_anybody(client: httpx.Client) -> None:
    for path in ("/", "/health", "/live/newest"):
        assert "content-security-policy" not in client.get(path).headers


def test_a_login_is_framed_by_its_own_site_only(tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("closed") / "home"
    arguments = ("--allowed-host", SCHOOL, "--root-path", "/bert", "--password", "a long one")
    with served_app(home, *arguments) as app, raw_client(app.url) as client:
        page = client.get("/", headers={"Host": SCHOOL})
        assert page.headers["content-security-policy"] == "frame-ancestors 'self'"
        assert f"http://{SCHOOL}/bert" in page.text  # where the name and the password are sent
