"""The settings of a training run: one frozen dataclass, checked on creation. Knows no model and no data."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from .errors import SettingsError

PRECISIONS = ("fp32", "bf16")
OPTIMIZERS = ("adamw", "muon")
MAX_EPOCHS = 10_000
MAX_SEED = 2**63 - 1
DEFAULT_MAX_LENGTH = 256
_STEP_COUNTS = {
    "The step limit": "max_steps",
    "The evaluation interval": "evaluate_every",
    "The probe interval": "probe_every",
}


@dataclass(frozen=True)
class MaskingConfig:
    """How many tokens are chosen, and what becomes of them (Devlin et al. 2019, section 3.1).

    ``selection_rate`` of the eligible tokens become targets; of those, ``mask_token_rate`` turn into the
    mask token, ``random_token_rate`` into a random one, and the rest keep their token but are scored.
    """

    selection_rate: float = 0.15
    mask_token_rate: float = 0.8
    random_token_rate: float = 0.1

    def __post_init__(self) -> None:
        if not (math.isfinite(self.selection_rate) and 0 < self.selection_rate < 1):
            raise SettingsError(
                f"The mask rate must lie between 0 and 1, both excluded, but is {self.selection_rate}; 0.15 is usual."
            )
        shares = (self.mask_token_rate, self.random_token_rate)
        if not all(math.isfinite(share) and share >= 0 for share in shares) or sum(shares) > 1 + 1e-9:
            raise SettingsError(
                "The shares of [MASK] and of random tokens must be 0 or more and together at most 1, "
                f"but are {shares[0]} and {shares[1]}."
            )


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides how a run trains; with the same data and model, the same numbers come out.

    The last group are the recipes that lessons compare; the defaults are how masked language modelling is done.
    """

    epochs: int = 3
    learning_rate: float = 5e-5  # the peak; linear warm-up to it, then linear decay to 0
    batch_size: int = 16  # rows per optimiser step on average; batches are cut by tokens
    max_length: int = DEFAULT_MAX_LENGTH  # tokens per row, the special ones included
    masking: MaskingConfig = MaskingConfig()
    seed: int = 0
    precision: str | None = None  # None: bf16 where the processor says that it has it, else fp32
    warmup_share: float = 0.06  # of all steps
    decay_share: float = 1.0  # of the steps after the warm-up; below 1 the peak is held first
    weight_decay: float = 0.01  # not on biases and norms
    clip_norm: float = 1.0
    dropout: float = 0.0  # drawing the noise costs a sixth of a step on a CPU and helps no short run
    optimizer: str = "adamw"
    max_steps: int | None = None  # stop the schedule here, within the epochs
    evaluate_every: int | None = None  # steps; None: at the end of every epoch
    probes: tuple[str, ...] = ()  # sentences with a mask, watched while training
    watch: tuple[str, ...] = ()  # words whose probability is followed in every probe
    probe_every: int | None = None  # steps; None: about forty times a run
    loss_on_all_tokens: bool = False  # True: the beginner's slip, every position counts, padding too
    redraw_masks: bool = True  # False: masks are drawn once and reused in every epoch
    pad_to_max_length: bool = False  # True: every row is padded to max_length

    def __post_init__(self) -> None:
        check_whole("The number of epochs", self.epochs, 1, MAX_EPOCHS)
        check_whole("The batch size", self.batch_size, 1, 4096)
        check_whole("The maximum length", self.max_length, 4, 1_000_000)
        check_whole("The seed", self.seed, 0, MAX_SEED)
        _check_number("The learning rate", self.learning_rate, 0, 1)
        _check_number("The warm-up share", self.warmup_share, 0, 1)
        _check_number("The decay share", self.decay_share, 0, 1)
        _check_number("The weight decay", self.weight_decay, 0, 10)
        _check_number("The dropout", self.dropout, 0, 0.99)
        _check_number("The gradient's clipping norm", self.clip_norm, 1e-9, math.inf)
        _check_choice("The precision", self.precision, (None, *PRECISIONS))
        _check_choice("The optimiser", self.optimizer, OPTIMIZERS)
        for name, field in _STEP_COUNTS.items():
            if getattr(self, field) is not None:
                check_whole(name, getattr(self, field), 1, 2**53)


def check_whole(name: str, value: object, low: int, high: int) -> None:
    """Raise SettingsError unless ``value`` is a whole number from ``low`` to ``high``."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise SettingsError(f"{name} must be a whole number from {low} to {high}, but is {value!r}.")


def _check_number(name: str, value: object, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise SettingsError(f"{name} must be a number from {low:g} to {high:g}, but is {value!r}.")


def _check_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    if value not in choices:
        known = " or ".join(str(choice) for choice in choices if choice is not None)
        raise SettingsError(f"{name} must be {known}, but is {value!r}.")


# The settings of the student's notebook that this project grew out of; it read the first rows only.
NOTEBOOK = TrainingConfig(epochs=20, learning_rate=1e-5, batch_size=16, max_length=512)
NOTEBOOK_ROWS = 100

HIGH_RATE_FACTOR = 5  # this many times a model's own learning rate and beyond, training often falls apart
FEW_ROWS, MANY_EPOCHS = 200, 20


def unusual_settings(config: TrainingConfig, *, train_rows: int, default_learning_rate: float) -> Iterator[str]:
    """One sentence for each setting that will probably disappoint; none is forbidden."""
    rate = config.learning_rate
    if rate == 0:
        yield "The learning rate is 0, so nothing will be learned; good for checking that nothing moves."
    elif rate > HIGH_RATE_FACTOR * default_learning_rate:
        yield (
            f"The learning rate {rate:g} is far above {default_learning_rate:g}, which suits this model;"
            " the loss may rise instead of fall."
        )
    if config.epochs > MANY_EPOCHS and train_rows < FEW_ROWS:
        yield (
            f"{config.epochs} epochs on {train_rows} rows: the model will learn these rows by heart;"
            " watch whether the held-out loss rises."
        )
    if not 0.05 <= config.masking.selection_rate <= 0.5:
        yield (
            f"A mask rate of {config.masking.selection_rate:.0%} is unusual;"
            " between 5% and 50% works, and 15% is usual."
        )
    if config.batch_size > train_rows:
        yield f"The batch size {config.batch_size} is more than the {train_rows} rows, so every epoch is a single step."
