"""Between two models of one build: every weight mixed, w = (1 - share) base + share tuned.

Wortsman et al. 2022, "Robust fine-tuning of zero-shot models" (WiSE-FT): along this line much of what was learnt is
kept while much of what was forgotten comes back. A share outside 0 to 1 goes beyond the two models (Ilharco et al.
2023, "Editing models with task arithmetic"). Shared models are only read; what is mixed into is always a copy.
Knows no run.
"""

from __future__ import annotations

import copy
import math
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ..errors import ModelError
from .masked_lm import MaskedLM, ModelRef, blend_source, read_blend

LOWEST, HIGHEST = -0.5, 1.5
_NAMED = re.compile(r"(.+)@([-+]?(?:\d+\.?\d*|\.\d+))")
# What differs between two saved copies of one model and changes none of its predictions.
_INCIDENTAL = frozenset(("_name_or_path", "transformers_version", "dtype", "architectures", "use_cache"))


def split_reference(reference: str) -> tuple[str, float] | None:
    """``"my-run@0.4"`` -> ("my-run", 0.4); None for what names no blend, such as ``"my-run@best"``."""
    named = _NAMED.fullmatch(reference)
    return None if named is None else (named[1], float(named[2]))


def blend_ref(base: ModelRef, tuned: ModelRef, share: float, *, label: str = "") -> ModelRef:
    """The reference of a blend; 0 and 1 are blends too, with the figures of the two models.

    Raises:
        ModelError: the share is outside what is allowed, or one of the two is a blend itself.
    """
    if not (math.isfinite(share) and LOWEST <= share <= HIGHEST):
        raise ModelError(
            f"A blend lies between {LOWEST:g} and {HIGHEST:g} (0 is before, 1 is after), but is {share:g}."
        )
    for ref in (base, tuned):
        if read_blend(ref.source) is not None:
            raise ModelError(f"{ref.label!r} is a blend already; blend the two models that it was made of.")
    return ModelRef(label or f"{tuned.label}@{share:g}", blend_source(base.source, tuned.source, share))


def parts_of(ref: ModelRef) -> tuple[ModelRef, ModelRef, float] | None:
    """(base, tuned, share) of a blend's reference; None for any other."""
    parts = read_blend(ref.source)
    if parts is None:
        return None
    base, tuned, share = parts
    return ModelRef(f"the base of {ref.label}", base), ModelRef(ref.label, tuned), share


def check_one_build(base: MaskedLM, tuned: MaskedLM) -> None:
    """Raise ModelError unless the two models differ in their weights' values alone."""
    same_settings = _settings(base) == _settings(tuned)
    same_weights = {name: weight.shape for name, weight in base.model.named_parameters()} == {
        name: weight.shape for name, weight in tuned.model.named_parameters()
    }
    same_words = base.tokenizer.get_vocab() == tuned.tokenizer.get_vocab()
    if not (same_settings and same_weights and same_words):
        raise ModelError(
            f"{base.ref.label!r} and {tuned.ref.label!r} are not of one build (architecture, sizes and vocabulary), so"
            " nothing lies between them; choose a model and one that was fine-tuned from it."
        )


def blended(base: MaskedLM, tuned: MaskedLM, share: float, *, ref: ModelRef | None = None) -> MaskedLM:
    """A model of its own with the mixed weights; neither of the two is changed.

    Raises:
        ModelError: the two are not of one build, or the share is outside what is allowed.
    """
    ref = ref or blend_ref(base.ref, tuned.ref, share)
    check_one_build(base, tuned)
    mixed = copy.deepcopy(tuned.model)
    _mix(base.model, tuned.model, share, into=mixed)
    return MaskedLM(ref, mixed.eval().requires_grad_(False), tuned.tokenizer)


@torch.no_grad()
def _mix(base: nn.Module, tuned: nn.Module, share: float, *, into: nn.Module) -> None:
    """Tied weights are one parameter, so each is mixed once; what is no parameter stays the tuned model's."""
    columns = zip(base.parameters(), tuned.parameters(), into.parameters(), strict=True)
    for first, last, mixed in columns:
        # below a half first + share (last - first), else last - (1 - share) (last - first): exact at 0 and at 1
        torch.lerp(first, last, _as_tensor(share, first), out=mixed.data)


def _as_tensor(share: float, like: Tensor) -> Tensor:
    return torch.tensor(share, dtype=like.dtype, device=like.device)


def _settings(masked_lm: MaskedLM) -> dict[str, object]:
    settings = masked_lm.model.config.to_dict()
    return {key: value for key, value in settings.items() if key not in _INCIDENTAL and "dropout" not in key}


class BlendPair:
    """Two models and a third one between them, whose weights follow a slider: nothing is loaded again.

    Memory: one model's weights on top of the two. ``at`` lends the mixed model under a lock, since the next share
    overwrites it.
    """

    def __init__(self, base: MaskedLM, tuned: MaskedLM) -> None:
        self.base, self.tuned = base, tuned
        self._own = blended(base, tuned, 1.0)
        self._share, self._lock = 1.0, threading.Lock()
        _ = self._own.head, self._own.encoder  # found once, not at each share

    @contextmanager
    def at(self, share: float) -> Iterator[MaskedLM]:
        """The model at this share, only inside the block; at 0 and 1 the two models themselves.

        Equal weights elsewhere in memory may round otherwise in the last digit, and the ends are to be exact.

        Raises:
            ModelError: a share that cannot be.
        """
        ref = blend_ref(self.base.ref, self.tuned.ref, share)
        if share in (0, 1):
            yield self.tuned if share else self.base
            return
        with self._lock:
            if share != self._share:
                _mix(self.base.model, self.tuned.model, share, into=self._own.model)
                self._share = share
            lent = replace(self._own, ref=ref)
            vars(lent).update(vars(self._own), ref=ref)  # with what it has found out: its head and encoder
            yield lent


@dataclass
class BlendPairs:
    """The pairs in use, at most ``most``; a pair is made anew where one of its models was loaded anew."""

    most: int = 2

    def __post_init__(self) -> None:
        self._pairs: list[BlendPair] = []  # the longest unused first
        self._lock = threading.Lock()

    def of(self, base: MaskedLM, tuned: MaskedLM) -> BlendPair:
        """Raises ModelError where the two are not of one build."""
        with self._lock:
            pair = next((one for one in self._pairs if one.base is base and one.tuned is tuned), None)
            if pair is None:
                pair = BlendPair(base, tuned)
            else:
                self._pairs.remove(pair)
            self._pairs = [*self._pairs, pair][-self.most :]
            return pair
