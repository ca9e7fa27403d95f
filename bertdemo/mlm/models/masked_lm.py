"""A masked language model with its tokenizer: references to it, and what every other module may ask of it.

Knows no user text and no training. Loading and sharing live in ``registry``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from .encoders import Encoder, plain_encoder
from .heads import Head, mlm_head

UNLIMITED = 1_000_000  # tokenizers without a configured limit report about 1e30


@dataclass(frozen=True)
class ModelRef:
    """What is kept instead of weights: a label to show, and a source that the registry can load."""

    label: str
    source: str


@dataclass(frozen=True)
class MaskedLM:
    """A loaded model and its tokenizer. B texts, T tokens, H hidden size, V vocabulary."""

    ref: ModelRef
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase

    @cached_property
    def head(self) -> Head | None:
        return mlm_head(self.model)

    @cached_property
    def encoder(self) -> Encoder | None:
        return plain_encoder(self.model)

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def vocabulary_size(self) -> int:
        """V, the width of the logits; some checkpoints pad it beyond the tokenizer's words."""
        return self.model.config.vocab_size

    @cached_property
    def mask_token_id(self) -> int:
        return int(self.tokenizer.mask_token_id)

    @cached_property
    def pad_token_id(self) -> int:
        pad = self.tokenizer.pad_token_id
        return 0 if pad is None else int(pad)

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """Ids that are never a target: [CLS], [SEP], [PAD], [UNK], [MASK] and their like, wherever they came from."""
        return frozenset(int(token_id) for token_id in self.tokenizer.all_special_ids)

    @cached_property
    def frame(self) -> tuple[list[int], list[int]]:
        """The special tokens that the tokenizer puts before and after one text: [CLS] and [SEP]."""
        framed = self.tokenizer(self.tokenizer.mask_token)["input_ids"]
        place = framed.index(self.mask_token_id)
        return framed[:place], framed[place + 1 :]

    @cached_property
    def spaced_pieces(self) -> tuple[str, ...]:
        """The pieces of "a a", which show how the tokenizer writes a space; asked of it once."""
        return tuple(self.tokenizer.tokenize("a a"))

    @cached_property
    def max_length(self) -> int:
        """The most tokens that fit, special ones included: the smaller of what tokenizer and positions allow."""
        config = self.model.config
        positions = getattr(config, "max_position_embeddings", None) or UNLIMITED
        if config.model_type in ("roberta", "xlm-roberta", "camembert"):
            positions -= config.pad_token_id + 1  # their positions start behind the padding index
        return int(min(self.tokenizer.model_max_length, positions, UNLIMITED))

    def selectable(self, token_ids: Tensor) -> Tensor:
        """token_ids (...) -> bool (...): True where a token may become a target."""
        special = torch.tensor(sorted(self.special_ids), device=token_ids.device)
        return ~torch.isin(token_ids, special)

    def hidden_states(self, token_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        """token_ids (B, T), attention_mask (B, T) or None where nothing is padded -> last hidden states (B, T, H)."""
        everywhere = torch.arange(token_ids.numel(), device=token_ids.device)
        return self.hidden_at(token_ids, attention_mask, positions=everywhere).view(*token_ids.shape, -1)

    def hidden_at(self, token_ids: Tensor, attention_mask: Tensor | None, *, positions: Tensor) -> Tensor:
        """Last hidden states where they are wanted: positions (N,) index the flattened (B * T) -> (N, H)."""
        if self.encoder is not None:
            return self.encoder(token_ids, attention_mask, positions)
        hidden = self.model.base_model(token_ids, attention_mask=attention_mask)[0]
        return hidden.flatten(0, 1).index_select(0, positions)

    def logits_at(self, token_ids: Tensor, attention_mask: Tensor | None, *, positions: Tensor) -> Tensor:
        """Logits only where they are wanted: positions (N,) index the flattened (B * T) -> (N, V)."""
        if self.head is None:
            logits = self.model(token_ids, attention_mask=attention_mask).logits
            return logits.flatten(0, 1).index_select(0, positions)
        return self.head(self.hidden_at(token_ids, attention_mask, positions=positions))
