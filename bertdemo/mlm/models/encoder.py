"""The encoder of BERT and its relatives as one plain function, for predictions and for training.

Kept beside the library's modules, whose numbers it gives, since training takes 1.6 to 2.5 times as long with those: it
does no work for padding; in the last layer none for tokens whose result nobody wants, beyond being looked at; and few
calls between modules, where most of the time of a short text would go. Reads the model's own live weights and keeps
nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from .architectures import EncoderParts, LayerParts, encoder_parts
from .attention import PackedRows, attend, packed_rows
from .devices import linear, on_its_way

Encoder: TypeAlias = Callable[[Tensor, Tensor | None, Tensor], Tensor]


def plain_encoder(model: PreTrainedModel) -> Encoder | None:
    """Token ids (B, T), attention mask (B, T) or None, positions (N,) in the flattened (B * T) -> hidden states (N, H).

    None where the library is to run the model itself.
    """
    parts = encoder_parts(model)
    return None if parts is None else partial(_encode, parts)


def _encode(parts: EncoderParts, token_ids: Tensor, attention_mask: Tensor | None, positions: Tensor) -> Tensor:
    batch, length = token_ids.shape
    # Where mask and positions are on the CPU still, all that depends on them is found out there, and a GPU that holds
    # the tokens is never waited for.
    on_cpu = token_ids.device.type == "cpu"
    positions = positions if attention_mask is None else positions.to(attention_mask.device)
    rows = packed_rows(attention_mask, positions, shape=(batch, length), fill_up=on_cpu)
    wanted, evenly_spread = rows.within(positions), rows.evenly_spread(positions)
    rows, wanted = rows.to(token_ids.device), on_its_way(wanted, token_ids.device)
    hidden = _embedded(parts, token_ids, rows)  # (R, H)
    *earlier, last = parts.layers
    for layer in earlier:
        hidden = _feed_forward(layer, _attended(layer, hidden, rows), hidden)
    # Only the last layer is asked for less: every earlier one's tokens are looked at by the layer behind it.
    queries = hidden.index_select(0, wanted)  # (N, H)
    if evenly_spread:
        attended = _attended(last, hidden, rows, queries=queries)
    else:
        attended = _attended(last, hidden, rows).index_select(0, wanted)
    return _feed_forward(last, attended, queries)


def _embedded(parts: EncoderParts, token_ids: Tensor, rows: PackedRows) -> Tensor:
    """Token ids (B, T) -> word, position and type vectors, added and normalised (R, H)."""
    words = parts.words(rows.pack(token_ids.flatten()))  # the module: training adds to what it does
    if parts.padding_id is None:
        position_ids = rows.columns()
    else:  # as create_position_ids_from_input_ids in transformers: padding amid a text counts for nothing
        counted = token_ids.ne(parts.padding_id)
        position_ids = rows.pack((counted.cumsum(dim=1) * counted + parts.padding_id).flatten())
    known = parts.positions(position_ids)  # the module: the place of padding, where there is one, never learns
    known = known if parts.types is None else known + parts.types.weight[0]
    return _dropped(parts.norm(words + known), parts.dropout)


def _attended(layer: LayerParts, hidden: Tensor, rows: PackedRows, *, queries: Tensor | None = None) -> Tensor:
    """(R, H) -> (R, H): every token looks at all tokens of its row; or only the ``queries`` (N, H) do -> (N, H)."""
    read = _as_autocast(hidden)
    query = linear(read if queries is None else _as_autocast(queries), layer.query)
    key, value = linear(read, layer.key), linear(read, layer.value)
    dropout = layer.attention_dropout.p if layer.attention_dropout.training else 0.0
    return attend(query, key, value, rows=rows, heads=layer.heads, dropout=dropout)


def _feed_forward(layer: LayerParts, attended: Tensor, hidden: Tensor) -> Tensor:
    """What a layer does with each token alone: (R, H), (R, H) -> (R, H)."""
    attended = _dropped(linear(attended, layer.attention_output), layer.attention_output_dropout)
    hidden = layer.attention_norm(attended + hidden)
    intermediate = layer.activation(linear(_as_autocast(hidden), layer.intermediate))  # (R, I)
    return layer.output_norm(_dropped(linear(intermediate, layer.output), layer.output_dropout) + hidden)


def _as_autocast(hidden: Tensor) -> Tensor:
    """In the format that autocast gives to products: converted once, not by each product that reads it."""
    device = hidden.device.type
    return hidden.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else hidden


def _dropped(hidden: Tensor, dropout: nn.Dropout | None) -> Tensor:
    return dropout(hidden) if dropout is not None and dropout.p and dropout.training else hidden
