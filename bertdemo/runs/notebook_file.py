"""A run, or the settings of one to come, as a Jupyter notebook that does the same with transformers, torch and pandas.

The cells are a text file beside this module; only the settings, and how the file is read, are written for the run. No
path of this machine gets into it: files are looked for beside the notebook. Knows no page.
"""

from __future__ import annotations

import json
import pprint
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertdemo.mlm.data.corpus import Dialect
from bertdemo.mlm.data.table import open_table
from bertdemo.mlm.data.texts import BLOCK_TAG, INLINE_TAG, MISSING
from bertdemo.mlm.errors import RunError
from bertdemo.mlm.models.blend import parts_of
from bertdemo.mlm.models.hub import is_hub_id
from bertdemo.mlm.models.loading import load_masked_lm
from bertdemo.mlm.models.masked_lm import ModelRef
from bertdemo.mlm.settings import TrainingConfig

from .files import disk_errors, write_atomically
from .model_card import export_model
from .notebook_parts import parts
from .record import FROM_SCRATCH, DataSource, slug
from .run import Run

CELLS = Path(__file__).with_name("notebook_cells.txt")
_PLACE = re.compile(r"\{\{([A-Z_]+)\}\}")


@dataclass(frozen=True)
class NotebookSource:
    """What a notebook is made from; ``results``: the run's figures, empty before there is one."""

    name: str
    model: ModelRef
    data: DataSource
    settings: TrainingConfig
    results: dict[str, Any]


def source_of(run: Run) -> NotebookSource:
    """Raises RunError for a run that a notebook cannot repeat."""
    record, figures = run.record, run.record.figures
    if record.model.source == FROM_SCRATCH:
        raise RunError(f"The run {run.id} began from scratch, which this notebook does not do; choose another.")
    results = {"train_rows": record.train_rows, "held_out_rows": record.held_out_rows}
    results |= {name: figure["loss"] for name in ("before", "after") if (figure := getattr(figures, name))}
    known = results if record.train_rows else {}
    return NotebookSource(record.name, record.model, record.data, record.settings, known)


def notebook_json(source: NotebookSource) -> str:
    """The notebook's text (nbformat 4.5).

    Raises:
        RunError: the data file is gone, or a setting is one that a notebook does not do.
        DataError: it can no longer be read as it was.
    """
    if source.settings.new_words:
        raise RunError("The model is given new words, which this notebook does not do; set them to 0 for a notebook.")
    if source.data.replay is not None:
        raise RunError("General texts are mixed in, which a notebook does not do; leave them out, or use the command.")
    if not Path(source.data.path).is_file():
        raise RunError(f"The data file {source.data.name!r} is gone, and how to read it is found in it; put it back.")
    values = _values(source)  # put in at once: a name that looks like a place for another one stays as it is
    text = _PLACE.sub(lambda place: values[place[1]], CELLS.read_text(encoding="utf-8"))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    notebook = {"cells": _cells(text), "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def write_notebook(source: NotebookSource, folder: Path) -> Path:
    """The notebook with all that it needs beside it: the data file, and the model where it is on no hub.

    Returns the notebook's path. Raises RunError for a folder that holds such files already, and as ``notebook_json``.
    """
    text, name = notebook_json(source), f"{slug(source.name)}.ipynb"
    model = folder / model_folder(source.model)
    taken = [path for path in (folder / name, folder / source.data.name, model) if path.exists()]
    if taken:
        raise RunError(f"There is a {taken[0].name!r} in {folder.name!r} already; choose another folder.")
    with disk_errors("The notebook"):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source.data.path, folder / source.data.name)
        write_atomically(folder / name, text)
    if not on_hub(source.model):
        export_model(load_masked_lm(source.model), model)
    return folder / name


def on_hub(model: ModelRef) -> bool:
    return parts_of(model) is None and not Path(model.source).is_absolute() and is_hub_id(model.source)


def model_folder(model: ModelRef) -> str:
    """What the model is called beside the notebook: its label without any path."""
    return model.source if on_hub(model) else slug(Path(model.label).name)


