"""What the web app's options mean together, and which it refuses."""

from __future__ import annotations

import json
import logging
import os
import socket
from pathlib import Path

import pytest

from bertdemo.mlm.errors import SettingsError
from bertdemo.ui.options import JsonFormatter, check_home, check_port, configure_logging, parse_options
from bertdemo.ui.server import build_services, launch_settings, main, quiet_network

HOSTS = ("127.0.0.1", "localhost", "::1")


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (
        "SPACE_ID",
        "SPACE_HOST",
        "GRADIO_ROOT_PATH",
        "BERTDEMO_PASSWORD",
        "BERTDEMO_LOG",
        "BERTDEMO_LOG_FORMAT",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BERTDEMO_HOME", str(tmp_path / "home"))


@pytest.fixture
def _logging_restored() -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_by_default_only_this_machine_is_served(tmp_path: Path) -> None:
    options = parse_options([])
    assert (options.host, options.port, options.home) == ("127.0.0.1", 7860, tmp_path / "home")
    assert (options.public, options.allow_folders, options.allowed_hosts) == (False, True, HOSTS)
    assert not options.any_address


@pytest.mark.parametrize("arguments", [["--host", "0.0.0.0"], ["--host", "192.168.1.5"], ["--host", "::"], ["--share"]])
def test_whatever_others_can_reach_needs_a_password_or_a_word(arguments: list[str], monkeypatch) -> None:
    with pytest.raises(SettingsError, match=r"--password, or --allow-public"):
        parse_options(arguments)
    assert parse_options([*arguments, "--password", "secret"]).password == "secret"
    options = parse_options([*arguments, "--allow-public"])
    assert (options.public, options.allow_folders) == (True, False)
    assert parse_options([*arguments, "--allow-public", "--allow-folders"]).allow_folders
    monkeypatch.setenv("BERTDEMO_PASSWORD", "from the environment")
    assert parse_options(arguments).password == "from the environment"


def test_a_device_is_one_of_those_that_there_may_be() -> None:
    assert (parse_options([]).device, parse_options(["--device", "mps"]).device) == (None, "mps")
    with pytest.raises(SettingsError, match="must be auto or cpu or cuda or mps or xpu"):
        parse_options(["--device", "tpu"])


def test_an_empty_password_is_no_password() -> None:
    for password in ("", "  "):
        with pytest.raises(SettingsError, match="password is empty"):
            parse_options(["--password", password])


def test_host_names_are_those_that_were_meant() -> None:
    options = parse_options(["--host", "0.0.0.0", "--allow-public"])
    assert {*HOSTS, socket.gethostname()} <= set(options.allowed_hosts)
    assert options.any_address
    options = parse_options(["--host", "0.0.0.0", "--allow-public", "--allowed-host", "classroom"])
    assert ("classroom" in options.allowed_hosts, options.any_address) == (True, False)
    assert parse_options(["--share", "--allow-public"]).allowed_hosts is None


def test_behind_a_proxy_with_a_name_of_its_own_strangers_are_expected() -> None:
    options = parse_options(["--allowed-host", "classroom.example"])
    assert (options.host, options.public, options.allow_folders) == ("127.0.0.1", True, False)
    assert not options.any_address
    assert not parse_options(["--allowed-host", "localhost"]).public


def test_who_gains_nothing_by_it_may_frame_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = ["--password", "secret"]
    for own in ([], ["--allow-public"], secret, ["--host", "0.0.0.0", *secret], ["--allowed-host", "school", *secret]):
        assert parse_options(own).frame_ancestors == "'self'"
    for everybody in (["--host", "0.0.0.0", "--allow-public"], ["--allowed-host", "school"]):
        assert parse_options(everybody).frame_ancestors is None
    monkeypatch.setenv("SPACE_ID", "someone/bertdemo")
    assert parse_options([]).frame_ancestors is None
    assert parse_options(secret).frame_ancestors == "'self' https://huggingface.co"


def test_a_proxys_path_is_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [parse_options(["--root-path", path]).root_path for path in ("/bert/", "/a/b-c", "/", "")] == [
        *("/bert", "/a/b-c", "", "")
    ]
    for wrong in ("bert", "//evil.example", "https://evil.example/bert", "/a b", "/<b>", "/a?b"):
        with pytest.raises(SettingsError, match="begin with a slash, such as /bert"):
            parse_options(["--root-path", wrong])
    monkeypatch.setenv("GRADIO_ROOT_PATH", "/from-the-environment/")
    assert parse_options([]).root_path == "/from-the-environment"
    assert launch_settings(parse_options(["--root-path", "/bert"]))["root_path"] == "/bert"


def test_a_space_listens_to_all_and_answers_to_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACE_ID", "someone/bertdemo")
    monkeypatch.setenv("SPACE_HOST", "someone-bertdemo.hf.space")
    options = parse_options([])
    assert (options.host, options.public, options.allow_folders) == ("0.0.0.0", True, False)
    assert "someone-bertdemo.hf.space" in options.allowed_hosts


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--port", "0"], "from 1 to 65535"),
        (["--port", "70000"], "from 1 to 65535"),
        (["--port", "x"], "not a whole number"),
        (["--surprise"], "--help"),
        (["--home", "~nobody-of-this-name/x"], "full path"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(arguments: list[str], words: str, capsys) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_a_port_that_is_taken_is_said(capsys) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"--port {port + 1}"):
            check_port(parse_options(["--port", str(port)]))
        assert main(["--port", str(port)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    check_port(parse_options(["--port", str(port)]))
    with pytest.raises(SettingsError, match="cannot be used"):
        check_port(parse_options(["--host", "no.such.host.invalid", "--allow-public"]))


def test_a_home_that_cannot_be_written_is_said(tmp_path: Path, capsys) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("x")
    for home in (in_the_way, in_the_way / "below", Path("/proc/home")):
        with pytest.raises(SettingsError, match="--home or BERTDEMO_HOME"):
            check_home(parse_options(["--home", str(home)]))
    assert main(["--home", str(in_the_way)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    check_home(parse_options([]))
    assert list((tmp_path / "home").iterdir()) == []


def test_a_model_that_is_not_there_is_said_before_the_server_starts(tmp_path: Path, capsys) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert main(["--model", str(tmp_path / "nothing"), "--port", str(port)]) == 2
    error = capsys.readouterr().err
    assert "neither a folder, a run nor" in error
    assert error.count("\n") == 1


def test_nothing_is_told_to_others_and_no_proxy_stands_before_our_own_address(monkeypatch) -> None:
    monkeypatch.setenv("NO_PROXY", "intranet")
    monkeypatch.delenv("no_proxy", raising=False)
    quiet_network("192.168.1.5")
    assert os.environ["NO_PROXY"] == "intranet,127.0.0.1,localhost,192.168.1.5"
    assert os.environ["no_proxy"] == "127.0.0.1,localhost,192.168.1.5"
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
    settings = launch_settings(parse_options([]))
    assert not any(settings[name] for name in ("enable_monitoring", "run_history", "share"))
    assert settings["auth"] is None
    assert launch_settings(parse_options(["--password", "secret"]))["auth"] == ("bertdemo", "secret")


def test_an_ipv6_address_stands_in_brackets_in_urls() -> None:
    options = parse_options(["--host", "::1"])
    assert (options.host, options.address, options.public) == ("::1", "[::1]", False)


@pytest.mark.usefixtures("_logging_restored")
def test_the_log_has_levels_and_can_be_read_by_programs(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv("BERTDEMO_LOG", "warning")
    monkeypatch.setenv("BERTDEMO_LOG_FORMAT", "json")
    configure_logging()
    logger = logging.getLogger("bertdemo.test")
    logger.info("not shown")
    try:
        raise ValueError("line one\nline two")
    except ValueError:
        logger.exception("it broke in\ntwo lines")
    lines = capsys.readouterr().err.splitlines()
    record = json.loads(lines[0])
    assert len(lines) == 1
    assert (record["level"], record["logger"], record["message"]) == (
        "ERROR",
        "bertdemo.test",
        "it broke in\ntwo lines",
    )
    assert "ValueError: line one" in record["trace"]
    assert isinstance(logging.getLogger().handlers[-1].formatter, JsonFormatter)


@pytest.mark.parametrize("variable", ["BERTDEMO_LOG", "BERTDEMO_LOG_FORMAT"])
def test_an_unknown_log_setting_is_refused(variable: str, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv(variable, "loud")
    assert main([]) == 2
    assert "must be one of" in capsys.readouterr().err


def test_a_server_for_others_has_an_operator_and_this_machine_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BERTDEMO_OPERATOR_PASSWORD", raising=False)
    assert (parse_options([]).operator_password, parse_options([]).made_password) == ("", False)
    public = ["--host", "0.0.0.0", "--allow-public"]
    made = [parse_options(public) for _ in range(2)]
    assert all(options.made_password and len(options.operator_password) >= 16 for options in made)
    assert made[0].operator_password != made[1].operator_password
    given = parse_options([*public, "--operator-password", "my own secret"])
    assert (given.operator_password, given.made_password) == ("my own secret", False)
    monkeypatch.setenv("BERTDEMO_OPERATOR_PASSWORD", "from the environment")
    assert parse_options(public).operator_password == "from the environment"
    for short in ("", "  ", "12345"):
        with pytest.raises(SettingsError, match="6 characters or more"):
            parse_options([*public, "--operator-password", short])


def test_how_much_each_may_have_waiting_and_who_sees_what() -> None:
    public = ["--host", "0.0.0.0", "--allow-public", "--runs-per-person", "5"]
    services = build_services(parse_options(public))
    assert (services.manager.limits.waiting_each, services.access.private, services.can_publish) == (5, True, False)
    assert not build_services(parse_options([*public, "--show-all-runs"])).access.private
    own = build_services(parse_options([]))
    assert (own.manager.limits.waiting_each, own.access.owned, own.can_publish) == (None, False, True)
    with pytest.raises(SettingsError, match="at least 1"):
        parse_options(["--runs-per-person", "0"])
