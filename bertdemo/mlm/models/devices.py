"""What the machine computes with: which device, which number format, and which library's matrix products.

The format is decided by what the processor says that it has, never by timing. Knows no model.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

CPU = torch.device("cpu")


def accelerator() -> torch.device | None:
    """The accelerator of this process, such as a GPU, where PyTorch finds one: ``cuda:0``, ``mps:0``, ``xpu:0``.

    Where AMD's GPUs are used through ROCm, PyTorch calls them ``cuda`` too.
    """
    if not torch.accelerator.is_available():
        return None
    found = torch.accelerator.current_accelerator()
    return None if found is None else torch.device(found.type, torch.accelerator.current_device_index())


def automatic_precision(device: torch.device) -> str:
    """ "bf16" on a GPU that has it and on a CPU with bf16 matrix instructions (AVX-512 BF16 or AMX), else "fp32"."""
    if device.type in ("cuda", "xpu"):
        return "bf16" if getattr(torch, device.type).is_bf16_supported() else "fp32"
    return "bf16" if device.type == "cpu" and _cpu_has_bf16() else "fp32"


def _cpu_has_bf16() -> bool:
    if hasattr(torch.cpu, "get_capabilities"):
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())  # torch 2.11


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Matrix products in bf16, everything delicate (softmax, norms, loss) in float32; off for "fp32"."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was short, on a GPU or on the CPU; the CPU's allocator and Apple's have no error of their own."""
    said = ("DefaultCPUAllocator", "MPS backend out of memory")
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in said)


def on_its_way(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on the device; a CUDA GPU fetches it by itself, from memory that stays in place, and nobody waits."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def linear(hidden: Tensor, layer: nn.Linear) -> Tensor:
    """(..., I) -> (..., O), as the layer itself gives it; in float32 on a CPU computed by oneDNN.

    PyTorch gives these products to MKL, and only those in bf16 to oneDNN. MKL takes two to three times as long on some
    processors (AMD's among them), in both directions; the numbers are the same but for the order of the sums.
    """
    if type(layer) is not nn.Linear:  # an adapter or a quantised layer, which does more than its weight says
        return layer(hidden)
    if not _is_plain_float32(hidden, layer.weight) or not one_dnn_agrees():
        return nn.functional.linear(hidden, layer.weight, layer.bias)
    if torch.is_grad_enabled():
        return _Linear.apply(hidden, layer.weight, layer.bias)  # type: ignore[no-untyped-call]  # torch gives it no type
    return _product(hidden, layer.weight, layer.bias)


class _Linear(torch.autograd.Function):
    """The three products of a linear layer: its result, and the gradients of what it read and of its weights."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(hidden, weight)
        ctx.biased = bias is not None
        return _product(hidden, weight, bias)

    @staticmethod
    @once_differentiable  # oneDNN's product has no gradient of its own: a second backward pass is refused, not wrong
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        hidden, weight = ctx.saved_tensors
        wanted, rows = ctx.needs_input_grad, gradient.flatten(0, -2)  # (R, O)
        return (
            _product(gradient, weight.t()) if wanted[0] else None,
            _product(rows.t(), hidden.flatten(0, -2).t()) if wanted[1] else None,
            rows.sum(dim=0) if ctx.biased and wanted[2] else None,
        )


def _product(left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    """(..., I), (O, I), (O,) or None -> (..., O)."""
    return torch.ops.mkldnn._linear_pointwise(left, right, bias, "none", [], "")


def _is_plain_float32(hidden: Tensor, weight: Tensor) -> bool:
    if not hidden.numel():  # nothing to compute; oneDNN refuses a sum over no rows, which the weights' gradient is
        return False
    on_cpu = hidden.device.type == weight.device.type == "cpu"
    return on_cpu and hidden.dtype == weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")


@lru_cache
def one_dnn_agrees() -> bool:
    """Whether PyTorch has the product that its own compiler emits for a linear layer, and it gives what is due.

    The operator is private to PyTorch: where a release renames or changes it, this says no and the usual way is taken.
    """
    if not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")):
        return False
    left, right = torch.arange(12.0).view(3, 4), torch.arange(8.0).view(2, 4)
    try:
        return torch.equal(_product(left, right, torch.ones(2)), left @ right.t() + 1)
    except (RuntimeError, TypeError):
        return False
