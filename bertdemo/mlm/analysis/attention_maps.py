"""Attention from a mask: how its query spreads over the tokens, by layer and head.

It says where the mask looked, not why: many heads park on [SEP] and do nothing there (Clark et al. 2019, "What Does
BERT Look At?", section 3.2). Knows no chart.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import ModelError, TextError
from ..models.architectures import weight_sharing_twin
from ..models.masked_lm import MaskedLM
from ..text.prompt import PreparedText, locate_mask

MAX_ATTENTION_TOKENS = 512  # the weights of all layers grow with the square


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
        kept: NDArray[np.float32] = np.where(hidden, np.float32(0), chosen)
        total = float(kept.sum())
        return AttentionView(kept / np.float32(total) if renormalise and total > 0 else kept, share)


def attention_from_mask(masked_lm: MaskedLM, text: str | PreparedText, *, mask_index: int = 0) -> MaskAttention:
    """The attention weights of one mask's query in every layer and head.

    Raises:
        TextError: no such mask, or a text of more than ``MAX_ATTENTION_TOKENS`` tokens.
        ModelError: the architecture does not show its attention.
    """
    prepared, position = locate_mask(masked_lm, text, mask_index)
    length = len(prepared.token_ids)
    if length > MAX_ATTENTION_TOKENS:
        raise TextError(
            f"Attention is shown for up to {MAX_ATTENTION_TOKENS} tokens, but the text has {length}; shorten it."
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


@torch.inference_mode()
def attention_by_layer(masked_lm: MaskedLM, token_ids: tuple[int, ...], *, position: int) -> Tensor:
    """How one position's query spreads over all T tokens, after the softmax: (layers, heads, T), each row sums to one.

    Raises:
        ModelError: the architecture has no attention from every token to every other, or does not show it.
    """
    twin = weight_sharing_twin(masked_lm.model).eval()  # other threads use the model: its settings stay as they are
    twin.set_attn_implementation("eager")  # the fused kernels never hold the weights
    with masked_lm.library_faults(len(token_ids)):
        outputs = twin.base_model(torch.tensor([token_ids], device=masked_lm.device), output_attentions=True)
    weights = getattr(outputs, "attentions", None) or ()
    if not weights or not all(_spreads_over_tokens(layer, len(token_ids)) for layer in weights):
        raise ModelError(
            f"Models of the kind {masked_lm.model.config.model_type} do not show their attention from token to token;"
            " choose another model."
        )
    return torch.stack([layer[0, :, position] for layer in weights]).float().cpu()


def _spreads_over_tokens(layer: object, tokens: int) -> bool:
    """Whether one layer's weights are (1, heads, T, T) and each query's add up to one.

    Longformer's are windows, SqueezeBERT's the scores before the softmax, YOSO's products of hashes.
    """
    if not isinstance(layer, Tensor) or layer.dim() != 4 or layer.shape[2:] != (tokens, tokens):
        return False
    sums = layer.float().sum(dim=-1)
    return torch.allclose(sums, torch.ones_like(sums), atol=1e-3)
