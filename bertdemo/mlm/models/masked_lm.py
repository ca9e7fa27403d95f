"""A masked language model with its tokenizer: references to it, and what every other module may ask of it.

Knows no user text and no training. Loading and sharing live in ``registry``.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..errors import ModelError
from .architectures import LIBRARY_FAULTS, Head, architecture, depends_on_padding, max_positions, mlm_head, untouched
from .devices import autocast, is_out_of_memory, on_its_way
from .encoder import Encoder, plain_encoder

UNLIMITED = 1_000_000  # tokenizers without a configured limit report about 1e30
CASED_SHARE = 0.02  # of a vocabulary: more capitals than the few that stray into a lower-cased one
MAX_LOGITS = 1 << 25  # in one tensor: 128 MiB in float32, whatever the vocabulary


@dataclass(frozen=True)
class ModelRef:
    """What is kept instead of weights: a label to show, and a source that the registry can load."""

    label: str
    source: str


def blend_source(base: str, tuned: str, share: float) -> str:
    """The source of a model between two others: their sources and the share of the second, as JSON."""
    return json.dumps({"base": base, "tuned": tuned, "share": share})


def read_blend(source: str) -> tuple[str, str, float] | None:
    """(base, tuned, share) from such a source; None for a folder or a hub id."""
    if not source.startswith("{"):
        return None
    try:
        parts = json.loads(source)
        return str(parts["base"]), str(parts["tuned"]), float(parts["share"])
    except (ValueError, KeyError, TypeError):  # from a record that was changed by hand
        return None


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """``eval()`` for the block; a model in training goes back to ``train()``, a shared one is never written to."""
    training = model.training
    if training:
        model.eval()
    try:
        yield
    finally:
        if training:
            model.train()


def special_frame(tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """The special tokens that a tokenizer puts before and after one text: [CLS] and [SEP]; none or several for some."""
    framed = tokenizer(tokenizer.mask_token)["input_ids"]
    place = framed.index(tokenizer.mask_token_id)
    return framed[:place], framed[place + 1 :]


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
    def has_readable_layers(self) -> bool:
        """Whether the head reads every layer's states as it reads the last one's, up to a final norm that is known."""
        return architecture(self.model) is not None

    @cached_property
    def depends_on_padding(self) -> bool:
        """Whether a row must be read alone, or with rows of its own length, to give what anyone can recompute."""
        return depends_on_padding(self.model)

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
        """The special tokens before and after one text."""
        return special_frame(self.tokenizer)

    @cached_property
    def spaced_pieces(self) -> tuple[str, ...]:
        """The pieces of "a a", which show how the tokenizer writes a space; asked of it once."""
        return tuple(self.tokenizer.tokenize("a a"))

    @cached_property
    def max_length(self) -> int:
        """The most tokens that fit, special ones included: the smaller of what tokenizer and positions allow."""
        return int(min(self.tokenizer.model_max_length, max_positions(self.model) or UNLIMITED, UNLIMITED))

    @cached_property
    def is_uncased(self) -> bool:
        """Whether the tokenizer lower-cases every text."""
        normalizer = getattr(getattr(self.tokenizer, "backend_tokenizer", None), "normalizer", None)
        return normalizer is not None and normalizer.normalize_str("A") == "a"

    @property
    def notes(self) -> tuple[str, ...]:
        """What must be known of its answers, a sentence each: that they are extrapolated, or a tokenizer that is wrong.

        A cased checkpoint without its tokenizer's settings is read by one that lower-cases, the library's default.
        """
        return (*self._extrapolation, *self._unreachable)

    @property
    def _extrapolation(self) -> tuple[str, ...]:
        parts = read_blend(self.ref.source)
        if parts is None or 0 <= parts[2] <= 1:
            return ()
        return (f"{self.ref.label} lies outside the two models that it is made of: this is extrapolated, not learnt.",)

    @cached_property
    def _unreachable(self) -> tuple[str, ...]:
        if not self.is_uncased:
            return ()
        added = self.tokenizer.get_added_vocab()
        words = [piece for piece in self.tokenizer.get_vocab() if piece not in added]
        unreachable = sum(piece != piece.lower() for piece in words)
        if unreachable <= CASED_SHARE * len(words):
            return ()
        return (
            f"This model's tokenizer lower-cases every text, but {unreachable:,} of its {len(words):,} tokens have"
            ' capital letters, so they are never read; put "do_lower_case": false into its tokenizer_config.json.',
        )

    def usable_precision(self, wanted: str) -> str:
        """``wanted``, or "fp32" where the architecture's own code cannot compute in bf16; tried once."""
        return wanted if wanted == "fp32" or self._computes_bf16 else "fp32"

    @cached_property
    def _computes_bf16(self) -> bool:
        if self.encoder is not None:
            return True
        prefix, suffix = self.frame
        token_ids = torch.tensor([[*prefix, self.mask_token_id, *suffix]], device=self.device)
        try:
            with evaluating(self.model), torch.no_grad(), autocast(self.device, "bf16"):
                self.logits_at(token_ids, None, positions=torch.zeros(1, dtype=torch.int64, device=self.device))
        except ModelError:
            return False
        return True

    def selectable(self, token_ids: Tensor) -> Tensor:
        """token_ids (...) -> bool (...): True where a token may become a target."""
        special = torch.tensor(sorted(self.special_ids), device=token_ids.device)
        return ~torch.isin(token_ids, special)

    def hidden_states(self, token_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        """token_ids (B, T), attention_mask (B, T) or None where nothing is padded -> last hidden states (B, T, H)."""
        everywhere = torch.arange(token_ids.numel(), device=token_ids.device)
        return self.hidden_at(token_ids, attention_mask, positions=everywhere).view(*token_ids.shape, -1)

    def hidden_at(self, token_ids: Tensor, attention_mask: Tensor | None, *, positions: Tensor) -> Tensor:
        """Last hidden states where they are wanted: positions (N,) index the flattened (B * T) -> (N, H).

        A GPU is waited for unless the mask and the positions are on the CPU still.

        Raises:
            ModelError: the library's own code for this architecture cannot read such rows.
        """
        if self.encoder is not None:
            return self.encoder(token_ids, attention_mask, positions)
        hidden = self._by_the_library(token_ids, attention_mask, base=True)  # (B, T, H)
        return hidden.flatten(0, 1).index_select(0, on_its_way(positions, hidden.device))

    def logits_at(self, token_ids: Tensor, attention_mask: Tensor | None, *, positions: Tensor) -> Tensor:
        """Logits only where they are wanted: positions (N,) index the flattened (B * T) -> (N, V).

        Raises:
            ModelError: the library's own code for this architecture cannot read such rows.
        """
        if self.head is None:
            return self._picked_logits(token_ids, attention_mask, positions)
        return self.head(self.hidden_at(token_ids, attention_mask, positions=positions))

    def logits_in_parts(
        self, token_ids: Tensor, attention_mask: Tensor | None, *, positions: Tensor
    ) -> Iterator[Tensor]:
        """The same in parts (n, V), in order, of at most ``MAX_LOGITS`` numbers; the encoder runs once."""
        at_once = max(1, MAX_LOGITS // self.vocabulary_size)
        if self.head is None:
            yield from self._picked_logits(token_ids, attention_mask, positions).split(at_once)
            return
        for hidden in self.hidden_at(token_ids, attention_mask, positions=positions).split(at_once):
            yield self.head(hidden)

    def _picked_logits(self, token_ids: Tensor, attention_mask: Tensor | None, positions: Tensor) -> Tensor:
        """Where the head cannot be told apart: all logits of as many rows at a time as ``MAX_LOGITS`` allows."""
        batch, length = token_ids.shape
        rows = max(1, MAX_LOGITS // (length * self.vocabulary_size))
        positions = on_its_way(positions, token_ids.device)
        part_of = positions // (rows * length)  # (N,)
        picked = []
        for part, start in enumerate(range(0, batch, rows)):
            mask = None if attention_mask is None else attention_mask[start : start + rows]
            logits = self._by_the_library(token_ids[start : start + rows], mask, base=False).flatten(0, 1)
            picked.append(logits.index_select(0, positions[part_of == part] - start * length))
        return torch.cat(picked)[part_of.argsort(stable=True).argsort()]

    def _by_the_library(self, token_ids: Tensor, attention_mask: Tensor | None, *, base: bool) -> Tensor:
        """The first of what the base model or the whole one returns: hidden states (B, T, H) or logits (B, T, V)."""
        if attention_mask is not None:
            attention_mask = on_its_way(attention_mask, token_ids.device)
        with self.library_faults(token_ids.shape[1]):
            model = untouched(self.model)
            reader: nn.Module = model.base_model if base else model
            return reader(token_ids, attention_mask=attention_mask)[0]

    @contextmanager
    def library_faults(self, tokens: int) -> Iterator[None]:
        """Code of the transformers library that reads rows of so many tokens: what it raises becomes a ModelError."""
        try:
            yield
        except LIBRARY_FAULTS as error:
            if is_out_of_memory(error):
                raise
            said = textwrap.shorten(str(error), 120, placeholder="…") or type(error).__name__
            raise ModelError(
                f"The transformers library cannot run the {self.model.config.model_type} model {self.ref.label!r} on"
                f" {tokens} tokens ({said}); choose another model."
            ) from error
