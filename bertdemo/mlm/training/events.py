"""What a training run says while it goes: one frozen dataclass an event, and the one reducer from events to series.

Events are plain values: they are written to a run's log, sent to a page and printed by the command line as they are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias


@dataclass(frozen=True)
class NewWord:
    """A word that became a token of its own, the pieces that it was spelled in, and how often the texts use it."""

    word: str
    pieces: tuple[str, ...]
    uses: int


@dataclass(frozen=True)
class RunStarted:
    """The run is prepared: what it will do. Rows are those of the file, one text each; ``train_tokens`` is one epoch
    without padding and without general texts; ``steps`` is exact, unless the run's patience ends before it."""

    event: ClassVar[str] = "started"
    train_rows: int
    held_out_rows: int
    train_tokens: int
    truncated: int  # texts longer than the maximum length, train and held out together
    steps: int
    precision: str
    device: str
    learning_rate: float
    pieces: int = 0  # rows that the longer texts became: one each where they are cut
    run: str = ""
    replay_rows: int = 0  # general ones that the first epoch mixes in; every epoch has about as many of their tokens
    replay_tokens: int = 0
    new_words: tuple[NewWord, ...] = ()


@dataclass(frozen=True)
class Warned:
    """Something unusual but legal, in one sentence."""

    event: ClassVar[str] = "warning"
    message: str


@dataclass(frozen=True)
class Progress:
    """A sign of life inside a long phase ("tokenising", "evaluating"), so that a stop is heard; never logged."""

    event: ClassVar[str] = "progress"
    phase: str
    done: int
    total: int


@dataclass(frozen=True)
class StepDone:
    """One optimiser step: mean loss per target in nats (NaN where there was none), and cumulative monotonic seconds
    since the run started."""

    event: ClassVar[str] = "step"
    step: int
    epoch: int  # counted from 1
    loss: float
    learning_rate: float
    targets: int
    tokens: int  # real tokens, padding not counted
    seconds: float


@dataclass(frozen=True)
class WatchedWord:
    """The probability of one watched word at one mask; several pieces are scored as several masks."""

    word: str
    probability: float
    pieces: int


@dataclass(frozen=True)
class ProbeCandidate:
    token: str
    probability: float


@dataclass(frozen=True)
class ProbedMask:
    """One mask of a probe: the top words now, and the watched ones."""

    candidates: tuple[ProbeCandidate, ...]
    watched: tuple[WatchedWord, ...]


@dataclass(frozen=True)
class Probe:
    text: str
    masks: tuple[ProbedMask, ...]


@dataclass(frozen=True)
class Probed:
    """What the model would put into the user's own sentences at this step."""

    event: ClassVar[str] = "probe"
    step: int
    probes: tuple[Probe, ...]


@dataclass(frozen=True)
class Evaluated:
    """Held-out rows scored on masks fixed once. ``loss`` (nats per target) and its exponential are over all
    ``targets``, the shares of right first guesses and of answers in the first five over those ``hidden`` by [MASK]."""

    event: ClassVar[str] = "evaluated"
    step: int
    loss: float
    perplexity: float
    top1: float
    top5: float
    targets: int
    hidden: int


@dataclass(frozen=True)
class GeneralEvaluated(Evaluated):
    """The same figures on general English, so that forgetting shows."""

    event: ClassVar[str] = "general"


@dataclass(frozen=True)
class EndedEarly:
    """The held-out loss was no better for as many epochs as the run's patience, so it finishes at this step."""

    event: ClassVar[str] = "ended_early"
    step: int
    epoch: int  # counted from 1, as is ``best_epoch``
    best_step: int
    best_epoch: int
    reason: str  # a sentence


@dataclass(frozen=True)
class RunEnded:
    """The last event of every run. ``state`` is its name: finished, stopped or failed; ``reason``: why it finished
    before its last planned step."""

    state: str
    model: str | None = None  # absolute path of the last epoch's weights
    best_model: str | None = None  # of the epoch with the lowest held-out loss
    error: str | None = None
    reason: str | None = None

    @property
    def event(self) -> str:
        return self.state


TrainingEvent: TypeAlias = (
    RunStarted | Warned | Progress | StepDone | Probed | Evaluated | GeneralEvaluated | EndedEarly | RunEnded
)


def event_record(event: TrainingEvent) -> dict[str, Any]:
    """The event as a JSON object: ``StepDone(step=1, ...)`` -> ``{"event": "step", "step": 1, ...}``."""
    values = dataclasses.asdict(event)
    if isinstance(event, RunEnded):
        del values["state"]
        values = {key: value for key, value in values.items() if value is not None}
    return {"event": event.event, **values}


def current_record(record: dict[str, Any]) -> dict[str, Any]:
    """A logged record under today's keys; those that were written today are given back as they are.

    Evaluations once named exp(loss) ``pseudo_perplexity`` and took top-1 and top-5 over all targets. Those shares
    answer another question than today's, and cannot be computed from the log, so they are None.
    """
    if "pseudo_perplexity" not in record or "hidden" in record:
        return record
    kept = {key: value for key, value in record.items() if key != "pseudo_perplexity"}
    return {**kept, "perplexity": record["pseudo_perplexity"], "top1": None, "top5": None, "hidden": None}


@dataclass
class TrainingHistory:
    """Events so far, as the series that charts and tables need; ``add`` takes the records of ``event_record``."""

    started: dict[str, Any] | None = None
    ended: dict[str, Any] | None = None
    warnings: list[str] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    learning_rates: list[float] = field(default_factory=list)
    epochs: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    evaluated: list[dict[str, Any]] = field(default_factory=list)
    general: list[dict[str, Any]] = field(default_factory=list)
    probed: list[dict[str, Any]] = field(default_factory=list)
    ended_early: dict[str, Any] | None = None

    @classmethod
    def of(cls, records: Iterable[dict[str, Any]]) -> TrainingHistory:
        """The history that a run's log tells."""
        history = cls()
        for record in records:
            history.add(record)
        return history

    def add(self, record: dict[str, Any]) -> None:
        """Take one event in; unknown kinds are ignored, so that an old log and a newer one both read."""
        match record.get("event"):
            case "step":
                self._add_step(record)
            case "started":
                self.started = record
            case "warning":
                self.warnings.append(record["message"])
            case "evaluated":
                self.evaluated.append(record)
            case "general":
                self.general.append(record)
            case "probe":
                self.probed.append(record)
            case "ended_early":
                self.ended_early = record
            case "finished" | "stopped" | "failed":
                self.ended = record

    def _add_step(self, record: dict[str, Any]) -> None:
        self.steps.append(record["step"])
        self.losses.append(record["loss"])
        self.learning_rates.append(record["learning_rate"])
        self.epochs.append(record["epoch"])
        self.seconds.append(record["seconds"])

    def best(self) -> dict[str, Any] | None:
        """The evaluation with the lowest held-out loss, step 0 included; None before the first."""
        return min(self.evaluated, key=lambda record: record["loss"], default=None)
