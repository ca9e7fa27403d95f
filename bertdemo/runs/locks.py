"""Who is alive: an operating-system lock on a run's folder, which the system lets go of when its process dies.

Knows nothing of what the lock protects. Where the system has no such locks (Windows), nothing ever counts as locked.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK_NAME = "lock"
_POLL_SECONDS = 0.02


class FolderLock:
    """An exclusive lock on one folder, held by one process at a time (and by one such object within it)."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK_NAME
        self._file: IO[bytes] | None = None

    @property
    def held(self) -> bool:
        return self._file is not None

    def acquire(self, *, patience: float = 1.0) -> bool:
        """Whether the lock is held now; waits a little, since whoever only looks holds it for a moment.

        Raises OSError where the folder cannot be written.
        """
        if self.held:
            return True
        file = open(self._path, "ab")  # noqa: SIM115 - stays open as long as the lock is held
        deadline = time.monotonic() + patience
        while not _try_lock(file, shared=False):
            if time.monotonic() >= deadline:
                file.close()
                return False
            time.sleep(_POLL_SECONDS)
        self._file = file
        return True

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def is_locked(folder: Path) -> bool:
    """Whether anyone holds the folder's lock, this process included."""
    try:
        with open(folder / LOCK_NAME, "rb") as file:
            return not _try_lock(file, shared=True)
    except OSError:
        return False


def _try_lock(file: IO[bytes], *, shared: bool) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
