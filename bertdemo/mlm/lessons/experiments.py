"""What goes wrong in a beginner's masked language modelling, as pairs of short trainings to compare.

Each pair is two settings of the one training engine, on the same rows, scored on the same held-out masks. Knows no
files and no page.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from ..data.texts import split_texts
from ..models.masked_lm import MaskedLM
from ..settings import MaskingConfig, TrainingConfig
from ..training.batching import TrainingTexts
from ..training.evaluation import FixedMasks, score_all
from ..training.events import Evaluated, Progress, StepDone
from ..training.loop import TrainingSession
from ..training.masking import IGNORED
from .masking_view import TARGET_CORRUPTIONS, token_corruptions

HELD_OUT_SHARE = 0.4  # more than a run holds out: short lessons on few rows need enough targets to be scored on


@dataclass(frozen=True)
class Experiment:
    """Two settings that differ in one thing: ``usual`` is how it is done, ``variant`` the slip.

    ``rows``: the most texts that are used.
    """

    key: str
    usual: TrainingConfig
    variant: TrainingConfig
    rows: int


_SHORT = TrainingConfig(
    epochs=100, learning_rate=5e-4, batch_size=16, max_length=48, long_texts="cut", evaluate_epochs=False
)
_LOSS = replace(_SHORT, max_steps=32, evaluate_every=8, pad_to_max_length=True)  # so that the variant can score padding
_ALWAYS = replace(_SHORT, max_steps=64, evaluate_every=16)
_ONCE = replace(_SHORT, max_steps=54, evaluate_every=9)
_PADDED = replace(_SHORT, max_length=512, max_steps=5, evaluate_every=5)
EXPERIMENTS = {
    experiment.key: experiment
    for experiment in (
        Experiment("loss", _LOSS, replace(_LOSS, loss_on_all_tokens=True), 240),
        Experiment("once", _ONCE, replace(_ONCE, redraw_masks=False), 80),
        Experiment("always", _ALWAYS, replace(_ALWAYS, masking=MaskingConfig(0.15, 1.0, 0.0)), 240),
        Experiment("padding", _PADDED, replace(_PADDED, pad_to_max_length=True), 240),
    )
}


@dataclass(frozen=True)
class Trained:
    """What one of the two trainings went through; losses are nats per scored place."""

    steps: tuple[int, ...]
    losses: tuple[float, ...]  # of the training batches, a value a step
    scored_steps: tuple[int, ...]
    held_out: tuple[float, ...]  # mean loss per target, a value a scored step
    top1: tuple[float, ...]  # share of held-out targets guessed right, likewise
    by_corruption: dict[str, float | None]  # held-out loss at the end, by what had become of the target
    rows_per_second: float | None


@dataclass(frozen=True)
class ExperimentResult:
    """Both trainings of an experiment; ``targets`` are the held-out places that both were scored on."""

    key: str
    usual: Trained
    variant: Trained
    targets: int


def result_from_record(record: dict[str, Any]) -> ExperimentResult:
    """The inverse of ``dataclasses.asdict``, after a way through JSON."""
    sides: Iterator[dict[str, Any]] = (
        {name: tuple(value) if isinstance(value, list) else value for name, value in record[side].items()}
        for side in ("usual", "variant")
    )
    usual, variant = sides
    return ExperimentResult(record["key"], Trained(**usual), Trained(**variant), record["targets"])


def run_experiment(
    experiment: Experiment, texts: Sequence[str], *, new_model: Callable[[], MaskedLM]
) -> Generator[Progress, None, ExperimentResult]:
    """Train twice from the same weights; ``new_model`` gives a copy that may be changed. Yields the steps done so far.

    Closing the generator stops between two steps.
    """
    limits = experiment.usual.max_steps, experiment.variant.max_steps
    total = sum(limit or 0 for limit in limits)
    results = []
    for done, config in zip((0, limits[0] or 0), (experiment.usual, experiment.variant), strict=True):
        results.append((yield from _train(new_model(), texts[: experiment.rows], config, done=done, total=total)))
    (usual, targets), (variant, _) = results
    return ExperimentResult(experiment.key, usual, variant, targets)


def _train(
    masked_lm: MaskedLM, texts: Sequence[str], config: TrainingConfig, *, done: int, total: int
) -> Generator[Progress, None, tuple[Trained, int]]:
    split = split_texts(texts, held_out_share=HELD_OUT_SHARE, held_out_max=500, seed=config.seed)
    session = TrainingSession(masked_lm, TrainingTexts(*split), config)
    events: list[StepDone | Evaluated] = []
    for event in session.events():
        if isinstance(event, StepDone | Evaluated):
            events.append(event)
        if isinstance(event, StepDone):
            yield Progress("training", done + event.step, total)
    steps = [event for event in events if isinstance(event, StepDone)]
    scores = [event for event in events if isinstance(event, Evaluated)]
    assert session.held_out is not None  # it has just been scored
    batches = [len(step.rows) for step in session.plan.remaining(0)]
    trained = Trained(
        steps=tuple(event.step for event in steps),
        losses=tuple(event.loss for event in steps),
        scored_steps=tuple(event.step for event in scores),
        held_out=tuple(event.loss for event in scores),
        top1=tuple(event.top1 for event in scores),
        by_corruption=loss_by_corruption(masked_lm, session.held_out, precision=session.precision),
        rows_per_second=_rows_per_second(events, batches),
    )
    return trained, scores[-1].targets


def _rows_per_second(events: Sequence[StepDone | Evaluated], batches: Sequence[int]) -> float | None:
    """Over the steps that follow another step, so that neither start nor scoring counts; None without such steps."""
    rows, seconds = 0, 0.0
    for before, event in pairwise(events):
        if isinstance(before, StepDone) and isinstance(event, StepDone):
            rows += batches[event.step - 1]
            seconds += event.seconds - before.seconds
    return rows / seconds if seconds else None


def loss_by_corruption(masked_lm: MaskedLM, fixed: FixedMasks, *, precision: str) -> dict[str, float | None]:
    """Mean loss over the targets that became [MASK], over those replaced, over those kept; None where there is none."""
    token_ids = torch.from_numpy(np.asarray(fixed.texts.token_ids, dtype=np.int64))
    corruptions = np.array(token_corruptions(masked_lm, token_ids, torch.from_numpy(fixed.labels)))
    found: dict[str, float | None] = {}
    for corruption in TARGET_CORRUPTIONS:
        only = FixedMasks(fixed.texts, np.where(corruptions == corruption, fixed.labels, IGNORED))
        scores = score_all(masked_lm, only, precision=precision)
        found[str(corruption)] = float(scores.losses.mean()) if len(scores.losses) else None
    return found
