"""Several masks filled one after the other, each given what was filled before; with one mask it is plain fill-mask.

Masks filled by themselves may contradict each other ("Los" beside "York"); filled in order they agree. The summed log
score depends on the order: it is no probability of the text. Knows no chart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

from ..errors import SettingsError
from ..models.masked_lm import MaskedLM
from ..text.prompt import PreparedText, prepare_text
from ..text.tokens import readable_pieces
from .fill_mask import Candidate, best_candidates, check_count
from .log_probs import log_probabilities_at

Strategy: TypeAlias = Literal["confident", "left_to_right", "beam"]
MAX_PASSES = 64  # masks times beam: rows that the model reads for one request
ORDER_NOTE = "The summed log score depends on the order of filling; it is not the probability of the text."


@dataclass(frozen=True)
class FillingStep:
    """One mask filled: the token chosen, what else was likely there, and the tokens as they then stood."""

    position: int  # index into the tokens
    token: str
    token_id: int
    probability: float
    log_probability: float  # nats
    candidates: tuple[Candidate, ...]  # given everything filled before
    tokens: tuple[str, ...]


@dataclass(frozen=True)
class Filling:
    """One way to fill all masks, step by step in the order it was done."""

    token_ids: tuple[int, ...]
    steps: tuple[FillingStep, ...] = ()
    log_score: float = 0.0  # nats, summed over the steps; depends on their order


@dataclass(frozen=True)
class FillingSteps:
    """The best filling first; a beam has more than one."""

    prepared: PreparedText
    strategy: Strategy
    fillings: tuple[Filling, ...]
    note: str = ORDER_NOTE

    @property
    def best(self) -> Filling:
        return self.fillings[0]


def fill_in_order(
    masked_lm: MaskedLM,
    text: str | PreparedText,
    *,
    strategy: Strategy = "confident",
    beam: int = 3,
    top_k: int = 5,
    precision: str = "fp32",
) -> FillingSteps:
    """Fill all masks: the most confident one first, from left to right, or left to right keeping the ``beam`` best.

    "[MASK] [MASK] is a city." -> "new" first, then "york" given "new".

    Raises:
        TextError: nothing to fill.
        SettingsError: an unknown strategy, ``beam`` or ``top_k`` no count, or masks times beam above the cap.
    """
    if strategy not in get_args(Strategy):
        raise SettingsError(f"The strategy must be one of {', '.join(get_args(Strategy))}, but is {strategy!r}.")
    check_count("The number of words shown", top_k)
    check_count("The beam", beam)
    width = beam if strategy == "beam" else 1
    prepared = prepare_text(masked_lm, text) if isinstance(text, str) else text
    masks = list(prepared.mask_positions)
    if len(masks) * width > MAX_PASSES:
        raise SettingsError(
            f"Masks times beam may be at most {MAX_PASSES}, but are {len(masks)} times {width}; use fewer."
        )
    fillings = [Filling(prepared.token_ids)]
    while masks:
        places = masks if strategy == "confident" else masks[:1]
        rows = [filling.token_ids for filling in fillings]
        scores = log_probabilities_at(masked_lm, rows, [places] * len(rows), precision=precision)
        chosen = int(scores.amax(dim=1).argmax()) if strategy == "confident" else 0
        position = masks.pop(chosen)
        given = scores[chosen : chosen + 1] if strategy == "confident" else scores  # (fillings, V)
        fillings = _extended(masked_lm, fillings, given, position=position, width=width, top_k=top_k)
    return FillingSteps(prepared, strategy, tuple(fillings))


def _extended(
    masked_lm: MaskedLM, fillings: Sequence[Filling], scores: Tensor, *, position: int, width: int, top_k: int
) -> list[Filling]:
    """Fill the position in each of b fillings, scores (b, V), and keep the ``width`` best, best first."""
    totals = scores + torch.tensor([filling.log_score for filling in fillings])[:, None]  # (b, V)
    best = torch.topk(totals.flatten(), min(width, totals.numel())).indices.tolist()
    vocabulary = scores.shape[1]
    return [
        _filled(masked_lm, fillings[row], scores[row], position=position, token_id=token_id, top_k=top_k)
        for row, token_id in (divmod(index, vocabulary) for index in best)
    ]


def _filled(
    masked_lm: MaskedLM, filling: Filling, scores: Tensor, *, position: int, token_id: int, top_k: int
) -> Filling:
    token_ids = (*filling.token_ids[:position], token_id, *filling.token_ids[position + 1 :])
    tokens = readable_pieces(masked_lm, token_ids)
    score = float(scores[token_id])
    candidates = best_candidates(masked_lm, scores, top_k=top_k)
    step = FillingStep(position, tokens[position], token_id, math.exp(score), score, candidates, tokens)
    return replace(filling, token_ids=token_ids, steps=(*filling.steps, step), log_score=filling.log_score + score)
