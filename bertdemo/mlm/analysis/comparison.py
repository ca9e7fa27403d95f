"""The same text through two models: what fine-tuning did at every mask.

Both models answer about the same blanks, each in its own whole vocabulary; every word shown has its true probability
and rank in both. Raw logits are never compared: only log-probabilities mean the same in two models. Knows no chart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from ..errors import TextError
from ..inference.fill_mask import check_answer_size, check_count
from ..inference.log_probs import log_probabilities_at, precision_notes
from ..models.masked_lm import MaskedLM
from ..text.prompt import PreparedText, prepare_ids, prepare_text
from ..text.tokens import SharedVocabulary, readable_pieces, shared_vocabulary
from .mask_comparison import MaskComparison, Side, compare_mask, percent


@dataclass(frozen=True)
class Comparison:
    """Every mask of a text in both models. S tokens are in both vocabularies, named in ``vocabulary``."""

    tokens: tuple[str, ...]  # as the first model reads them
    masks: tuple[MaskComparison, ...]
    vocabulary: tuple[str, ...] = field(repr=False)  # (S,)
    notes: tuple[str, ...]

    @property
    def gist(self) -> str:
        """The sentence of the mask that changed most."""
        number, mask = max(enumerate(self.masks, start=1), key=lambda item: item[1].js_divergence)
        return mask.gist if len(self.masks) == 1 or not mask.js_divergence else f"At blank {number}: {mask.gist}"

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
        return {"tokens": list(self.tokens), "masks": masks, "gist": self.gist, "notes": list(self.notes)}


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
        compare_mask(Side(before, one), Side(after, two), shared, position=position, position_after=place, top_k=top_k)
        for position, place, one, two in columns
    )
    names = readable_pieces(before, shared.before_ids.tolist())
    formats = (*precision_notes(before, precision), *precision_notes(after, precision))
    notes = dict.fromkeys((*first.notes, *second.notes, *formats, *_vocabulary_notes(shared, masks)))
    return Comparison(first.tokens, masks, names, tuple(notes))


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
        f"{len(shared.before_ids):,} meet, which hold at least {percent(least[0])} of the first model's probability "
        f"and {percent(least[1])} of the second's."
    )
