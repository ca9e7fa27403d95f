"""Choose tokens and corrupt them, as BERT is trained: 15% become targets, of which 80/10/10.

Works on tensors of token ids alone; knows no tokenizer, no model and no text. Everything that masks in
this project (training, pretraining, evaluation, the drawings in lessons) calls ``mask_tokens``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import torch
from torch import Tensor

from ..settings import MaskingConfig

IGNORED = -100  # the label of a position that is not scored, as in torch.nn.functional.cross_entropy


@dataclass(frozen=True)
class MaskedTokens:
    """What the model reads and what it is scored on: both (B, T); labels are ``IGNORED`` off the targets."""

    token_ids: Tensor
    labels: Tensor


class Stream(IntEnum):
    """What a random key is for: the number behind the seed, so that no two uses of a seed meet."""

    MASKS = 1
    ORDER = 2
    HELD_OUT = 3
    DROPOUT = 4
    MASKS_ONCE = 5
    REPLAY = 6


def mask_generator(*key: int) -> torch.Generator:
    """A random generator that a key alone decides: ``mask_generator(seed, step)`` gives the same masks every time.

    So a resumed run needs no stored random state, and a drawing of the first batch is the first batch.
    """
    # SeedSequence pads a key of fewer than four words with zeros, so (7,) and (7, 0) are one key. No two uses meet all
    # the same: behind the seed stands a ``Stream``, never 0, and each stream's keys have one length. (A seed of 2**32
    # and more takes two words; such a seed may meet another one's stream, which only repeats some masks.)
    state = np.random.SeedSequence(key).generate_state(1, dtype=np.uint64)
    return torch.Generator().manual_seed(int(state[0]) >> 1)  # 63 bits: ``initial_seed`` fits a signed integer


def choose_targets(
    selectable: Tensor, *, rate: float, generator: torch.Generator, words: Tensor | None = None
) -> Tensor:
    """Choose each eligible position with probability ``rate``, and at least one in every row that has any.

    selectable (B, T) bool -> chosen (B, T) bool, a subset. A coin per token alone would leave a five-token row
    without a target 44% of the time (0.85^5), and a batch without one has no loss.

    ``words`` (B, T) int64: where in the row the word of each position begins; then there is one coin a word, so that
    its pieces are chosen together. Each token's own probability is the same, and so is the expected share.
    """
    draws = torch.rand(selectable.shape, generator=generator, device=selectable.device)
    if words is None:
        words = torch.arange(selectable.shape[1], device=selectable.device).expand_as(selectable)
    draws = draws.gather(1, words).masked_fill(~selectable, 2.0)  # above any rate: never chosen
    chosen = draws < rate
    lowest = words.gather(1, draws.argmin(dim=1, keepdim=True))
    forced = (words == lowest) & ~chosen.any(dim=1, keepdim=True)
    return (chosen | forced) & selectable


def mask_tokens(
    token_ids: Tensor,
    selectable: Tensor,
    *,
    config: MaskingConfig,
    mask_token_id: int,
    vocabulary_size: int,
    generator: torch.Generator,
    words: Tensor | None = None,
) -> MaskedTokens:
    """Draw targets and corrupt them; nothing else changes. ``words``: as in ``choose_targets``.

    What becomes of a target is drawn for each token, in whole words too: so does BERT's whole-word release (its
    ``create_pretraining_data.py`` draws inside the loop over a word's pieces), and the shares stay those of tokens.

    token_ids (B, T) int64, selectable (B, T) bool (False at special and padding tokens) -> two (B, T) int64.
    Random replacements come from the whole vocabulary, as in the original BERT. The same generator state
    gives the same masks. Example, with one target drawn at "show" and turned into the mask token::

        [CLS] this show is fun [SEP]  ->  token_ids: [CLS] this [MASK] is fun [SEP]
                                          labels:    -100  -100 show  -100 -100 -100
    """
    chosen = choose_targets(selectable, rate=config.selection_rate, generator=generator, words=words)
    labels = token_ids.masked_fill(~chosen, IGNORED)
    draws = torch.rand(token_ids.shape, generator=generator, device=token_ids.device)
    random_ids = torch.randint(
        vocabulary_size, token_ids.shape, generator=generator, device=token_ids.device, dtype=token_ids.dtype
    )
    to_mask = chosen & (draws < config.mask_token_rate)
    to_random = chosen & (draws >= 1 - config.random_token_rate) & ~to_mask
    corrupted = token_ids.masked_fill(to_mask, mask_token_id).where(~to_random, random_ids)
    return MaskedTokens(corrupted, labels)
