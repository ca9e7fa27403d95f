"""Watch the user's own sentences while a model trains: the first guesses, and the words that are followed.

Draws no random number and leaves the model's mode as it was, so a run learns the same with probes and without.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..inference.fill_mask import MaskPrediction, fill_masks
from ..models.masked_lm import MaskedLM, evaluating
from ..text.prompt import PreparedText, prepare_text
from .events import Probe, ProbeCandidate, Probed, ProbedMask, WatchedWord

TOP_K = 5


class Prober:
    """The probes of one run, read as text once; raises TextError for one that holds no mask."""

    def __init__(self, masked_lm: MaskedLM, texts: Sequence[str], *, watch: Sequence[str] = ()) -> None:
        self._masked_lm, self._watch = masked_lm, tuple(watch)
        self._prepared: list[PreparedText] = [prepare_text(masked_lm, text) for text in texts]

    def read(self, step: int) -> Probed:
        """What the model would say now."""
        with evaluating(self._masked_lm.model):
            return Probed(step, tuple(self._probe(prepared) for prepared in self._prepared))

    def _probe(self, prepared: PreparedText) -> Probe:
        filled = fill_masks(self._masked_lm, prepared, top_k=TOP_K, targets=self._watch)
        return Probe(prepared.text, tuple(_probed(mask) for mask in filled.masks))


def _probed(mask: MaskPrediction) -> ProbedMask:
    return ProbedMask(
        tuple(ProbeCandidate(candidate.token, candidate.probability) for candidate in mask.candidates),
        tuple(
            WatchedWord(target.word, target.probability, len(target.pieces))
            for target in mask.targets
            if target.probability is not None
        ),
    )
