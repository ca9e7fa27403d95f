"""The same text through two models: what fine-tuning did at every mask.

Both models answer about the same blanks, each in its own whole vocabulary; every word shown has its true probability
and rank in both. Raw logits are never compared: only log-probabilities mean the same in two models. Knows no chart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from ..errors import TextError
from ..inference.fill_mask import check_answer_size, check_count
from ..inference.log_probs import divergence_parts, entropy_bits, log2_ratio, log_probabilities_at, precision_notes
from ..models.masked_lm import MaskedLM
from ..text.prompt import PreparedText, prepare_ids, prepare_text
from ..text.tokens import SharedVocabulary, readable_pieces, shared_vocabulary
from ..wording import fine_percent

MOVERS = 20  # words of the whole vocabulary that are named because they moved most
_NAMES: WeakKeyDictionary[PreTrainedTokenizerBase, tuple[str, ...]] = WeakKeyDictionary()
Pair: TypeAlias = tuple[int | None, int | None]  # one token's id before and after; None where it is not in a vocabulary


@dataclass(frozen=True)
class TokenStats:
    """How one model sees one word at one mask; None where its vocabulary does not have it."""

    probability: float | None = None
    rank: int | None = None  # from 1, in the whole vocabulary


@dataclass(frozen=True)
class ComparedCandidate:
    """One word in both models. ``log2_ratio`` is None where one of them does not have it."""

    token: str
    before: TokenStats
    after: TokenStats
    log2_ratio: float | None  # 1 = twice as probable after as before

    @property
    def change_points(self) -> float | None:
        """Percentage points: from 2% to 30% is 28."""
        if self.before.probability is None or self.after.probability is None:
            return None
        return 100 * (self.after.probability - self.before.probability)


@dataclass(frozen=True)
class MaskComparison:
    """One mask in both models: the union of both top lists, most probable in either first, and the whole vocabulary.

    S tokens are in both vocabularies; where these are one, S = V.
    """

    position: int  # in the tokens that the first model reads
    position_after: int  # in those that the second reads; another only where they tokenise differently
    candidates: tuple[ComparedCandidate, ...]
    movers: tuple[ComparedCandidate, ...]  # those that make up most of the divergence, the greatest first
    js_divergence: float  # bits: 0 = the same, 1 = nothing in common
    entropy_before: float  # bits
    entropy_after: float
    covered_before: float  # probability of the first model's own top list
    covered_after: float
    met_before: float  # probability that lies on tokens which both have; 1 in one vocabulary
    met_after: float
    summary: str  # the change in one sentence
    before_log_probabilities: NDArray[np.float32] = field(repr=False, compare=False)  # (S,) nats
    after_log_probabilities: NDArray[np.float32] = field(repr=False, compare=False)  # (S,) nats


@dataclass(frozen=True)
class Comparison:
    """Every mask of a text in both models. S tokens are in both vocabularies, named in ``vocabulary``."""

    tokens: tuple[str, ...]  # as the first model reads them
    masks: tuple[MaskComparison, ...]
    vocabulary: tuple[str, ...] = field(repr=False)  # (S,)
    notes: tuple[str, ...]

    @property
    def summary(self) -> str:
        """The sentence of the mask that changed most."""
        number, mask = max(enumerate(self.masks, start=1), key=lambda item: item[1].js_divergence)
        return mask.summary if len(self.masks) == 1 or not mask.js_divergence else f"At blank {number}: {mask.summary}"

    def to_record(self) -> dict[str, Any]:
        """The JSON object of ``compare``."""
        masks = [
            {
                "position": mask.position,
                "candidates": [asdict(candidate) for candidate in mask.candidates],
                "js_divergence": mask.js_divergence,
                "entropy": {"before": mask.entropy_before, "after": mask.entropy_after},
                "covered": {"before": mask.covered_before, "after": mask.covered_after},
            }
            for mask in self.masks
        ]
        return {"tokens": list(self.tokens), "masks": masks, "summary": self.summary, "notes": list(self.notes)}

    def to_frame(self) -> pd.DataFrame:
        """A row a word of either top list: ``position``, ``token``, ``before_probability``, ``before_rank``, the same
        for after, ``log2_ratio``; NA where a model does not have the word."""
        rows = [
            (
                *(mask.position, word.token, word.before.probability, word.before.rank),
                *(word.after.probability, word.after.rank, word.log2_ratio),
            )
            for mask in self.masks
            for word in mask.candidates
        ]
        sides = [f"{side}_{name}" for side in ("before", "after") for name in ("probability", "rank")]
        frame = pd.DataFrame(rows, columns=["position", "token", *sides, "log2_ratio"])
        numbers = dict.fromkeys(("before_probability", "after_probability", "log2_ratio"), "float64")
        return frame.astype({**numbers, "before_rank": "Int64", "after_rank": "Int64"})


def compare(
    before: MaskedLM, after: MaskedLM, text: str | PreparedText, *, top_k: int = 5, precision: str = "fp32"
) -> Comparison:
    """Predict every mask with both models. Models with the same weights give exactly zero everywhere.

    "I really [MASK] this show!" -> for the mask: adore 2.1% before, 30.4% after, log2 ratio 3.9; ...
    Where the vocabularies differ, tokens are matched by their text, the divergence takes all others together as one
    outcome (so it is a lower bound), and a note says how much probability meets. A prepared text is the first model's.

    Raises:
        TextError: no mask, or the two models read a different number of them.
        SettingsError: ``top_k`` or ``precision`` is none, or there are too many candidates.
    """
    check_count("The number of words shown", top_k)
    shared = shared_vocabulary(before, after)
    first = prepare_text(before, text) if isinstance(text, str) else text
    check_answer_size(before, first, top_k=top_k)
    second = _as_second_reads(after, text, first, same_ids=shared.whole)
    if len(first.mask_positions) != len(second.mask_positions):
        raise TextError(
            f"The first model reads {len(first.mask_positions)} masks and the second {len(second.mask_positions)}; "
            "shorten the text so that both read all of it."
        )
    scores = log_probabilities_at(before, [first.token_ids], [first.mask_positions], precision=precision)  # (M, V)
    if first.token_ids == second.token_ids and same_weights(before, after):
        others = scores  # not computed again: another number of threads may round otherwise
    else:
        others = log_probabilities_at(after, [second.token_ids], [second.mask_positions], precision=precision)
    columns = zip(first.mask_positions, second.mask_positions, scores, others, strict=True)
    masks = tuple(
        compare_mask(
            ModelAtMask(before, one),
            ModelAtMask(after, two),
            shared,
            position=position,
            position_after=position_after,
            top_k=top_k,
        )
        for position, position_after, one, two in columns
    )
    names = _names(before, shared)
    formats = (*precision_notes(before, precision), *precision_notes(after, precision))
    notes = dict.fromkeys((*first.notes, *second.notes, *after.notes, *formats, *_vocabulary_notes(shared, masks)))
    return Comparison(first.tokens, masks, names, tuple(notes))


def _names(before: MaskedLM, shared: SharedVocabulary) -> tuple[str, ...]:
    """Of the S tokens; those of a whole vocabulary are read off once, since that takes longer than a prediction."""
    if not shared.whole:
        return readable_pieces(before, shared.before_ids.tolist())
    names = _NAMES.get(before.tokenizer)
    if names is None or len(names) != len(shared.before_ids):
        names = _NAMES[before.tokenizer] = readable_pieces(before, shared.before_ids.tolist())
    return names


def _as_second_reads(after: MaskedLM, text: str | PreparedText, first: PreparedText, *, same_ids: bool) -> PreparedText:
    if not same_ids:
        return prepare_text(after, text if isinstance(text, str) else first.text)
    return first if len(first.token_ids) <= after.max_length else prepare_ids(after, first.token_ids)


def same_weights(before: MaskedLM, after: MaskedLM) -> bool:
    """Whether two models are one, or equal in every weight and setting."""
    if before.model is after.model:
        return True
    one, two = (_settings(masked_lm) for masked_lm in (before, after))
    if one != two or before.device != after.device:
        return False
    weights, others = before.model.state_dict(), after.model.state_dict()
    return weights.keys() == others.keys() and all(torch.equal(weights[name], others[name]) for name in weights)


def _settings(masked_lm: MaskedLM) -> dict[str, Any]:
    incidental = ("_name_or_path", "transformers_version", "dtype")
    return {key: value for key, value in masked_lm.model.config.to_dict().items() if key not in incidental}


def _vocabulary_notes(shared: SharedVocabulary, masks: tuple[MaskComparison, ...]) -> Iterator[str]:
    if shared.whole:
        return
    least = [min(shares) for shares in zip(*((mask.met_before, mask.met_after) for mask in masks), strict=True)]
    yield (
        "The two models have different vocabularies, so tokens are matched by their text: "
        f"{len(shared.before_ids):,} meet, which hold at least {fine_percent(least[0])} of the first model's "
        f"probability and {fine_percent(least[1])} of the second's."
    )


@dataclass(frozen=True)
class ModelAtMask:
    """One model's log-probabilities (V,) at one mask."""

    masked_lm: MaskedLM
    scores: Tensor

    @cached_property
    def _ascending(self) -> Tensor:
        return self.scores.sort().values

    def stats_of(self, token_ids: Sequence[int | None]) -> list[TokenStats]:
        """Probability and rank of each token; ties count as won."""
        known = torch.tensor([0 if token_id is None else token_id for token_id in token_ids], dtype=torch.long)
        chosen = self.scores[known]
        ranks = len(self.scores) - torch.searchsorted(self._ascending, chosen, right=True) + 1
        columns = zip(token_ids, chosen.double().exp().tolist(), ranks.tolist(), strict=True)
        return [TokenStats() if token_id is None else TokenStats(chance, rank) for token_id, chance, rank in columns]

    def names(self, token_ids: Sequence[int | None]) -> tuple[str, ...]:
        known = [self.masked_lm.mask_token_id if token_id is None else token_id for token_id in token_ids]
        return readable_pieces(self.masked_lm, known)

    def best(self, top_k: int) -> list[int]:
        return self.scores.topk(min(top_k, len(self.scores))).indices.tolist()

    def covered(self, token_ids: list[int]) -> float:
        return min(1.0, float(self.scores[token_ids].double().exp().sum()))


