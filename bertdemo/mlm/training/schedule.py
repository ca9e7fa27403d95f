"""What a run will do, step by step: which rows in which batch, where epochs end, when the model is scored.

A function of the rows' lengths and the settings alone, so every process and every resumption plans the same.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..settings import TrainingConfig
from .batching import plan_batches
from .masking import Stream
from .optimizer import learning_rate_at

READINGS = 40  # of the probes in a run, unless its settings say how often: about as many points as a curve needs


class PlannedStep(NamedTuple):
    epoch: int  # from 0
    batch: int  # its number in the epoch, from 0
    rows: NDArray[np.int64]


@dataclass
class TrainingPlan:
    """The steps of a run over rows of these ``lengths`` (N,)."""

    lengths: NDArray[np.int64]
    config: TrainingConfig
    _ends: list[int] = field(default_factory=lambda: [0], init=False, repr=False)

    @property
    def epoch_ends(self) -> list[int]:
        """The number of steps done at the end of every epoch, 0 first and the run's last step last."""
        for _ in self.count_steps():
            pass
        return self._ends

    def count_steps(self) -> Iterator[int]:
        """Cut the epochs into batches ahead, since each one's own order decides how many there are; yields how many
        epochs are done. Ten thousand epochs take minutes: whoever must be able to stop goes through this first."""
        limit = self.config.max_steps or math.inf
        while len(self._ends) <= self.config.epochs and self._ends[-1] < limit:
            steps = len(self.batches(len(self._ends) - 1))
            self._ends.append(int(min(limit, self._ends[-1] + steps)))
            yield len(self._ends) - 1

    @property
    def steps(self) -> int:
        return self.epoch_ends[-1]

    def batches(self, epoch: int) -> list[NDArray[np.int64]]:
        rng = np.random.default_rng((self.config.seed, Stream.ORDER, epoch))
        return plan_batches(self.lengths, batch_size=self.config.batch_size, rng=rng)

    def remaining(self, done: int) -> Iterator[PlannedStep]:
        """Every step behind the first ``done``."""
        for epoch, (start, end) in enumerate(zip(self.epoch_ends, self.epoch_ends[1:], strict=False)):
            if end > done:
                batches = self.batches(epoch)[: end - start]
                skipped = max(0, done - start)
                for index, rows in enumerate(batches[skipped:], start=skipped):
                    yield PlannedStep(epoch, index, rows)

    def learning_rate(self, done: int) -> float:
        """For the step behind the first ``done``."""
        config = self.config
        return learning_rate_at(
            done,
            peak=config.learning_rate,
            steps=self.steps,
            warmup_share=config.warmup_share,
            decay_share=config.decay_share,
        )

    def is_scored(self, done: int) -> bool:
        """At step 0, at the end of every epoch or every so many steps, and after the last."""
        interval = self.config.evaluate_every
        if interval is None:
            return self.epoch_ends[bisect_left(self.epoch_ends, done)] == done
        return done % interval == 0 or done == self.steps

    def is_probed(self, done: int) -> bool:
        """At step 0, every so many steps, and after the last."""
        return done % probe_interval(self.config, steps=self.steps) == 0 or done == self.steps


def probe_interval(config: TrainingConfig, *, steps: int) -> int:
    return config.probe_every or max(1, steps // READINGS)
