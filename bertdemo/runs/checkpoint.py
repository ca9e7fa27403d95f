"""A training session's state on disk: tensors as safetensors, everything else as JSON; nothing in it can run code.

Any nesting of dicts, lists and tuples of tensors, numpy arrays, numbers, strings, booleans and None comes back as it
went in; a tensor that stood in several places (tied weights) is written once and is one tensor again. Knows no model.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from bertdemo.mlm.errors import RunError

from .files import disk_errors, replaced_folder

FORMAT = 1
_STATE, _TENSORS = "state.json", "tensors.safetensors"


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Put ``state`` into ``folder``, in place of an older one, which survives whole until the new one is complete.

    Raises RunError when the disk is full or refuses; the older checkpoint is then untouched.
    """
    packed = _Packer()
    text = json.dumps({"format": FORMAT, "state": packed.pack(state)})
    with disk_errors("The checkpoint"), replaced_folder(folder) as part:
        save_file(packed.tensors, part / _TENSORS)
        (part / _STATE).write_text(text, encoding="utf-8")


def load_checkpoint(folder: Path) -> dict[str, Any]:
    """The state that was saved there, tensors on the CPU. Raises RunError where there is none or it is damaged."""
    if not folder.is_dir():
        raise RunError("The run has no checkpoint to go on from.")
    try:
        content = json.loads((folder / _STATE).read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise RunError("The run's checkpoint was written by another version of bertdemo; start the run anew.")
        return _unpack(content["state"], load_file(folder / _TENSORS))
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as exc:
        raise RunError("The run's checkpoint is damaged, so the run cannot go on; start it anew.") from exc


class _Packer:
    """Turns values into JSON, and collects their tensors by name. What JSON has no word for is written ``{kind: ...}``
    with a kind that begins with "$"; so are dicts whose keys are not plain strings."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._names: dict[tuple[Any, ...], str] = {}
        self._storages: set[int] = set()

    def pack(self, value: Any) -> Any:
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, Tensor):
            return {"$tensor": self._name(value.detach())}
        if isinstance(value, np.ndarray | np.generic):
            return {"$array": self._name(torch.from_numpy(np.array(value)))}
        if isinstance(value, dict):
            return self._pack_dict(value)
        if isinstance(value, list):
            return [self.pack(item) for item in value]
        if isinstance(value, tuple):
            return {"$tuple": [self.pack(item) for item in value]}
        raise TypeError(f"a checkpoint cannot hold a {type(value).__name__}")

    def _pack_dict(self, value: dict[Any, Any]) -> dict[str, Any]:
        if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return {key: self.pack(item) for key, item in value.items()}
        return {"$dict": [[self.pack(key), self.pack(item)] for key, item in value.items()]}

    def _name(self, tensor: Tensor) -> str:
        key = (tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride(), tensor.device)
        if tensor.numel() and key in self._names:
            return self._names[key]
        name = f"t{len(self.tensors)}"
        self._names[key], self.tensors[name] = name, self._own(tensor)
        return name

    def _own(self, tensor: Tensor) -> Tensor:
        """The same values, contiguous and on the CPU, in memory that no other tensor here shares."""
        dense = tensor.cpu().contiguous()
        storage = dense.untyped_storage()
        if storage.nbytes() != dense.numel() * dense.element_size() or storage.data_ptr() in self._storages:
            dense = dense.clone()
        self._storages.add(dense.untyped_storage().data_ptr())
        return dense


def _unpack(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpack(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1 and (kind := next(iter(value))) in _KINDS:
        return _KINDS[kind](value[kind], tensors)
    return {key: _unpack(item, tensors) for key, item in value.items()}


_KINDS: dict[str, Callable[[Any, dict[str, Tensor]], Any]] = {
    "$tensor": lambda name, tensors: tensors[name],
    "$array": lambda name, tensors: tensors[name].numpy(),
    "$tuple": lambda items, tensors: tuple(_unpack(item, tensors) for item in items),
    "$dict": lambda items, tensors: {_unpack(key, tensors): _unpack(item, tensors) for key, item in items},
}
