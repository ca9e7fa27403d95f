"""What a model reads in every text of some templates: the log-probability of each word at each mask.

Also with the choices themselves hidden, to see what they add. Knows one model at a time, and compares nothing.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import TextError
from ..inference.log_probs import log_probabilities_at
from ..models.masked_lm import MaskedLM
from ..text.prompt import PreparedText, prepare_text
from .templates import Template


@dataclass(frozen=True)
class WordFigures:
    """One word in one model, second choice against first, over N observations (templates times masks)."""

    log2_ratios: tuple[float, ...]  # (N,) above 0: the second choice makes the word more probable
    probability_first: float  # mean over the observations
    probability_second: float
    lift_first: float | None = None  # mean log2 ratio against the same text with the choice hidden
    lift_second: float | None = None

    @property
    def mean(self) -> float:
        return statistics.fmean(self.log2_ratios)

    @property
    def spread(self) -> float | None:
        """Standard deviation over the observations; None for a single one."""
        return statistics.stdev(self.log2_ratios) if len(self.log2_ratios) > 1 else None


@dataclass(frozen=True)
class TemplateReadings:
    """One model: log-probabilities (choices, N, S) of every word in every text, and with the choice hidden or None."""

    scores: NDArray[np.float32]
    hidden: NDArray[np.float32] | None

    def figures(self, word: int, choice: int) -> WordFigures:
        pair = self.scores[[0, choice], :, word].astype(np.float64)  # (2, N)
        prior = None if self.hidden is None else self.hidden[[0, choice], :, word].astype(np.float64)
        lifts = pair if prior is None else pair - prior
        chances = np.exp(pair).mean(axis=1)
        means = [None, None] if prior is None else (lifts.mean(axis=1) / math.log(2)).tolist()
        return WordFigures(tuple(((lifts[1] - lifts[0]) / math.log(2)).tolist()), *chances.tolist(), *means)


def read_templates(
    masked_lm: MaskedLM, templates: list[Template], *, ids: NDArray[np.int64], prior: bool
) -> TemplateReadings:
    """Every text of every template, and with ``prior`` the same ones with their choices hidden."""
    texts = [[prepare_text(masked_lm, text) for text in template.texts()] for template in templates]
    for template, variants in zip(templates, texts, strict=True):
        if len({len(variant.mask_positions) for variant in variants}) > 1:
            raise TextError(f"A mask stands inside the braces with {template.labels[0]!r}; move it out of them.")
    choices = range(len(templates[0].labels))
    scores = [_scores(masked_lm, [variants[choice] for variants in texts], ids=ids) for choice in choices]
    if not prior:
        return TemplateReadings(np.stack(scores), None)
    hidden = [
        [
            _without_choice(masked_lm, template, row[choice], choice=choice)
            for template, row in zip(templates, texts, strict=True)
        ]
        for choice in choices
    ]
    return TemplateReadings(np.stack(scores), np.stack([_scores(masked_lm, row, ids=ids) for row in hidden]))


def _scores(masked_lm: MaskedLM, texts: Sequence[PreparedText], *, ids: NDArray[np.int64]) -> NDArray[np.float32]:
    """Log-probabilities (N, S) at every mask of every text."""
    rows = [log_probabilities_at(masked_lm, [text.token_ids], [text.mask_positions]).numpy()[:, ids] for text in texts]
    return np.concatenate(rows)


def _without_choice(masked_lm: MaskedLM, template: Template, text: PreparedText, *, choice: int) -> PreparedText:
    """The same text, and the same masks to read, with every piece of its choices hidden too.

    "The man worked as a [MASK]." -> "The [MASK] worked as a [MASK].", of which only the last is read.
    """
    mask = masked_lm.tokenizer.mask_token
    chosen = [group[choice] for group in template.groups]
    pieces = []
    for index in range(len(chosen)):
        one_mask = prepare_text(masked_lm, template.filled([*chosen[:index], mask, *chosen[index + 1 :]]))
        pieces.append(len(text.token_ids) - len(one_mask.token_ids) + 1)
    hidden = prepare_text(masked_lm, template.filled([" ".join([mask] * count) for count in pieces]))
    pairs = zip(hidden.token_ids, text.token_ids, strict=False)
    if len(hidden.token_ids) != len(text.token_ids) or any(a not in (b, masked_lm.mask_token_id) for a, b in pairs):
        raise TextError(f'The choice "{chosen[0]}" cannot be hidden by itself; put whole words into the braces.')
    return replace(hidden, mask_positions=text.mask_positions)
