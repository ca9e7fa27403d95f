"""The one table of architectures: where each keeps its encoder's parts and its head, and how many tokens it reads.

The table lists only the kinds that bertdemo computes itself (``encoder``) or whose layers can be read one by one. All
else is asked of the modules: positions that begin behind the padding's index, a head that is proven against the
library's own logits, code whose result depends on padding. Knows no tokenizer and no text.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu
from transformers import PreTrainedModel

from .devices import is_out_of_memory, linear

Head: TypeAlias = Callable[[Tensor], Tensor]  # hidden states (..., H) -> logits (..., V)
Parts: TypeAlias = Any  # a module whose parts are asked for by the library's names: torch knows no type for any of them

# What the library's code may raise where an architecture cannot do what it is asked; out of memory is told apart.
LIBRARY_FAULTS = (RuntimeError, ValueError, IndexError, TypeError, AttributeError, NotImplementedError, AssertionError)
PROOF_TOLERANCE = 1e-4  # of logits, between a head on its own and the library's whole forward pass


@dataclass(frozen=True)
class LayerParts:
    """One layer: attention, then what is done with each token alone, each added to what came in and normalised.

    The names are BERT's: ``attention_output`` is ``attention.output``, and so on.
    """

    heads: int
    query: nn.Linear
    key: nn.Linear
    value: nn.Linear
    attention_dropout: nn.Dropout
    attention_output: nn.Linear
    attention_output_dropout: nn.Dropout | None
    attention_norm: nn.LayerNorm
    intermediate: nn.Linear
    activation: Callable[[Tensor], Tensor]
    output: nn.Linear
    output_dropout: nn.Dropout
    output_norm: nn.LayerNorm


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


@dataclass(frozen=True)
class Architecture:
    """A row of the table. ``layers``: those of a base model of BERT's build, or None where the library runs it."""

    head: Callable[[Parts], Head]
    layers: Callable[[Parts], Iterable[LayerParts]] | None = None


def architecture(model: PreTrainedModel) -> Architecture | None:
    """The model's row in the table, or None."""
    return _TABLE.get(model.config.model_type)


def encoder_parts(model: PreTrainedModel) -> EncoderParts | None:
    """None where the architecture is another, or a variant that does more than reading one text both ways."""
    config, row = model.config, architecture(model)
    if row is None or row.layers is None:
        return None
    if getattr(config, "is_decoder", False) or getattr(config, "add_cross_attention", False):
        return None
    tables: Parts = model.base_model.embeddings
    return EncoderParts(
        words=tables.word_embeddings,
        positions=tables.position_embeddings,
        types=getattr(tables, "token_type_embeddings", None),
        norm=tables.LayerNorm,
        dropout=tables.dropout,
        layers=tuple(row.layers(model.base_model)),
        padding_id=tables.position_embeddings.padding_idx,
    )


def mlm_head(model: PreTrainedModel) -> Head | None:
    """The head on its own, so that logits are computed only where they are wanted; None where it cannot be told apart.

    What the table does not list is proven: the modules beside the encoder, one after the other, must turn its last
    hidden states into the very logits of the library's forward pass.
    """
    row = architecture(model)
    if row is not None:
        return row.head(model)
    head = _modules_beside_the_encoder(model)
    return head if _gives_the_logits(model, head) else None


def final_norm(model: PreTrainedModel) -> Head | None:
    """What the encoder still applies after its last layer, if anything: ModernBERT normalises only there."""
    return getattr(model.base_model, "final_norm", None)


def max_positions(model: PreTrainedModel) -> int | None:
    """How many tokens the positions are enough for, special ones included; None where nothing limits them.

    RoBERTa and its relatives count from behind the padding's index (``create_position_ids_from_input_ids`` in
    transformers), so that many rows of the table are never a token's: their tables say so by a ``padding_idx``.
    """
    limits: list[int] = [getattr(model.config, "max_position_embeddings", None) or 0]
    modules: Iterable[tuple[str, Parts]] = model.named_modules()
    for name, module in modules:
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            limits.append(len(module.weight) - module.padding_idx - 1)
    return min((limit for limit in limits if limit > 0), default=None)


def depends_on_padding(model: PreTrainedModel) -> bool:
    """Whether a row's result may change with the padding behind it, as FNet's, Funnel's or YOSO's does.

    Code that hands its attention to the library's common interface hides padding by a mask. Older code may do anything
    (convolve over it, hash it, cut it into blocks), so it is not trusted. ``_supports_sdpa`` is private to
    transformers: were it renamed, rows would be batched by equal length everywhere, which is slower and as right.
    """
    return encoder_parts(model) is None and not getattr(model, "_supports_sdpa", False)