def compare_mask(
    before: ModelAtMask, after: ModelAtMask, shared: SharedVocabulary, *, position: int, position_after: int, top_k: int
) -> MaskComparison:
    """Everything about one mask. Tokens that only one model has count together as one outcome of the divergence."""
    first = before.scores.numpy()[shared.before_ids]
    second = after.scores.numpy()[shared.after_ids]
    chances = [np.exp(side, dtype=np.float64) for side in (first, second)]
    met = [1.0 if shared.whole else min(1.0, float(side.sum())) for side in chances]
    parts = divergence_parts(*(np.append(side, 1 - share) for side, share in zip(chances, met, strict=True)))
    moved = [place for place in np.argsort(-parts[:-1], kind="stable")[:MOVERS].tolist() if parts[place] > 0]
    movers = _candidates(before, after, [(int(shared.before_ids[i]), int(shared.after_ids[i])) for i in moved])
    best, best_after = before.best(top_k), after.best(top_k)
    candidates = _candidates(before, after, _union(shared, best, best_after))
    guesses = tuple(side.names(side.best(1))[0] for side in (before, after))
    return MaskComparison(
        position=position,
        position_after=position_after,
        candidates=tuple(sorted(candidates, key=_likeliest, reverse=True)),
        movers=movers,
        js_divergence=min(1.0, float(parts.sum())),
        entropy_before=entropy_bits(before.scores),
        entropy_after=entropy_bits(after.scores),
        covered_before=before.covered(best),
        covered_after=after.covered(best_after),
        met_before=met[0],
        met_after=met[1],
        summary=_summary(movers, guesses=guesses),
        before_log_probabilities=first,
        after_log_probabilities=second,
    )


