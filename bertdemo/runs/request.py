"""What a user asks to be trained, checked as far as that costs nothing. Knows no queue and loads nothing."""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path

from bertdemo.mlm.data.corpus import Dialect
from bertdemo.mlm.errors import DataError, TextError
from bertdemo.mlm.settings import SETTINGS, TrainingConfig
from bertdemo.mlm.text.text_notes import marked_text

from .files import disk_errors
from .names import clean_name, slug
from .record import DataSource
from .run import Run


@dataclass(frozen=True)
class RunRequest:
    """What to train on what. ``model`` is a reference as users type it, ``data_name`` the file as they know it."""

    data: Path
    settings: TrainingConfig = TrainingConfig()
    model: str = "mini-bert"
    column: str | None = None
    dialect: Dialect | None = None  # what overrides the detected one
    limit: int | None = None
    name: str = ""
    data_name: str = ""

    def check(self) -> None:
        """Raises DataError, SettingsError or TextError for what would make the run fail at once."""
        if not self.data.is_file():
            raise DataError(f"The data file {self.shown_name!r} is not there any more; upload it again.")
        SETTINGS["limit"].check(self.limit)
        for probe in self.settings.probes:
            _check_probe(probe)

    @property
    def shown_name(self) -> str:
        return clean_name(self.data_name or self.data.name)


def _check_probe(probe: str) -> None:
    try:
        marked_text(probe, mask="[MASK]")  # every way to write a mask; which one the model has does not matter yet
    except TextError as exc:
        raise TextError(f"The probe {probe[:60]!r} has no mask; write [MASK] where a word is to be guessed.") from exc


def data_source(request: RunRequest) -> DataSource:
    """The request's data as a run records it."""
    dialect = dataclasses.asdict(request.dialect) if request.dialect is not None else None
    path = str(request.data.resolve())
    return DataSource(request.shown_name, path, column=request.column, limit=request.limit, dialect=dialect)


def keep_data(run: Run) -> None:
    """Copy a claimed run's data into its folder: an upload may vanish, and a resumption needs it. Raises RunError."""
    data = run.record.data
    stem, suffix = Path(data.name).stem, Path(data.name).suffix
    copy = run.folder / "data" / (slug(stem) + (f".{slug(suffix)}" if suffix else ""))
    with disk_errors("The copy of the data file"):
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(data.path, copy)
    run.update(data=dataclasses.replace(data, path=str(copy.resolve())))
