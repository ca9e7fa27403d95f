"""What to say before a run starts: settings that are legal but unusual. Knows no page and starts nothing."""

from __future__ import annotations

from collections.abc import Iterator

from ..settings import TrainingConfig

HIGH_RATE_FACTOR = 5  # this many times a model's own learning rate and beyond, training often falls apart
FEW_ROWS, MANY_EPOCHS = 200, 20


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
