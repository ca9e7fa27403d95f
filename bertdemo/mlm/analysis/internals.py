"""What a model computes on the way to its answer: hidden states by layer, and attention weights.

The recording runs on a twin that shares the weights but has modules and settings of its own, so that a model which
other threads are using is neither hooked nor switched. Knows no words and no chart.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import ModelError, TextError
from ..models.architectures import final_norm, weight_sharing_twin
from ..models.masked_lm import MaskedLM
from ..text.prompt import PreparedText, prepare_text


def locate_mask(masked_lm: MaskedLM, text: str | PreparedText, mask_index: int) -> tuple[PreparedText, int]:
    """What the model reads, and where in it the mask stands that is the ``mask_index``-th, counted from 0.

    Raises:
        TextError: no mask, or not so many.
    """
    prepared = prepare_text(masked_lm, text) if isinstance(text, str) else text
    count = len(prepared.mask_positions)
    if not 0 <= mask_index < count:
        raise TextError(
            f"The text has {count} masks, counted from 0, so there is no mask {mask_index}; choose another."
        )
    return prepared, prepared.mask_positions[mask_index]


@torch.inference_mode()
def hidden_states_by_layer(masked_lm: MaskedLM, token_ids: tuple[int, ...], *, position: int) -> Tensor:
    """The states at one position that the MLM head could read: (layers + 1, H), the embeddings' output first.

    The last row is what the head really reads. ModernBERT normalises only after its last layer; the same norm is
    applied to the layers before, which were never trained for it.
    """
    twin = weight_sharing_twin(masked_lm.model).eval()
    outputs = twin.base_model(torch.tensor([token_ids], device=masked_lm.device), output_hidden_states=True)
    earlier = torch.stack([states[0, position] for states in outputs.hidden_states[:-1]])
    norm = final_norm(masked_lm.model)
    earlier = earlier if norm is None else norm(earlier)
    return torch.cat([earlier, outputs[0][0, position][None]])


@torch.inference_mode()
def attention_by_layer(masked_lm: MaskedLM, token_ids: tuple[int, ...], *, position: int) -> Tensor:
    """How one position's query spreads over all T tokens, after the softmax: (layers, heads, T), each row sums to one.

    Raises:
        ModelError: the architecture has no attention from every token to every other, or does not show it.
    """
    twin = weight_sharing_twin(masked_lm.model).eval()
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
