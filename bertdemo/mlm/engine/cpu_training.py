"""What makes a training step on a CPU faster without changing what it computes: attention, and embedding gradients.

Knows a model and its modules, no text and no step. On a GPU nothing is changed: there the library's own ways are fast.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import eager_mask

from . import processes

BATCHED_PRODUCTS = "batched_products"


def prepare_for_cpu_training(model: PreTrainedModel) -> None:
    """Change how a private copy computes its steps. The weights, what is saved and other copies stay as they are."""
    if model.device.type != "cpu":
        return
    model.set_attn_implementation(BATCHED_PRODUCTS)
    embeddings, output = model.get_input_embeddings(), model.get_output_embeddings()
    tied = output is not None and embeddings.weight is output.weight
    if tied and processes.count() == 1:  # several processes share gradients as autograd gives them
        embeddings.register_forward_hook(_add_only_rows_read)


def _add_only_rows_read(embeddings: nn.Embedding, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    """Cut the vectors (B, T, H) out of the graph, and add their gradients to the rows of the table that they came from.

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


def batched_attention(
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
    """softmax(query key^T * scaling + mask) value, as two batched products (Vaswani et al. 2017, section 3.2.1).

    query, key, value (B, H, T, D); attention_mask (B, 1, T, T) with 0 where a token may look and the smallest number
    elsewhere, or None -> (B, T, H, D). At the lengths of sentences, PyTorch's fused attention takes several times
    as long on a CPU, nearly all of it in its backward pass.
    """
    batch, heads, length, width = query.shape
    scaling = width**-0.5 if scaling is None else scaling
    if attention_mask is None:
        bias = query.new_zeros(1, 1, 1)
    else:
        bias = attention_mask.expand(batch, heads, length, length).reshape(-1, length, length)
    queries, keys, values = (part.reshape(-1, length, width) for part in (query, key, value))
    beta = 0 if attention_mask is None else 1
    scores = torch.baddbmm(bias, queries, keys.transpose(1, 2), beta=beta, alpha=scaling)  # (B * H, T, T)
    shares = nn.functional.dropout(scores.softmax(dim=-1), dropout, training=module.training)
    attended = torch.bmm(shares, values).view(batch, heads, length, width)
    return attended.transpose(1, 2).contiguous(), None


AttentionInterface.register(BATCHED_PRODUCTS, batched_attention)
AttentionMaskInterface.register(BATCHED_PRODUCTS, eager_mask)
