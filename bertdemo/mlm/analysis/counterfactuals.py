"""Counterfactual pairs: sentences that differ in one word, and what each word of the vocabulary makes of it.

``The {man|woman} worked as a [MASK].`` asks how much more probable every word becomes when "man" turns into "woman".
One sentence is an anecdote; several templates give a mean and a spread. What shows is association in the model's
training texts, not truth. Knows no chart.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import TextError
from ..inference.fill_mask import check_count, token_id_of
from ..inference.log_probs import log_probabilities_at
from ..models.masked_lm import MaskedLM
from ..text.prompt import PreparedText, prepare_text
from ..text.tokens import SharedVocabulary, readable_pieces, shared_vocabulary

MAX_TEXTS = 64  # templates times choices
POOL = 50  # words of each text that may be named: those it finds most probable
CAUTION = "This shows which words keep company in the texts that the model learned from; association is not truth."
_BRACES = re.compile(r"\{([^{}]*)\}")
_EXAMPLE = 'write "The {man|woman} worked as a [MASK]."'


@dataclass(frozen=True)
class Template:
    """Fixed parts, and between them groups of C choices each; the groups move together.

    ``{He|She} likes {his|her} job`` is "He likes his job" and "She likes her job", never "He likes her job".
    """

    fixed: tuple[str, ...]  # (G + 1,)
    groups: tuple[tuple[str, ...], ...]  # (G, C)

    @property
    def labels(self) -> tuple[str, ...]:
        """What tells the texts apart (C,): the choices of the first braces."""
        return self.groups[0]

    def texts(self) -> tuple[str, ...]:
        """One text for each choice (C,)."""
        return tuple(self.filled([group[index] for group in self.groups]) for index in range(len(self.labels)))

    def filled(self, choices: list[str]) -> str:
        """The text with these words in the braces (G,); spaces around an empty one close up."""
        parts = [self.fixed[0]]
        for choice, fixed in zip(choices, self.fixed[1:], strict=True):
            closes_up = not choice and (not parts[-1].strip() or parts[-1].endswith(" "))
            parts += [choice, fixed.removeprefix(" ") if closes_up else fixed]
        return "".join(parts)


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


def parse_template(text: str) -> Template:
    """``"The {man|woman} worked."`` -> fixed ("The ", " worked."), groups (("man", "woman"),).

    Raises:
        TextError: no braces, unpaired or nested ones, fewer than two choices, the same choice twice, or groups of
            different sizes.
    """
    fixed = _BRACES.split(text)[::2]
    if any(brace in part for part in fixed for brace in "{}"):
        raise TextError(f"The braces in {_quoted(text)} do not pair up, or lie inside each other; {_EXAMPLE}.")
    groups = tuple(tuple(choice.strip() for choice in group.split("|")) for group in _BRACES.findall(text))
    if not groups:
        raise TextError(f"{_quoted(text)} has no braces, so there is nothing to compare; {_EXAMPLE}.")
    for group in groups:
        if len(group) < 2 or len(set(group)) < len(group):
            raise TextError(
                f"{{{'|'.join(group)}}} needs two or more different choices, with a | between them; {_EXAMPLE}."
            )
        if len(group) != len(groups[0]):
            raise TextError(
                f"All braces of {_quoted(text)} move together, so each needs as many choices as the first, "
                f"which has {len(groups[0])}, but {{{'|'.join(group)}}} has {len(group)}."
            )
    return Template(tuple(fixed), groups)


def _quoted(text: str) -> str:
    shown = " ".join(text.split())
    return f'"{shown if len(shown) <= 60 else shown[:57] + "..."}"'


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
