"""From what was typed into a form, or sent by a program, to a run that can be submitted; every value is checked."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

from bertdemo.mlm.data.corpus import Dialect
from bertdemo.mlm.errors import DataError, SettingsError
from bertdemo.mlm.models.loading import default_learning_rate
from bertdemo.mlm.settings import DEFAULT_MAX_LENGTH, MaskingConfig, TrainingConfig
from bertdemo.runs.manager import RunRequest

from ..services import Services

MOST_PROBES = 10
MOST_WATCHED = 20  # words: each is scored in every probe, some forty times a run
_FAR_TOO_LARGE = 2**70


class RunForm(NamedTuple):
    """The settings of a run: components when built, what was typed into them when submitted; None: the default."""

    model: Any
    epochs: Any = None
    learning_rate: Any = None
    batch_size: Any = None
    max_length: Any = None
    mask_rate: Any = None
    limit: Any = None
    seed: Any = None
    name: Any = ""
    probes: Any = ""  # one a line, or a list
    watch: Any = ""  # separated by commas, or a list
    precision: Any = None


def run_request(
    services: Services, form: RunForm, *, path: str | None, column: str | None, dialect: Dialect | None = None
) -> RunRequest:
    """Raises DataError without a file, SettingsError for values that cannot be."""
    if not path:
        raise DataError("There is no data yet; upload a CSV file, or use the sample reviews.")
    ref = services.registry.resolve(str(form.model or ""), allow_folders=services.allow_folders)
    probes = _items(form.probes, separator="\n")
    if len(probes) > MOST_PROBES:
        raise SettingsError(f"At most {MOST_PROBES} sentences can be watched, but there are {len(probes)}.")
    watch = _items(form.watch, separator=",")
    if len(watch) > MOST_WATCHED:
        raise SettingsError(f"At most {MOST_WATCHED} words can be followed, but there are {len(watch)}.")
    config = TrainingConfig(
        epochs=whole("The number of epochs", form.epochs, default=3),
        learning_rate=real("The learning rate", form.learning_rate, default=default_learning_rate(ref)),
        batch_size=whole("The batch size", form.batch_size, default=16),
        max_length=whole("The maximum length", form.max_length, default=DEFAULT_MAX_LENGTH),
        masking=MaskingConfig(real("The mask rate", form.mask_rate, default=0.15)),
        seed=whole("The seed", form.seed, default=0),
        precision=form.precision or None,
        probes=probes,
        watch=watch,
    )
    return RunRequest(
        data=Path(path),
        settings=config,
        model=str(form.model),
        column=column or None,
        dialect=dialect,
        limit=None if _is_blank(form.limit) else whole("The number of rows", form.limit, default=100),
        name=str(form.name or ""),
        data_name=Path(path).name,
    )


def whole(name: str, value: Any, *, default: int) -> int:
    """3, 3.0 or "3" -> 3; None -> the default. Raises SettingsError for anything else."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _FAR_TOO_LARGE:
        return value  # as it is: a float would round a seed of many digits
    number = real(name, value, default=default)
    if number != int(number):
        raise SettingsError(f"{name} must be a whole number, but is {value}.")
    return int(number)


def real(name: str, value: Any, *, default: float) -> float:
    """0.1, "0.1" or "1e-1" -> 0.1; None -> the default. Raises SettingsError for anything else."""
    if _is_blank(value):
        return default
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        shown = repr(value)[:40] if not isinstance(value, int) else "far too large"
        raise SettingsError(f"{name} must be a number such as {default:g}, but is {shown}.")
    return number


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _items(value: Any, *, separator: str) -> tuple[str, ...]:
    items = value if isinstance(value, list | tuple) else str(value or "").split(separator)
    return tuple(text for item in items if (text := str(item).strip()))
