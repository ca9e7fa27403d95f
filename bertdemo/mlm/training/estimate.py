"""What is said before a run starts: what a file holds to a model, and what a run on it will take.

Rows, tokens and steps are as planned; time and memory come from a few real steps, on weights that the caller gives
away, at learning rate 0 and without dropout: nothing is learned, and no random number is drawn outside the seeded
streams.
Knows no page.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from os import PathLike
from typing import Any

import torch
from torch import Tensor, nn

from ..data.corpus import Corpus, Dialect, preview, read_texts
from ..errors import SettingsError
from ..models.loading import default_learning_rate
from ..models.masked_lm import MaskedLM
from ..settings import DEFAULT_MAX_LENGTH, TrainingConfig, unusual_settings
from ..text.new_words import spelled_words
from .batching import TokenizedTexts, TrainingTexts, tokenize_all, unknown_share, unknown_tokens
from .events import Evaluated, Progress, StepDone
from .loop import TrainingSession
from .probes import Prober
from .schedule import probe_interval

SHOWN_WORDS = 20  # of those that a model must spell in pieces
TIMED_STEPS = 3  # the first is slower than the rest, so it is timed only where it is the only one
TIMED_SECONDS = 4.0  # enough of a slow model: no further step is begun
TIMED_ROWS = 16  # held-out rows scored to time an evaluation
PLANNED_EPOCHS = 50  # beyond these the steps are counted on in proportion
_ADAM_COPIES = 4  # of the weights: themselves, their gradients and two moments


@dataclass(frozen=True)
class Estimate:
    """Tokens are those of one epoch, padding not counted; ``truncated`` rows are longer than the maximum length, and
    become ``pieces``, one each where they are cut.

    ``exact`` False: counted on from a part of the rows or epochs. ``memory`` in bytes, on top of what the program has.
    """

    train_rows: int
    held_out_rows: int
    train_tokens: int
    truncated: int
    steps: int
    seconds: float
    memory: int
    exact: bool
    warnings: tuple[str, ...] = ()
    pieces: int = 0


def estimate_run(
    masked_lm: MaskedLM,
    corpus: TrainingTexts | Corpus,
    config: TrainingConfig,
    *,
    general: Sequence[str] = (),
    replay: Sequence[str] = (),
    read_share: float = 1.0,
) -> Estimate:
    """Time the first steps of this run on ``masked_lm``, which nobody else may be using.

    ``read_share``: ``corpus`` holds that share of the rows to train on; the rest is counted on in proportion.

    Raises SettingsError, TextError or TrainingError for what would make the run fail as well.
    """
    train, held_out = (_tokenized(masked_lm, texts, config) for texts in (corpus.train, corpus.held_out))
    english = tokenize_all(masked_lm.tokenizer, general, max_length=config.max_length)
    epochs = min(config.epochs, PLANNED_EPOCHS)
    timed_config = replace(config, epochs=epochs, learning_rate=0.0, dropout=0.0, patience=0, probes=(), watch=())
    texts = TrainingTexts(train, _first(held_out, TIMED_ROWS))
    session = TrainingSession(masked_lm, texts, timed_config, replay=replay)
    timing = _time(session)
    limit, cut_short = config.max_steps or math.inf, session.plan.steps == config.max_steps
    unlimited = math.inf if cut_short else session.plan.steps * config.epochs / epochs / read_share
    steps = round(min(unlimited, limit))
    epoch_steps = len(session.plan.batches(0)) / read_share
    epochs_done = steps / epoch_steps if steps == config.max_steps else config.epochs
    scorings = _scorings(config, steps=steps, epochs=epochs_done)
    read_tokens = len(train.token_ids) / (1 - (config.replay_share if replay else 0.0)) / read_share * epochs_done
    suits = default_learning_rate(masked_lm.ref)
    return Estimate(
        train_rows=round(train.texts / read_share),
        held_out_rows=held_out.texts,
        train_tokens=round(len(train.token_ids) / read_share),
        truncated=round(train.truncated / read_share) + held_out.truncated,
        pieces=round(train.pieces / read_share) + held_out.pieces,
        steps=steps,
        seconds=timing.step_rate * read_tokens
        + timing.score_rate * (len(held_out.token_ids) + len(english.token_ids)) * scorings
        + _reading_seconds(masked_lm, config) * (1 + steps // probe_interval(config, steps=steps)),
        memory=timing.activations + _ADAM_COPIES * _bytes(masked_lm.model),
        exact=read_share == 1 and (cut_short or epochs == config.epochs),
        warnings=(
            *unknown_tokens(masked_lm, train),
            *unusual_settings(config, train_rows=len(train), default_learning_rate=suits),
        ),
    )


def _tokenized(masked_lm: MaskedLM, texts: Sequence[str] | TokenizedTexts, config: TrainingConfig) -> TokenizedTexts:
    if isinstance(texts, TokenizedTexts):
        return texts
    return tokenize_all(masked_lm.tokenizer, texts, max_length=config.max_length, split=config.splits)


def _scorings(config: TrainingConfig, *, steps: int, epochs: float) -> int:
    """How often a run scores, the start included."""
    every = config.evaluate_every or math.inf  # an epoch's end that is a score by steps as well counts once
    return 1 + max(1, math.ceil(steps / every + epochs * config.evaluate_epochs * (1 - 1 / every)))


@dataclass
class _Timing:
    """Seconds for each real token, trained on or only scored; the bytes that one part of a batch keeps for backward."""

    score_rate: float = 0.0
    step_rate: float = 0.0
    activations: int = 0


class _KeptForBackward:
    """Adds up the memory that autograd keeps until the gradients are computed, the weights not counted."""

    def __init__(self, model: nn.Module) -> None:
        self._weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        self._kept: dict[int, int] = {}
        self.most = 0

    def hooks(self) -> torch.autograd.graph.saved_tensors_hooks:
        return torch.autograd.graph.saved_tensors_hooks(self._keep, lambda tensor: tensor)

    def end_part(self) -> None:
        self.most = max(self.most, sum(self._kept.values()))
        self._kept.clear()

    def _keep(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._weights:
            self._kept[storage.data_ptr()] = storage.nbytes()
        return tensor


@dataclass
class _Clock:
    """Seconds since it was last read."""

    at: float = field(default_factory=time.monotonic)

    def read(self) -> float:
        before, self.at = self.at, time.monotonic()
        return self.at - before


def _time(session: TrainingSession) -> _Timing:
    """Follow the session through its first scores and steps."""
    timing, clock, started = _Timing(), _Clock(), time.monotonic()
    kept = _KeptForBackward(session.masked_lm.model)
    with closing(session.events()) as events, kept.hooks():
        for event in events:
            if isinstance(event, Progress):
                kept.end_part()
                continue
            seconds = clock.read()
            match event:
                case Evaluated() if not timing.score_rate:
                    assert session.held_out is not None  # it has just been scored
                    timing.score_rate = seconds / max(1, len(session.held_out.texts.token_ids))
                case StepDone():
                    rate = seconds / max(1, event.tokens)
                    timing.step_rate = rate if event.step <= 2 else min(rate, timing.step_rate)
                    kept.end_part()
                    if event.step >= TIMED_STEPS or time.monotonic() - started > TIMED_SECONDS:
                        break
    timing.activations = kept.most
    return timing


def _reading_seconds(masked_lm: MaskedLM, config: TrainingConfig) -> float:
    """Of all probes, once."""
    if not config.probes:
        return 0.0
    clock = _Clock()
    Prober(masked_lm, config.probes, watch=config.watch).read(0)
    return clock.read()


def _first(texts: TokenizedTexts, count: int) -> TokenizedTexts:
    offsets = texts.offsets[: count + 1]
    return TokenizedTexts(texts.token_ids[: offsets[-1]], offsets)


def _bytes(model: nn.Module) -> int:
    return sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())


def inspect_file(
    path: str | PathLike[str],
    *,
    column: str | None = None,
    dialect: Dialect | None = None,
    masked_lm: MaskedLM | None = None,
    max_length: int | None = None,
    long_texts: str | None = None,
) -> dict[str, Any]:
    """``format``, ``encoding``, ``delimiter``, ``header`` (None where there is no such thing), ``rows`` and what makes
    one (``rows_are``), ``columns``, ``text_column`` (or None) and the ``report``.

    ``dialect``: how the file is to be read, over what would be found. With a model, ``report["truncated"]`` counts the
    rows that its tokenizer makes longer than ``max_length``, ``pieces`` is what these become under ``long_texts``, and
    ``unknown_share`` is that of [UNK] among the tokens,
    and ``spelled_words`` are the most frequent words that its vocabulary has no token for.

    Raises:
        DataError: the file cannot be read, or ``column`` is not there or holds no text.
    """
    found = preview(path, dialect=dialect, column=column, max_bytes=None)
    record: dict[str, Any] = {
        "file": found.name,
        **found.dialect.named(),
        "rows": found.rows,
        "columns": len(found.columns),
        "column_names": list(found.columns),
        "skipped_lines": found.dialect.skipped_lines,
        "text_column": found.text_column,
        "text_columns": list(found.text_columns),
        "report": {**asdict(found.report), "warnings": list(found.report.warnings)},
    }
    if masked_lm is not None and found.text_column is not None:
        limit = length_limit(masked_lm, max_length)
        texts = read_texts(path, column=found.text_column, dialect=dialect)[0]
        rows = tokenize_all(masked_lm.tokenizer, texts, max_length=limit, split=long_texts != "cut")
        record["report"]["truncated"], record["pieces"], record["max_length"] = rows.truncated, rows.pieces, limit
        record["spelled_words"] = [
            {"word": word.word, "pieces": list(word.pieces), "uses": word.uses}
            for word in spelled_words(masked_lm, texts, at_most=SHOWN_WORDS)
        ]
        record["unknown_share"] = unknown_share(masked_lm, rows)
        record["report"]["warnings"] += unknown_tokens(masked_lm, rows)
    return record


def length_limit(masked_lm: MaskedLM, wanted: int | None) -> int:
    """Tokens per row: what was asked for, else the usual 256 or what the model can read, if that is less."""
    if wanted is None:
        return min(DEFAULT_MAX_LENGTH, masked_lm.max_length)
    if not 4 <= wanted <= masked_lm.max_length:
        raise SettingsError(
            f"The maximum length must be from 4 to {masked_lm.max_length} for this model, not {wanted}."
        )
    return wanted
