from __future__ import annotations

import math
import os
import random
import signal
import subprocess
import sys
import time
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from bertdemo.mlm.errors import RunError
from bertdemo.runs import checkpoint
from bertdemo.runs.checkpoint import load_checkpoint, save_checkpoint
from bertdemo.runs.files import settle_folder

SAVE_FOREVER = """
import sys, torch
from pathlib import Path
from bertdemo.runs.checkpoint import save_checkpoint
for generation in range(1, 10_000):
    tensors = [torch.full((40_000,), float(generation)) for _ in range(4)]
    save_checkpoint(Path(sys.argv[1]), {"generation": generation, "tensors": tensors})
    print(generation, flush=True)
"""


def test_a_state_comes_back_as_it_went_in(tmp_path: Path) -> None:
    tensor = torch.arange(6.0).reshape(2, 3)
    state = {
        "numbers": [1, 0.1, math.inf, True, None, "text \ud800", 2**100],
        "tuple": (3, (1, 2), None),
        "optimizer": {"state": {0: {"step": torch.tensor(3.0)}, 1: {}}, "$odd": 1},
        "names": OrderedDict(weight=tensor, half=tensor.bfloat16(), transposed=tensor.T, empty=torch.zeros(0, 3)),
        "random": [random.Random(1).getstate(), np.random.default_rng(1).bit_generator.state, torch.get_rng_state()],
        "array": np.arange(5, dtype=np.uint32),
    }
    save_checkpoint(tmp_path / "checkpoint", state)
    loaded = load_checkpoint(tmp_path / "checkpoint")
    for key in ("numbers", "tuple"):
        assert loaded[key] == state[key]
    assert loaded["optimizer"]["state"][0]["step"] == 3
    assert loaded["optimizer"]["$odd"] == 1
    for name, value in state["names"].items():
        assert torch.equal(loaded["names"][name], value)
        assert loaded["names"][name].dtype == value.dtype
    assert loaded["random"][:2] == state["random"][:2]
    assert torch.equal(loaded["random"][2], state["random"][2])
    assert np.array_equal(loaded["array"], state["array"])
    assert loaded["array"].dtype == np.uint32


def test_tied_tensors_stay_tied_and_views_come_apart(tmp_path: Path) -> None:
    weight = torch.arange(4.0)
    save_checkpoint(tmp_path / "c", {"encoder": weight, "decoder": weight, "view": weight[1:3]})
    loaded = load_checkpoint(tmp_path / "c")
    loaded["encoder"][1] = 9
    assert loaded["decoder"][1] == 9
    assert loaded["view"].tolist() == [1, 2]


def test_only_tensors_and_json_are_written(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c", {"t": torch.ones(2)})
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == ["state.json", "tensors.safetensors"]
    with pytest.raises(TypeError):
        save_checkpoint(tmp_path / "c", {"function": print})
    assert load_checkpoint(tmp_path / "c")["t"].tolist() == [1, 1]


@pytest.mark.parametrize("name", ["state.json", "tensors.safetensors"])
def test_a_damaged_checkpoint_is_refused_with_a_sentence(tmp_path: Path, name: str) -> None:
    save_checkpoint(tmp_path / "c", {"t": torch.ones(100)})
    content = (tmp_path / "c" / name).read_bytes()
    (tmp_path / "c" / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(RunError, match="damaged"):
        load_checkpoint(tmp_path / "c")


def test_no_checkpoint_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no checkpoint"):
        load_checkpoint(tmp_path / "c")


@pytest.mark.slow
def test_kills_in_mid_save_leave_the_last_complete_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    chance = random.Random(0)
    for _ in range(3):
        saver = subprocess.Popen(
            [sys.executable, "-c", SAVE_FOREVER, str(folder)], stdout=subprocess.PIPE, text=True, bufsize=1
        )
        assert saver.stdout is not None
        last = int(saver.stdout.readline())
        time.sleep(chance.uniform(0, 0.1))
        os.kill(saver.pid, signal.SIGKILL)
        last = max([last, *map(int, saver.stdout.read().split())])
        saver.wait()
        saver.stdout.close()
        settle_folder(folder)
        state = load_checkpoint(folder)
        assert state["generation"] >= last
        assert all((tensor == state["generation"]).all() for tensor in state["tensors"])
        assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_a_kill_between_the_two_renames_is_undone(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    save_checkpoint(folder, {"generation": 1})
    folder.rename(tmp_path / ".checkpoint.old")
    settle_folder(folder)
    assert load_checkpoint(folder) == {"generation": 1}


@pytest.mark.slow
def test_a_full_disk_is_said_and_the_older_checkpoint_survives(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    save_checkpoint(folder, {"generation": 1})
    code = f"""
import resource, torch
from pathlib import Path
from bertdemo.mlm.errors import RunError
from bertdemo.runs.checkpoint import save_checkpoint
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
try:
    save_checkpoint(Path({str(folder)!r}), {{"generation": 2, "tensor": torch.ones(100_000)}})
except RunError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert said == ("The checkpoint could not be written because the disk is full; free some space and try again.\n")
    assert load_checkpoint(folder) == {"generation": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_a_checkpoint_of_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path / "c", {})
    monkeypatch.setattr(checkpoint, "FORMAT", 2)
    with pytest.raises(RunError, match="another version"):
        load_checkpoint(tmp_path / "c")
