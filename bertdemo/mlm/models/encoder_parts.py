"""What an encoder of BERT's build is made of, and where each architecture keeps it. Knows modules, computes nothing.

BERT, RoBERTa with its relatives, and DistilBERT differ in names, in where positions begin, and in a dropout; the
computation is one (``encoders``). A new architecture of this build is one more reader here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class LayerParts:
    """One layer: attention, then what is done with each token alone, each added to what came in and normalised."""

    heads: int
    query: nn.Linear
    key: nn.Linear
    value: nn.Linear
    attention_dropout: nn.Dropout
    mixed: nn.Linear
    mixed_dropout: nn.Dropout | None
    mixed_norm: nn.LayerNorm
    wide: nn.Linear
    activation: Callable[[Tensor], Tensor]
    narrow: nn.Linear
    narrow_dropout: nn.Dropout
    narrow_norm: nn.LayerNorm


@dataclass(frozen=True)
class EncoderParts:
    """``padding_id`` is set where positions count the tokens that are no padding, beginning behind that number."""

    words: nn.Embedding
    positions: nn.Embedding
    types: nn.Embedding | None
    norm: nn.LayerNorm
    dropout: nn.Dropout
    layers: tuple[LayerParts, ...]
    padding_id: int | None = None


def encoder_parts(model: nn.Module) -> EncoderParts | None:
    """None where the architecture is another, or a variant that does more than reading one text both ways."""
    config = model.config
    read = _READERS.get(config.model_type)
    if read is None or getattr(config, "is_decoder", False) or getattr(config, "add_cross_attention", False):
        return None
    return read(model.base_model)


def _encoder(tables: nn.Module, layers: Iterable[LayerParts], *, padding_id: int | None = None) -> EncoderParts:
    """``tables``: the module of the embeddings, in which all of them use the same names."""
    return EncoderParts(
        words=tables.word_embeddings,
        positions=tables.position_embeddings,
        types=getattr(tables, "token_type_embeddings", None),
        norm=tables.LayerNorm,
        dropout=tables.dropout,
        layers=tuple(layers),
        padding_id=padding_id,
    )


def _bert(bert: nn.Module) -> EncoderParts:
    return _encoder(bert.embeddings, map(_bert_layer, bert.encoder.layer))


def _roberta(roberta: nn.Module) -> EncoderParts:
    tables = roberta.embeddings
    return _encoder(tables, map(_bert_layer, roberta.encoder.layer), padding_id=tables.padding_idx)


def _distilbert(distilbert: nn.Module) -> EncoderParts:
    return _encoder(distilbert.embeddings, map(_distilbert_layer, distilbert.transformer.layer))


def _bert_layer(layer: nn.Module) -> LayerParts:
    attention, mixed, narrow = layer.attention.self, layer.attention.output, layer.output
    return LayerParts(
        heads=attention.num_attention_heads,
        query=attention.query,
        key=attention.key,
        value=attention.value,
        attention_dropout=attention.dropout,
        mixed=mixed.dense,
        mixed_dropout=mixed.dropout,
        mixed_norm=mixed.LayerNorm,
        wide=layer.intermediate.dense,
        activation=layer.intermediate.intermediate_act_fn,
        narrow=narrow.dense,
        narrow_dropout=narrow.dropout,
        narrow_norm=narrow.LayerNorm,
    )


def _distilbert_layer(layer: nn.Module) -> LayerParts:
    attention, alone = layer.attention, layer.ffn
    return LayerParts(
        heads=attention.n_heads,
        query=attention.q_lin,
        key=attention.k_lin,
        value=attention.v_lin,
        attention_dropout=attention.dropout,
        mixed=attention.out_lin,
        mixed_dropout=None,
        mixed_norm=layer.sa_layer_norm,
        wide=alone.lin1,
        activation=alone.activation,
        narrow=alone.lin2,
        narrow_dropout=alone.dropout,
        narrow_norm=layer.output_layer_norm,
    )


_READERS: dict[str, Callable[[nn.Module], EncoderParts]] = {
    "bert": _bert,
    "distilbert": _distilbert,
    "roberta": _roberta,
    "xlm-roberta": _roberta,
    "camembert": _roberta,
}