def _union(shared: SharedVocabulary, best: list[int], best_after: list[int]) -> list[Pair]:
    """Both top lists as pairs, each token once."""
    if shared.whole:
        return [(token_id, token_id) for token_id in dict.fromkeys(best + best_after)]
    pairs = list(zip(shared.before_ids.tolist(), shared.after_ids.tolist(), strict=True))
    forward, back = dict(pairs), {after: before for before, after in pairs}
    listed: list[Pair] = [(token_id, forward.get(token_id)) for token_id in best]
    listed += [(back.get(token_id), token_id) for token_id in best_after]
    return list(dict.fromkeys(listed))


def _candidates(before: ModelAtMask, after: ModelAtMask, pairs: list[Pair]) -> tuple[ComparedCandidate, ...]:
    """Pairs of ids -> names, both stats_of and the ratio, in the same order."""
    firsts, seconds = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    columns = zip(
        before.names(firsts), after.names(seconds), before.stats_of(firsts), after.stats_of(seconds), strict=True
    )
    candidates = []
    for (first, second), (name, other, one, two) in zip(pairs, columns, strict=True):
        met = first is not None and second is not None
        ratio = log2_ratio(float(before.scores[first]), float(after.scores[second])) if met else None
        candidates.append(ComparedCandidate(other if first is None else name, one, two, ratio))
    return tuple(candidates)


def _likeliest(candidate: ComparedCandidate) -> float:
    return max(side.probability or 0.0 for side in (candidate.before, candidate.after))


def _summary(movers: Sequence[ComparedCandidate], *, guesses: tuple[str, ...]) -> str:
    """What moved most, and whether the first guess changed.

    '"adore" rose from 2.1% to 30.4%; the first guess changed from "love" to "adore".'
    """
    same = guesses[0] == guesses[1]
    about_guess = (
        f'the first guess is still "{guesses[0]}"'
        if same
        else f'the first guess changed from "{guesses[0]}" to "{guesses[1]}"'
    )
    if not movers:
        return "Nothing changed: both models expect exactly the same."
    first = movers[0]
    shown = fine_percent(first.before.probability or 0.0), fine_percent(first.after.probability or 0.0)
    if shown[0] == shown[1]:
        return f"Hardly anything changed; {about_guess}."
    verb = "rose" if (first.change_points or 0.0) > 0 else "fell"
    return f'"{first.token}" {verb} from {shown[0]} to {shown[1]}; {about_guess}.'
