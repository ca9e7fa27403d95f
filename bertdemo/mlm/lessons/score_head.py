"""Fine-tuning for a label, at its smallest: the encoder frozen, a linear head that tells high scores from low ones.

The head reads the mean of the encoder's last hidden states. Fitted before and after the encoder was tuned as a masked
language model on the training texts, on the same rows, tested on the same others. Knows no page.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from os import PathLike

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import DataError
from ..models.masked_lm import MaskedLM, evaluating
from ..settings import TrainingConfig
from ..training.batching import TrainingTexts, collate, plan_batches, tokenize_all
from ..training.events import Progress, StepDone
from ..training.loop import TrainingSession

HIGH = 0.7  # of the highest score that can be given
TESTED_SHARE = 1 / 3
TUNING = TrainingConfig(
    epochs=100, learning_rate=5e-4, max_length=96, long_texts="cut", max_steps=32, evaluate_epochs=False
)
READ_TOKENS = 256  # of each review, by the head: nearly all of them whole
WEIGHT_PENALTY = 0.1  # of the head, as in ridge regression: it has about as many weights as there are rows
ROWS_AT_ONCE = 32


@dataclass(frozen=True)
class ScoredReview:
    text: str
    high: bool


@dataclass(frozen=True)
class HeadScores:
    """Shares of test rows that were told right, and how many only one of the two encoders told right."""

    train_rows: int
    test_rows: int
    majority: float  # by always naming the commoner answer of the training rows
    before: float
    after: float
    only_before: int
    only_after: int


def read_scored_reviews(path: str | PathLike[str]) -> list[ScoredReview]:
    """Rows of a CSV with the columns ``review``, ``score`` and ``max_score``; 7 of 10 and more counts as high.

    Raises DataError where the columns are missing or hold no numbers.
    """
    with open(path, encoding="utf-8", newline="") as file:
        try:
            return [
                ScoredReview(row["review"], float(row["score"]) / float(row["max_score"]) >= HIGH)
                for row in csv.DictReader(file)
            ]
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as exc:
            raise DataError("The scores cannot be read; columns review, score and max_score are needed.") from exc


def run_score_head(
    reviews: Sequence[ScoredReview], *, new_model: Callable[[], MaskedLM], tuning: TrainingConfig = TUNING
) -> Generator[Progress, None, HeadScores]:
    """Fit and test the head, tune the encoder on the training texts without their scores, fit and test again.

    Yields the tuning steps done. The split depends on the seed of ``tuning`` alone.
    """
    order = np.random.default_rng(tuning.seed).permutation(len(reviews))
    tested = round(len(reviews) * TESTED_SHARE)
    test, train = ([reviews[index] for index in part] for part in (order[:tested], order[tested:]))
    masked_lm = new_model()
    before = _told_right(masked_lm, train, test)
    session = TrainingSession(masked_lm, TrainingTexts([review.text for review in train]), tuning)
    for event in session.events():
        if isinstance(event, StepDone):
            yield Progress("training", event.step, tuning.max_steps or event.step)
    after = _told_right(masked_lm, train, test)
    common = sum(review.high for review in train) * 2 >= len(train)
    return HeadScores(
        train_rows=len(train),
        test_rows=len(test),
        majority=sum(review.high == common for review in test) / len(test),
        before=float(before.float().mean()),
        after=float(after.float().mean()),
        only_before=int((before & ~after).sum()),
        only_after=int((after & ~before).sum()),
    )


def _told_right(masked_lm: MaskedLM, train: Sequence[ScoredReview], test: Sequence[ScoredReview]) -> Tensor:
    """Fit the head on the training rows -> (test rows,) bool."""
    max_length = min(READ_TOKENS, masked_lm.max_length)
    seen, unseen = (
        text_features(masked_lm, [review.text for review in part], max_length=max_length) for part in (train, test)
    )
    spread, middle = torch.std_mean(seen, dim=0)
    highs = [torch.tensor([float(review.high) for review in part]) for part in (train, test)]
    head = fit_head((seen - middle) / spread, highs[0])
    return (head((unseen - middle) / spread)[:, 0] > 0) == (highs[1] > 0)


def text_features(masked_lm: MaskedLM, texts: Sequence[str], *, max_length: int) -> Tensor:
    """N texts -> (N, H): the mean over each text's tokens of the encoder's last hidden states; nothing is trained."""
    tokenized = tokenize_all(masked_lm.tokenizer, texts, max_length=max_length)
    features = torch.zeros(len(texts), masked_lm.model.config.hidden_size)
    with evaluating(masked_lm.model), torch.inference_mode():
        for rows in plan_batches(tokenized.lengths, batch_size=ROWS_AT_ONCE, rng=None):
            batch = collate(tokenized, rows, pad_token_id=masked_lm.pad_token_id)
            real = torch.ones_like(batch.token_ids) if batch.attention_mask is None else batch.attention_mask
            real = real.to(masked_lm.device)
            hidden = masked_lm.hidden_states(batch.token_ids.to(masked_lm.device), real).float()  # (B, T, H)
            mean = (hidden * real[..., None]).sum(dim=1) / real.sum(dim=1, keepdim=True)
            features[torch.from_numpy(rows)] = mean.cpu()
    return features.clone()  # outside inference mode: the head is fitted on it


def fit_head(features: Tensor, high: Tensor) -> nn.Linear:
    """Logistic regression with a penalty on the weights: features (N, H), high (N,) of 0 and 1 -> Linear(H, 1)."""
    head = nn.Linear(features.shape[1], 1)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        surprise = nn.functional.binary_cross_entropy_with_logits(head(features)[:, 0], high)
        total = surprise + WEIGHT_PENALTY / 2 * head.weight.square().sum()
        total.backward()
        return total

    optimizer.step(loss)
    return head.requires_grad_(False)
