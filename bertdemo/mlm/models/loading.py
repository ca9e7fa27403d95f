"""From a reference to a loaded model: safetensors only, never remote code, float32, and a head that was really trained.

Keeps nothing; sharing and caching live in ``registry``. What is wrong with a checkpoint is said in one sentence.
"""

from __future__ import annotations

import json
import threading
import time
import warnings
from pathlib import Path

import huggingface_hub.constants
import torch
from huggingface_hub.utils import disable_progress_bars
from huggingface_hub.utils import logging as hub_logging
from safetensors import SafetensorError
from transformers import (
    MODEL_FOR_MASKED_LM_MAPPING,
    AutoConfig,
    AutoModelForMaskedLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from ..errors import ModelError
from .hub import fetch_checkpoint, has_pickles, has_weights, refuse_pickles
from .masked_lm import MaskedLM, ModelRef

BUNDLED_MODEL = "mini-bert"
DEFAULT_LEARNING_RATES = {BUNDLED_MODEL: 3e-4}  # measured for the bundled model; for all others, the usual 5e-5
USUAL_LEARNING_RATE = 5e-5
_SAME_ARCHITECTURE = ("model_type", "vocab_size", "hidden_size", "num_hidden_layers")
REPLACED_WHILE_READ, SETTLE_SECONDS = 3, 0.05  # tries to read a model that is being replaced, and the wait between
_LOADING = threading.Lock()  # transformers patches torch's initialisers while it loads: one model at a time


def bundled_assets() -> Path:
    """The folder of the bundled model and samples: inside an installed package, or beside it in a source checkout."""
    package = Path(__file__).resolve().parents[2]
    installed = package / "assets"
    return installed if installed.is_dir() else package.parent / "assets"


def default_learning_rate(ref: ModelRef) -> float:
    """A peak learning rate that suits the model; one fine-tuned from the bundled model keeps its rate."""
    if ref.label in DEFAULT_LEARNING_RATES:
        return DEFAULT_LEARNING_RATES[ref.label]
    descends = _architecture(Path(ref.source)) == _architecture(bundled_assets() / BUNDLED_MODEL) is not None
    return DEFAULT_LEARNING_RATES[BUNDLED_MODEL] if descends else USUAL_LEARNING_RATE


def _architecture(folder: Path) -> tuple[object, ...] | None:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return tuple(config.get(key) for key in _SAME_ARCHITECTURE) if isinstance(config, dict) else None


def load_masked_lm(ref: ModelRef) -> MaskedLM:
    """Load fresh weights in float32, in ``eval()`` mode, on the CPU.

    Raises:
        ModelError: missing, out of reach, damaged, only pickled, without a trained head or without a mask token.
    """
    silence_libraries()
    folder = checkpoint_folder(ref)
    for _ in range(REPLACED_WHILE_READ):
        before = _identity(folder)
        try:
            return _load_folder(ref, folder)
        except ModelError:
            if before == _identity(folder):
                raise
            time.sleep(SETTLE_SECONDS)  # between the two renames of a replacement nothing is there
    return _load_folder(ref, folder)


def _load_folder(ref: ModelRef, folder: Path) -> MaskedLM:
    config = _load_config(folder, ref.label)
    tokenizer = _load_tokenizer(folder, ref.label)
    if tokenizer.mask_token_id is None:
        raise ModelError(f"The tokenizer of {ref.label!r} has no mask token; choose a masked language model.")
    known = max(tokenizer.get_vocab().values(), default=0)
    if known >= config.vocab_size:
        raise ModelError(
            f"The tokenizer of {ref.label!r} has ids up to {known}, but its model only {config.vocab_size} words; "
            "the two do not belong together."
        )
    return MaskedLM(ref, _load_model(folder, config, label=ref.label), tokenizer)


def _identity(folder: Path) -> int | None:
    """Another number for another folder of the same name: a run replaces its best model while others may read it."""
    try:
        return folder.stat().st_ino
    except OSError:
        return None


def silence_libraries() -> None:
    """Keep bars, load reports and advice of the libraries from the user; their errors are still raised."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    hub_logging.set_verbosity_error()
    if huggingface_hub.constants.HF_HUB_DISABLE_PROGRESS_BARS is None:  # an environment variable has the last word
        disable_progress_bars()
    for library in ("transformers", "huggingface_hub", "tokenizers", "torch"):
        warnings.filterwarnings("ignore", module=rf"{library}(\.|$)")


def checkpoint_folder(ref: ModelRef) -> Path:
    """The local folder behind a reference; a hub id is downloaded if it has to be.

    Raises:
        ModelError: nothing there that could be loaded.
    """
    folder = Path(ref.source)
    if not folder.is_absolute():
        return fetch_checkpoint(ref.source)
    if not folder.is_dir():
        mend = "install the package again" if ref.label == BUNDLED_MODEL else "choose another model"
        raise ModelError(f"The model {ref.label!r} is no longer where it was; {mend}.")
    return folder


def _load_config(folder: Path, label: str) -> PreTrainedConfig:
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        if not (folder / "config.json").is_file():
            raise ModelError(f"{label!r} holds no config.json; choose a Hugging Face checkpoint's folder.") from exc
        raise ModelError(
            f"The config.json of {label!r} is damaged or of a kind that needs its own code, which is never run; "
            "choose another model."
        ) from exc
    if type(config) not in MODEL_FOR_MASKED_LM_MAPPING:
        raise ModelError(f"{label!r} is a {config.model_type!r} model, which cannot fill masks; choose one like BERT.")
    return config


def _load_tokenizer(folder: Path, label: str) -> PreTrainedTokenizerBase:
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as exc:  # the tokenizers library raises bare Exception for a damaged file
        raise ModelError(f"The tokenizer of {label!r} is missing or damaged; save model and tokenizer again.") from exc
    if len(tokenizer.get_vocab()) <= len(tokenizer.all_special_ids):  # transformers makes an empty one up
        raise ModelError(f"{label!r} comes without its tokenizer's vocabulary; save the tokenizer beside the model.")
    return tokenizer


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except FileNotFoundError:  # between the two renames of a replacement
        return []


def _load_model(folder: Path, config: PreTrainedConfig, *, label: str) -> PreTrainedModel:
    if not has_weights(folder):
        if has_pickles(_names(folder)):
            raise refuse_pickles(label)
        raise ModelError(f"{label!r} holds no complete model.safetensors; copy or save the model again.")
    try:
        with _LOADING:
            model, report = AutoModelForMaskedLM.from_pretrained(
                folder,
                config=config,
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as exc:
        raise ModelError(
            f"The weights of {label!r} cannot be read; they are cut short, damaged or do not fit its config.json, "
            "so copy or download them again."
        ) from exc
    missing = sorted(report["missing_keys"])
    if missing:
        raise ModelError(
            f"{label!r} lacks weights for masked language modelling ({len(missing)}, such as {missing[0]}), "
            "so its predictions would be random; choose a checkpoint with an MLM head."
        )
    return model.eval()
