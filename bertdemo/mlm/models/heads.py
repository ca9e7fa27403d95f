"""The MLM head of each architecture on its own, so that logits are computed only where they are wanted.

A head takes hidden states (..., H) to logits (..., V). Knows no tokenizer and no text. An architecture that is not
listed still works: its whole forward pass is run and the wanted positions are picked afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor, nn
from torch.nn.functional import gelu

from .products import dense

Head: TypeAlias = Callable[[Tensor], Tensor]


def mlm_head(model: nn.Module) -> Head | None:
    """The head that turns the encoder's last hidden states into logits; None where the architecture is unknown."""
    build = _HEADS.get(model.config.model_type)
    return build(model) if build is not None else None


def final_norm(model: nn.Module) -> Head | None:
    """What the encoder still applies after its last layer, if anything: ModernBERT normalises only there."""
    return getattr(model.base_model, "final_norm", None)


def _bert_head(model: nn.Module) -> Head:
    predictions = model.cls.predictions

    def head(hidden: Tensor) -> Tensor:
        transform = predictions.transform
        hidden = transform.LayerNorm(transform.transform_act_fn(dense(hidden, transform.dense)))
        return dense(hidden, predictions.decoder)

    return head


def _roberta_head(model: nn.Module) -> Head:
    parts = model.lm_head

    def head(hidden: Tensor) -> Tensor:
        return dense(parts.layer_norm(gelu(dense(hidden, parts.dense))), parts.decoder)

    return head


def _distilbert_head(model: nn.Module) -> Head:
    def head(hidden: Tensor) -> Tensor:
        hidden = model.vocab_layer_norm(model.activation(dense(hidden, model.vocab_transform)))
        return dense(hidden, model.vocab_projector)

    return head


def _modernbert_head(model: nn.Module) -> Head:
    return lambda hidden: model.decoder(model.head(hidden))


_HEADS: dict[str, Callable[[nn.Module], Head]] = {
    "bert": _bert_head,
    "distilbert": _distilbert_head,
    "roberta": _roberta_head,
    "xlm-roberta": _roberta_head,
    "camembert": _roberta_head,
    "modernbert": _modernbert_head,
}
