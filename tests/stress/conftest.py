"""What the long tests measure is printed at the end, a line a figure, and written to BERTDEMO_FIGURES as it comes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

_FIGURES: list[tuple[str, str]] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.stress)
            item.add_marker(pytest.mark.timeout(7200))


@pytest.fixture
def figure() -> Callable[[str, str], None]:
    """``figure(name, value)`` writes a measurement down."""

    def write_down(name: str, value: str) -> None:
        _FIGURES.append((name, value))
        if path := os.environ.get("BERTDEMO_FIGURES"):
            with Path(path).open("a") as file:
                file.write(f"{name}: {value}\n")

    return write_down


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _FIGURES:
        terminalreporter.section("figures")
        for name, value in _FIGURES:
            terminalreporter.write_line(f"{name}: {value}")
