"""A run as one zip file: model with card, events, a table of figures, settings, and the command that trains it again.

The user's rows are not in it, nor anything that they could be read from (``held_out.jsonl`` holds them as token ids).
It is made while it is sent, and the same run gives the same bytes, whenever and by whomever it is asked for.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bertdemo.mlm.errors import RunError

from .files import disk_errors, replace
from .log import decode
from .record import command_line
from .run import MEASURED, METRICS, Run, open_run

CHUNK = 1 << 18  # bytes, of what is read and about of what is sent at once
REPLACED_WHILE_OPENED = 5  # tries to open a model's files that is being replaced
LARGE = 1 << 30  # bytes: a file from which on the zip is told beforehand that it may need more than 32 bits


@dataclass(frozen=True)
class _Entry:
    """A file of the zip: its bytes as they come, how many, if they are many, and whether packing them does any good."""

    name: str
    content: Iterable[bytes]
    size: int = 0
    packed: bool = True


def stream_zip(folder: Path) -> Iterator[bytes]:
    """The zip of the run in this folder, piece by piece; any number may be read at once.

    All files are opened before this returns: what the run writes, replaces or deletes later changes nothing. A run
    without a model is exported without one. Raises RunError where there is no run, or its files cannot be read.
    """
    run = open_run(folder)
    with disk_errors("The zip file"), ExitStack() as opened:
        model = _open_model(run.model_folder, opened)
        logs = [opened.enter_context(run.log.path.open("rb")) for _ in range(2) if run.log.path.is_file()]
        size = os.fstat(logs[0].fileno()).st_size if logs else 0
        entries = [
            _Entry("settings.json", [settings_json(run).encode()]),
            _Entry("metrics.csv", map(str.encode, _metric_lines(_lines(logs[0], size) if logs else []))),
            _Entry("reproduce.txt", [f"{command_line(run.record)}\n".encode()]),
            *(_Entry("events.jsonl", _pieces(log, size), size) for log in logs[1:]),
        ]
        for name, file in model:  # weights do not get smaller: packing them would only take time
            length = os.fstat(file.fileno()).st_size
            entries.append(_Entry(f"model/{name}", _pieces(file, length), length, not name.endswith(".safetensors")))
        return _zipped(entries, opened.pop_all())


def export_zip(run: Run, folder: Path | None = None) -> Path:
    """Write ``<run id>.zip`` to ``folder`` (default: the run's own), replacing an older one. Raises RunError."""
    target = (folder or run.folder) / f"{run.id}.zip"
    part = target.with_suffix(".part")
    with disk_errors("The zip file"):
        try:
            with part.open("wb") as file:
                file.writelines(stream_zip(run.folder))
            replace(part, target)
        finally:
            part.unlink(missing_ok=True)
    return target


def settings_json(run: Run) -> str:
    """The run's record without what is nobody else's business: its owner, and where the data lies."""
    values = dataclasses.asdict(run.record)
    del values["owner"], values["data"]["path"], values["model"]["source"]
    return json.dumps(values, indent=2)


def _metric_lines(lines: Iterable[bytes]) -> Iterator[str]:
    """One for each step and evaluation, at full precision: ``step,1,1,7.25,...``."""
    text = io.StringIO()
    table = csv.DictWriter(text, METRICS, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    for line in lines:
        for record in decode([line]):
            if record.get("event") in MEASURED:
                table.writerow(record)
        yield text.getvalue()
        text.seek(0)
        text.truncate()
    yield text.getvalue()


def _open_model(folder: Path, opened: ExitStack) -> list[tuple[str, BinaryIO]]:
    """(name, file) of all files of one and the same model, which may be replaced by another at any moment."""
    for _ in range(REPLACED_WHILE_OPENED):
        with ExitStack() as tried:
            try:
                before = folder.stat().st_ino
                paths = sorted(path for path in folder.rglob("*") if path.is_file())
                files: list[tuple[str, BinaryIO]] = [
                    (path.relative_to(folder).as_posix(), tried.enter_context(path.open("rb"))) for path in paths
                ]
                if folder.stat().st_ino == before:
                    opened.push(tried.pop_all())
                    return files
            except FileNotFoundError:
                if not folder.parent.is_dir():
                    break
    if folder.exists():
        raise RunError("The run's model is being replaced again and again; try again in a moment.")
    return []


def _pieces(file: BinaryIO, size: int) -> Iterator[bytes]:
    """The first ``size`` bytes: what is added behind them comes too late."""
    while size > 0 and (piece := file.read(min(CHUNK, size))):
        size -= len(piece)
        yield piece


def _lines(file: BinaryIO, size: int) -> Iterator[bytes]:
    for line in file:
        size -= len(line)
        if size < 0:
            return
        yield line


class _Outlet:
    """What ``zipfile`` writes to: a place that cannot be sought in, so that it never goes back."""

    def __init__(self) -> None:
        self.written = bytearray()

    def write(self, data: bytes) -> int:
        self.written += data
        return len(data)

    def flush(self) -> None:
        pass


def _zipped(entries: list[_Entry], opened: ExitStack) -> Iterator[bytes]:
    outlet = _Outlet()
    with opened, zipfile.ZipFile(outlet, "w") as archive:  # type: ignore[call-overload]  # it has all that is asked of a file
        for entry in entries:
            info = zipfile.ZipInfo(entry.name)  # without the time of day, and with nobody's rights
            info.external_attr = 0o644 << 16
            info.compress_type = zipfile.ZIP_DEFLATED if entry.packed else zipfile.ZIP_STORED
            with archive.open(info, "w", force_zip64=entry.size >= LARGE) as place:
                for piece in entry.content:
                    place.write(piece)
                    if len(outlet.written) >= CHUNK:
                        yield bytes(outlet.written)
                        outlet.written.clear()
    yield bytes(outlet.written)
