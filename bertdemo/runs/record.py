"""What is asked of a run, and what is known about it: the content of ``run.json`` as frozen dataclasses; and what a run
may be called.

Knows no run's folder and reads no data.
"""

from __future__ import annotations

import dataclasses
import json
import platform
import re
import secrets
import shlex
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bertdemo import __version__
from bertdemo.mlm.data.corpus import Dialect
from bertdemo.mlm.data.dialect import NAMED, PARAGRAPH
from bertdemo.mlm.errors import BertDemoError, DataError, RunError, TextError
from bertdemo.mlm.models.masked_lm import ModelRef
from bertdemo.mlm.settings import SETTINGS, MaskingConfig, TrainingConfig, config_values
from bertdemo.mlm.text.prompt import marked_text
from bertdemo.mlm.training.events import current_record
from bertdemo.mlm.training.replay import GENERAL, check_replay

LIVE_STATES = ("queued", "preparing", "training", "stopping")  # someone holds the run's lock
ENDED_STATES = ("finished", "stopped", "failed")  # the name of the run's last event, too
RESUMABLE_STATES = ("interrupted", "stopped", "failed")
FROM_SCRATCH = "from scratch"  # the source of the model of a run that begins with none
LONGEST_NAME = 80
LONGEST_SLUG = 32
_ID = re.compile(r"\d{8}-\d{4}-[a-z0-9-]+-[0-9a-f]{4}")
_RESERVED = re.compile(r"con|prn|aux|nul|(?:com|lpt)\d")  # no file on Windows can have one of these names, or CON.csv
_LIBRARIES = ("torch", "transformers", "tokenizers", "safetensors")


@dataclass(frozen=True)
class DataSource:
    """The rows that a run trains on: where they are and how the file is read, never the rows themselves."""

    name: str  # the file's name as the user knows it
    path: str  # absolute
    sha256: str = ""  # empty until the file has been read
    column: str | None = None
    limit: int | None = None
    dialect: dict[str, Any] | None = None  # what the user overrode; None: as detected
    replay: str | None = None  # general texts that are mixed in: "general" for the bundled ones, or a file's path
    replay_sha256: str = ""

    @property
    def replay_name(self) -> str | None:
        """The general texts as they may be shown: without the path."""
        return None if self.replay is None else Path(self.replay).name


@dataclass(frozen=True)
class Figures:
    """How a run went: evaluation records at step 0, at the last epoch and at the best one, on held-out rows and general
    English; None where there is none (yet)."""

    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    best: dict[str, Any] | None = None
    general_before: dict[str, Any] | None = None
    general_after: dict[str, Any] | None = None

    def with_record(self, record: dict[str, Any]) -> Figures:
        """Take an ``evaluated`` or ``general`` record in; the best is the lowest loss after step 0."""
        general, at_start = record["event"] == "general", record["step"] == 0
        name = ("general_" if general else "") + ("before" if at_start else "after")
        changes = {name: record}
        if not general and not at_start and is_better(record, self.best):
            changes["best"] = record
        return dataclasses.replace(self, **changes)


def is_better(record: dict[str, Any], best: dict[str, Any] | None) -> bool:
    """Whether this evaluation has the lower loss; one without (None: no targets) never wins over one with."""
    if best is None or best["loss"] is None:
        return True
    return record["loss"] is not None and record["loss"] < best["loss"]


def library_versions() -> dict[str, str]:
    """This package, Python and the libraries that decide the numbers: ``{"torch": "2.13.0", ...}``."""
    versions = {"bertdemo": __version__, "python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            continue
    return versions


@dataclass(frozen=True)
class RunRecord:
    """The whole of ``run.json``. Times are ISO 8601 in UTC; ``owner`` is the hash of the owner's token, or empty."""

    id: str
    name: str
    created: str
    model: ModelRef
    data: DataSource
    settings: TrainingConfig
    state: str = "queued"
    attempt: int = 0  # how often the run was resumed
    started: str | None = None
    ended: str | None = None
    train_rows: int | None = None
    held_out_rows: int | None = None
    steps: int | None = None
    steps_done: int = 0
    seconds: float = 0.0  # spent training
    precision: str | None = None
    device: str | None = None
    figures: Figures = Figures()
    error: str | None = None
    owner: str = ""
    shared: bool = False  # shown to everybody who may use the server
    versions: dict[str, str] = field(default_factory=library_versions)

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2)


@dataclass(frozen=True)
class RunRequest:
    """What to train on what. ``model`` is a reference as users type it, ``data_name`` the file as they know it."""

    data: Path
    settings: TrainingConfig = TrainingConfig()
    model: str = "mini-bert"
    column: str | None = None
    dialect: Dialect | None = None  # what overrides the detected one
    limit: int | None = None
    replay: str | None = None  # "general", or the path of a file, to be mixed in
    name: str = ""
    data_name: str = ""

    def check(self) -> None:
        """Raises DataError, SettingsError or TextError for what would make the run fail at once."""
        if not self.data.is_file():
            raise DataError(f"The data file {self.shown_name!r} is not there any more; upload it again.")
        SETTINGS["limit"].check(self.limit)
        if self.replay is not None:
            check_replay(self.replay)
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


def run_label(record: RunRecord, *, alike: bool = False) -> str:
    """What tells a run apart in a list: "reviews, 3 epochs, 13:11", the minute by this machine's clock, before today
    with the day; ``alike``: another one would be called the same."""
    parts = [record.name, epochs_text(record.settings)]
    try:
        begun = datetime.fromisoformat(record.created).astimezone()
        today = begun.date() == datetime.now().astimezone().date()
        parts.append(f"{begun:%H:%M}" if today else f"{begun.day} {begun:%b %H:%M}")
    except ValueError:  # a damaged record
        return record.name
    return ", ".join(parts) + (f" · {record.id[-4:]}" if alike else "")


