"""A run as one zip file: model with card, events, a table of figures, settings, and the command that trains it again.

The user's rows are not in it, nor anything that they could be read from (``held_out.jsonl`` holds them as token ids).
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

from .files import disk_errors
from .record import command_line
from .run import Run

METRICS = (
    *("event", "step", "epoch", "loss", "learning_rate", "targets", "tokens", "seconds"),
    *("pseudo_perplexity", "top1", "top5"),
)


def export_zip(run: Run, folder: Path | None = None) -> Path:
    """Write ``<run id>.zip`` to ``folder`` (default: the run's own), replacing an older one. Raises RunError.

    A run without a model is exported without one.
    """
    target = (folder or run.folder) / f"{run.id}.zip"
    part = target.with_suffix(".part")
    with disk_errors("The zip file"):
        try:
            with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
                _fill(archive, run)
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)
    return target


def stream_zip(run: Run) -> Iterator[bytes]:
    """The same file in parts."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        _fill(archive, run)
    whole.seek(0)
    while part := whole.read(1 << 20):
        yield part


def metrics_csv(run: Run) -> str:
    """One line for each step and evaluation, at full precision: ``step,1,1,7.25,...``."""
    text = io.StringIO()
    table = csv.DictWriter(text, METRICS, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    table.writerows(record for record in run.log.records() if record.get("event") in ("step", "evaluated", "general"))
    return text.getvalue()


def settings_json(run: Run) -> str:
    """The run's record without what is nobody else's business: its owner, and where the data lies."""
    values = dataclasses.asdict(run.record)
    del values["owner"], values["data"]["path"], values["model"]["source"]
    return json.dumps(values, indent=2)


def _fill(archive: zipfile.ZipFile, run: Run) -> None:
    texts = {"settings.json": settings_json, "metrics.csv": metrics_csv, "reproduce.txt": _reproduce}
    for name, text in texts.items():
        archive.writestr(_entry(name), text(run), zipfile.ZIP_DEFLATED)
    if run.log.path.is_file():
        archive.write(run.log.path, "events.jsonl")
    for file in sorted(run.model_folder.rglob("*")):
        if file.is_file():  # weights do not get smaller: packing them would only take time
            packing = zipfile.ZIP_STORED if file.suffix == ".safetensors" else zipfile.ZIP_DEFLATED
            archive.write(file, Path("model") / file.relative_to(run.model_folder), packing)


def _reproduce(run: Run) -> str:
    return command_line(run.record) + "\n"


def _entry(name: str) -> zipfile.ZipInfo:
    """Without the time of day: the same run gives the same zip, however often it is asked for."""
    entry = zipfile.ZipInfo(name)
    entry.external_attr = 0o644 << 16
    return entry
