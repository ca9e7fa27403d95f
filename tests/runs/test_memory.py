"""What training has used is given back."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertdemo.runs.execution import give_back


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux says what is resident")
def test_what_lies_free_between_things_in_use_goes_back_to_the_system() -> None:
    give_back()
    pieces = [b"x" * 100_000 for _ in range(2000)]  # small enough to lie side by side in the heap
    last = pieces[-1]
    del pieces  # the last one still stands at the heap's end
    full = resident_bytes()
    if not give_back():
        pytest.skip("this C library keeps what it has")
    assert full - resident_bytes() > 100e6
    assert len(last) == 100_000
