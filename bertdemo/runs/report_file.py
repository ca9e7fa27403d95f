"""The held-out report of a run: computed once from its models and its fixed masks, then kept as ``report.json``.

All scores are float32. Knows no page and no queue.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
import pandas as pd

from bertdemo.mlm.analysis.between import BlendPoint, between_sentence, blend_curve
from bertdemo.mlm.errors import BertDemoError, ModelError, RunError
from bertdemo.mlm.models.masked_lm import MaskedLM, ModelRef
from bertdemo.mlm.models.registry import ModelRegistry
from bertdemo.mlm.text.new_words import SpelledWord, added_words, with_new_words
from bertdemo.mlm.text.tokens import readable_pieces
from bertdemo.mlm.training.batching import TokenizedTexts, tokenize_all
from bertdemo.mlm.training.evaluation import FixedMasks, Quality, TargetScores, score_all, tokenize_and_fix
from bertdemo.mlm.training.events import TrainingHistory
from bertdemo.mlm.training.loop import GENERAL_SEED
from bertdemo.mlm.training.per_word import per_word, word_sentence
from bertdemo.mlm.training.report import (
    Baseline,
    BeforeAfter,
    RowReport,
    before_and_after,
    best_and_worst_rows,
    forgetting,
    frequency_baseline,
    overfitting,
    verdict,
)

from .execution import read_data
from .files import disk_errors, write_atomically
from .log import finite
from .record import FROM_SCRATCH, mixed_in
from .run import REPORT_NAME, Run

logger = logging.getLogger(__name__)

COUNTED_ROWS = 20_000  # of those trained on, to count tokens in


@dataclass(frozen=True)
class RunReport:
    """What training changed.

    ``verdict`` and ``remarks`` are sentences; ``best`` is there where the best epoch's weights are not the last ones;
    ``frequent_token`` is the baseline's first guess; ``blends`` are the losses between the two models, none where these
    are not of one build, and ``between`` what they say; ``attempt`` and ``steps_done`` say of which state of the run
    this speaks.
    """

    attempt: int
    steps_done: int
    verdict: str
    remarks: tuple[str, ...]
    held_out: BeforeAfter
    general: BeforeAfter | None
    best: Quality | None
    best_step: int | None
    baseline: Baseline | None
    frequent_token: str
    best_rows: tuple[RowReport, ...]
    worst_rows: tuple[RowReport, ...]
    blends: tuple[BlendPoint, ...]
    between: str

    def to_frame(self) -> pd.DataFrame:
        """A row for each model and text that was scored: ``rows``, ``model``, then the figures of ``evaluate``."""
        scored = [("held-out", "before", self.held_out.before), ("held-out", "after", self.held_out.after)]
        scored += [("held-out", "best epoch", self.best)] if self.best else []
        scored += [("held-out", "frequency alone", self.baseline.quality)] if self.baseline else []
        if self.general is not None:
            scored += [("general English", name, getattr(self.general, name)) for name in ("before", "after")]
        return pd.DataFrame([{"rows": rows, "model": model, **vars(quality)} for rows, model, quality in scored])


def kept_report(run: Run) -> RunReport | None:
    """The report that was written for the run as it is now; None where there is none, or only one from before a
    resumption."""
    try:
        report: RunReport = _read(RunReport, json.loads((run.folder / REPORT_NAME).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return report if (report.attempt, report.steps_done) == (run.record.attempt, run.record.steps_done) else None


def can_report(run: Run) -> bool:
    """Whether there are two models to compare, and rows to compare them on."""
    return run.model_folder.is_dir() and run.held_out_path.is_file() and run.record.model.source != FROM_SCRATCH


def make_report(run: Run, registry: ModelRegistry, *, general: Sequence[str] = ()) -> RunReport:
    """Score both models on the run's fixed masks and keep the result. Takes some seconds, for large models minutes.

    Raises:
        RunError: the run has no model to compare, or its folder cannot be written.
        ModelError: one of the models cannot be loaded any more, or gives probabilities that are no numbers.
    """
    if not can_report(run):
        raise RunError(f"The run {run.id} has no model to compare with the one that it began from.")
    report = _computed(run, registry, general=general)
    with disk_errors("The report"):
        write_atomically(run.folder / REPORT_NAME, json.dumps(finite(dataclasses.asdict(report)), indent=1))
    return report


def read_fixed_masks(path: Path) -> FixedMasks:
    """The rows of a ``held_out.jsonl``. Raises RunError where it is missing or damaged."""
    try:
        with path.open(encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        ids = [np.asarray(row["input_ids"], dtype=np.int64) for row in rows]
        labels = [np.asarray(row["labels"], dtype=np.int64) for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise RunError("The run's held-out rows cannot be read, so there is no report on them.") from exc
    nothing = np.zeros(0, dtype=np.int64)
    offsets = np.cumsum([0, *map(len, ids)])
    return FixedMasks(TokenizedTexts(np.concatenate([nothing, *ids]), offsets), np.concatenate([nothing, *labels]))


def _computed(run: Run, registry: ModelRegistry, *, general: Sequence[str]) -> RunReport:
    record = run.record
    base, untouched = registry.shared(record.model), None
    tuned = registry.shared(ModelRef(record.id, str(run.model_folder.resolve())))
    fixed = read_fixed_masks(run.held_out_path)
    words = added_words(base, tuned)
    if words:  # the held-out rows are written in the tuned model's vocabulary, so the base is given the same words
        base, untouched = with_new_words(registry.private_copy(record.model), words), base
    before, after = _scores(base, fixed), _scores(tuned, fixed)
    held_out = before_and_after(before, after)
    elsewhere = english = None
    if general:
        english = tokenize_and_fix(base, general, max_length=record.settings.max_length, seed=GENERAL_SEED)
        elsewhere = before_and_after(_scores(base, english), _scores(tuned, english))
    blends = _blends(base, tuned, fixed, english=english, known=(held_out, elsewhere))
    history = TrainingHistory.of(run.log.records())
    best_step, best = _best(run, registry, fixed)
    baseline = _baseline(run, base, after)
    best_rows, worst_rows = best_and_worst_rows(tuned, fixed, before=before, after=after)
    remarks = (
        history.ended_early["reason"] if history.ended_early else None,
        overfitting(history),
        forgetting(elsewhere) if elsewhere else None,
        mixed_in(record),
        _cost_of_words(run, untouched, tuned, words) if untouched else None,
        _GIVEN_WORDS if untouched else None,
    )
    return RunReport(
        attempt=record.attempt,
        steps_done=record.steps_done,
        verdict=verdict(held_out),
        remarks=tuple(filter(None, remarks)),
        held_out=held_out,
        general=elsewhere,
        best=best,
        best_step=best_step,
        baseline=baseline,
        frequent_token=readable_pieces(base, [baseline.token_id])[0] if baseline else "",
        best_rows=best_rows,
        worst_rows=worst_rows,
        blends=blends,
        between=between_sentence(blends, held_out=held_out, general=elsewhere) if blends else "",
    )


_GIVEN_WORDS = (
    "“Before” is the model with its new words as it was given them, each the mean of its pieces, so that both read the"
    " same tokens."
)


def _cost_of_words(run: Run, base: MaskedLM, tuned: MaskedLM, words: Sequence[SpelledWord]) -> str | None:
    """What the new words cost and gained, a word and not a token; None where the data file is gone or has changed."""
    settings = run.record.settings
    try:
        texts = read_data(run.record.data, seed=settings.seed).held_out
    except BertDemoError:
        return None
    length, seed = settings.max_length, settings.seed
    found = per_word(base, tuned, texts, words=words, max_length=length, seed=seed)
    return word_sentence(found) if found else None


def _blends(
    base: MaskedLM,
    tuned: MaskedLM,
    fixed: FixedMasks,
    *,
    english: FixedMasks | None,
    known: tuple[BeforeAfter, BeforeAfter | None],
) -> tuple[BlendPoint, ...]:
    """The losses between the two; () where they are not of one build, as when a tokenizer was changed by hand."""
    held_out, elsewhere = known
    ends = tuple(
        BlendPoint(share, getattr(held_out, name).loss, getattr(elsewhere, name).loss if elsewhere else None)
        for share, name in ((0.0, "before"), (1.0, "after"))
    )
    try:
        return blend_curve(base, tuned, fixed, general=english, ends=ends)
    except ModelError as error:
        logger.info("no blends are scored: %s", error)
        return ()


def _scores(masked_lm: MaskedLM, fixed: FixedMasks) -> TargetScores:
    return score_all(masked_lm, fixed, precision="fp32")


def _best(run: Run, registry: ModelRegistry, fixed: FixedMasks) -> tuple[int | None, Quality | None]:
    """The best epoch's step and figures, where its weights are kept and are not the last ones."""
    best = run.record.figures.best
    if best is None or best["step"] == run.record.steps_done or not run.best_model_folder.is_dir():
        return None, None
    masked_lm = registry.private_copy(ModelRef(run.id, str(run.best_model_folder.resolve())))
    return best["step"], _scores(masked_lm, fixed).quality()


def _baseline(run: Run, masked_lm: MaskedLM, asked: TargetScores) -> Baseline | None:
    """From the rows that were trained on; None where the data file is gone or has changed."""
    settings = run.record.settings
    try:
        texts = read_data(run.record.data, seed=settings.seed).train[:COUNTED_ROWS]
    except BertDemoError:
        return None
    rows = tokenize_all(masked_lm.tokenizer, texts, max_length=settings.max_length, split=settings.splits)
    counts = np.bincount(rows.token_ids, minlength=masked_lm.vocabulary_size)
    counts[list(masked_lm.special_ids)] = 0
    return frequency_baseline(asked, counts)


def _read(kind: Any, value: Any) -> Any:
    """JSON -> a dataclass, by its type hints; fields that it does not know are left out. Raises KeyError, TypeError."""
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{item.name: _read(hints[item.name], value[item.name]) for item in dataclasses.fields(kind)})
    if get_origin(kind) is tuple:
        return tuple(_read(get_args(kind)[0], item) for item in value)
    if get_origin(kind) is UnionType:
        options = [option for option in get_args(kind) if option is not NoneType]
        return None if value is None else _read(options[0], value)
    return value
