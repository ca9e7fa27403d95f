"""The settings of a training run: described once, held in one frozen dataclass that is checked on creation.

From the descriptions (``SETTINGS``) are made: the command line and its help, the web API's arguments, the page's form,
the command that trains the same again, and the checks of ``TrainingConfig``. Knows no model and no data.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .errors import SettingsError
from .setting import Setting

PRECISIONS = ("fp32", "bf16")
DEVICES = ("auto", "cpu", "cuda", "mps", "xpu")
LONG_TEXTS = ("split", "cut")
MAX_EPOCHS = 10_000
MAX_SEED = 2**63 - 1
DEFAULT_MAX_LENGTH = 256


def _by_name(*settings: Setting) -> dict[str, Setting]:
    return {setting.name: setting for setting in settings}


SETTINGS = _by_name(
    Setting(
        "epochs",
        int,
        "Epochs",
        "How often every row is read.",
        low=1,
        high=MAX_EPOCHS,
        subject="The number of epochs",
    ),
    Setting(
        "learning_rate",
        float,
        "Learning rate",
        "How far each step moves the weights, at most.",
        low=0,
        high=1,
        without="what suits the model",
        unit="X",
    ),
    Setting("batch_size", int, "Batch size", "Rows per step, on average.", low=1, high=4096),
    Setting("max_length", int, "Maximum length", "Tokens per row, at most.", low=4, high=1_000_000),
    Setting(
        "long_texts",
        str,
        "Longer texts",
        "What becomes of a text over the maximum length: split into pieces that are all read, or cut there.",
        choices=LONG_TEXTS,
        unit="/".join(LONG_TEXTS),
        subject="What becomes of long texts",
    ),
    Setting(
        "mask_rate",
        float,
        "Mask rate",
        "The share of tokens that is to be guessed.",
        low=0,
        high=1,
        open_range=True,
        unit="R",
    ),
    Setting(
        "whole_words",
        bool,
        "Whole words",
        "The pieces of a word are hidden together or not at all; held-out rows are asked as always.",
        subject="Whole-word masking",
    ),
    Setting(
        "new_words",
        int,
        "New words",
        "The most frequent words that the model must spell in pieces become tokens of their own.",
        low=0,
        high=1000,
        subject="The number of new words",
    ),
    Setting(
        "limit",
        int,
        "Rows at most",
        "Only the first usable rows are read.",
        low=1,
        optional=True,
        without="all",
        unit="ROWS",
        subject="The limit of rows",
    ),
    Setting("seed", int, "Seed", "The same seed draws the same masks.", low=0, high=MAX_SEED, unit="S"),
    Setting(
        "precision",
        str,
        "Precision",
        "Of the matrix products.",
        choices=PRECISIONS,
        optional=True,
        without="what suits the processor",
        unit="fp32/bf16",
    ),
    Setting(
        "device",
        str,
        "Device",
        "What computes; anything but the CPU is tried first, and the CPU taken where it fails.",
        choices=DEVICES,
        optional=True,
        without="auto, the GPU where there is one",
        unit="D",
    ),
    Setting(
        "patience",
        int,
        "Patience",
        "Stop after so many epochs without a better held-out loss; 0: never.",
        low=0,
        high=MAX_EPOCHS,
    ),
    Setting(
        "evaluate_every",
        int,
        "Steps between scores",
        "Score the held-out rows every so many steps, too.",
        low=1,
        optional=True,
        without="after every epoch",
        unit="STEPS",
        subject="The interval between scores",
    ),
    Setting(
        "replay",
        str,
        "Mix in general texts",
        "Texts to mix in against forgetting: a file, or 'general' for the bundled English.",
        optional=True,
        without="none",
        unit="FILE",
    ),
    Setting(
        "replay_share",
        float,
        "Share of general texts",
        "The share of the tokens of every epoch that comes from them.",
        low=0,
        high=1,
        open_range=True,
        unit="R",
    ),
    Setting(
        "probe",
        str,
        "Sentences to watch while it learns",
        "A sentence with a [MASK] to watch while it learns.",
        separator="\n",
        unit="TEXT",
    ),
    Setting(
        "watch",
        str,
        "Words to follow in them",
        "A word to follow in the watched sentences.",
        separator=",",
        unit="WORD",
    ),
)
_RECIPE = _by_name(  # what only code sets: lessons, pretraining and tests
    Setting("warmup_share", float, "Warm-up share", "Of all steps.", low=0, high=1),
    Setting("decay_share", float, "Decay share", "Of the steps after the warm-up.", low=0, high=1),
    Setting("weight_decay", float, "Weight decay", "Not on biases and norms.", low=0, high=10),
    Setting("dropout", float, "Dropout", "Of every layer.", low=0, high=0.99),
    Setting("clip_norm", float, "Gradient's clipping norm", "Of all gradients together.", low=1e-9),
    Setting("optimizer", str, "Optimiser", "", choices=("adamw", "muon")),
    Setting("max_steps", int, "Step limit", "Within the epochs.", low=1, high=2**53, optional=True),
    Setting("probe_every", int, "Probe interval", "In steps.", low=1, high=2**53, optional=True),
)


@dataclass(frozen=True)
class MaskingConfig:
    """How many tokens are chosen, and what becomes of them (Devlin et al. 2019, section 3.1).

    ``selection_rate`` of the eligible tokens become targets; of those, ``mask_token_rate`` turn into the
    mask token, ``random_token_rate`` into a random one, and the rest keep their token but are scored.
    ``whole_words``: the pieces of a word become targets together; what each turns into is drawn for itself.
    """

    selection_rate: float = 0.15
    mask_token_rate: float = 0.8
    random_token_rate: float = 0.1
    whole_words: bool = False

    def __post_init__(self) -> None:
        SETTINGS["mask_rate"].check(self.selection_rate)
        SETTINGS["whole_words"].check(self.whole_words)
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
    new_words: int = 0  # that many words of the texts become tokens of their own
    seed: int = 0
    precision: str | None = None  # None: bf16 where the processor says that it has it, else fp32
    long_texts: str = "split"  # those over the maximum length, into rows; "cut": only their beginning is read
    device: str | None = None  # None: a GPU where there is one that passes its check, else the CPU
    warmup_share: float = 0.06  # of all steps
    decay_share: float = 1.0  # of the steps after the warm-up; below 1 the peak is held first
    weight_decay: float = 0.01  # not on biases and norms
    clip_norm: float = 1.0
    dropout: float = 0.0  # drawing the noise costs a sixth of a step on a CPU and helps no short run
    optimizer: str = "adamw"
    max_steps: int | None = None  # stop the schedule here, within the epochs
    evaluate_every: int | None = None  # steps; None: at the end of every epoch only
    evaluate_epochs: bool = True  # False: not at the end of every epoch, only every so many steps and at the end
    patience: int = 0  # epochs without a better held-out loss, after which the run ends; 0: it never does
    replay_share: float = 0.1  # of an epoch's tokens, where there are general texts to mix in
    probes: tuple[str, ...] = ()  # sentences with a mask, watched while training
    watch: tuple[str, ...] = ()  # words whose probability is followed in every probe
    probe_every: int | None = None  # steps; None: about forty times a run
    loss_on_all_tokens: bool = False  # True: the beginner's slip, every position counts, padding too
    redraw_masks: bool = True  # False: masks are drawn once and reused in every epoch
    pad_to_max_length: bool = False  # True: every row is padded to max_length

    def __post_init__(self) -> None:
        for name, value in config_values(self).items():
            SETTINGS[name].check(value)
        for name, setting in _RECIPE.items():
            setting.check(getattr(self, name))

    @property
    def splits(self) -> bool:
        """Whether texts over the maximum length are split, not cut."""
        return self.long_texts == "split"


def configure(values: Mapping[str, object], *, base: TrainingConfig) -> TrainingConfig:
    """``base`` with what somebody typed or sent, by the names in ``SETTINGS``; None and blank texts change nothing.

    ``limit`` and ``replay`` are checked, too, but belong to the data. Raises SettingsError for what cannot be.
    """
    chosen = {
        name: SETTINGS[name].parse(value)
        for name, value in values.items()
        if value is not None and not (isinstance(value, str) and not value.strip())
    }
    for name in ("limit", "replay"):
        chosen.pop(name, None)
    if "probe" in chosen:
        chosen["probes"] = chosen.pop("probe")
    masking = {field: chosen.pop(name) for name, field in _MASKING.items() if name in chosen}
    return replace(base, **chosen, masking=replace(base.masking, **masking))


_MASKING = {"mask_rate": "selection_rate", "whole_words": "whole_words"}


def config_values(config: TrainingConfig, *, limit: int | None = None, replay: str | None = None) -> dict[str, Any]:
    """The values of all ``SETTINGS``, by name: what ``configure`` takes back."""
    elsewhere = {name: getattr(config.masking, field) for name, field in _MASKING.items()}
    elsewhere |= {"limit": limit, "replay": replay, "probe": config.probes}
    return {name: elsewhere[name] if name in elsewhere else getattr(config, name) for name in SETTINGS}


Setting.defaults.update(config_values(TrainingConfig()))

# The settings of the student's notebook that this project grew out of; it read the first rows only.
NOTEBOOK = TrainingConfig(epochs=20, learning_rate=1e-5, batch_size=16, max_length=512, long_texts="cut")
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
    if config.patience and config.patience >= config.epochs - 1:
        yield f"With a patience of {config.patience}, a run of {config.epochs} epochs never ends early."
    if config.batch_size > train_rows:
        yield f"The batch size {config.batch_size} is more than the {train_rows} rows, so every epoch is a single step."
