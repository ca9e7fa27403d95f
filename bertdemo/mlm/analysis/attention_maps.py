"""Attention from a mask: how its query spreads over the tokens, by layer and head.

It says where the mask looked, not why: many heads park on [SEP] and do nothing there (Clark et al. 2019, "What Does
BERT Look At?"). Knows no chart.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..errors import TextError
from ..models.masked_lm import MaskedLM
from ..text.prompt import PreparedText
from .internals import attention_by_layer, locate_mask

LONGEST_ATTENTION = 512  # tokens: the weights of all layers grow with the square


@dataclass(frozen=True)
class AttentionView:
    """One spread over the tokens (T,), and how much of it lay on special tokens that are hidden now."""

    weights: NDArray[np.float32]
    hidden_share: float


@dataclass(frozen=True)
class MaskAttention:
    """Where one mask looked: weights (layers, heads, T), each row adds up to one."""

    prepared: PreparedText
    position: int
    weights: NDArray[np.float32] = field(repr=False, compare=False)

    @property
    def special(self) -> NDArray[np.bool_]:
        """(T,) True at [CLS], [SEP] and their like; masks and unknown words are part of the text."""
        return np.array([word is None for word in self.prepared.word_ids])

    def view(
        self,
        *,
        layer: int | None = None,
        head: int | None = None,
        hide_special: bool = False,
        renormalise: bool = False,
    ) -> AttentionView:
        """One layer and head, or the mean over all of either (None). Hidden tokens get 0; ``renormalise`` makes the
        rest add up to one again.

        Raises:
            TextError: there is no such layer or head.
        """
        chosen = self.weights[_choice("layer", layer, self.weights.shape[0])]
        chosen = chosen[:, _choice("head", head, self.weights.shape[1])].mean(axis=(0, 1))
        hidden = self.special & hide_special
        share = float(chosen[hidden].sum())
        kept = np.where(hidden, np.float32(0), chosen)
        total = float(kept.sum())
        return AttentionView(kept / np.float32(total) if renormalise and total > 0 else kept, share)


def attention_from_mask(masked_lm: MaskedLM, text: str | PreparedText, *, mask_index: int = 0) -> MaskAttention:
    """The attention weights of one mask's query in every layer and head.

    Raises:
        TextError: no such mask, or a text of more than ``LONGEST_ATTENTION`` tokens.
        ModelError: the architecture does not show its attention.
    """
    prepared, position = locate_mask(masked_lm, text, mask_index)
    length = len(prepared.token_ids)
    if length > LONGEST_ATTENTION:
        raise TextError(
            f"Attention is shown for up to {LONGEST_ATTENTION} tokens, but the text has {length}; shorten it."
        )
    weights = attention_by_layer(masked_lm, prepared.token_ids, position=position)
    return MaskAttention(prepared, position, weights.numpy())


def _choice(name: str, index: int | None, count: int) -> slice:
    """One of ``count``, or all; kept as a slice so that a mean can follow in either case."""
    if index is None:
        return slice(None)
    if not 0 <= index < count:
        raise TextError(f"There are {count} {name}s, counted from 0, so there is no {name} {index}; choose another.")
    return slice(index, index + 1)
