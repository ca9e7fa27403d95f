"""Lessons run one at a time, for everybody at once, and what they found last is there again after a restart."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bertdemo.mlm.errors import DataError, RunError
from bertdemo.mlm.training.events import Progress
from bertdemo.runs.lesson_runs import A_BUG, LessonJob, LessonRuns, LessonStatus


@dataclass(frozen=True)
class Found:
    number: float


class Job:
    """Counts its runs, and waits in the middle of each until it may go on."""

    def __init__(self) -> None:
        self.runs, self.may_go_on, self.error, self.second_step = 0, threading.Event(), None, False

    def __call__(self) -> Generator[Progress, None, Found]:
        self.runs += 1
        yield Progress("training", 1, 2)
        assert self.may_go_on.wait(20)
        if self.second_step:
            yield Progress("training", 2, 2)
        if self.error is not None:
            raise self.error
        return Found(self.runs / 3)


def lessons(folder: Path, *, recipe: str = "a", busy: bool = False, **jobs: Job) -> LessonRuns:
    made = {key: LessonJob(job, decode=lambda record: Found(**record), recipe=recipe) for key, job in jobs.items()}
    return LessonRuns(folder, made, training=lambda: busy)


def until(runs: LessonRuns, key: str, state: str) -> LessonStatus:
    for _ in range(2000):
        status = runs.status(key)
        if status.state == state:
            return status
        time.sleep(0.01)
    raise AssertionError(f"{key} is {status}, not {state}")


def progressed(runs: LessonRuns, key: str) -> None:
    while not until(runs, key, "running").done:
        time.sleep(0.01)


def test_thirty_pupils_start_one_run(tmp_path: Path) -> None:
    job = Job()
    runs = lessons(tmp_path, one=job)
    for _ in range(30):
        runs.start("one")
    progressed(runs, "one")
    assert runs.status("one") == LessonStatus("running", 1, 2)
    runs.start("one")
    job.may_go_on.set()
    assert until(runs, "one", "idle").result.value == Found(1 / 3)
    assert job.runs == 1


def test_lessons_wait_for_each_other(tmp_path: Path) -> None:
    first, second = Job(), Job()
    runs = lessons(tmp_path, first=first, second=second)
    runs.start("first")
    runs.start("second")
    progressed(runs, "first")
    assert runs.status("second").state == "waiting"
    assert second.runs == 0
    first.may_go_on.set()
    second.may_go_on.set()
    until(runs, "second", "idle")
    assert (first.runs, second.runs) == (1, 1)


def test_the_last_result_survives_a_restart_and_is_kept_while_a_new_one_is_made(tmp_path: Path) -> None:
    job = Job()
    job.may_go_on.set()
    runs = lessons(tmp_path, busy=True, one=job)
    runs.start("one")
    found = until(runs, "one", "idle").result
    assert found.beside_training
    job.may_go_on.clear()
    again = lessons(tmp_path, one=job)
    assert again.status("one") == LessonStatus("idle", result=found)
    again.start("one")
    assert until(again, "one", "running").result == found
    job.may_go_on.set()
    assert until(again, "one", "idle").result.value == Found(2 / 3)


@pytest.mark.parametrize("spoil", ["recipe", "damage"])
def test_a_result_of_other_settings_or_a_damaged_one_is_not_shown(tmp_path: Path, spoil: str) -> None:
    job = Job()
    job.may_go_on.set()
    runs = lessons(tmp_path, one=job)
    runs.start("one")
    until(runs, "one", "idle")
    if spoil == "damage":
        (tmp_path / "one.json").write_text('{"recipe": "a", "value": 3}', encoding="utf-8")
    again = lessons(tmp_path, recipe="a" if spoil == "damage" else "b", one=job)
    assert again.status("one") == LessonStatus("idle")


def test_what_goes_wrong_is_said_in_a_sentence_and_can_be_tried_again(tmp_path: Path) -> None:
    job = Job()
    job.may_go_on.set()
    runs = lessons(tmp_path, one=job)
    for error, sentence in ((DataError("No rows; add some."), "No rows; add some."), (ValueError("x"), A_BUG)):
        job.error = error
        runs.start("one")
        assert until(runs, "one", "idle").error == sentence
    job.error = None
    runs.start("one")
    status = until(runs, "one", "idle")
    assert (status.error, status.result.value) == ("", Found(1.0))
    with pytest.raises(RunError, match="no lesson"):
        runs.start("../../etc")


def test_a_program_that_ends_waits_for_the_step_at_hand_and_keeps_nothing_half_done(tmp_path: Path) -> None:
    job, later = Job(), Job()
    runs = lessons(tmp_path, one=job, later=later)
    runs.start("one")
    runs.start("later")
    progressed(runs, "one")
    threading.Timer(0.1, job.may_go_on.set).start()
    job.second_step = True
    runs.shutdown()
    assert runs.status("one") == LessonStatus("idle")
    runs.start("one")
    assert runs.status("one").state == "idle"
    assert later.runs == 0
    assert not list(tmp_path.iterdir())
