"""Sessions on a tiny model that take milliseconds, and one that says what a test wants to hear."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

from bertdemo.mlm.errors import ModelError
from bertdemo.mlm.models.masked_lm import MaskedLM, ModelRef
from bertdemo.mlm.settings import TrainingConfig
from bertdemo.mlm.training.batching import TrainingTexts
from bertdemo.mlm.training.events import Evaluated, Progress, RunStarted, StepDone, TrainingEvent
from bertdemo.mlm.training.loop import TrainingSession
from bertdemo.runs.record import DataSource
from bertdemo.runs.run import Run
from bertdemo.runs.store import RunStore

TEXT = "the a show game was is really great dull loud funny long i you loved hated it plot music and but"
WORDS = TEXT.split()
SETTINGS = TrainingConfig(epochs=2, batch_size=4, learning_rate=0.01, max_length=16, precision="fp32")
GENERAL = ("the music is long and loud", "you hated it but i loved the plot")


def sentences(count: int) -> list[str]:
    """Different sentences of the tiny model's words."""
    size = len(WORDS)
    return [" ".join(WORDS[(start * 7 + step * (start % 5 + 1)) % size] for step in range(8)) for start in range(count)]


def load(folder: Path) -> MaskedLM:
    model = AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32)
    return MaskedLM(ModelRef("tiny", str(folder)), model, AutoTokenizer.from_pretrained(folder))


def new_session(folder: Path, config: TrainingConfig = SETTINGS, *, replay: tuple[str, ...] = ()) -> TrainingSession:
    rows = sentences(24)
    return TrainingSession(load(folder), TrainingTexts(rows[4:], rows[:4]), config, general=GENERAL, replay=replay)


def new_run(store: RunStore, base_folder: Path, **options: Any) -> Run:
    data = DataSource("reviews.csv", "/nowhere/reviews.csv", column="review")
    values = {"name": "", "model": ModelRef("tiny", str(base_folder)), "data": data, "settings": SETTINGS}
    return store.create(**(values | options))


class FolderRegistry:
    """Resolves every reference to the tiny model; remembers what it was told to forget."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.forgotten = folder, []

    def resolve(self, reference: str, *, allow_folders: bool = True, run_lookup: object = None) -> ModelRef:
        if reference == "unknown":
            raise ModelError("There is no model 'unknown'.")
        return ModelRef(reference, str(self.folder))

    def private_copy(self, ref: ModelRef) -> MaskedLM:
        return load(Path(ref.source))

    def forget(self, ref: ModelRef) -> None:
        self.forgotten.append(ref.source)


class ScriptedSession:
    """Adds 1 to a bias at each of ``steps`` steps in two epochs; waits before each event while ``gate`` is closed.

    ``fault`` is raised at the step ``fault_at``; ``held_out`` are the losses before and after each epoch.
    """

    def __init__(
        self,
        folder: Path,
        *,
        steps: int = 6,
        gate: threading.Event | None = None,
        fault: BaseException | None = None,
        fault_at: int = 0,
        held_out: tuple[float, float, float] = (3.0, 2.7, 2.4),
    ) -> None:
        self.masked_lm = load(folder)
        self.steps, self.gate, self.fault, self.fault_at = steps, gate, fault, fault_at
        self.held_out = held_out
        self.step = 0
        self.closed = False

    def events(self) -> Generator[TrainingEvent, None, None]:
        try:
            for event in self._script():
                if self.gate is not None:
                    assert self.gate.wait(20)
                yield event
        finally:
            self.closed = True

    def state(self) -> dict[str, Any]:
        return {"step": self.step}

    def restore(self, state: dict[str, Any]) -> None:
        self.step = state["step"]

    def held_out_masks(self) -> Iterator[dict[str, Any]]:
        yield {"input_ids": [2, 4, 3], "labels": [-100, 7, -100]}

    def _script(self) -> Iterator[TrainingEvent]:
        yield Progress("tokenising", 1, 2)
        if not self.step:
            yield RunStarted(20, 4, 160, 0, self.steps, "fp32", "cpu", 0.01)
            yield Evaluated(0, self.held_out[0], 20.1, 0.1, 0.2, 40, 32)
        for step in range(self.step + 1, self.steps + 1):
            if step == self.fault_at and self.fault is not None:
                raise self.fault
            self.step = step
            with torch.no_grad():
                self.masked_lm.model.cls.predictions.bias += 1
            yield StepDone(step, 1 + (step * 2 > self.steps), 3.0 / step, 0.01, 5, 30, step * 0.5)
            if step * 2 in (self.steps, self.steps * 2):
                yield Evaluated(step, self.held_out[step * 2 // self.steps], 10.0, 0.2, 0.4, 40, 32)
