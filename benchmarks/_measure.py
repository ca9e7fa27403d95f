"""What every benchmark here shares: the machine's measured peak, a model to measure with, and a table."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import transformers
from transformers import BertConfig, BertForMaskedLM

from bertdemo.mlm.models.device_check import choose_device
from bertdemo.mlm.models.masked_lm import MaskedLM, ModelRef
from bertdemo.mlm.models.registry import BUNDLED_MODEL, ModelRegistry, bundled_assets

DEVICE = choose_device().device  # the GPU, where there is one that passes


def machine() -> str:
    """One line that says where the figures come from."""
    cores, threads = os.cpu_count(), torch.get_num_threads()
    device = torch.cuda.get_device_name() if DEVICE.type == "cuda" else f"{cores} CPU cores, {threads} threads"
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}, Python {platform.python_version()}"
    return f"{device}; {versions}"


def synchronize() -> None:
    """Wait until the GPU, where there is one, has done what it was asked for: before a clock is looked at."""
    if DEVICE.type != "cpu":
        torch.accelerator.synchronize()


def load(name: str, *, seed: int = 0) -> MaskedLM:
    """A fresh "mini-bert", or "bert-base": its shape with random weights and the bundled tokenizer.

    On the GPU where there is one.
    """
    masked_lm = _on_the_cpu(name, seed=seed)
    masked_lm.model.to(DEVICE)
    return masked_lm


def _on_the_cpu(name: str, *, seed: int) -> MaskedLM:
    registry = ModelRegistry(None, bundled=bundled_assets() / BUNDLED_MODEL)
    bundled = registry.private_copy(registry.resolve(BUNDLED_MODEL))
    if name == "mini-bert":
        return bundled
    torch.manual_seed(seed)
    model = BertForMaskedLM(BertConfig(pad_token_id=bundled.pad_token_id)).eval()  # 12 layers x 768, 30,522 words
    return MaskedLM(ModelRef(name, name), model, bundled.tokenizer)


def matmul_peak(dtype: torch.dtype, *, seconds: float = 2.0) -> float:
    """Operations per second of a large matrix product: what "share of peak" is a share of."""
    size, at_once = (2048, 1) if DEVICE.type == "cpu" else (8192, 10)  # a GPU is to be busy, not waited for
    left, right = (torch.randn(size, size, device=DEVICE).to(dtype) for _ in range(2))
    for _ in range(2):
        left @ right
    synchronize()
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        for _ in range(at_once):
            left @ right
        synchronize()
        count += at_once
    return 2 * size**3 * count / (time.perf_counter() - started)


def operations_per_token(masked_lm: MaskedLM, *, targets_per_token: float) -> float:
    """Of one training step, useful ones only: 6 per weight that a token meets, the head only at targets.

    Attention's products between tokens are left out, which makes the share of peak a little too small.
    """
    config = masked_lm.model.config
    width, layers = config.hidden_size, config.num_hidden_layers
    encoder = layers * (4 * width * width + 2 * width * config.intermediate_size)
    head = width * width + width * config.vocab_size
    return 6 * (encoder + targets_per_token * head)


def median_seconds(action: Callable[[], object], *, times: int) -> float:
    """The median of ``times`` runs, after one that does not count."""
    action()
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        action()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def side_by_side(first: Callable[[], object], second: Callable[[], object], *, times: int) -> tuple[float, float]:
    """Median seconds of both, run by turns: what else the machine does meets both alike.

    Each is called once uncounted before it is timed: its first call after the other's shares the cores with the other
    library's threads, which still wait for more work. Nobody asks two libraries in turn but a benchmark.
    """
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(times):
        for action, seconds in zip((first, second), taken, strict=True):
            action()
            started = time.perf_counter()
            action()
            seconds.append(time.perf_counter() - started)
    return statistics.median(taken[0]), statistics.median(taken[1])


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A Markdown table, ready for the README."""
    print("| " + " | ".join(columns) + " |")
    print("|" + " --- |" * len(columns))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print(flush=True)


def sample_csv() -> Path:
    return bundled_assets() / "sample_reviews.csv"
