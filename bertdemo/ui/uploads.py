"""Where uploads wait until a run has copied them: one folder for this server, bounded, and gone when the server is.

Gradio deletes the files that it remembers; what it forgets (refused uploads, empty placeholders) is swept here.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bertdemo.mlm.errors import DataError
from bertdemo.runs.locks import LOCK_NAME, FolderLock, is_locked

logger = logging.getLogger(__name__)

FOLDER_VARIABLE = "GRADIO_TEMP_DIR"  # where Gradio keeps uploads
PREFIX = "bertdemo-uploads-"
MAX_BYTES = 5_000_000_000  # of all uploads together
MAX_FILES = 20_000
FREE_BYTES = 500_000_000  # of the disk that uploads leave alone
KEPT_SECONDS = 24 * 3600
UNFINISHED_SECONDS = 900  # nothing has come for so long: the upload was broken off


@contextmanager
def uploads_folder() -> Iterator[Path]:
    """Make Gradio keep its temporary files in a folder of this server's own; folders of dead servers are deleted."""
    _delete_orphans(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    lock, before = FolderLock(folder), os.environ.get(FOLDER_VARIABLE)
    lock.acquire()
    os.environ[FOLDER_VARIABLE] = str(folder)
    try:
        yield folder
    finally:
        if before is None:
            del os.environ[FOLDER_VARIABLE]
        else:
            os.environ[FOLDER_VARIABLE] = before
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()


def has_room(size: int) -> bool:
    """Whether an upload of so many bytes may be added to the others."""
    folder = Path(os.environ[FOLDER_VARIABLE])
    sizes = [_size(Path(root, name)) for root, _folders, names in os.walk(folder) for name in names]
    try:
        free = shutil.disk_usage(folder).free
    except FileNotFoundError:  # nothing has been uploaded yet
        return True
    return len(sizes) < MAX_FILES and sum(sizes) + size <= MAX_BYTES and free - size >= FREE_BYTES


def uploaded(payload: object) -> Path | None:
    """The file that a program sent along, as ``gradio_client.handle_file`` names it; None where it sent none.

    Whoever asks may name any path of this machine, so only what lies among the uploads is one. Raises DataError.
    """
    if payload is None:
        return None
    path = payload.get("path") if isinstance(payload, dict) else None
    try:
        file, folder = Path(str(path)).resolve(), os.environ.get(FOLDER_VARIABLE)
        ours = folder is not None and file.parent.parent == Path(folder).resolve()  # in a folder of its own
        known = ours and isinstance(path, str) and file.is_file()
    except (OSError, ValueError):  # no path at all, such as one with NUL in it
        known = False
    if not known:
        raise DataError("This is no file that was uploaded; send one with gradio_client.handle_file.")
    return file


def sweep(folder: Path, *, kept_seconds: float = KEPT_SECONDS) -> None:
    """Delete the files that nobody has touched for so long, and what is left of uploads that were broken off.

    An upload on its way lies in the folder itself, beside the lock; a finished one in a folder of its own.
    """
    now = time.time()
    for root, _folders, names in os.walk(folder, topdown=False):
        on_its_way = Path(root) == folder
        oldest = now - (UNFINISHED_SECONDS if on_its_way else kept_seconds)
        for path in (Path(root, name) for name in names if not on_its_way or name != LOCK_NAME):
            with suppress(OSError):
                _delete_if_older(path, oldest)
        if not on_its_way:
            with suppress(OSError):  # not empty
                Path(root).rmdir()


def _delete_orphans(parent: Path) -> None:
    """Delete the folders that killed servers of this account left behind."""
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):
            status = folder.lstat()
            ours = folder.is_dir() and not folder.is_symlink() and _is_ours(status)
            if ours and time.time() - status.st_mtime > 60 and not is_locked(folder):
                shutil.rmtree(folder, ignore_errors=True)
                logger.info("deleted %s, which a server that ended left behind", folder.name)


def _is_ours(status: os.stat_result) -> bool:
    """Windows has no numbers of accounts, and gives each a temporary folder of its own."""
    account = getattr(os, "getuid", None)
    return account is None or status.st_uid == account()


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _delete_if_older(path: Path, moment: float) -> None:
    if path.lstat().st_mtime < moment:
        path.unlink()
