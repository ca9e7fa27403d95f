"""What to say before a run starts: settings that are legal but unusual, texts that the vocabulary cannot write.

Knows no page and starts nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..models.masked_lm import MaskedLM
from ..settings import TrainingConfig
from .batching import TokenizedTexts

HIGH_RATE_FACTOR = 5  # this many times a model's own learning rate and beyond, training often falls apart
FEW_ROWS, MANY_EPOCHS = 200, 20
MANY_UNKNOWN = 0.05
_COUNTED_TOKENS = 1_000_000


def unknown_share(masked_lm: MaskedLM, texts: TokenizedTexts) -> float:
    """The share of [UNK] among the first million tokens, special ones not counted: 0 to 1.

    0 for a vocabulary without [UNK], which writes every text in bytes or single characters.
    """
    token_ids, unknown = texts.token_ids[:_COUNTED_TOKENS], masked_lm.tokenizer.unk_token_id
    if unknown is None:
        return 0.0
    special = np.isin(token_ids, sorted(masked_lm.special_ids - {unknown}))
    return int((token_ids == unknown).sum()) / max(1, int((~special).sum()))


def unknown_tokens(masked_lm: MaskedLM, texts: TokenizedTexts) -> Iterator[str]:
    """One sentence where so many tokens are [UNK] that the model would learn to predict that."""
    share = unknown_share(masked_lm, texts)
    if share >= MANY_UNKNOWN:
        yield (
            f"{share:.0%} of the tokens are {masked_lm.tokenizer.unk_token}: the vocabulary of {masked_lm.ref.label!r}"
            " cannot write these texts; choose a multilingual model, such as"
            " google-bert/bert-base-multilingual-cased or FacebookAI/xlm-roberta-base."
        )


def unusual_settings(config: TrainingConfig, *, train_rows: int, default_learning_rate: float) -> Iterator[str]:
    """One sentence for each setting that will probably disappoint; none is forbidden."""
    rate = config.learning_rate
    if rate == 0:
        yield "The learning rate is 0, so nothing will be learned; good for checking that nothing moves."
    elif rate > HIGH_RATE_FACTOR * default_learning_rate:
        yield (
            f"The learning rate {rate:g} is far above {default_learning_rate:g}, which suits this model;"
            " the loss may rise instead of fall."
        )
    if config.epochs > MANY_EPOCHS and train_rows < FEW_ROWS:
        yield (
            f"{config.epochs} epochs on {train_rows} rows: the model will learn these rows by heart;"
            " watch whether the held-out loss rises."
        )
    if not 0.05 <= config.masking.selection_rate <= 0.5:
        yield (
            f"A mask rate of {config.masking.selection_rate:.0%} is unusual;"
            " between 5% and 50% works, and 15% is usual."
        )
    if config.batch_size > train_rows:
        yield f"The batch size {config.batch_size} is more than the {train_rows} rows, so every epoch is a single step."
