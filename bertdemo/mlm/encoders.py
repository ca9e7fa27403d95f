"""BERT's encoder as one plain function, for predictions and for training.

Against the library's modules, with the same numbers: no work for padding; in the last layer none for tokens whose
result nobody wants, beyond being looked at; and few calls between modules, where most of the time of a short text would
go. Reads the model's own live weights and keeps nothing. An architecture that is not listed is run by the library.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from .attention import attend
from .packing import PackedRows, packed_rows
from .products import dense

Encoder: TypeAlias = Callable[[Tensor, Tensor | None, Tensor], Tensor]


def plain_encoder(model: nn.Module) -> Encoder | None:
    """Token ids (B, T), attention mask (B, T) or None, positions (N,) in the flattened (B * T) -> hidden states (N, H).

    None where the architecture is another, or a variant of BERT that does more than reading one text both ways.
    """
    config = model.config
    bert = getattr(model, "bert", None)
    if config.model_type != "bert" or bert is None or config.is_decoder or config.add_cross_attention:
        return None
    return lambda token_ids, attention_mask, positions: _encode(bert, token_ids, attention_mask, positions)


def _encode(bert: nn.Module, token_ids: Tensor, attention_mask: Tensor | None, positions: Tensor) -> Tensor:
    rows = packed_rows(attention_mask, positions, shape=tuple(token_ids.shape))
    hidden = _embedded(bert.embeddings, token_ids, rows)  # (R, H)
    *earlier, last = bert.encoder.layer
    for layer in earlier:
        attended = _attended(layer.attention.self, hidden, rows)
        hidden = _feed_forward(layer, attended, hidden)
    wanted = rows.within(positions)  # from here on nothing else is asked for
    asking = hidden.index_select(0, wanted)  # (N, H)
    if rows.evenly_spread(positions):
        attended = _attended(last.attention.self, hidden, rows, asking=asking)
    else:
        attended = _attended(last.attention.self, hidden, rows).index_select(0, wanted)
    return _feed_forward(last, attended, asking)


def _embedded(tables: nn.Module, token_ids: Tensor, rows: PackedRows) -> Tensor:
    words = tables.word_embeddings(rows.pack(token_ids.flatten()))  # the module: training adds to what it does
    places = tables.position_embeddings.weight.index_select(0, rows.columns().to(token_ids.device))
    hidden = words + (places + tables.token_type_embeddings.weight[0])
    return _dropped(_normalised(hidden, tables.LayerNorm), tables.dropout)


def _attended(attention: nn.Module, hidden: Tensor, rows: PackedRows, *, asking: Tensor | None = None) -> Tensor:
    """(R, H) -> (R, H): every token looks at all tokens of its row; or only those that are ``asking`` (N, H) do."""
    read = _for_products(hidden)
    query = dense(read if asking is None else _for_products(asking), attention.query)
    key, value = (dense(read, part) for part in (attention.key, attention.value))
    dropout = attention.dropout.p if attention.training else 0.0
    return attend(query, key, value, rows=rows, heads=attention.num_attention_heads, dropout=dropout)


def _feed_forward(layer: nn.Module, attended: Tensor, hidden: Tensor) -> Tensor:
    """What a layer does with each token alone: (R, H), (R, H) -> (R, H)."""
    mixed, narrow = layer.attention.output, layer.output
    hidden = _normalised(_dropped(dense(attended, mixed.dense), mixed.dropout) + hidden, mixed.LayerNorm)
    wide = layer.intermediate.intermediate_act_fn(dense(_for_products(hidden), layer.intermediate.dense))
    return _normalised(_dropped(dense(wide, narrow.dense), narrow.dropout) + hidden, narrow.LayerNorm)


def _for_products(hidden: Tensor) -> Tensor:
    """In the format that autocast gives to products: converted once, not by each product that reads it."""
    device = hidden.device.type
    return hidden.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else hidden


def _normalised(hidden: Tensor, norm: nn.LayerNorm) -> Tensor:
    return layer_norm(hidden, norm.normalized_shape, norm.weight, norm.bias, norm.eps)


def _dropped(hidden: Tensor, dropout: nn.Dropout) -> Tensor:
    return dropout(hidden) if dropout.p and dropout.training else hidden
