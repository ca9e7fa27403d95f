"""Linear layers give what PyTorch's own give, in both directions, whoever computes the products."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from bertdemo.mlm.models.devices import linear, one_dnn_agrees


@pytest.mark.parametrize("shape", [(1, 12), (7, 12), (2, 5, 12)])
@pytest.mark.parametrize("biased", [True, False])
def test_result_and_gradients_are_those_of_the_layer(shape: tuple[int, ...], biased: bool) -> None:
    torch.manual_seed(0)
    plain = nn.Linear(12, 20, bias=biased)
    fast = copy.deepcopy(plain)
    read = [torch.randn(shape, requires_grad=True)]
    read.append(read[0].detach().clone().requires_grad_())
    results = [plain(read[0]), linear(read[1], fast)]
    for result in results:
        result.sin().sum().backward()
    torch.testing.assert_close(*results)
    torch.testing.assert_close(read[0].grad, read[1].grad)
    for (name, expected), found in zip(plain.named_parameters(), fast.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad, msg=name)


def test_frozen_weights_get_no_gradient() -> None:
    layer = nn.Linear(4, 3).requires_grad_(False)
    read = torch.randn(2, 4, requires_grad=True)
    linear(read, layer).sum().backward()
    assert (layer.weight.grad, layer.bias.grad) == (None, None)
    torch.testing.assert_close(read.grad, layer.weight.sum(dim=0).expand(2, 4))


class Doubled(nn.Module):
    """A layer in another's place, as adapters put theirs: its weight is not all that it does."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer, self.weight, self.bias = layer, layer.weight, layer.bias

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return 2 * self.layer(hidden)


def test_a_layer_in_another_ones_place_is_asked_itself() -> None:
    layer, read = nn.Linear(4, 3), torch.randn(2, 4)
    torch.testing.assert_close(linear(read, Doubled(layer)), 2 * layer(read))


def test_no_rows_give_gradients_of_zero() -> None:
    layer, read = nn.Linear(4, 3), torch.zeros(0, 4, requires_grad=True)
    linear(read, layer).sum().backward()
    assert read.grad.shape == (0, 4)
    assert not layer.weight.grad.any()
    assert not layer.bias.grad.any()


def test_a_second_derivative_is_refused_rather_than_wrong() -> None:
    read = torch.randn(2, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(linear(read, nn.Linear(4, 3)).sin().sum(), read, create_graph=True)
    if one_dnn_agrees():  # PyTorch's own way has one
        with pytest.raises(RuntimeError):
            gradient.sum().backward()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_number_formats_stay_what_they_are(dtype: torch.dtype) -> None:
    layer = nn.Linear(4, 3).to(dtype)
    assert linear(torch.ones(2, 4, dtype=dtype), layer).dtype == dtype
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert linear(torch.ones(2, 4), nn.Linear(4, 3)).dtype == torch.bfloat16


def test_without_the_product_the_usual_one_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, read = nn.Linear(4, 3), torch.randn(2, 4)
    monkeypatch.setattr("torch.backends.mkldnn.is_available", lambda: False)
    one_dnn_agrees.cache_clear()
    try:
        assert not one_dnn_agrees()
        assert torch.equal(linear(read, layer), layer(read))
    finally:
        monkeypatch.undo()
        one_dnn_agrees.cache_clear()
