"""From a reference to a loaded model: safetensors only, never remote code, float32, and a head that was really trained.

Keeps nothing; sharing and caching live in ``registry``. What is wrong with a checkpoint is said in one sentence.
"""

from __future__ import annotations

import json
import threading
import time
import warnings
from dataclasses import replace
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import torch
from huggingface_hub.utils import disable_progress_bars
from huggingface_hub.utils import logging as hub_logging
from safetensors import SafetensorError
from torch import nn
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
from .blend import blended, parts_of
from .hub import fetch_checkpoint, has_pickles, has_weights, refuse_pickles
from .masked_lm import MaskedLM, ModelRef

BUNDLED_MODEL = "mini-bert"
DEFAULT_LEARNING_RATES = {BUNDLED_MODEL: 1e-4}  # measured for the bundled model; for all others, the usual 5e-5
USUAL_LEARNING_RATE = 5e-5
_SAME_ARCHITECTURE = ("model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
_WRAPPERS = ("module.", "_orig_mod.")  # DistributedDataParallel, torch.compile
_SENTENCEPIECE = {
    "sentencepiece": "sentencepiece",
    "protobuf": "google.protobuf",
}  # what the library reads such files with
_PLAIN_SETTINGS = {
    "chunk_size_feed_forward": 0,
    "return_dict": True,
    "output_attentions": False,
    "output_hidden_states": False,
    "torchscript": False,
    "gradient_checkpointing": False,
}
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
    blend = parts_of(ref)
    source = blend[1].source if blend else ref.source
    descends = _architecture(Path(source)) == _architecture(bundled_assets() / BUNDLED_MODEL) is not None
    return DEFAULT_LEARNING_RATES[BUNDLED_MODEL] if descends else USUAL_LEARNING_RATE


def _architecture(folder: Path) -> tuple[object, ...] | None:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return tuple(config.get(key) for key in _SAME_ARCHITECTURE) if isinstance(config, dict) else None


def load_masked_lm(ref: ModelRef) -> MaskedLM:
    """Load fresh weights in float32, in ``eval()`` mode, on the CPU; a blend is mixed from its two models.

    Raises:
        ModelError: missing, out of reach, damaged, only pickled, without a trained head or without a mask token.
    """
    blend = parts_of(ref)
    if blend is not None:
        base, tuned, share = blend
        if share in (0, 1):  # the very model, for the very figures
            return replace(load_masked_lm(tuned if share else base), ref=ref)
        mixed = blended(load_masked_lm(base), load_masked_lm(tuned), share, ref=ref)
        mixed.model.requires_grad_(True)
        return mixed
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
    quantised = getattr(config, "quantization_config", None)
    if quantised:
        method = quantised.get("quant_method") if isinstance(quantised, dict) else None
        raise ModelError(
            f"{label!r} is quantised ({method or 'its config.json says so'}), which bertdemo neither reads nor trains; "
            "choose the checkpoint that it was made from."
        )
    return _with_plain_settings(config)


def _with_plain_settings(config: PreTrainedConfig) -> PreTrainedConfig:
    """The config without wishes about how to compute or what to return besides, which change no logits.

    A kernel that is not installed (FlashAttention 2), feed-forward layers in chunks that the length must be a multiple
    of, tuples instead of named outputs.
    """
    config._attn_implementation = None  # the library then chooses what this machine has
    for name, value in _PLAIN_SETTINGS.items():
        if hasattr(config, name):
            setattr(config, name, value)
    return config


def _load_tokenizer(folder: Path, label: str) -> PreTrainedTokenizerBase:
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as exc:  # the tokenizers library raises bare Exception for a damaged file
        missing = _missing_packages(folder, exc)
        if missing:
            raise ModelError(
                f"The tokenizer of {label!r} is read by Python packages that are not installed here;"
                f" install them (pip install {' '.join(missing)}) and try again."
            ) from exc
        raise ModelError(f"The tokenizer of {label!r} is missing or damaged; save model and tokenizer again.") from exc
    if len(tokenizer.get_vocab()) <= len(tokenizer.all_special_ids):  # transformers makes an empty one up
        raise ModelError(f"{label!r} comes without its tokenizer's vocabulary; save the tokenizer beside the model.")
    return tokenizer


def _missing_packages(folder: Path, error: BaseException | None) -> list[str]:
    """The packages that a tokenizer needs and this machine lacks, from the chain of what was raised."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError) and error.name:
            package = error.name.partition(".")[0]
            if package == "tiktoken" and any(folder.glob("*.model")):  # only tried when SentencePiece's did not work
                return [name for name, module in _SENTENCEPIECE.items() if not _is_installed(module)]
            return [package]
        error = error.__cause__ or error.__context__
    return []


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package around it
        return False


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
    _check_keys(model, report, label=label)
    return model.eval()


def _check_keys(model: PreTrainedModel, report: dict[str, Any], *, label: str) -> None:
    """Raise ModelError unless every weight of the model came from the file, and every weight of its layers went in."""
    missing, unexpected = sorted(report["missing_keys"]), sorted(report["unexpected_keys"])
    for prefix in _WRAPPERS:
        if missing and f"{prefix}{missing[0]}" in unexpected:
            raise ModelError(
                f"The weights of {label!r} are named {prefix}{missing[0]} and so on, as a wrapper around the model"
                " saved them; save the model inside it, or take the beginning off their names."
            )
    if len(missing) == 1 and missing[0].endswith("bias"):
        raise ModelError(
            f"{label!r} lacks {missing[0]}, which this version of transformers would fill with zeros, so its"
            " predictions would not be those that it learned; load and save it with the version that it is from."
        )
    if missing:
        raise ModelError(
            f"{label!r} lacks weights for masked language modelling ({len(missing)}, such as {missing[0]}), "
            "so its predictions would be random; choose a checkpoint with an MLM head."
        )
    unread = [key for key in unexpected if _is_of_a_layer(model, key)]
    if unread:
        raise ModelError(
            f"{label!r} has weights in its layers that transformers does not use ({len(unread)}, such as {unread[0]}),"
            " so its predictions would be wrong; choose a checkpoint of a kind that the library knows."
        )


def _is_of_a_layer(model: PreTrainedModel, key: str) -> bool:
    """Whether a weight belongs inside a layer that the model has, such as the distances of ``relative_key`` positions.

    Weights beside the layers may be there for other tasks (a pooler, next sentence), and are rightly left out.
    """
    modules = dict(model.named_modules())
    parts = key.split(".")
    inside = [".".join(parts[:end]) for end in range(1, len(parts))]
    pairs = pairwise(inside)
    in_a_layer = any(isinstance(modules.get(outer), nn.ModuleList) and inner in modules for outer, inner in pairs)
    return in_a_layer and parts[-1] in ("weight", "bias")
