"""What a run will take, before it starts: rows, tokens and steps as planned, time and memory from a few real steps.

The steps run on weights that the caller gives away, at learning rate 0 and without dropout: nothing is learned, and no
random number is drawn outside the seeded streams. Knows no file and no page.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from ..models.loading import default_learning_rate
from ..models.masked_lm import MaskedLM
from ..settings import TrainingConfig
from .batching import TokenizedTexts, tokenize_texts
from .events import Evaluated, Progress, RunStarted, StepDone
from .loop import TrainingSession, TrainingTexts
from .plan import READINGS
from .preflight import unknown_tokens, unusual_settings
from .probes import Prober

TIMED_STEPS = 3  # the first is slower than the rest, so it is timed only where it is the only one
TIMED_SECONDS = 4.0  # enough of a slow model: no further step is begun
TIMED_ROWS = 16  # held-out rows scored to time an evaluation
PLANNED_EPOCHS = 50  # beyond these the steps are counted on in proportion
_ADAM_COPIES = 4  # of the weights: themselves, their gradients and two moments


@dataclass(frozen=True)
class Estimate:
    """Tokens are those of one epoch, padding not counted; ``truncated`` rows are longer than the maximum length.

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

    def scaled(self, factor: float) -> Estimate:
        """For that many times as many rows to train on: the file was read only in part."""
        counts = {
            name: round(getattr(self, name) * factor) for name in ("train_rows", "train_tokens", "truncated", "steps")
        }
        return replace(self, **counts, seconds=self.seconds * factor, exact=False)


def estimate_run(
    masked_lm: MaskedLM, corpus: TrainingTexts, config: TrainingConfig, *, general: Sequence[str] = ()
) -> Estimate:
    """Time the first steps of this run on ``masked_lm``, which nobody else may be using.

    Raises SettingsError, TextError or TrainingError for what would make the run fail as well.
    """
    train, cut_train = _tokenized(masked_lm, corpus.train, config)
    held_out, cut_held_out = _tokenized(masked_lm, corpus.held_out, config)
    general_tokens = _tokenized(masked_lm, general, config)[0].token_ids
    epochs = min(config.epochs, PLANNED_EPOCHS)
    timed_config = replace(config, epochs=epochs, learning_rate=0.0, dropout=0.0, probes=(), watch=())
    session = TrainingSession(masked_lm, _Texts(train, _first(held_out, TIMED_ROWS)), timed_config)
    timing = _time(session)
    probing = _probing_seconds(masked_lm, config)
    scored_tokens = (len(held_out.token_ids) + len(general_tokens)) * (config.epochs + 1)
    seconds = timing.step_rate * len(train.token_ids) * config.epochs + timing.score_rate * scored_tokens + probing
    suits = default_learning_rate(masked_lm.ref)
    return Estimate(
        train_rows=len(train),
        held_out_rows=len(held_out),
        train_tokens=len(train.token_ids),
        truncated=cut_train + cut_held_out,
        steps=round(timing.steps * config.epochs / epochs),
        seconds=seconds,
        memory=timing.activations + _ADAM_COPIES * _bytes(masked_lm.model),
        exact=epochs == config.epochs,
        warnings=(
            *unknown_tokens(masked_lm, train),
            *unusual_settings(config, train_rows=len(train), default_learning_rate=suits),
        ),
    )


@dataclass(frozen=True)
class _Texts:
    train: TokenizedTexts
    held_out: TokenizedTexts


@dataclass
class _Timing:
    """Seconds for each real token, trained on or only scored; the bytes that one part of a batch keeps for backward."""

    steps: int = 0
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
                case RunStarted():
                    timing.steps = event.steps
                case Evaluated() if not timing.score_rate:
                    timing.score_rate = seconds / max(1, len(session.held_out.texts.token_ids))
                case StepDone():
                    rate = seconds / max(1, event.tokens)
                    timing.step_rate = rate if event.step <= 2 else min(rate, timing.step_rate)
                    kept.end_part()
                    if event.step >= TIMED_STEPS or time.monotonic() - started > TIMED_SECONDS:
                        break
    timing.activations = kept.most
    return timing


def _probing_seconds(masked_lm: MaskedLM, config: TrainingConfig) -> float:
    if not config.probes:
        return 0.0
    clock = _Clock()
    Prober(masked_lm, config.probes, watch=config.watch).read(0)
    return clock.read() * READINGS


def _tokenized(
    masked_lm: MaskedLM, texts: Sequence[str] | TokenizedTexts, config: TrainingConfig
) -> tuple[TokenizedTexts, int]:
    if isinstance(texts, TokenizedTexts):
        return texts, 0
    *_, result = tokenize_texts(masked_lm.tokenizer, texts, max_length=config.max_length)
    return result


def _first(texts: TokenizedTexts, count: int) -> TokenizedTexts:
    offsets = texts.offsets[: count + 1]
    return TokenizedTexts(texts.token_ids[: offsets[-1]], offsets)


def _bytes(model: nn.Module) -> int:
    return sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