def _values(source: NotebookSource) -> dict[str, str]:
    """The text for each {{NAME}} in the cells."""
    local = not on_hub(source.model)
    folder = model_folder(source.model)
    files = [f"- `{' '.join(source.data.name.split())}`, the data"]
    if local:
        files.append(f"- the folder `{folder}`, or in Colab `{folder}.zip`: the model, which `bertdemo export` writes")
    title = " ".join(source.name.replace("`", "").split())
    return {
        "TITLE": f"Masked language modelling: {title}",
        "ORIGIN": f"the run “{title}” of bertdemo" if source.results else "bertdemo would with these settings",
        "FILES": "\n".join(files),
        "SETTINGS": _settings(source, model=folder, local=local),
        "READING": _reading(source.data),
        "MISSING": repr(sorted(MISSING)),
        "BLOCK_TAG": repr(BLOCK_TAG.pattern),
        "INLINE_TAG": repr(INLINE_TAG.pattern),
        **parts(source.settings),
    }


def _settings(source: NotebookSource, *, model: str, local: bool) -> str:
    settings = source.settings
    values = {
        "FILE": source.data.name,
        "MODEL": model,
        "MODEL_IS_FOLDER": local,
        "LIMIT": source.data.limit,
        "EPOCHS": settings.epochs,
        "LEARNING_RATE": settings.learning_rate,
        "BATCH_SIZE": settings.batch_size,
        "MAX_LENGTH": settings.max_length,
        **({"PATIENCE": settings.patience} if settings.patience else {}),
        "MASK_RATE": settings.masking.selection_rate,
        "MASK_SHARE": settings.masking.mask_token_rate,
        "RANDOM_SHARE": settings.masking.random_token_rate,
        "WARMUP_SHARE": settings.warmup_share,
        "WEIGHT_DECAY": settings.weight_decay,
        "CLIP_NORM": settings.clip_norm,
        "DROPOUT": settings.dropout,
        "SEED": settings.seed,
        "PROBES": list(settings.probes),
        "RUN": source.results,
    }
    comments = {"LIMIT": "rows at most; None: all", "RUN": "what the run had and found, to compare with"}
    lines = [
        f"{name} = {pprint.pformat(value, width=110, sort_dicts=False)}"
        + (f"  # {comments[name]}" if name in comments else "")
        for name, value in values.items()
    ]
    return "\n".join(lines)


def _reading(data: DataSource) -> str:
    """The cell that reads the file as it was found to be written: ``cells``, the raw texts in their order."""
    dialect = Dialect(**data.dialect) if data.dialect is not None else None
    table = open_table(data.path, dialect=dialect, column=data.column, max_bytes=None)
    found, above = table.dialect, table.lines_above
    encoding = "utf-8-sig" if found.encoding in ("ascii", "utf-8", "utf-8-sig") else found.encoding
    if found.delimiter is None:
        return (
            f"lines = Path(beside(FILE)).read_text(encoding={encoding!r}, errors='replace').splitlines()\n"
            f"cells = lines[{above}:]\nprint(len(cells), 'lines')"
        )
    options = {
        "encoding": encoding,
        "encoding_errors": "replace",
        "sep": found.delimiter,
        "quotechar": found.quote or '"',
        "quoting": 0 if found.quote else 3,
        "escapechar": found.escape,
        "skipinitialspace": found.spaced,
        "skiprows": above,
        "names": list(table.layout.columns),
    }
    shown = "\n".join(f"    {name}={value!r}," for name, value in options.items() if value not in (None, False))
    return (
        f"COLUMN, PLACE, WIDTH = {table.text_column!r}, {table.text_column_index}, {len(table.layout.columns)}\n\n\n"
        "def joined(fields):\n"
        "    surplus = len(fields) - WIDTH\n"
        f"    text = {found.delimiter!r}.join(fields[PLACE : PLACE + surplus + 1])\n"
        "    return [*fields[:PLACE], text, *fields[PLACE + surplus + 1 :]]\n\n\n"
        f"table = pd.read_csv(\n    beside(FILE),\n{shown}\n    header=None,\n    dtype=str,\n"
        "    keep_default_na=False,\n    index_col=False,\n    on_bad_lines=joined,\n    engine='python',\n)\n"
        "cells = table[COLUMN].fillna('').tolist()\ntable.head()"
    )


def _cells(text: str) -> list[dict[str, Any]]:
    """The parts between the ``# %%`` lines: ``# %% [markdown]`` begins words, ``# %%`` alone code."""
    cells: list[dict[str, Any]] = []
    for number, part in enumerate(f"\n{text}".split("\n# %%")[1:]):
        head, _, body = part.partition("\n")
        lines = body.strip("\n").splitlines(keepends=True)
        cell: dict[str, Any] = {"id": f"cell-{number}", "metadata": {}, "source": lines}
        code: dict[str, Any] = {"cell_type": "code", "execution_count": None, "outputs": []}
        cells.append({**cell, **({"cell_type": "markdown"} if "[markdown]" in head else code)})
    return cells
