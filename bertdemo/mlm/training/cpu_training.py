"""What makes a training step on a CPU faster without changing what it computes: attention, and embedding gradients.

Knows a model and its modules, no text and no step. On a GPU nothing is changed: there the library's own ways are fast.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import eager_mask

from ..models.attention import attend_by_heads

BATCHED_PRODUCTS = "batched_products"
LOWEST = torch.finfo(torch.bfloat16).min  # float32's own lowest number would become minus infinity in bf16


def prepare_for_cpu_training(model: PreTrainedModel) -> None:
    """Change how a private copy computes its steps. The weights, what is saved and other copies stay as they are."""
    if model.device.type != "cpu":
        return
    model.set_attn_implementation(BATCHED_PRODUCTS)
    embeddings, output = model.get_input_embeddings(), model.get_output_embeddings()
    # I-BERT's embedding, for one, gives a pair: only a plain table is what the hook takes it for.
    if type(embeddings) is nn.Embedding and output is not None and embeddings.weight is output.weight:
        embeddings.register_forward_hook(_add_only_rows_read)


def _add_only_rows_read(embeddings: nn.Embedding, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    """Cut the vectors (..., H) out of the graph, and add their gradients to the rows of the table that they came from.

    The head, whose table is the same, has filled the table's gradient by then. Autograd would fill a second one with
    zeros and add the two, at each step, for the few words that were read.
    """
    if not (embeddings.training and torch.is_grad_enabled() and embeddings.weight.requires_grad):
        return output
    token_ids = inputs[0].flatten()

    def add(gradient: Tensor) -> None:
        rows = gradient.flatten(0, -2)
        if embeddings.padding_idx is not None:
            rows = rows.masked_fill((token_ids == embeddings.padding_idx)[:, None], 0)
        table = embeddings.weight
        if table.grad is None:
            table.grad = torch.zeros_like(table)
        table.grad.index_add_(0, token_ids, rows.to(table.dtype))

    vectors = output.detach().requires_grad_()
    vectors.register_hook(add)
    return vectors


def batched_attention(  # noqa: PLR0917 (the library calls it so)
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_options: object,
) -> tuple[Tensor, None]:
    """``attend_by_heads`` as the library calls attention: (B, heads, T, D) -> (B, T, heads, D).

    attention_mask (B, 1, T, T) with 0 where a token may look and the lowest number elsewhere, or None.
    """
    dropout = dropout if module.training else 0.0
    attended = attend_by_heads(query, key, value, mask=attention_mask, scaling=scaling, dropout=dropout)
    return attended.transpose(1, 2).contiguous(), None


def finite_mask(*arguments: Any, **options: Any) -> Tensor | None:
    """The library's mask, with nothing below ``LOWEST``: (B, 1, T, T) of 0 and that number, or None.

    Padding far from any token has nothing to look at in a window. Minus infinity everywhere would make its softmax NaN,
    and the next layer would hand that on to the tokens.
    """
    mask = eager_mask(*arguments, **options)
    return None if mask is None else mask.clamp(min=LOWEST)


AttentionInterface.register(BATCHED_PRODUCTS, batched_attention)
AttentionMaskInterface.register(BATCHED_PRODUCTS, finite_mask)
