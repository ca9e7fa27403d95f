"""What a run will do is known before it begins, exactly, and the same from any step on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bertdemo.mlm.settings import TrainingConfig
from bertdemo.mlm.training.schedule import READINGS, PlannedStep, TrainingPlan

LENGTHS = np.random.default_rng(3).integers(5, 60, 300)
CONFIG = TrainingConfig(epochs=4, batch_size=8, learning_rate=0.1)


def plan(**changes: object) -> TrainingPlan:
    return TrainingPlan(LENGTHS, replace(CONFIG, **changes))


def values(steps: list[PlannedStep]) -> list[tuple[int, int, list[int]]]:
    return [(step.epoch, step.batch, step.rows.tolist()) for step in steps]


def test_every_epoch_holds_every_row_once_in_its_own_order() -> None:
    steps = list(plan().remaining(0))
    orders = []
    for epoch in range(4):
        order = np.concatenate([step.rows for step in steps if step.epoch == epoch]).tolist()
        assert sorted(order) == list(range(300))
        orders.append(tuple(order))
    assert len(set(orders)) == 4


def test_steps_and_epoch_ends_are_exact() -> None:
    made = plan()
    steps = list(made.remaining(0))
    assert made.steps == len(steps)
    ends = [sum(step.epoch < epoch for step in steps) for epoch in range(5)]
    assert made.epoch_ends == ends
    assert [done for done in range(made.steps + 1) if made.is_scored(done)] == ends


def test_what_remains_is_the_rest_of_the_same_plan() -> None:
    whole = values(list(plan().remaining(0)))
    for done in (1, plan().epoch_ends[1] - 1, plan().epoch_ends[1], plan().epoch_ends[2] + 3, len(whole)):
        assert values(list(plan().remaining(done))) == whole[done:]


@pytest.mark.parametrize("limit", [1, 37, 60, 10_000])
def test_a_step_limit_cuts_the_same_plan_short(limit: int) -> None:
    whole = values(list(plan().remaining(0)))
    cut = plan(max_steps=limit)
    assert values(list(cut.remaining(0))) == whole[:limit]
    assert cut.steps == min(limit, len(whole))
    assert cut.is_scored(cut.steps)
    assert cut.is_probed(cut.steps)


def test_a_seed_makes_another_plan() -> None:
    assert values(list(plan().remaining(0))) == values(list(plan().remaining(0)))
    assert values(list(plan().remaining(0))) != values(list(plan(seed=1).remaining(0)))


def test_scores_and_probes_by_steps_come_at_the_start_and_the_end_too() -> None:
    made = plan(evaluate_every=50, probe_every=40, max_steps=110)
    ends = [40, 80]
    assert made.epoch_ends == [0, *ends, 110]
    assert [done for done in range(111) if made.is_scored(done)] == sorted([0, 50, 100, 110, *ends])
    alone = plan(evaluate_every=50, evaluate_epochs=False, max_steps=110)
    assert [done for done in range(111) if alone.is_scored(done)] == [0, 50, 100, 110]
    assert [done for done in range(111) if made.is_probed(done)] == [0, 40, 80, 110]
    readings = sum(map(plan().is_probed, range(plan().steps + 1)))
    assert READINGS <= readings <= 2 * READINGS
    assert all(plan(max_steps=20).is_probed(done) for done in range(21))


def test_the_learning_rate_rises_and_falls_over_the_steps_that_there_are() -> None:
    made = plan(max_steps=100, warmup_share=0.1)
    rates = [made.learning_rate(done) for done in range(100)]
    assert rates[9] == max(rates) == 0.1
    assert rates[0] == pytest.approx(0.01)
    assert rates[-1] == pytest.approx(0.1 / 90)
