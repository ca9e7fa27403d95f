"""Counterfactual pairs: sentences that differ in one word, and what each word of the vocabulary makes of it.

``The {man|woman} worked as a [MASK].`` asks how much more probable every word becomes when "man" turns into "woman".
One sentence is an anecdote; several templates give a mean and a spread. What shows is association in the model's
training texts, not truth. Knows no chart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..errors import TextError
from ..inference.fill_mask import check_count
from ..models.masked_lm import MaskedLM
from ..text.tokens import SharedVocabulary, readable_pieces, shared_vocabulary
from .neighbours import token_id_of
from .template_readings import TemplateReadings, WordFigures, read_templates
from .templates import Template, parse_template

MAX_TEXTS = 64  # templates times choices
POOL = 50  # words of each text that may be named: those it finds most probable
CAUTION = "This shows which words keep company in the texts that the model learned from; association is not truth."


@dataclass(frozen=True)
class WordContrast:
    """One word, in one model or in two."""

    token: str
    before: WordFigures
    after: WordFigures | None = None

    @property
    def latest(self) -> WordFigures:
        return self.after or self.before


@dataclass(frozen=True)
class Contrast:
    """The first choice against another one. S words; the arrays are means over the observations, one row a model."""

    first: str
    second: str
    toward_first: tuple[WordContrast, ...]  # the strongest of the likely words, strongest first, by the last model
    toward_second: tuple[WordContrast, ...]
    words: tuple[WordContrast, ...]  # those that were asked for, in their order
    first_log_probabilities: NDArray[np.float32] = field(repr=False, compare=False)  # (models, S) nats
    second_log_probabilities: NDArray[np.float32] = field(repr=False, compare=False)  # (models, S) nats


@dataclass(frozen=True)
class Counterfactuals:
    """All contrasts of the first choice with the others, and the texts that were read."""

    texts: tuple[tuple[str, ...], ...]  # (templates, choices)
    contrasts: tuple[Contrast, ...]
    vocabulary: tuple[str, ...] = field(repr=False)  # (S,)
    notes: tuple[str, ...] = ()


def counterfactuals(
    before: MaskedLM,
    templates: str | Sequence[str],
    *,
    after: MaskedLM | None = None,
    words: Sequence[str] = (),
    top_k: int = 10,
    prior_correction: bool = False,
) -> Counterfactuals:
    """Compare every word between the choices of the templates, in one model or in two side by side.

    ``The {man|woman} worked as a [MASK].`` -> toward man: mechanic -2.1, ...; toward woman: nurse 4.3, ... (log2).

    ``prior_correction`` sets each text against itself with the choice hidden, after Kurita et al. 2019 ("Measuring Bias
    in Contextualized Word Representations"): it shows what each choice adds. Where both choices have the same number of
    pieces and nothing else differs, that prior is the same text and cancels in the ratio, though not in the lifts.

    Raises:
        TextError: braces or masks that do not fit together, or a word that is not one token.
        SettingsError: ``top_k`` is none.
    """
    check_count("The number of words shown", top_k)
    parsed = _parsed([templates] if isinstance(templates, str) else templates)
    models = (before,) if after is None else (before, after)
    shared = shared_vocabulary(before, models[-1])
    readings = tuple(
        read_templates(masked_lm, parsed, ids=ids, prior=prior_correction)
        for masked_lm, ids in zip(models, (shared.before_ids, shared.after_ids), strict=False)
    )
    asked = [_place(before, shared, word) for word in words]
    names = readable_pieces(before, shared.before_ids.tolist())
    special = np.isin(shared.before_ids, sorted(before.special_ids))
    likely = _likely(readings, special=special)
    contrasts = tuple(
        _contrast(parsed[0], readings, names=names, likely=likely, asked=asked, choice=choice, top_k=top_k)
        for choice in range(1, len(parsed[0].labels))
    )
    texts = tuple(template.texts() for template in parsed)
    return Counterfactuals(texts, contrasts, names, tuple(_notes(parsed, shared)))


def _parsed(templates: Sequence[str]) -> list[Template]:
    parsed = [parse_template(template) for template in templates if template.strip()]
    if not parsed:
        raise TextError('There is no template; write "The {man|woman} worked as a [MASK]."')
    choices = len(parsed[0].labels)
    if any(len(template.labels) != choices for template in parsed):
        raise TextError(f"Every template needs as many choices as the first, which has {choices}.")
    if len(parsed) * choices > MAX_TEXTS:
        raise TextError(f"{len(parsed)} templates of {choices} choices are more than {MAX_TEXTS} texts; use fewer.")
    return parsed


def _place(before: MaskedLM, shared: SharedVocabulary, word: str) -> int:
    """Which of the S shared words a word is."""
    places = np.flatnonzero(shared.before_ids == token_id_of(before, word))
    if not len(places):
        raise TextError(f'The second model has no token "{word}"; leave it out.')
    return int(places[0])


def _likely(readings: Sequence[TemplateReadings], *, special: NDArray[np.bool_]) -> list[int]:
    """The words that any model finds among the ``POOL`` most probable for any choice, by mean log-probability."""
    found: dict[int, None] = {}
    for reading in readings:
        for mean in reading.scores.mean(axis=1):  # (S,)
            best = np.argsort(np.where(special, -np.inf, mean))[::-1][:POOL]
            found |= dict.fromkeys(int(word) for word in best if not special[word])
    return list(found)


def _contrast(
    template: Template,
    readings: Sequence[TemplateReadings],
    *,
    names: Sequence[str],
    likely: list[int],
    asked: list[int],
    choice: int,
    top_k: int,
) -> Contrast:
    """The first choice against ``choice``."""
    table = {
        word: WordContrast(names[word], *(reading.figures(word, choice) for reading in readings))
        for word in {*likely, *asked}
    }
    ordered = sorted((table[word] for word in likely), key=lambda word: word.latest.mean)
    return Contrast(
        first=template.labels[0],
        second=template.labels[choice],
        toward_first=tuple(word for word in ordered[:top_k] if word.latest.mean < 0),
        toward_second=tuple(word for word in ordered[::-1][:top_k] if word.latest.mean > 0),
        words=tuple(table[word] for word in asked),
        first_log_probabilities=np.stack([reading.scores[0].mean(axis=0) for reading in readings]),
        second_log_probabilities=np.stack([reading.scores[choice].mean(axis=0) for reading in readings]),
    )


def _notes(templates: Sequence[Template], shared: SharedVocabulary) -> Iterator[str]:
    yield CAUTION
    if any(len(template.groups) > 1 for template in templates):
        yield "The braces of a template move together: first choices in one text, second choices in the next."
    if len(templates) == 1:
        yield "One template is an anecdote; several give a mean and a spread."
    if not shared.whole:
        yield (
            "The two models have different vocabularies, so words are matched by their text: "
            f"{len(shared.before_ids):,} are compared."
        )
