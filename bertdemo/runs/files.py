"""Files and folders that are either whole or not there: written aside, flushed to the disk, renamed into place; and who
is alive: an operating-system lock on a folder, which the system lets go of when its process dies.

Knows nothing of runs. What the disk refuses becomes one ``RunError`` here, whichever library noticed it.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TypeVar

from filelock import FileLock, Timeout

from bertdemo.mlm.errors import RunError

LOCK_NAME = "lock"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)
_Result = TypeVar("_Result")
_PATIENCE = 3.0  # seconds that a reader is given to close a file whose place is wanted
_RUST_OS_ERROR = re.compile(r"\(os error (\d+)\)")  # safetensors and tokenizers report the disk's errors only as text


@contextmanager
def disk_errors(what: str) -> Iterator[None]:
    """Turn whatever the disk refuses inside the block into a RunError; ``what`` names the thing, as in "The model"."""
    try:
        yield
    except Exception as exc:
        code = _error_code(exc)
        if code is None:
            raise
        raise RunError(_sentence(what, code)) from exc


def _error_code(error: Exception) -> int | None:
    if isinstance(error, OSError):
        return error.errno or errno.EIO
    reported = _RUST_OS_ERROR.search(str(error))
    if reported is None:
        return None
    return OSError(0, "", None, int(reported[1])).errno or int(reported[1])  # on Windows its own number becomes errno's


def _sentence(what: str, code: int) -> str:
    if code in _FULL:
        return f"{what} could not be written because the disk is full; free some space and try again."
    if code in _FORBIDDEN:
        if os.name == "nt":  # which says the same of a file that somebody reads
            return (
                f"{what} could not be written because its folder is read-only or another program has a file of it open;"
                " close that, or choose another home folder."
            )
        return f"{what} could not be written because its folder is read-only; choose another home folder."
    return f"{what} could not be read or written: {os.strerror(code)}."


def write_atomically(path: Path, text: str) -> None:
    """Replace the file by this text: after a crash it holds the old or the new one, never a part. Raises OSError.

    The order makes it so. First the bytes are forced to the disk, else a power cut could leave the new name on an empty
    file. Then the rename, which is one act for whoever reads. Last the folder, in which the rename itself is kept.
    """
    with NamedTemporaryFile(
        "w", encoding="utf-8", newline="\n", dir=path.parent, prefix=f".{path.name}.", delete=False
    ) as aside:
        try:
            aside.write(text)
            aside.flush()
            os.fsync(aside.fileno())
            aside.close()
            replace(Path(aside.name), path)
        except BaseException:
            aside.close()
            Path(aside.name).unlink(missing_ok=True)
            raise
    flush_folder_entry(path.parent)


def replace(source: Path, target: Path) -> None:
    """``os.replace``; where readers stand in the way, as they do on Windows, they are given time to close the file."""
    _patiently(lambda: os.replace(source, target))


def move(source: Path, target: Path) -> None:
    """``os.rename``, with the same patience: Windows moves no folder of which a file is open."""
    _patiently(lambda: os.rename(source, target))


def read_whole(path: Path) -> str:
    """The UTF-8 text of a file that may be replaced at any moment, when Windows keeps readers out."""
    return _patiently(lambda: path.read_text(encoding="utf-8"))


def _patiently(action: Callable[[], _Result]) -> _Result:
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            return action()
        except PermissionError as error:
            # Windows' numbers for "access denied" and "used by another"; elsewhere nobody is waited for
            if getattr(error, "winerror", None) not in (5, 32) or time.monotonic() > until:
                raise
        time.sleep(0.02)


@contextmanager
def replaced_folder(target: Path) -> Iterator[Path]:
    """A new, empty folder to fill, which takes the place of ``target`` when the block ends well.

    A kill at any moment leaves the old or the new one whole; after one between two renames ``settle_folder`` finds it:
    a folder that is not empty cannot be renamed over, so the old one steps aside first. What was written is forced to
    the disk before the renames, the renames after them, and only then is the old one deleted.
    """
    settle_folder(target)
    part, old = _beside(target)
    part.mkdir()
    try:
        yield part
        _flush_tree(part)
        if target.exists():
            move(target, old)
        move(part, target)
    except BaseException:
        settle_folder(target)
        raise
    flush_folder_entry(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def settle_folder(target: Path) -> None:
    """Undo what a kill inside ``replaced_folder`` left behind: the last whole folder is at ``target``, no part is left.

    Only for whoever holds the run's lock.
    """
    part, old = _beside(target)
    if old.exists() and not target.exists():
        move(old, target)
    for leftover in (part, old):
        shutil.rmtree(leftover, ignore_errors=True)


def _beside(target: Path) -> tuple[Path, Path]:
    return target.with_name(f".{target.name}.part"), target.with_name(f".{target.name}.old")


def flush_folder_entry(folder: Path) -> None:
    """Make renames inside the folder survive a power cut; a no-op where folders cannot be opened (Windows)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_tree(folder: Path) -> None:
    for root, _folders, names in os.walk(folder):
        for name in names:
            with open(Path(root, name), "rb+") as file:
                os.fsync(file.fileno())
        flush_folder_entry(Path(root))


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
