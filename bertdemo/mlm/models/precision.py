"""Which number format a computation runs in: decided by what the processor says that it has, never by timing."""

from __future__ import annotations

import torch


def training_device() -> torch.device:
    """The GPU that this process uses, where there is one."""
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def automatic_precision(device: torch.device) -> str:
    """ "bf16" on a GPU that has it and on a CPU with bf16 matrix instructions (AVX-512 BF16 or AMX), else "fp32"."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    return "bf16" if device.type == "cpu" and _cpu_has_bf16() else "fp32"


def _cpu_has_bf16() -> bool:
    if hasattr(torch.cpu, "get_capabilities"):
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())  # torch before 2.12


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Matrix products in bf16, everything delicate (softmax, norms, loss) in float32; off for "fp32"."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
