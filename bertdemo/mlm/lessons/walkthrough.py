"""From a text to the loss, and through one optimiser step, with every number on the way.

Draws, computes the loss and steps by the code that trains (``BatchLoss``, ``Optimizers``), on one sentence. Knows no
page.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import TextError
from ..models.masked_lm import MaskedLM, evaluating
from ..settings import MaskingConfig, TrainingConfig
from ..text.tokens import readable_pieces
from ..training.batching import tokenize_all
from ..training.masking import IGNORED
from ..training.optimizer import Optimizers
from ..training.step import BatchLoss, MaskedBatch

MAX_TOKENS = 48  # tokens that are walked through; a longer text is cut
ONLY_MASKS = MaskingConfig(mask_token_rate=1.0, random_token_rate=0.0)  # every target becomes the mask token
BEST = 5


@dataclass(frozen=True)
class Guess:
    """A word of the vocabulary at one place."""

    token: str
    logit: float
    probability: float


@dataclass(frozen=True)
class TargetReading:
    """What the model makes of one target. ``log_total`` is the log of the sum of e^logit over the vocabulary, so
    ``probability`` = e^(logit - log_total) and ``loss`` = log_total - logit, in nats."""

    position: int
    answer: Guess
    rank: int  # of the answer, from 1
    best: tuple[Guess, ...]
    log_total: float
    loss: float


@dataclass(frozen=True)
class OptimiserStep:
    """One step of AdamW: how long the gradient was before clipping, and how far the weights moved."""

    learning_rate: float
    gradient_norm: float
    weights: int
    moved: int
    largest: float


@dataclass(frozen=True)
class Walkthrough:
    """T tokens of one text, special ones included. ``before`` and ``after`` the step: a reading a target."""

    pieces: tuple[str, ...]
    token_ids: tuple[int, ...]
    read_pieces: tuple[str, ...]
    read_ids: tuple[int, ...]
    labels: tuple[int, ...]
    vocabulary_size: int
    before: tuple[TargetReading, ...]
    loss: float  # as the training code computes it
    step: OptimiserStep
    after: tuple[TargetReading, ...]
    loss_after: float


def walk_through(trainable: MaskedLM, text: str, *, seed: int, learning_rate: float) -> Walkthrough:
    """Hide tokens of the text by chance, read the loss, take one step. Changes the model: give it a private copy.

    Raises:
        TextError: nothing that could be hidden, or masks in the text already.
    """
    config = TrainingConfig(
        learning_rate=learning_rate, masking=ONLY_MASKS, seed=seed, max_length=MAX_TOKENS, precision="fp32"
    )
    trainable.model.requires_grad_(True)
    drawer = BatchLoss(trainable, config, precision="fp32")
    drawn = _draw(trainable, drawer, text)
    before = _readings(trainable, drawn)
    with evaluating(trainable.model):  # dropout is off, as it is in a run
        loss, step = _step(trainable, drawer, drawn, config)
    after = _readings(trainable, drawn)
    read, labels = drawn.masked.token_ids[0].tolist(), drawn.masked.labels[0].tolist()
    ids = drawn.batch.token_ids[0].tolist()
    return Walkthrough(
        pieces=readable_pieces(trainable, ids),
        token_ids=tuple(ids),
        read_pieces=readable_pieces(trainable, read),
        read_ids=tuple(read),
        labels=tuple(labels),
        vocabulary_size=trainable.vocabulary_size,
        before=before,
        loss=loss,
        step=step,
        after=after,
        loss_after=sum(reading.loss for reading in after) / len(after),
    )


def _draw(masked_lm: MaskedLM, drawer: BatchLoss, text: str) -> MaskedBatch:
    if masked_lm.tokenizer.mask_token in text:
        raise TextError(
            f"Write the sentence without {masked_lm.tokenizer.mask_token}; here chance chooses what to hide."
        )
    tokenized = tokenize_all(masked_lm.tokenizer, [text], max_length=MAX_TOKENS)
    drawn = drawer.draw(tokenized, np.array([0]), epoch=0, index=0)
    if not drawn.targets:
        raise TextError("There is no word in the text that could be hidden; write a sentence.")
    return drawn


def _readings(masked_lm: MaskedLM, drawn: MaskedBatch) -> tuple[TargetReading, ...]:
    labels = drawn.masked.labels[0]
    positions = (labels != IGNORED).nonzero()[:, 0]
    device = masked_lm.device
    with evaluating(masked_lm.model), torch.inference_mode():
        logits = masked_lm.logits_at(drawn.masked.token_ids.to(device), None, positions=positions.to(device))
    logits = logits.float().cpu()  # (targets, V)
    return tuple(
        _reading(masked_lm, row, position, answer)
        for row, position, answer in zip(logits, positions.tolist(), labels[positions].tolist(), strict=True)
    )


def _reading(masked_lm: MaskedLM, logits: Tensor, position: int, answer: int) -> TargetReading:
    """logits (V,) at one target -> everything that is shown of it."""
    log_total = float(torch.logsumexp(logits, dim=0))
    chosen = [answer, *torch.topk(logits, min(BEST, len(logits))).indices.tolist()]
    values = logits[chosen]
    guesses = tuple(
        map(
            Guess,
            readable_pieces(masked_lm, chosen),
            values.tolist(),
            (values - log_total).exp().tolist(),
        )
    )
    rank = int((logits > logits[answer]).sum()) + 1
    return TargetReading(position, guesses[0], rank, guesses[1:], log_total, log_total - guesses[0].logit)


def _step(
    masked_lm: MaskedLM, drawer: BatchLoss, drawn: MaskedBatch, config: TrainingConfig
) -> tuple[float, OptimiserStep]:
    parameters = list(masked_lm.model.parameters())
    optimizers = Optimizers(masked_lm.model, config)
    backward, loss = drawer.backward(drawn), 0.0
    try:
        while True:
            next(backward)
    except StopIteration as ended:
        loss = ended.value
    norm = float(optimizers.clip())
    old = [parameter.detach().clone() for parameter in parameters]
    optimizers.step(config.learning_rate)
    changes = [(new.detach() - was).abs() for new, was in zip(parameters, old, strict=True)]
    return loss, OptimiserStep(
        learning_rate=config.learning_rate,
        gradient_norm=norm,
        weights=sum(change.numel() for change in changes),
        moved=sum(int((change > 0).sum()) for change in changes),
        largest=max(float(change.max()) for change in changes),
    )
