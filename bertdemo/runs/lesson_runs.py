"""The short trainings of the lessons: one at a time in the background, the last result of each kept on disk.

So a whole class sees what this machine found last, at once, and whoever presses "run again" runs it for all. A result
is shown as long as the settings and the model's files are those that it was made with. Knows no page.
"""

from __future__ import annotations

import atexit
import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bertdemo.mlm.data.corpus import read_texts
from bertdemo.mlm.errors import BertDemoError, RunError
from bertdemo.mlm.lessons.experiments import (
    EXPERIMENTS,
    Experiment,
    ExperimentResult,
    result_from_record,
    run_experiment,
)
from bertdemo.mlm.lessons.score_head import TUNING, HeadScores, read_scored_reviews, run_score_head
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.models.registry import BUNDLED_MODEL, ModelRegistry
from bertdemo.mlm.training.events import Progress

from .execution import collect
from .files import write_atomically
from .log import finite
from .run import utc_now

logger = logging.getLogger(__name__)

SCORE_HEAD = "score-head"
A_BUG = "The lesson's run failed inside bertdemo; the log of the server has the details."


@dataclass(frozen=True)
class LessonJob:
    """``run`` yields its progress and returns a dataclass; ``decode`` takes that one's fields back from JSON.

    ``recipe`` names everything that the result depends on.
    """

    run: Callable[[], Generator[Progress, None, Any]]
    decode: Callable[[dict[str, Any]], Any]
    recipe: str


@dataclass(frozen=True)
class LessonResult:
    """What a lesson's last run on this machine found. ``beside_training``: another run shared the processor."""

    value: Any
    ended: str  # ISO time, UTC
    seconds: float
    beside_training: bool


@dataclass(frozen=True)
class LessonStatus:
    """``state``: idle, waiting or running; ``result`` is the last one, also while a new one is made."""

    state: str
    done: int = 0
    total: int = 0
    error: str = ""
    result: LessonResult | None = None


class LessonRuns:
    """One worker thread and a queue without doubles. Every method answers at once, from any thread.

    ``training`` says whether a training run is at work.
    """

    def __init__(self, folder: Path, jobs: Mapping[str, LessonJob], *, training: Callable[[], bool]) -> None:
        self._folder, self._jobs, self._training = folder, dict(jobs), training
        self._lock = threading.Lock()  # guards what follows
        self._queue: deque[str] = deque()
        self._active: str | None = None
        self._worker: threading.Thread | None = None
        self._closed = False
        self._progress = Progress("", 0, 0)
        self._errors: dict[str, str] = {}
        self._results: dict[str, LessonResult | None] = {}

    def start(self, key: str) -> None:
        """Queue the lesson's run, unless it waits or is at work already. Raises RunError for an unknown lesson."""
        self._job(key)
        with self._lock:
            if self._closed or key == self._active or key in self._queue:
                return
            self._errors.pop(key, None)
            self._queue.append(key)
            if self._active is None:
                self._active = self._queue.popleft()
                if self._worker is None:
                    atexit.register(self.shutdown)
                work = partial(self._work, self._active)
                self._worker = threading.Thread(target=work, name="bertdemo-lessons", daemon=True)
                self._worker.start()

    def status(self, key: str) -> LessonStatus:
        """Raises RunError for an unknown lesson."""
        job = self._job(key)
        with self._lock:
            if key not in self._results:
                self._results[key] = _read_result(self._path(key), job)
            result, error = self._results[key], self._errors.get(key, "")
            if key == self._active:
                return LessonStatus("running", self._progress.done, self._progress.total, result=result)
            return LessonStatus("waiting" if key in self._queue else "idle", error=error, result=result)

    def shutdown(self, timeout: float = 10.0) -> None:
        """Take no more runs and end the one at work behind its next step, so that no thread is cut inside torch.

        Called by itself when the program ends.
        """
        with self._lock:
            self._closed = True
            self._queue.clear()
            worker = self._worker
        if worker is not None:
            worker.join(timeout)

    def training_at_work(self) -> bool:
        return self._training()

    def _job(self, key: str) -> LessonJob:
        if key not in self._jobs:
            raise RunError(f"There is no lesson {key!r}; choose one of {', '.join(self._jobs)}.")
        return self._jobs[key]

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.json"

    def _work(self, first: str) -> None:
        key: str | None = first
        while key is not None:
            self._carry_out(key)
            collect()  # its weights, now, not some time during the next one
            with self._lock:
                key = self._active = self._queue.popleft() if self._queue else None
                self._progress = Progress("", 0, 0)

    def _carry_out(self, key: str) -> None:
        try:
            result = self._run(key)
            if result is None:
                return
        except Exception as error:
            expected = isinstance(error, BertDemoError)
            if not expected:
                logger.exception("the lesson %s failed", key)
            with self._lock:
                self._errors[key] = str(error) if expected else A_BUG
            return
        logger.info("lesson %s: done after %.1f s", key, result.seconds)
        with self._lock:
            self._results[key] = result
        try:
            self._write(key, result)
        except (OSError, BertDemoError) as error:
            logger.warning("the result of the lesson %s cannot be kept: %s", key, error)

    def _run(self, key: str) -> LessonResult | None:
        """None where it was ended before its end."""
        started, shared = time.monotonic(), self._training()
        running = self._jobs[key].run()
        while True:
            try:
                progress = next(running)
            except StopIteration as ended:
                return LessonResult(ended.value, utc_now(), time.monotonic() - started, shared or self._training())
            shared = shared or self._training()
            with self._lock:
                self._progress = progress
                if self._closed:
                    running.close()
                    return None

    def _write(self, key: str, result: LessonResult) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        record = {**asdict(result), "value": asdict(result.value), "recipe": self._jobs[key].recipe}
        write_atomically(self._path(key), json.dumps(finite(record), indent=1))


def _read_result(path: Path, job: LessonJob) -> LessonResult | None:
    """The result in the file; None where there is none, or one of another recipe, or nothing that can be read."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record.pop("recipe") != job.recipe:
            return None
        return LessonResult(**{**record, "value": job.decode(record["value"])})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        logger.warning("the lesson's result %s cannot be read: %s", path, error)
        return None


def lesson_jobs(registry: ModelRegistry, sample_csv: Path) -> dict[str, LessonJob]:
    """All lessons that train, on the bundled model and reviews."""
    ref = registry.resolve(BUNDLED_MODEL)
    new_model = partial(registry.private_copy, ref)
    files = _stamp(Path(ref.source) / "model.safetensors"), _stamp(sample_csv)
    jobs = {
        key: LessonJob(
            partial(_experiment, experiment, sample_csv, new_model),
            decode=result_from_record,
            recipe=f"{experiment} {files}",
        )
        for key, experiment in EXPERIMENTS.items()
    }
    jobs[SCORE_HEAD] = LessonJob(
        partial(_score_head, sample_csv, new_model),
        decode=lambda record: HeadScores(**record),
        recipe=f"{TUNING} {files}",
    )
    return jobs


def _experiment(
    experiment: Experiment, sample_csv: Path, new_model: Callable[[], MaskedLM]
) -> Generator[Progress, None, ExperimentResult]:
    texts = read_texts(sample_csv, column="review")[0]
    return (yield from run_experiment(experiment, texts, new_model=new_model))


def _score_head(sample_csv: Path, new_model: Callable[[], MaskedLM]) -> Generator[Progress, None, HeadScores]:
    return (yield from run_score_head(read_scored_reviews(sample_csv), new_model=new_model))


def _stamp(path: Path) -> tuple[int, int] | None:
    """Size and time of a file, which change when it does."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
