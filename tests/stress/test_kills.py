"""Kills at random moments of training and saving: whatever is finished loads, whatever is not is interrupted."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from survival import assert_all_survived, losses
from zygote import zygote

KILLS = int(os.environ.get("BERTDEMO_KILLS", "100"))
SEED = int(os.environ.get("BERTDEMO_SEED", "0"))
LONGEST = 1.2  # seconds from the fork to the kill; a whole run takes about as long
RESUMED = 5  # every so many killed runs are resumed to the end and compared with one that was never killed
WORDS = (
    "the",
    "old",
    "dog",
    "can",
    "bark",
    "but",
    "new",
    "cats",
    "like",
    "good",
    "film",
    "and",
    "love",
    "this",
    "story",
)


def test_kills_at_random_moments(tmp_path: Path, tiny_bert_folder: Path, figure: Callable[[str, str], None]) -> None:
    data = tmp_path / "reviews.csv"
    rows = [" ".join(WORDS[(start * 2 + step * 3) % len(WORDS)] for step in range(8)) for start in range(40)]
    data.write_text("review\n" + "".join(f"{row} {number}.\n" for number, row in enumerate(rows)))
    states: Counter[str] = Counter()
    saving = resumed = 0
    moments = random.Random(SEED)
    with zygote() as parent:
        order = {"model": tiny_bert_folder, "data": data, "epochs": 8}
        parent.order(home=tmp_path / "whole", **order)
        assert parent.wait() == 0
        (whole,) = assert_all_survived(tmp_path / "whole")
        for number in range(KILLS):
            home = tmp_path / f"home{number}"
            pid = parent.order(home=home, **order)
            time.sleep(moments.uniform(0, LONGEST))
            os.kill(pid, signal.SIGKILL)
            parent.wait()
            saving += any(home.glob("runs/*/.*.part")) or any(home.glob("runs/*/.*.old"))
            runs = assert_all_survived(home)
            states.update(run.record.state for run in runs)
            if runs and runs[0].record.state == "interrupted" and number % RESUMED == 0:
                parent.order(home=home, resume=runs[0].id, **order)
                assert parent.wait() == 0
                assert losses(assert_all_survived(home)[0]) == losses(whole)
                resumed += 1
    figure(
        "kills", f"{KILLS} (seed {SEED}): {dict(states)}, {saving} while something was being saved, {resumed} resumed"
    )
    assert states["interrupted"] > KILLS // 4
    assert set(states) <= {"interrupted", "finished"}
