"""The commands that answer at once: each takes the parsed options, prints its result and returns the exit code.

Training commands stand in ``training_commands``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bertdemo.mlm.analysis.compare import compare
from bertdemo.mlm.data.corpus import chosen_dialect, read_texts
from bertdemo.mlm.errors import DataError
from bertdemo.mlm.inference.fill_mask import fill_masks
from bertdemo.mlm.inference.log_probs import precision_notes
from bertdemo.mlm.inference.pseudo_likelihood import score_sentence
from bertdemo.mlm.training.batching import tokenize_all
from bertdemo.mlm.training.estimate import inspect_file, length_limit
from bertdemo.mlm.training.evaluation import TargetScores, fix_masks, score_targets
from bertdemo.mlm.training.events import Progress, event_record
from bertdemo.runs.store import Workspace, default_home

from . import display
from .arguments import DEFAULT_MODEL
from .handing_out import export, notebook, report
from .operator_command import operate
from .training_commands import pretrain, resume, train

Command = Callable[[argparse.Namespace], int]


def inspect(options: argparse.Namespace) -> int:
    counted = options.model or options.max_length is not None
    masked_lm = _workspace(options).load(options.model or DEFAULT_MODEL) if counted else None
    record = inspect_file(
        options.file,
        column=options.column,
        dialect=chosen_dialect(options.file, options.encoding, options.delimiter, options.header),
        masked_lm=masked_lm,
        max_length=options.max_length,
        long_texts=options.long_texts,
    )
    display.show(record, display.inspection_tables, as_json=options.json)
    return 0


def fill(options: argparse.Namespace) -> int:
    masked_lm = _workspace(options).load(options.model)
    targets = tuple(filter(None, map(str.strip, options.targets.split(","))))
    filled = fill_masks(
        masked_lm, options.text, top_k=options.top_k, targets=targets, precision=options.precision or "fp32"
    )
    display.show(filled.to_record(), display.fill_tables, as_json=options.json)
    return 0


def compare_models(options: argparse.Namespace) -> int:
    workspace = _workspace(options)
    before, after = workspace.load(options.before), workspace.load(options.after)
    comparison = compare(before, after, options.text, top_k=options.top_k, precision=options.precision or "fp32")
    display.show(comparison.to_record(), display.comparison_tables, as_json=options.json)
    return 0


def score(options: argparse.Namespace) -> int:
    masked_lm = _workspace(options).load(options.model)
    scored = score_sentence(masked_lm, options.text, precision=options.precision or "fp32")
    display.show(scored.to_record(), display.score_tables, as_json=options.json)
    return 0


def evaluate(options: argparse.Namespace) -> int:
    dialect = chosen_dialect(options.file, options.encoding, options.delimiter, options.header)
    texts = read_texts(options.file, column=options.column, dialect=dialect, limit=options.limit)[0]
    masked_lm = _workspace(options).load(options.model)
    length, split = length_limit(masked_lm, options.max_length), options.long_texts != "cut"
    rows = tokenize_all(masked_lm.tokenizer, texts, max_length=length, split=split)
    fixed = fix_masks(masked_lm, rows, seed=options.seed or 0)
    if options.masks is not None:
        _write_lines(options.masks, fixed.records())
    precision = options.precision or "fp32"
    with display.progress(hidden=options.json) as report:
        for result in score_targets(masked_lm, fixed, precision=precision):
            if isinstance(result, Progress):
                report(result)
    assert isinstance(result, TargetScores)  # what comes last is the result
    notes = [*masked_lm.notes, *precision_notes(masked_lm, precision)]
    record = event_record(result.evaluated(0)) | ({"notes": notes} if notes else {})
    display.show(record, display.evaluation_tables, as_json=options.json)
    return 0


def runs(options: argparse.Namespace) -> int:
    summaries = [run.summary() for run in _workspace(options).store.list()]
    if options.json:
        for summary in summaries:
            display.print_json(summary)
    else:
        display.print_runs(summaries)
    return 0


def _write_lines(path: Path, records: Any) -> None:
    try:
        with path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(record) + "\n" for record in records)
    except OSError as error:
        raise DataError(f"{path.name!r} cannot be written ({error.strerror}); choose another place.") from error


def _workspace(options: argparse.Namespace) -> Workspace:
    return Workspace(options.home or default_home())


COMMANDS: dict[str, Command] = {
    "inspect": inspect,
    "train": train,
    "resume": resume,
    "fill": fill,
    "compare": compare_models,
    "score": score,
    "evaluate": evaluate,
    "runs": runs,
    "pretrain": pretrain,
    "export": export,
    "notebook": notebook,
    "report": report,
    "operate": operate,
}
