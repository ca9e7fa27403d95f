"""A checkpoint on the Hugging Face hub as a local folder: from the cache if it is there, else downloaded once.

Only files of known kinds come down, never code and never pickles. Knows nothing of what is in them. What the network
and the hub may answer is translated here into one sentence each.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import huggingface_hub.constants
from huggingface_hub import HfApi, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import validate_repo_id

from ..errors import ModelError
from .downloads import CountingBar, Download, join_download

MAX_BYTES = 4_000_000_000  # of weights, twice the largest model of this kind that is in common use
_MORE_BYTES = 100_000_000  # for what comes beside the weights
CHUNK_BYTES = 1 << 20  # a second on a slow line; the library's own are ten times as large, lost where a line breaks off
ANSWER_WITHIN = 5.0  # seconds: a hub that is silent for longer counts as out of reach
_WEIGHTS = re.compile(r"model(-\d+-of-(?P<shards>\d+))?\.safetensors")
_DESCRIPTIONS = re.compile(
    r"(config|.*token.*|vocab|added_tokens|model\.safetensors\.index)\.json|vocab\.txt|merges\.txt|.*\.model"
)
_TOKENIZER = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")


def is_hub_id(reference: str) -> bool:
    """Whether the text could name a repository: ``name`` or ``owner/name``.

    >>> is_hub_id("google-bert/bert-base-uncased"), is_hub_id("../secrets")
    (True, False)
    """
    try:
        validate_repo_id(reference)
    except HFValidationError:
        return False
    return True


def has_weights(folder: Path) -> bool:
    """Whether the folder holds safetensors: one file, or every one of the shards that their names count."""
    found = [_WEIGHTS.fullmatch(path.name) for path in folder.glob("model*.safetensors") if path.exists()]
    shards = [match["shards"] for match in found if match]
    return None in shards or (bool(shards) and len(shards) == int(shards[0]))


def has_pickles(names: Iterable[str]) -> bool:
    """Whether weights are there in a format that could run code when it is read."""
    return any(name.endswith((".bin", ".pt", ".pth", ".ckpt", ".pkl")) for name in names)


def refuse_pickles(label: str) -> ModelError:
    return ModelError(
        f"{label!r} has its weights only as a Python pickle, which could run any code; "
        "save it with safetensors (save_pretrained does) or choose another model."
    )


def fetch_checkpoint(repository: str) -> Path:
    """The folder of the repository's main revision in the local cache; the network is asked only when it is not there.

    Raises:
        ModelError: offline, out of reach, unknown, private, too large, or without safetensors.
    """
    return _cached_checkpoint(repository) or begin_download(repository).result()


def is_here(repository: str) -> bool:
    """Whether a checkpoint of this name can be loaded without the network."""
    return _cached_checkpoint(repository) is not None


def check_checkpoint(repository: str) -> None:
    """Raises what fetch_checkpoint would, as far as that can be seen without a download; takes seconds at most."""
    if _cached_checkpoint(repository) is None:
        _wanted_sizes(repository)


def await_checkpoint(source: str, *, seconds: float) -> None:
    """Begin or join the download of what is a hub id and not here, and wait for it so long; nothing for a folder.

    Raises ModelError where it fails, or is still on its way by then.
    """
    if not is_hub_id(source) or is_here(source):
        return
    try:
        begin_download(source).result(seconds)
    except TimeoutError:
        raise ModelError(f"{source!r} is being downloaded; the answer comes once all of it is here.") from None


def begin_download(repository: str) -> Download:
    """The download of a repository that is not here, in the background; whoever asks for the same one joins it."""
    return join_download(repository, partial(_fetch, repository))


def _fetch(repository: str, download: Download) -> Path:
    sizes = _wanted_sizes(repository)
    download.total = sum(sizes.values())
    bar: Any = type("_Bar", (_BoundedBar,), {"download": download})
    # Xet, a protocol of the hub's own, can be neither stopped nor counted from here.
    huggingface_hub.constants.HF_HUB_DISABLE_XET = True
    huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE = CHUNK_BYTES
    try:
        for name in sorted(sizes, key=sizes.__getitem__):  # the weights last: a checkpoint is here once they are
            path = hf_hub_download(repository, name, tqdm_class=bar)
        return Path(path).parent
    except (HTTPError, OSError) as exc:  # connection, time-out, proxy, status; the cache's disk
        raise _translated(exc, repository, done=download.done) from exc


def _wanted_sizes(repository: str) -> dict[str, int]:
    """The files to download, which the hub is asked for, and their bytes as it states them. Raises ModelError."""
    try:
        siblings = HfApi().model_info(repository, files_metadata=True, timeout=ANSWER_WITHIN).siblings or []
    except (HTTPError, OSError) as exc:
        raise _translated(exc, repository) from exc
    sizes = {sibling.rfilename: sibling.size or 0 for sibling in siblings}
    weights = [name for name in sizes if _WEIGHTS.fullmatch(name)]
    if "model.safetensors" in weights:
        weights = ["model.safetensors"]
    if not weights and has_pickles(sizes):
        raise refuse_pickles(repository)
    if (size := sum(sizes[name] for name in weights)) > MAX_BYTES:
        raise _too_large(repository, size)
    wanted = [name for name in sizes if _DESCRIPTIONS.fullmatch(name)] + weights
    return {name: sizes[name] for name in wanted} or {"config.json": 0}


class _BoundedBar(CountingBar):
    """Whatever size the hub stated: no more is written than would have been fetched knowingly."""

    def __init__(self, *arguments: Any, total: int | None = None, **look: Any) -> None:
        if (total or 0) > MAX_BYTES:
            raise _too_large(self.download.repository, total or 0)
        super().__init__(*arguments, **look)

    def update(self, count: float | None = 1) -> None:
        super().update(count)
        if self.download.done > MAX_BYTES + _MORE_BYTES:
            raise _too_large(self.download.repository, self.download.done)


def _too_large(repository: str, size: int) -> ModelError:
    return ModelError(
        f"{repository!r} has {size / 1e9:.1f} GB of weights, and at most {MAX_BYTES / 1e9:.0f} GB are fetched;"
        " choose a smaller model, or name a folder that holds it."
    )


def _cached_checkpoint(repository: str) -> Path | None:
    config = try_to_load_from_cache(repository, "config.json")
    if not isinstance(config, str):
        return None
    folder = Path(config).parent
    has_tokenizer = any(any(folder.glob(pattern)) for pattern in _TOKENIZER)
    return folder if has_weights(folder) and has_tokenizer else None


def _translated(error: Exception, repository: str, *, done: int = 0) -> ModelError:
    elsewhere = "use 'mini-bert', which needs no download"
    name = repr(repository)
    if isinstance(error, OfflineModeIsEnabled):
        return ModelError(f"{name} is not on this machine and HF_HUB_OFFLINE forbids a download; {elsewhere}.")
    if isinstance(error, GatedRepoError):
        return ModelError(
            f"{name} is gated; accept its terms on its Hugging Face page and log in with 'hf auth login'."
        )
    if isinstance(error, RepositoryNotFoundError):
        return ModelError(
            f"{name} is neither a model on this machine, a run, nor a public model on the Hugging Face hub; "
            "check the spelling."
        )
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        return ModelError(
            f"The Hugging Face hub refused {name} (HTTP status {status}); try again later or {elsewhere}."
        )
    if "onsistency check" in str(error):  # huggingface_hub's, of the bytes that were announced and those that came
        return ModelError(
            f"What came of {name} is not as long as the Hugging Face hub had announced, so it is not used; try again."
        )
    reason = getattr(error, "strerror", None)
    if reason and not isinstance(error, ConnectionError | TimeoutError | FileNotFoundError):
        return ModelError(f"{name} cannot be saved to the local cache ({reason}); check the disk.")
    if done:
        return ModelError(
            f"The download of {name} broke off after {done / 1e6:.1f} MB, and again at every try; check the connection"
            " and choose the model again."
        )
    return ModelError(
        f"{name} is not on this machine and the Hugging Face hub is out of reach; check the connection or {elsewhere}."
    )
