"""Every architecture and every kind of odd file, in all that is done with a model, against plain transformers code."""

from __future__ import annotations

from pathlib import Path

import pytest
from against_transformers import differences
from tiny_checkpoints import ARCHITECTURES, REFUSED, VARIANTS

CANNOT_TRAIN = {"reformer"}  # its rows would have to be as long as its table of positions


@pytest.mark.parametrize("name", [*ARCHITECTURES, *VARIANTS])
def test_all_that_is_done_with_a_checkpoint_is_what_the_library_does(name: str, tmp_path: Path) -> None:
    found = differences((ARCHITECTURES | VARIANTS)[name](tmp_path / name))
    refused = [line for line in found if line.startswith("refused: ")]
    assert [line for line in found if line not in refused] == []
    assert {line.split(": ")[1] for line in refused} == ({"gradients", "epoch"} if name in CANNOT_TRAIN else set())


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_right_is_refused_in_one_sentence(name: str, tmp_path: Path) -> None:
    build, words = REFUSED[name]
    found = differences(build(tmp_path / name))
    assert found
    for line in found:
        assert line.startswith("refused: ")
        assert words in line
        assert "\n" not in line
