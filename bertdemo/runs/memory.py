"""Memory that nothing uses any more goes back to the system.

The arrays of a training step differ in size from batch to batch. What is freed between two that are still in use stays
with the C library, which would let a long run grow by gigabytes.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from functools import lru_cache


def give_back() -> bool:
    """Return free pages to the system, which takes about 0.1 s for a gigabyte; False where it can't be asked for."""
    trim = _malloc_trim()
    return trim is not None and bool(trim(0))


def collect() -> None:
    """Let go of what only garbage still holds, and return it."""
    gc.collect()
    give_back()


@lru_cache
def _malloc_trim() -> Callable[[int], int] | None:
    """glibc's ``malloc_trim``; other systems' C libraries have nothing of the kind."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return None
