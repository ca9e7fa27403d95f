"""All runs of one home folder: created, found by id, name or folder, listed, renamed, deleted; and the home itself.

Knows no training; opening a workspace loads and writes nothing. Runs whose folder lies elsewhere (``--output``) are
remembered in the home by a file that names it.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from bertdemo.mlm.errors import RunError
from bertdemo.mlm.models.loading import BUNDLED_MODEL, bundled_assets
from bertdemo.mlm.models.masked_lm import MaskedLM, ModelRef
from bertdemo.mlm.models.registry import ModelRegistry
from bertdemo.mlm.settings import TrainingConfig

from .files import disk_errors, read_whole, write_atomically
from .record import (
    FROM_SCRATCH,
    LIVE_STATES,
    DataSource,
    RunRecord,
    clean_name,
    is_run_id,
    new_run_id,
    read_record,
)
from .run import RECORD_NAME, RUN_ENTRIES, Run, open_or_describe, open_run

logger = logging.getLogger(__name__)

DELETED = ".deleted-"  # in front of a run's folder that is being deleted
MaySee: TypeAlias = Callable[[RunRecord], bool]
BEST_MODEL = "@best"  # behind a run's id: the weights of its best epoch instead of the last


class RunStore:
    """The runs under ``home``; nothing is written before the first run is created."""

    def __init__(self, home: Path | str) -> None:
        self.home = Path(home).expanduser()
        self._inside, self._outside = self.home / "runs", self.home / "runs_elsewhere"
        self._seen: dict[Path, tuple[tuple[int, int], RunRecord]] = {}  # as last read, with the file's number and time

    def create(
        self,
        *,
        name: str,
        model: ModelRef,
        data: DataSource,
        settings: TrainingConfig,
        output: Path | str | None = None,
        owner: str = "",
        state: str = "preparing",
    ) -> Run:
        """A new run, already claimed, in its own folder: ``output``, which must be empty, or one under the home.

        Raises RunError when ``output`` is not empty or the disk refuses.
        """
        name = clean_name(name) or clean_name(Path(data.name).stem) or "run"
        now = datetime.now(UTC)
        with disk_errors("The run's folder"):
            run_id, folder = self._new_folder(name, output, now=now)
        created = now.isoformat(timespec="microseconds")
        run = Run(folder, RunRecord(run_id, name, created, model, data, settings, state=state, owner=owner))
        run.claim()
        run.update()
        if output is not None:
            self._remember(run)
        return run

    def list(self) -> list[Run]:
        """All runs, the newest first; damaged ones too, in the state ``damaged``.

        Pages ask all the while, so only what has changed since is read again, and what may have died meanwhile.
        """
        folders = self._folders()
        for gone in self._seen.keys() - set(folders):
            self._seen.pop(gone, None)
        runs = [self._opened(folder) for folder in folders]
        return sorted(runs, key=lambda run: run.record.created or run.id, reverse=True)

    def get(self, reference: str, *, allow_folders: bool = False, may_see: MaySee = lambda _record: True) -> Run:
        """The run with this id, else the newest one of this name; with ``allow_folders`` first the one in this folder.

        One that ``may_see`` refuses is as if it were not there.

        Raises RunError when there is none. Without ``allow_folders`` nothing outside the store can be reached.
        """
        reference = reference.strip()
        if allow_folders and os.path.isfile(os.path.join(reference, RECORD_NAME)):  # unlike pathlib, it never raises
            return open_run(Path(reference).resolve())
        if is_run_id(reference) and (folder := self._folder_of(reference)) is not None:
            run = open_or_describe(folder)
            if may_see(run.record):
                return run
        for run in self.list():
            if reference and reference in (run.record.name, run.id) and may_see(run.record):
                return run
        raise RunError(f"There is no run {clean_name(reference)!r}; 'bertdemo runs' lists those that there are.")

    def rename(self, reference: str, name: str) -> Run:
        """Give the run another name; its id and folder stay. Raises RunError for a name that is empty."""
        run, cleaned = self.get(reference), clean_name(name)
        if not cleaned:
            raise RunError("A run's name needs at least one letter or digit.")
        run.update(name=cleaned)
        return run

    def delete(self, reference: str) -> None:
        """Delete the run with everything in its folder. Raises RunError while someone works on it."""
        run = self.get(reference)
        run.claim()
        try:
            with disk_errors(f"The run {run.id}"):
                left = self._remove(run)
        finally:
            run.release()
        if left is not None:
            shutil.rmtree(left, ignore_errors=True)

    def sweep(self) -> None:
        """Finish the deletions that a kill cut short."""
        for trash in self._inside.glob(f"{DELETED}*"):
            shutil.rmtree(trash, ignore_errors=True)

    def find_model(self, reference: str, *, may_see: MaySee = lambda _record: True) -> Path | None:
        """For a run's id or name: the folder of its last model, else of its best one, else its own; None: no such run.

        An id with ``@best`` behind it is the best epoch's. This is what a ``ModelRegistry`` takes as ``run_lookup``.
        """
        run_id = reference.removesuffix(BEST_MODEL)
        best = run_id != reference and is_run_id(run_id)
        try:
            run = self.get(run_id if best else reference, may_see=may_see)
        except RunError:
            return None
        models = run.models()
        if best:
            return Path(models.get("best_model") or run.folder)
        return Path(models.get("model") or models.get("best_model") or run.folder)

    def find_base(self, checkpoint: Path) -> ModelRef | None:
        """What the model in this folder was fine-tuned from, if it is a run's: a registry's ``base_lookup``."""
        try:
            record = read_record(read_whole(checkpoint.parent / RECORD_NAME))
        except (OSError, UnicodeDecodeError, RunError):
            return None
        return None if record.model.source == FROM_SCRATCH else record.model

    def _new_folder(self, name: str, output: Path | str | None, *, now: datetime) -> tuple[str, Path]:
        if output is not None:
            return new_run_id(name, now=now), _empty_folder(Path(output).expanduser().resolve())
        self._inside.mkdir(parents=True, exist_ok=True)
        while True:
            run_id = new_run_id(name, now=now)
            try:
                (self._inside / run_id).mkdir()
            except FileExistsError:
                continue
            return run_id, self._inside / run_id

    def _remember(self, run: Run) -> None:
        try:
            self._outside.mkdir(parents=True, exist_ok=True)
            write_atomically(self._outside / run.id, str(run.folder))
        except OSError as exc:  # the run itself is where it was wanted, so it goes on
            logger.warning("run %s will not be listed, because the home folder cannot be written: %s", run.id, exc)

    def _folders(self) -> Sequence[Path]:
        inside = [folder for folder in _entries(self._inside) if (folder / RECORD_NAME).is_file()]
        outside = [folder for pointer in _entries(self._outside) if (folder := _read_pointer(pointer)) is not None]
        return inside + outside

    def _opened(self, folder: Path) -> Run:
        try:
            status = (folder / RECORD_NAME).stat()
        except OSError:  # gone meanwhile
            return open_or_describe(folder)
        written, seen = (status.st_ino, status.st_mtime_ns), self._seen.get(folder)
        if seen is not None and seen[0] == written and seen[1].state not in (*LIVE_STATES, "damaged"):
            return Run(folder, seen[1])
        run = open_or_describe(folder)
        self._seen[folder] = written, run.record
        return run

    def _folder_of(self, run_id: str) -> Path | None:
        folder = self._inside / run_id
        return folder if folder.is_dir() else _read_pointer(self._outside / run_id)

    def _remove(self, run: Run) -> Path | None:
        """In two moves, so that a kill in between leaves no half of a run in the list; returns the folder that is left
        where it may only go once the run's lock is released."""
        if run.folder.parent == self._inside:
            trash = self._inside / f"{DELETED}{run.folder.name}"
            try:
                run.folder.rename(trash)
            except PermissionError as error:
                if getattr(error, "winerror", None) is None:
                    raise
                # Windows moves no folder of which a file is open, and the lock is one
                (run.folder / RECORD_NAME).unlink(missing_ok=True)  # without which it is no run
                return run.folder
            return trash  # what will not go is swept at the next start
        (self._outside / run.id).unlink(missing_ok=True)
        for name in RUN_ENTRIES:
            entry = run.folder / name
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink(missing_ok=True)
        with suppress(OSError):  # something else lies there: it is not ours to delete
            run.folder.rmdir()
        return None


