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
from .replay import rows_of_epoch, tokens_wanted

READINGS = 40  # of the probes in a run, unless its settings say how often: about as many points as a curve needs


class PlannedStep(NamedTuple):
    epoch: int  # from 0
    batch: int  # its number in the epoch, from 0
    rows: NDArray[np.int64]


@dataclass
class TrainingPlan:
    """The steps of a run over rows of these ``lengths`` (N,), with general ones of ``replay_lengths`` (M,) mixed in.

    A general row's number is N and more. An epoch has all own rows, and of the general ones its share.
    """

    lengths: NDArray[np.int64]
    config: TrainingConfig
    replay_lengths: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
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
        rows = np.concatenate([np.arange(len(self.lengths)), len(self.lengths) + self.replay_rows(epoch)])
        lengths = np.concatenate([self.lengths, self.replay_lengths])[rows]
        return [rows[batch] for batch in plan_batches(lengths, batch_size=self.config.batch_size, rng=rng)]

    def replay_rows(self, epoch: int) -> NDArray[np.int64]:
        """Which of the M general rows the epoch mixes in."""
        if not len(self.replay_lengths):
            return np.zeros(0, dtype=np.int64)
        wanted = tokens_wanted(int(self.lengths.sum()), share=self.config.replay_share)
        return rows_of_epoch(np.concatenate([[0], self.replay_lengths.cumsum()]), wanted=wanted, epoch=epoch)

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
        """At step 0, at the end of every epoch, every so many steps if the settings say so, and after the last."""
        if done in (0, self.steps) or (self.config.evaluate_epochs and self.ends_epoch(done)):
            return True
        return self.config.evaluate_every is not None and done % self.config.evaluate_every == 0

    def ends_epoch(self, done: int) -> bool:
        return self.epoch_ends[bisect_left(self.epoch_ends, done)] == done

    def epoch_of(self, step: int) -> int:
        """The epoch, from 1, that a step belongs to; steps count from 1."""
        return bisect_left(self.epoch_ends, step)

    def is_probed(self, done: int) -> bool:
        """At step 0, every so many steps, and after the last."""
        return done % probe_interval(self.config, steps=self.steps) == 0 or done == self.steps


def probe_interval(config: TrainingConfig, *, steps: int) -> int:
    return config.probe_every or max(1, steps // READINGS)
