"""The schedule in numbers, and what one update does to which parameters."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.settings import TrainingConfig
from bertdemo.mlm.training.optimizer import TABLES_SHARE, Optimizers, learning_rate_at

Trainable = Callable[[MaskedLM], MaskedLM]


def give_gradients(model: nn.Module, *, scale: float = 1.0, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = scale * torch.randn(parameter.shape, generator=generator)


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def rates(steps: int, warmup_share: float, decay_share: float = 1.0) -> list[float]:
    return [
        learning_rate_at(step, peak=1.0, steps=steps, warmup_share=warmup_share, decay_share=decay_share)
        for step in range(steps)
    ]


def test_linear_warmup_then_linear_decay() -> None:
    assert rates(10, 0.2) == pytest.approx([0.5, 1, 1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125])


def test_a_short_decay_holds_the_peak_first() -> None:
    assert rates(10, 0.2, 0.5) == pytest.approx([0.5, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25])
    assert rates(5, 0.2, 0.0) == [1.0] * 5


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_shortest_runs_learn_at_every_step(steps: int) -> None:
    assert all(0 < rate <= 1 for rate in rates(steps, 0.06))
    assert max(rates(steps, 0.06)) == 1


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_weight_decay_pulls_matrices_but_not_biases_and_norms(
    any_tiny: MaskedLM, trainable: Trainable, optimizer: str
) -> None:
    model = trainable(any_tiny).model
    before = weights(model)
    give_gradients(model, scale=0.0)  # so that only the decay moves anything
    Optimizers(model, TrainingConfig(weight_decay=0.5, optimizer=optimizer)).step(0.1)
    shrunk = set()
    for name, parameter in model.named_parameters():
        kept = (parameter / before[name])[before[name] != 0].mean().item() if bool(before[name].any()) else 1.0
        if parameter.ndim < 2:
            assert torch.equal(parameter, before[name]), name
        else:
            shrunk.add(round(kept, 4))
    assert shrunk == ({0.95} if optimizer == "adamw" else {0.95, 1 - 0.05 * TABLES_SHARE})


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_learning_rate_of_0_leaves_every_bit(tiny_bert: MaskedLM, trainable: Trainable, optimizer: str) -> None:
    model = trainable(tiny_bert).model
    before = weights(model)
    optimizers = Optimizers(model, TrainingConfig(weight_decay=0.5, optimizer=optimizer))
    for seed in range(3):
        give_gradients(model, seed=seed)
        optimizers.step(0.0)
    assert all(torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())


def test_gradients_are_clipped_to_the_norm_and_cleared_after_a_step(tiny_bert: MaskedLM, trainable: Trainable) -> None:
    model = trainable(tiny_bert).model
    optimizers = Optimizers(model, TrainingConfig(clip_norm=2.0))
    for scale, expected in ((10.0, 2.0), (1e-4, None)):
        give_gradients(model, scale=scale)
        norm = torch.cat([parameter.grad.flatten() for parameter in model.parameters()]).norm().item()
        assert optimizers.clip().item() == pytest.approx(norm, rel=1e-5)
        clipped = torch.cat([parameter.grad.flatten() for parameter in model.parameters()]).norm().item()
        assert clipped == pytest.approx(expected or norm, rel=1e-4)
    optimizers.step(0.1)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_muon_turns_hidden_matrices_and_leaves_tables_to_adamw(tiny_bert: MaskedLM, trainable: Trainable) -> None:
    model = trainable(tiny_bert).model
    before = weights(model)
    give_gradients(model)
    Optimizers(model, TrainingConfig(optimizer="muon", weight_decay=0.0)).step(0.1)
    moved = {name: before[name] - parameter.detach() for name, parameter in model.named_parameters()}
    query = torch.linalg.svdvals(moved["bert.encoder.layer.0.attention.self.query.weight"])
    assert query.max() / query.min() < 3  # orthogonal, nearly: a random matrix has hundreds
    for name in ("bert.embeddings.word_embeddings.weight", "cls.predictions.bias"):
        assert torch.allclose(moved[name].abs(), torch.tensor(0.1 * TABLES_SHARE), rtol=1e-3), name


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_restored_state_goes_on_as_if_nothing_had_been(
    tiny_bert: MaskedLM, trainable: Trainable, optimizer: str
) -> None:
    config = TrainingConfig(optimizer=optimizer)
    one = trainable(tiny_bert).model
    first = Optimizers(one, config)
    give_gradients(one, seed=1)
    first.step(0.1)
    other = copy.deepcopy(one)
    second = Optimizers(other, config)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for model, optimizers in ((one, first), (other, second)):
        give_gradients(model, seed=2)
        optimizers.step(0.05)
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    assert all(torch.equal(left, right) for left, right in pairs)