def run_labels(records: Sequence[RunRecord]) -> dict[str, str]:
    """The labels of several runs by their ids, no two of them the same."""
    labels = {record.id: run_label(record) for record in records}
    counts = Counter(labels.values())
    return {record.id: run_label(record, alike=counts[labels[record.id]] > 1) for record in records}


def epochs_text(settings: TrainingConfig) -> str:
    return "1 epoch" if settings.epochs == 1 else f"{settings.epochs:,} epochs"


def read_record(text: str) -> RunRecord:
    """The record in the text of a ``run.json``; fields of a newer version are ignored. Raises RunError when damaged."""
    try:
        values = _known(RunRecord, json.loads(text))
        values["model"] = ModelRef(**_known(ModelRef, values["model"]))
        values["data"] = DataSource(**_known(DataSource, values["data"]))
        values["settings"] = read_settings(values["settings"])
        figures = _known(Figures, values.get("figures", {}))
        values["figures"] = Figures(**{name: value and current_record(value) for name, value in figures.items()})
        record = RunRecord(**values)
        _check_types(record)
    except (ValueError, TypeError, KeyError, AttributeError, BertDemoError) as exc:
        raise RunError("The run's run.json is damaged, so nothing is known about it; delete the run.") from exc
    return record


def read_settings(values: dict[str, Any]) -> TrainingConfig:
    """The settings in their JSON form -> a checked ``TrainingConfig``."""
    values = _known(TrainingConfig, values)
    masking = MaskingConfig(**_known(MaskingConfig, values.pop("masking", {})))
    texts = {name: tuple(values.pop(name, ())) for name in ("probes", "watch")}
    before = {"long_texts": "cut"}  # what runs did before there was a choice
    return TrainingConfig(**{**before, **values, **texts, "masking": masking})


def damaged_record(run_id: str, reason: str) -> RunRecord:
    """What is listed in place of a record that cannot be read, so that the user can delete the run."""
    nothing = DataSource(name="unknown", path="")
    model = ModelRef(label="unknown", source="")
    return RunRecord(run_id, run_id, "", model, nothing, TrainingConfig(), state="damaged", error=reason, versions={})


def command_line(record: RunRecord) -> str:
    """The command that trains the same again: ``bertdemo train reviews.csv --column review --model mini-bert ...``."""
    values = config_values(record.settings, limit=record.data.limit, replay=record.data.replay_name)
    values["precision"] = record.precision or values["precision"]
    if record.data.replay is None:
        del values["replay_share"]
    dialect = record.data.dialect or {}
    words = ["bertdemo", "train", record.data.name, "--model", record.model.label]
    words += ["--column", record.data.column] if record.data.column is not None else []
    words += ["--encoding", dialect["encoding"]] if dialect.get("encoding") else []
    if "delimiter" in dialect and dialect.get("format", "csv") == "csv":
        none = PARAGRAPH if dialect.get("paragraphs") else "none"
        words += ["--delimiter", {"\t": "tab", None: none}.get(dialect["delimiter"], dialect["delimiter"])]
    if "header" in dialect and dialect.get("format") not in NAMED:
        words += ["--header" if dialect["header"] else "--no-header"]
    words += [word for name, value in values.items() for word in SETTINGS[name].words(value)]
    return shlex.join(words)


def mixed_in(record: RunRecord) -> str | None:
    """A sentence about the general texts that the run trained on, too; None where there were none."""
    if record.data.replay is None:
        return None
    name = "the bundled English paragraphs" if record.data.replay == GENERAL else repr(record.data.replay_name)
    share = f"{100 * record.settings.replay_share:.3g}%"
    return f"Against forgetting, {share} of the tokens that it was trained on came from general texts: {name}."


def _known(kind: type, values: dict[str, Any]) -> dict[str, Any]:
    names = {item.name for item in dataclasses.fields(kind)}
    return {name: value for name, value in values.items() if name in names}


def _check_types(record: RunRecord) -> None:
    texts = [record.id, record.name, record.created, record.state, record.owner, record.data.name, record.data.path]
    texts += [record.model.label, record.model.source]
    if not all(isinstance(text, str) for text in texts) or not isinstance(record.attempt, int):
        raise TypeError


def clean_name(text: str) -> str:
    """A run's name as it is shown: one line, no path, at most 80 characters; "" where nothing is left.

    ``"../../x"`` -> ``"x"``; emoji and letters of any script stay.
    """
    printable = "".join(" " if unicodedata.category(character)[0] in "CZ" else character for character in text)
    flat = re.sub(r"[/\\]+", "-", printable)
    return " ".join(flat.split()).lstrip(".- ")[:LONGEST_NAME].rstrip()


def slug(text: str) -> str:
    """The part of a folder's name that says what is in it: ``"Café reviews (2).csv"`` -> ``"cafe-reviews-2-csv"``."""
    plain = unicodedata.normalize("NFKD", text[:1000]).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:LONGEST_SLUG].strip("-") or "run"
    return f"{words}-file" if _RESERVED.fullmatch(words) else words


def new_run_id(name: str, *, now: datetime) -> str:
    """Sortable by time, readable, and hardly ever twice the same: ``20261122-1130-reviews-ab12``.

    Also a safe file name everywhere: the date in front keeps it off the names that Windows reserves.
    """
    return f"{now:%Y%m%d-%H%M}-{slug(name)}-{secrets.token_hex(2)}"


def short_id(run_id: str) -> str:
    """An id without what its user called it, for a log: ``20261122-1130-reviews-ab12`` -> ``20261122-1130-ab12``."""
    return f"{run_id[:13]}-{run_id[-4:]}" if is_run_id(run_id) else "?"


def is_run_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None
