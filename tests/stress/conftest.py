"""What the long tests measure is printed at the end, a line a figure, so that it can be written down."""

from __future__ import annotations

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
    return lambda name, value: _FIGURES.append((name, value))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _FIGURES:
        terminalreporter.section("figures")
        for name, value in _FIGURES:
            terminalreporter.write_line(f"{name}: {value}")