def _empty_folder(folder: Path) -> Path:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(f"The output folder {folder.name!r} is not empty; choose another one.")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _entries(folder: Path) -> list[Path]:
    try:
        return [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _read_pointer(pointer: Path) -> Path | None:
    """The folder that the pointer names, while a run is in it; it may have been moved or deleted by hand."""
    try:
        folder = Path(pointer.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None
    return folder if (folder / RECORD_NAME).is_file() else None


def default_home() -> Path:
    """``BERTDEMO_HOME``, else the user's data folder."""
    if chosen := os.environ.get("BERTDEMO_HOME"):
        return Path(chosen).expanduser()
    from platformdirs import user_data_path  # not needed where the home is named

    return user_data_path("bertdemo", appauthor=False)


@dataclass(frozen=True)
class Workspace:
    """Runs and models of one home folder."""

    home: Path

    @cached_property
    def store(self) -> RunStore:
        return RunStore(self.home)

    @cached_property
    def registry(self) -> ModelRegistry:
        return ModelRegistry(
            self.home.resolve(),
            bundled=bundled_assets() / BUNDLED_MODEL,
            run_lookup=self.store.find_model,
            base_lookup=self.store.find_base,
        )

    @property
    def sample_csv(self) -> Path:
        return bundled_assets() / "sample_reviews.csv"

    @cached_property
    def general_english(self) -> tuple[str, ...]:
        """Short texts on everything but reviews, written for this project: to see what fine-tuning makes one forget."""
        text = (bundled_assets() / "general_english.txt").read_text(encoding="utf-8")
        return tuple(filter(None, map(str.strip, text.splitlines())))

    def load(self, reference: str) -> MaskedLM:
        """The shared, read-only model that a reference names."""
        return self.registry.shared(self.registry.resolve(reference))
