"""Score a model on rows whose masks were drawn once: loss and perplexity over all targets, top-1 and top-5 over the
hidden ones.

The masks depend on the seed and the row alone, so any two models, or the same one at two times, answer exactly the same
questions, however the rows are batched. Knows no training.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..errors import ModelError
from ..inference.log_probs import ranks_of
from ..models.devices import autocast, on_its_way
from ..models.masked_lm import MaskedLM, evaluating
from ..settings import MaskingConfig
from .batching import TokenizedTexts, collate, of_equal_length, plan_batches, tokenize_all
from .events import Evaluated, Progress
from .masking import IGNORED, Stream, mask_generator, mask_tokens

TOKENS_AT_ONCE = 4096  # padded tokens in one forward pass: bounds the memory
# 15% single pieces, 80/10/10, whatever a run trains with, whole words too: so that all runs can be compared
STANDARD_MASKS = MaskingConfig()


@dataclass(frozen=True)
class FixedMasks:
    """Rows as the model reads them, and the label of every token; both flat, cut by the same offsets."""

    texts: TokenizedTexts
    labels: NDArray[np.int64]  # (total tokens,), IGNORED off the targets

    def records(self) -> Iterator[dict[str, list[int]]]:
        """One object a row: ``{"input_ids": [...], "labels": [...]}``, enough for anyone to recompute every figure."""
        offsets = self.texts.offsets
        for row in range(len(self.texts)):
            labels = self.labels[offsets[row] : offsets[row + 1]]
            yield {"input_ids": self.texts.row(row).tolist(), "labels": labels.tolist()}


@dataclass(frozen=True)
class Quality:
    """How well a model predicts, over ``targets`` targets of which ``hidden`` show [MASK]; NaN where there are none.

    The loss is the mean over all targets, comparable with the training loss. The shares of right first guesses and of
    answers among the first five are over the hidden ones alone: a target that was left as it is gives its answer away.
    """

    loss: float  # nats per target
    perplexity: float  # exp(loss)
    top1: float
    top5: float
    targets: int
    hidden: int


@dataclass(frozen=True)
class TargetScores:
    """What the model made of every target, in batch order: five arrays (M,)."""

    rows: NDArray[np.int64]  # which row each target stands in
    answers: NDArray[np.int64]  # the token ids to be predicted
    losses: NDArray[np.float64]  # -log p(answer), nats
    ranks: NDArray[np.int64]  # 1 = the first guess
    hidden: NDArray[np.bool_]  # where the model read [MASK]; the other targets showed it a token, right or random

    def quality(self) -> Quality:
        loss = float(self.losses.mean()) if len(self.losses) else math.nan
        ranks = self.ranks[self.hidden]
        top1, top5 = (float((ranks <= best).mean()) if len(ranks) else math.nan for best in (1, 5))
        return Quality(loss, math.exp(min(loss, 700.0)), top1, top5, len(self.losses), len(ranks))  # exp(710) overflows

    def evaluated(self, step: int, *, kind: type[Evaluated] = Evaluated) -> Evaluated:
        return kind(step, **vars(self.quality()))


def fix_masks(masked_lm: MaskedLM, texts: TokenizedTexts, *, seed: int) -> FixedMasks:
    """Draw every row's masks once, from the seed and the row's place alone."""
    token_ids = np.array(texts.token_ids, dtype=np.int64)
    labels = np.full(len(token_ids), IGNORED, dtype=np.int64)
    for row in range(len(texts)):
        start, end = texts.offsets[row], texts.offsets[row + 1]
        ids = torch.from_numpy(token_ids[start:end][None])
        masked = mask_tokens(
            ids,
            masked_lm.selectable(ids),
            config=STANDARD_MASKS,
            mask_token_id=masked_lm.mask_token_id,
            vocabulary_size=len(masked_lm.tokenizer),
            generator=mask_generator(seed, Stream.HELD_OUT, row),
        )
        token_ids[start:end], labels[start:end] = masked.token_ids[0].numpy(), masked.labels[0].numpy()
    return FixedMasks(replace(texts, token_ids=token_ids), labels)


def tokenize_and_fix(masked_lm: MaskedLM, texts: Sequence[str], *, max_length: int, seed: int) -> FixedMasks:
    """Texts -> rows with fixed masks, cut at ``max_length`` tokens."""
    tokenized = tokenize_all(masked_lm.tokenizer, texts, max_length=max_length)
    return fix_masks(masked_lm, tokenized, seed=seed)


@torch.no_grad()
def score_targets(
    masked_lm: MaskedLM, fixed: FixedMasks, *, precision: str, phase: str = "evaluating"
) -> Iterator[Progress | TargetScores]:
    """Score all targets, grouped by length; yields signs of life, and last the scores.

    Only the targets' logits are computed. The model's mode (train or eval) is left as it was found.

    Raises ModelError where a probability is not a number: such a model has no figures.
    """
    texts, precision = fixed.texts, masked_lm.usable_precision(precision)
    rows_at_once = max(1, TOKENS_AT_ONCE // max(1, int(texts.lengths.mean()) if len(texts) else 1))
    batches = plan_batches(texts.lengths, batch_size=rows_at_once, rng=None)
    if masked_lm.depends_on_padding:
        batches = [rows for batch in batches for rows in of_equal_length(batch, texts.lengths)]
    parts: list[tuple[NDArray[Any], ...]] = []
    done = 0
    with evaluating(masked_lm.model):
        for rows in batches:
            parts.append(_score_batch(masked_lm, fixed, rows, precision=precision))
            if np.isnan(parts[-1][2]).any():
                raise ModelError(
                    f"The model {masked_lm.ref.label!r} gives probabilities that are not numbers (NaN), so there is"
                    " nothing to report; its weights are damaged or have diverged, so choose another or train anew"
                    " with a smaller learning rate."
                )
            done += len(rows)
            yield Progress(phase, done, len(texts))
    empty = tuple(np.zeros(0, dtype) for dtype in (np.int64, np.int64, np.float64, np.int64, np.bool_))
    yield TargetScores(*(np.concatenate(column) for column in zip(empty, *parts, strict=True)))


def score_all(masked_lm: MaskedLM, fixed: FixedMasks, *, precision: str) -> TargetScores:
    """``score_targets`` in one go, where nobody waits for signs of life."""
    *_, scores = score_targets(masked_lm, fixed, precision=precision)
    assert isinstance(scores, TargetScores)  # what comes last is the result
    return scores


def _score_batch(
    masked_lm: MaskedLM, fixed: FixedMasks, rows: NDArray[np.int64], *, precision: str
) -> tuple[NDArray[Any], ...]:
    """The five columns of ``TargetScores`` for these rows."""
    batch = collate(fixed.texts, rows, pad_token_id=masked_lm.pad_token_id)
    labels = collate(TokenizedTexts(fixed.labels, fixed.texts.offsets), rows, pad_token_id=IGNORED).token_ids
    positions = (labels.flatten() != IGNORED).nonzero()[:, 0]
    answers = labels.flatten()[positions]
    hidden = batch.token_ids.flatten()[positions] == masked_lm.mask_token_id
    device = masked_lm.device
    losses, ranks, done = np.zeros(len(answers)), np.zeros(len(answers), np.int64), 0
    with autocast(device, precision):
        token_ids = on_its_way(batch.token_ids, device)
        for part in masked_lm.logits_in_parts(token_ids, batch.attention_mask, positions=positions):
            logits, own = part.float(), answers[done : done + len(part)].to(device)  # (m, V), (m,) of the M targets
            losses[done : done + len(own)] = nn.functional.cross_entropy(logits, own, reduction="none").cpu().numpy()
            ranks[done : done + len(own)] = ranks_of(logits, own).cpu().numpy()
            done += len(own)
    row_of_target = torch.from_numpy(rows)[positions // labels.shape[1]]
    return row_of_target.numpy(), answers.numpy(), losses, ranks, hidden.numpy()