def untouched(model: PreTrainedModel) -> PreTrainedModel:
    """The model, or a twin where its code changes itself when it reads.

    BigBird's first short text switches all of its attention from blocks to full, for good: later texts, and those that
    other threads are reading, would be computed in another way.
    """
    return weight_sharing_twin(model) if hasattr(model.base_model, "set_attention_type") else model


def weight_sharing_twin(model: PreTrainedModel) -> PreTrainedModel:
    """A second model object on the same tensors: a few milliseconds, and no copy of any weight."""
    tensors = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())}
    return copy.deepcopy(model, tensors)


def _modules_beside_the_encoder(model: PreTrainedModel) -> Head:
    vocabulary_size = model.config.vocab_size

    def head(hidden: Tensor) -> Tensor:
        for module in model.children():
            if module is model.base_model:
                continue
            result = module(hidden)
            hidden = result[0] if isinstance(result, tuple) else result
            if hidden.shape[-1] == vocabulary_size:
                break  # what follows is for other tasks, such as LUKE's entities
        return hidden

    return head


@torch.no_grad()
def _gives_the_logits(model: PreTrainedModel, head: Head) -> bool:
    padding = getattr(model.config, "pad_token_id", None)
    known = [token_id for token_id in range(min(5, model.config.vocab_size)) if token_id != padding]
    token_ids = torch.tensor([known], device=model.device)  # (1, T)
    was_training = model.training
    model.eval()
    try:
        reader = untouched(model)
        expected = reader(token_ids).logits
        found = head(reader.base_model(token_ids)[0])
        return found.shape == expected.shape and torch.allclose(
            found, expected, atol=PROOF_TOLERANCE, rtol=PROOF_TOLERANCE
        )
    except LIBRARY_FAULTS as error:
        if is_out_of_memory(error):
            raise
        return False
    finally:
        if was_training:
            model.train()


def _bert_head(model: Parts) -> Head:
    predictions = model.cls.predictions

    def head(hidden: Tensor) -> Tensor:
        transform = predictions.transform
        hidden = transform.LayerNorm(transform.transform_act_fn(linear(hidden, transform.dense)))
        return linear(hidden, predictions.decoder)

    return head


def _roberta_head(model: Parts) -> Head:
    parts = model.lm_head

    def head(hidden: Tensor) -> Tensor:
        return linear(parts.layer_norm(gelu(linear(hidden, parts.dense))), parts.decoder)

    return head


def _distilbert_head(model: Parts) -> Head:
    def head(hidden: Tensor) -> Tensor:
        hidden = model.vocab_layer_norm(model.activation(linear(hidden, model.vocab_transform)))
        return linear(hidden, model.vocab_projector)

    return head


def _modernbert_head(model: Parts) -> Head:
    return lambda hidden: model.decoder(model.head(hidden))


def _bert_layers(bert: Parts) -> Iterator[LayerParts]:
    for layer in bert.encoder.layer:
        attention = layer.attention.self
        yield LayerParts(
            heads=attention.num_attention_heads,
            query=attention.query,
            key=attention.key,
            value=attention.value,
            attention_dropout=attention.dropout,
            attention_output=layer.attention.output.dense,
            attention_output_dropout=layer.attention.output.dropout,
            attention_norm=layer.attention.output.LayerNorm,
            intermediate=layer.intermediate.dense,
            activation=layer.intermediate.intermediate_act_fn,
            output=layer.output.dense,
            output_dropout=layer.output.dropout,
            output_norm=layer.output.LayerNorm,
        )


def _distilbert_layers(distilbert: Parts) -> Iterator[LayerParts]:
    for layer in distilbert.transformer.layer:
        attention = layer.attention
        yield LayerParts(
            heads=attention.n_heads,
            query=attention.q_lin,
            key=attention.k_lin,
            value=attention.v_lin,
            attention_dropout=attention.dropout,
            attention_output=attention.out_lin,
            attention_output_dropout=None,
            attention_norm=layer.sa_layer_norm,
            intermediate=layer.ffn.lin1,
            activation=layer.ffn.activation,
            output=layer.ffn.lin2,
            output_dropout=layer.ffn.dropout,
            output_norm=layer.output_layer_norm,
        )


_TABLE = {
    "bert": Architecture(_bert_head, _bert_layers),
    "roberta": Architecture(_roberta_head, _bert_layers),
    "xlm-roberta": Architecture(_roberta_head, _bert_layers),
    "camembert": Architecture(_roberta_head, _bert_layers),
    "distilbert": Architecture(_distilbert_head, _distilbert_layers),
    "modernbert": Architecture(_modernbert_head),
}
