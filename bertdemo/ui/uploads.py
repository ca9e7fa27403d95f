"""Where uploads wait until a run has copied them: one folder for this server, bounded, and gone when the server is.

What is there is counted as it comes, and never looked through while somebody waits: there may be thousands of files.

Gradio deletes the files that it remembers; what it forgets (refused uploads, empty placeholders) is swept here.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bertdemo.mlm.errors import DataError, RunError
from bertdemo.runs.files import LOCK_NAME, FolderLock, is_locked
from bertdemo.runs.people import Limits

logger = logging.getLogger(__name__)

FOLDER_VARIABLE = "GRADIO_TEMP_DIR"  # where Gradio keeps uploads
PREFIX = "bertdemo-uploads-"
MAX_BYTES = 5_000_000_000  # of all uploads together
MAX_FILES = 20_000
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


@dataclass(eq=False)
class Upload:
    """One on its way, or kept: whose it is, where it came from, and how much of it has come."""

    who: str
    address: str
    size: int = 0
    files: int = 0


class UploadRoom:
    """How much all, each person and each address have uploaded within a day, and whether there is room for more.

    ``who`` is a person's hash, or their address where they have none. On a server for others an address may have half
    of all the room, since whoever wants can be many people. For one thread: that of the server's event loop.
    """

    def __init__(self, limits: Limits, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits, self._clock = limits, clock
        self._sizes: Counter[str] = Counter()
        self._files: Counter[str] = Counter()
        self._kept: list[tuple[float, int, Upload]] = []  # a heap by when each is forgotten
        self._numbers = itertools.count()

    @property
    def used(self) -> tuple[int, int]:
        """(bytes, files) of all uploads."""
        return self._sizes[""], self._files[""]

    def used_by(self, who: str) -> tuple[int, int]:
        return self._sizes[f"who {who}"], self._files[f"who {who}"]

    def by_person(self) -> dict[str, tuple[int, int]]:
        """(bytes, files) of each; may be asked by any thread."""
        return {key[4:]: self.used_by(key[4:]) for key in list(self._sizes) if key.startswith("who ")}

    def grow(self, upload: Upload, *, size: int, files: int) -> str | None:
        """Let an upload have so many bytes and files from now on; the sentence that refuses it, where there is no room
        for what comes on top."""
        self._forget()
        more, more_files = max(0, size - upload.size), max(0, files - upload.files)
        refusal = self._refusal(upload, more, more_files)
        if refusal is None:
            self._add(upload, more, more_files)
        return refusal

    def end(self, upload: Upload, *, size: int, whole: bool) -> None:
        """It has come, or was broken off after so many bytes; forgotten when its files are deleted."""
        if not size:  # nothing of it is on the disk
            self._add(upload, -upload.size, -upload.files)
            return
        self._add(upload, size - upload.size, 0)
        until = self._clock() + (KEPT_SECONDS if whole else UNFINISHED_SECONDS)
        heapq.heappush(self._kept, (until, next(self._numbers), upload))

    def _refusal(self, upload: Upload, more: int, files: int) -> str | None:
        limits = self._limits
        size, count = self.used_by(upload.who)
        if limits.upload_files_each is not None and count + files > limits.upload_files_each:
            return (
                f"One person may upload {limits.upload_files_each:,} files a day here; use one that you have uploaded."
            )
        if limits.upload_bytes_each is not None and size + more > limits.upload_bytes_each:
            return f"One person may upload {limits.upload_bytes_each / 1e6:,.0f} MB a day here; try a smaller file."
        shared = limits.upload_files_each is not None
        for key, share in (("", 1), (f"from {upload.address}", 2)) if shared else (("", 1),):
            if self._files[key] + files > MAX_FILES // share or self._sizes[key] + more > MAX_BYTES // share:
                return (
                    f"The server has no room for this upload now: of {MAX_BYTES // share / 1e6:,.0f} MB and"
                    f" {MAX_FILES // share:,} files a day too little is left; try a smaller file, or again later."
                )
        try:
            limits.check_disk(Path(os.environ[FOLDER_VARIABLE]), more)
        except RunError as error:
            return str(error)
        return None

    def _forget(self) -> None:
        while self._kept and self._kept[0][0] <= self._clock():
            upload = heapq.heappop(self._kept)[2]
            self._add(upload, -upload.size, -upload.files)

    def _add(self, upload: Upload, size: int, files: int) -> None:
        upload.size, upload.files = upload.size + size, upload.files + files
        for key in ("", f"who {upload.who}", f"from {upload.address}"):
            self._sizes[key] += size
            self._files[key] += files
            if not self._sizes[key] and not self._files[key]:
                del self._sizes[key], self._files[key]


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


def _delete_if_older(path: Path, moment: float) -> None:
    if path.lstat().st_mtime < moment:
        path.unlink()
