"""Who is alive: an operating-system lock on a run's folder, which the system lets go of when its process dies.

Knows nothing of what the lock protects.
"""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout

LOCK_NAME = "lock"


class FolderLock:
    """An exclusive lock on one folder, held by one process at a time (and by one such object within it)."""

    def __init__(self, folder: Path) -> None:
        # Not by thread: a run is claimed by whoever asks for it, and let go of by the thread that trains.
        self._lock = FileLock(folder / LOCK_NAME, thread_local=False)

    def acquire(self, *, patience: float = 1.0) -> bool:
        """Whether the lock is held now; waits a little, since whoever only looks holds it for a moment.

        Raises OSError where the folder cannot be written.
        """
        if not self._lock.is_locked:
            try:
                self._lock.acquire(timeout=patience, poll_interval=0.02)
            except Timeout:
                return False
        return True

    def release(self) -> None:
        self._lock.release()


def is_locked(folder: Path) -> bool:
    """Whether anyone holds the folder's lock, this process included.

    Where that cannot be found out, as in somebody else's folder, it counts as held: better a dead run that seems alive
    than a living one that others take for dead.
    """
    if not (folder / LOCK_NAME).exists():  # trying would make it, and its folder
        return False
    lock = FolderLock(folder)
    try:
        free = lock.acquire(patience=0)
    except OSError:
        return True
    lock.release()
    return not free
