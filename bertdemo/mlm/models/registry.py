"""Which model a reference means, and the loaded models that all share: read-only, bounded, loaded once.

``shared`` is for looking, ``private_copy`` the only way to weights that may change. Knows no run's inside: what a
run's id or name stands for is asked of ``run_lookup``.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from weakref import WeakValueDictionary

from ..errors import ModelError
from .blend import blend_ref, parts_of, split_reference
from .hub import is_hub_id
from .loading import BUNDLED_MODEL, DEFAULT_LEARNING_RATES, bundled_assets, default_learning_rate, load_masked_lm
from .masked_lm import MaskedLM, ModelRef

__all__ = [
    "BUNDLED_MODEL",
    "DEFAULT_LEARNING_RATES",
    "ModelRegistry",
    "bundled_assets",
    "default_learning_rate",
    "load_masked_lm",
]

Fingerprint: TypeAlias = tuple[tuple[str, int, int], ...]
_CHECKPOINT_SUFFIXES = (".json", ".safetensors", ".txt", ".model")


def no_runs(reference: str) -> Path | None:
    """The lookup where there are no runs."""
    return None


def no_base(checkpoint: Path) -> ModelRef | None:
    """The same for what a checkpoint was fine-tuned from."""
    return None


@dataclass(frozen=True)
class _Loaded:
    masked_lm: MaskedLM
    fingerprint: Fingerprint


class ModelRegistry:
    """Finds models and keeps the ones in use. Safe to call from any thread.

    ``bundled`` is the folder of the bundled model. Folders inside ``home`` count as runs: they are open to everybody
    who may use the app. ``run_lookup`` takes a run's id or name to its folder, or to None; ``base_lookup`` a run's
    checkpoint to the model that the run began with.
    """

    def __init__(
        self,
        home: Path | None,
        *,
        bundled: Path,
        max_models: int = 3,
        run_lookup: Callable[[str], Path | None] = no_runs,
        base_lookup: Callable[[Path], ModelRef | None] = no_base,
    ) -> None:
        self._home = home
        self._bundled = bundled
        self._max_models = max_models
        self._run_lookup, self._base_lookup = run_lookup, base_lookup
        self._models: OrderedDict[str, _Loaded] = OrderedDict()  # by source, the longest unused first
        self._lock = threading.Lock()
        self._load_locks: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()

    def resolve(
        self, reference: str, *, allow_folders: bool = True, run_lookup: Callable[[str], Path | None] | None = None
    ) -> ModelRef:
        """What a reference means: the bundled model, a folder, a run's id or name, a blend, or a hub id, in this order.

        A folder is a checkpoint, a run's folder or its ``model/``, relative to the current directory. Without
        ``allow_folders`` no path outside ``home`` is even looked at. ``RUN@0.4`` is the blend of the run's model with
        the one that it began with. ``run_lookup`` is asked for runs in the place of the registry's own. Asks no network
        and loads nothing.

        Raises:
            ModelError: it can mean nothing, or a folder or run without a model.
        """
        name = reference.strip()
        if name == BUNDLED_MODEL:
            return ModelRef(BUNDLED_MODEL, str(self._bundled.resolve()))
        folders = list(self._folders(name, run_lookup or self._run_lookup, allow_folders=allow_folders))
        for folder in folders:
            checkpoint = _checkpoint_in(folder)
            if checkpoint is not None:
                return ModelRef(name, str(checkpoint.resolve()))
        if folders:
            raise ModelError(
                f"{name!r} holds no model (yet); name a folder with config.json and model.safetensors, "
                "or a run that has been saved."
            )
        named = split_reference(name)
        if named is not None:
            return self._blend(*named, allow_folders=allow_folders, run_lookup=run_lookup)
        if is_hub_id(name):
            return ModelRef(name, name)
        raise ModelError(_unknown(name, allow_folders=allow_folders))

    def _blend(
        self, name: str, share: float, *, allow_folders: bool, run_lookup: Callable[[str], Path | None] | None
    ) -> ModelRef:
        tuned = self.resolve(name, allow_folders=allow_folders, run_lookup=run_lookup)
        base = self._base_lookup(Path(tuned.source)) if Path(tuned.source).is_absolute() else None
        if base is None:
            raise ModelError(
                f"It is not known what {name!r} was fine-tuned from, so nothing lies between; name a run that began"
                " with another model."
            )
        if base.label == BUNDLED_MODEL:  # wherever it lies by now
            base = self.resolve(BUNDLED_MODEL)
        return blend_ref(base, tuned, share, label=f"{name}@{share:g}")

    def shared(self, ref: ModelRef) -> MaskedLM:
        """The loaded model for reading: one for all callers, ``eval()``, without gradients, never to be written to.

        Loaded at the first call and again when its folder's files have changed; at most ``max_models`` are kept, the
        longest unused goes first.

        Raises:
            ModelError: it cannot be loaded.
        """
        fingerprint = _fingerprint(ref)
        loaded = self._kept(ref.source, fingerprint)
        if loaded is None:
            with self._load_lock(ref.source):
                loaded = self._kept(ref.source, fingerprint) or self._load(ref, fingerprint)
        return loaded

    def private_copy(self, ref: ModelRef) -> MaskedLM:
        """Fresh weights from disk for one owner, who may train them.

        Raises:
            ModelError: they cannot be loaded.
        """
        return load_masked_lm(ref)

    def forget(self, ref: ModelRef) -> None:
        """Drop the shared model, for instance because its run was deleted; who still holds it may go on."""
        with self._lock:
            self._models.pop(ref.source, None)

    def _folders(self, name: str, run_lookup: Callable[[str], Path | None], *, allow_folders: bool) -> Iterator[Path]:
        path = Path(name)
        if name and (allow_folders or self._is_own(path)) and os.path.isdir(path):
            yield path
        if name and not any(character in name for character in "/\\\0"):
            run = run_lookup(name)
            if run is not None:
                yield run

    def _is_own(self, path: Path) -> bool:
        if self._home is None or not path.is_absolute():
            return False
        try:
            return path.resolve().is_relative_to(self._home.resolve())
        except (ValueError, OSError, RuntimeError):  # no path at all, such as one with NUL in it; links in a circle
            return False

    def _kept(self, source: str, fingerprint: Fingerprint) -> MaskedLM | None:
        with self._lock:
            loaded = self._models.get(source)
            if loaded is None or loaded.fingerprint != fingerprint:
                return None
            self._models.move_to_end(source)
            return loaded.masked_lm

    def _load(self, ref: ModelRef, fingerprint: Fingerprint) -> MaskedLM:
        masked_lm = load_masked_lm(ref)
        masked_lm.model.requires_grad_(False)
        with self._lock:
            self._models[ref.source] = _Loaded(masked_lm, fingerprint)
            self._models.move_to_end(ref.source)
            while len(self._models) > self._max_models:
                self._models.popitem(last=False)
        return masked_lm

    def _load_lock(self, source: str) -> threading.Lock:
        with self._lock:
            return self._load_locks.setdefault(source, threading.Lock())


def _checkpoint_in(folder: Path) -> Path | None:
    """The folder itself if it is a checkpoint, else the ``model`` folder of a run, else None."""
    return next((path for path in (folder, folder / "model") if (path / "config.json").is_file()), None)


def _fingerprint(ref: ModelRef) -> Fingerprint:
    """Names, sizes and times of a folder's files, so that a model saved anew is loaded anew; () for a hub id."""
    blend = parts_of(ref)
    if blend is not None:
        return _fingerprint(blend[0]) + _fingerprint(blend[1])
    folder = Path(ref.source)
    if not folder.is_absolute() or not folder.is_dir():
        return ()
    files = [(path.name, path.stat()) for path in folder.iterdir() if path.suffix in _CHECKPOINT_SUFFIXES]
    return tuple(sorted((name, status.st_size, status.st_mtime_ns) for name, status in files))


def _unknown(name: str, *, allow_folders: bool) -> str:
    if not name:
        return "No model is named; use 'mini-bert', a run or a Hugging Face id such as google-bert/bert-base-uncased."
    if not allow_folders:
        return f"{name!r} is no model's name here (folders are not open); use 'mini-bert', a run or a Hugging Face id."
    return (
        f"{name!r} is neither a folder, a run nor a Hugging Face id; "
        "use 'mini-bert', a checkpoint's folder, a run or an id such as google-bert/bert-base-uncased."
    )
