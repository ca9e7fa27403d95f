from __future__ import annotations

from datetime import UTC, datetime
from pathlib import PureWindowsPath

import pytest

from bertdemo.runs.record import clean_name, is_run_id, new_run_id, slug

NOW = datetime(2026, 11, 22, 11, 30, tzinfo=UTC)
HOSTILE = {
    "../../x": "x",
    "a/b": "a-b",
    "a\\b": "a-b",
    "CON": "CON",
    "\x00": "",
    "nul\x00byte": "nul byte",
    "n" * 300: "n" * 80,
    "🙂 great": "🙂 great",
    "two\nlines\t": "two lines",
    "   ": "",
    "..": "",
    "résumé": "résumé",
    "\ud800": "",
    "\u202egnp.exe": "gnp.exe",
}


@pytest.mark.parametrize(("typed", "shown"), HOSTILE.items())
def test_names_become_one_safe_line(typed: str, shown: str) -> None:
    assert clean_name(typed) == shown


@pytest.mark.parametrize("typed", HOSTILE)
def test_ids_are_safe_folder_names_everywhere(typed: str) -> None:
    run_id = new_run_id(typed, now=NOW)
    assert is_run_id(run_id)
    assert len(run_id) < 64
    assert not PureWindowsPath(run_id).is_reserved()


def test_an_id_reads_and_sorts_by_time() -> None:
    assert new_run_id("Café reviews", now=NOW).startswith("20261122-1130-cafe-reviews-")
    assert slug("🙂") == "run"


@pytest.mark.parametrize("text", ["..", "20261122-1130-../../etc-ab12", "20261122-1130-a-ab12/..", "", "runs"])
def test_no_path_passes_for_an_id(text: str) -> None:
    assert not is_run_id(text)
