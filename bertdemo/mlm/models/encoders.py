"""The encoder of BERT and its relatives as one plain function, for predictions and for training.

Against the library's modules, with the same numbers: no work for padding; in the last layer none for tokens whose
result nobody wants, beyond being looked at; and few calls between modules, where most of the time of a short text would
go. Reads the model's own live weights and keeps nothing. An architecture that is not listed is run by the library.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor, nn

from .attention import attend
from .encoder_parts import EncoderParts, LayerParts, encoder_parts
from .packing import PackedRows, packed_rows
from .products import dense

Encoder: TypeAlias = Callable[[Tensor, Tensor | None, Tensor], Tensor]


def plain_encoder(model: nn.Module) -> Encoder | None:
    """Token ids (B, T), attention mask (B, T) or None, positions (N,) in the flattened (B * T) -> hidden states (N, H).

    None where the library is to run the model itself.
    """
    parts = encoder_parts(model)
    return None if parts is None else partial(_encode, parts)


def _encode(parts: EncoderParts, token_ids: Tensor, attention_mask: Tensor | None, positions: Tensor) -> Tensor:
    rows = packed_rows(attention_mask, positions, shape=tuple(token_ids.shape))
    hidden = _embedded(parts, token_ids, rows)  # (R, H)
    *earlier, last = parts.layers
    for layer in earlier:
        hidden = _feed_forward(layer, _attended(layer, hidden, rows), hidden)
    wanted = rows.within(positions)  # from here on nothing else is asked for
    asking = hidden.index_select(0, wanted)  # (N, H)
    if rows.evenly_spread(positions):
        attended = _attended(last, hidden, rows, asking=asking)
    else:
        attended = _attended(last, hidden, rows).index_select(0, wanted)
    return _feed_forward(last, attended, asking)


def _embedded(parts: EncoderParts, token_ids: Tensor, rows: PackedRows) -> Tensor:
    words = parts.words(rows.pack(token_ids.flatten()))  # the module: training adds to what it does
    if parts.padding_id is None:
        places = rows.columns().to(token_ids.device)
    else:
        counted = token_ids.ne(parts.padding_id)
        places = rows.pack((counted.cumsum(dim=1) * counted + parts.padding_id).flatten())
    known = parts.positions(places)  # the module: the place of padding, where there is one, never learns
    known = known if parts.types is None else known + parts.types.weight[0]
    return _dropped(parts.norm(words + known), parts.dropout)


def _attended(layer: LayerParts, hidden: Tensor, rows: PackedRows, *, asking: Tensor | None = None) -> Tensor:
    """(R, H) -> (R, H): every token looks at all tokens of its row; or only those that are ``asking`` (N, H) do."""
    read = _for_products(hidden)
    query = dense(read if asking is None else _for_products(asking), layer.query)
    key, value = dense(read, layer.key), dense(read, layer.value)
    dropout = layer.attention_dropout.p if layer.attention_dropout.training else 0.0
    return attend(query, key, value, rows=rows, heads=layer.heads, dropout=dropout)


def _feed_forward(layer: LayerParts, attended: Tensor, hidden: Tensor) -> Tensor:
    """What a layer does with each token alone: (R, H), (R, H) -> (R, H)."""
    mixed = _dropped(dense(attended, layer.mixed), layer.mixed_dropout)
    hidden = layer.mixed_norm(mixed + hidden)
    wide = layer.activation(dense(_for_products(hidden), layer.wide))
    return layer.narrow_norm(_dropped(dense(wide, layer.narrow), layer.narrow_dropout) + hidden)


def _for_products(hidden: Tensor) -> Tensor:
    """In the format that autocast gives to products: converted once, not by each product that reads it."""
    device = hidden.device.type
    return hidden.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else hidden


def _dropped(hidden: Tensor, dropout: nn.Dropout | None) -> Tensor:
    return dropout(hidden) if dropout is not None and dropout.p and dropout.training else hidden
