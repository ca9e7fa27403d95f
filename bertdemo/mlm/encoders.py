"""BERT's encoder as one plain function: for predictions, where most of the time would go into calls between modules.

Reads the model's own live weights, keeps nothing, and gives the numbers that the library's modules give. An
architecture that is not listed is run by the library.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor, nn
from torch.nn.functional import embedding, layer_norm, linear, scaled_dot_product_attention

Encoder: TypeAlias = Callable[[Tensor, Tensor | None], Tensor]


def plain_encoder(model: nn.Module) -> Encoder | None:
    """Token ids (B, T) and attention mask (B, T) or None -> last hidden states (B, T, H); without dropout.

    None where the architecture is another, or a variant of BERT that does more than reading one text both ways.
    """
    config = model.config
    bert = getattr(model, "bert", None)
    if config.model_type != "bert" or bert is None or config.is_decoder or config.add_cross_attention:
        return None
    return lambda token_ids, attention_mask: _encode(bert, token_ids, attention_mask)


def _encode(bert: nn.Module, token_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
    tables, length = bert.embeddings, token_ids.shape[1]
    hidden = embedding(token_ids, tables.word_embeddings.weight) + tables.token_type_embeddings.weight[0]
    hidden = _normalised(hidden + tables.position_embeddings.weight[:length], tables.LayerNorm)  # (B, T, H)
    mask = None if attention_mask is None else attention_mask[:, None, None, :] != 0  # (B, 1, 1, T)
    for layer in bert.encoder.layer:
        attended = layer.attention.output
        hidden = _normalised(
            _dense(_attend(layer.attention.self, hidden, mask), attended.dense) + hidden, attended.LayerNorm
        )
        wide = layer.intermediate.intermediate_act_fn(_dense(hidden, layer.intermediate.dense))
        hidden = _normalised(_dense(wide, layer.output.dense) + hidden, layer.output.LayerNorm)
    return hidden


def _attend(attention: nn.Module, hidden: Tensor, mask: Tensor | None) -> Tensor:
    """(B, T, H) -> (B, T, H): every token looks at all tokens, or at those that the mask leaves."""
    shape = (*hidden.shape[:2], attention.num_attention_heads, attention.attention_head_size)
    query, key, value = (
        _dense(hidden, part).view(shape).transpose(1, 2) for part in (attention.query, attention.key, attention.value)
    )
    return scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2).flatten(2)


def _dense(hidden: Tensor, layer: nn.Linear) -> Tensor:
    return linear(hidden, layer.weight, layer.bias)


def _normalised(hidden: Tensor, norm: nn.LayerNorm) -> Tensor:
    return layer_norm(hidden, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
