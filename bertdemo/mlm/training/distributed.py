"""Several processes that train one model, as ``torchrun`` or ``accelerate launch`` start them; alone is the plain case.

All draw the same batches and masks, each takes every n-th row of them, and torch's DistributedDataParallel adds the
gradients up.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel


@contextmanager
def joined() -> Iterator[None]:
    """Inside the block this process is one of those that were launched together, if there are several."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield
        return
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    distributed.init_process_group("nccl" if cuda else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def count() -> int:
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """0 for the one that writes."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def own_rows(rows: Tensor) -> Tensor:
    """(B, ...) -> every n-th row, beginning with this process's number; all of them where it is alone."""
    return rows[rank() :: count()]


def total(value: float, *, device: torch.device) -> float:
    """The sum of all processes' values."""
    if count() == 1:
        return value
    summed = torch.tensor(value, dtype=torch.float64, device=device)
    distributed.all_reduce(summed)
    return float(summed)


def any_of(flag: bool) -> bool:
    """Whether any process says so; all of them must ask at the same place."""
    if count() == 1:
        return flag
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return total(float(flag), device=device) > 0


def parallel(module: nn.Module, *, all_read: bool) -> nn.Module:
    """The module, with its gradients averaged over all processes.

    ``all_read`` False where a step does not read every weight: whoever waits for its gradient would wait for ever, so
    they are looked for at each step, which costs a walk through the graph.
    """
    return DistributedDataParallel(module, find_unused_parameters=not all_read)


def gradients_kept(module: nn.Module, *, wanted: bool) -> AbstractContextManager[None]:
    """While ``wanted``, gradients are only added up here; the next backward outside sends them all at once."""
    return module.no_sync() if wanted and isinstance(module, DistributedDataParallel) else nullcontext()
