"""Several processes that train one model, as ``torchrun`` or ``accelerate launch`` start them; alone is the plain case.

All draw the same batches and masks, each takes every n-th row of them, and the gradients are added up once all have
theirs. Not by DistributedDataParallel: it sends gradients in the midst of the backward pass, so where one process runs
out of memory the others would wait for it for ever. It also refuses parameters that a loss does not reach.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, distributed, nn

from ..models.device_check import ChosenDevice, choose_device
from ..models.devices import CPU


@contextmanager
def joined() -> Iterator[None]:
    """Inside the block this process is one of those that were launched together, if there are several."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield
        return
    if _has_gpu_each():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    # gloo in any case: what the processes ask each other is in ordinary memory, before they agree on a device, too
    distributed.init_process_group("cpu:gloo,cuda:nccl" if _has_gpu_each() else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def _has_gpu_each() -> bool:
    here = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ.get("WORLD_SIZE", "1")))
    return torch.cuda.is_available() and distributed.is_nccl_available() and torch.cuda.device_count() >= here


def agreed_device(wanted: str | None) -> ChosenDevice:
    """``choose_device``, but the same for all processes: a GPU each where every one passes, else the CPU.

    All of them must ask at the same place.
    """
    chosen = choose_device(wanted)
    if count() == 1 or not any_of(chosen.device.type != "cuda" or not _has_gpu_each()):
        return chosen
    # Said by all or by none of them: what they say is counted, and they must keep step.
    if not any_of(chosen.device != CPU or bool(chosen.note)):
        return chosen
    note = "Several processes can share no accelerator but CUDA GPUs, one each that works, so they use the CPU."
    return ChosenDevice(CPU, chosen.note or note)


def count() -> int:
    return distributed.get_world_size() if _is_joined() else 1


def rank() -> int:
    """0 for the one that writes."""
    return distributed.get_rank() if _is_joined() else 0


def _is_joined() -> bool:
    return distributed.is_available() and distributed.is_initialized()  # some builds of PyTorch have none of it


def shard_rows(rows: Tensor) -> Tensor:
    """(B, ...) -> every n-th row, beginning with this process's number; all of them where it is alone."""
    return rows[rank() :: count()]


def all_reduce_sum(values: list[float], *, device: torch.device) -> list[float]:
    """The sum of all processes' values, one by one."""
    if count() == 1:
        return values
    summed = torch.tensor(values, dtype=torch.float64, device=device)
    distributed.all_reduce(summed)
    return summed.tolist()


def any_of(flag: bool) -> bool:
    """Whether any process says so; all of them must ask at the same place."""
    return all_reduce_sum([float(flag)], device=CPU)[0] > 0


class GradientSum:
    """The sum of all processes' gradients, in two moves: all that needs memory is in the first, where each may fail by
    itself; the second begins only once all have said that they are ready. Alone there is nothing to do."""

    def __init__(self, module: nn.Module) -> None:
        shared = list(module.parameters()) if count() > 1 else []
        self._parameters = [parameter for parameter in shared if parameter.requires_grad]
        self._flat: Tensor | None = None  # all gradients (P,), made at the first step and kept

    def none(self) -> list[float]:
        """What ``gather`` would answer where no parameter has a gradient."""
        return [0.0] * len(self._parameters)

    def gather(self) -> list[float]:
        """Copy this process's gradients together; 1 for every parameter that has one, 0 for the others."""
        if not self._parameters:
            return []
        if self._flat is None:
            self._flat = torch.empty(sum(map(Tensor.numel, self._parameters)), device=self._parameters[0].device)
        for parameter, place in zip(self._parameters, self._places(), strict=True):
            if parameter.grad is None:
                place.zero_()
            else:
                place.copy_(parameter.grad)
        return [float(parameter.grad is not None) for parameter in self._parameters]

    def share(self, having: list[float]) -> None:
        """Put the sums in the place of the gradients; ``having``: how many processes have one, for every parameter."""
        if self._flat is None:
            return
        distributed.all_reduce(self._flat)
        for parameter, place, owners in zip(self._parameters, self._places(), having, strict=True):
            parameter.grad = place if owners else None  # what no process's loss reaches is left alone by the optimiser

    def _places(self) -> list[Tensor]:
        assert self._flat is not None
        parts = self._flat.split([parameter.numel() for parameter in self._parameters])
        return [part.view_as(parameter) for part, parameter in zip(parts, self._parameters, strict=True)]
