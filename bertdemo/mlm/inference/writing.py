"""Can BERT write? A text from blanks alone, with chance: blank after blank, or all at once and the doubtful anew.

One at a time follows Wang and Cho 2019, "BERT has a Mouth, and It Must Speak", which draws each token from what the
model gives it; all at once with ever fewer hidden again is mask-predict (Ghazvininejad et al. 2019, section 3.2). A
masked language model was never trained to write: what comes out is no sample from a distribution of texts. Knows no
page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

from ..errors import SettingsError
from ..models.masked_lm import MaskedLM
from ..text.prompt import PreparedText, prepare_text
from ..text.tokens import readable_pieces
from .log_probs import log_probabilities_at

Way: TypeAlias = Literal["one_by_one", "few_at_a_time"]
MAX_BLANKS = 24
ROUNDS = 6  # of mask-predict: Ghazvininejad et al. find most of the gain within the first four to ten
MAX_TEMPERATURE = 2.0
CAPTION = (
    "BERT learnt to fill single gaps, not to write: its guesses for several blanks do not know of each other, so this"
    " is an experiment (Wang and Cho 2019; Ghazvininejad et al. 2019), and the same seed gives the same text."
)


@dataclass(frozen=True)
class WritingStep:
    """The text after a round: which places were filled in it, and which were hidden again behind it."""

    token_ids: tuple[int, ...]
    tokens: tuple[str, ...]
    filled: tuple[int, ...]
    hidden_again: tuple[int, ...] = ()


@dataclass(frozen=True)
class Writing:
    """A text of nothing but guesses, round by round; the last step has no blank left."""

    prepared: PreparedText
    steps: tuple[WritingStep, ...]

    @property
    def token_ids(self) -> tuple[int, ...]:
        return self.steps[-1].token_ids


def write(
    masked_lm: MaskedLM,
    text: str | PreparedText,
    *,
    way: Way = "one_by_one",
    temperature: float = 1.0,
    seed: int = 0,
    rounds: int = ROUNDS,
) -> Writing:
    """Fill all masks of a text by chance: each token is drawn from the model's probabilities to the power of
    1 / ``temperature``, never a special one; at 0 the likeliest is taken.

    Raises:
        SettingsError: no such way, a temperature outside 0 to 2, or more than 24 blanks.
        TextError: no blank.
    """
    if way not in get_args(Way):
        raise SettingsError(f"The way of writing must be one of {', '.join(get_args(Way))}, but is {way!r}.")
    if not 0 <= temperature <= MAX_TEMPERATURE:
        raise SettingsError(f"The temperature must be a number from 0 to {MAX_TEMPERATURE:g}, but is {temperature!r}.")
    prepared = prepare_text(masked_lm, text) if isinstance(text, str) else text
    if len(prepared.mask_positions) > MAX_BLANKS:
        raise SettingsError(
            f"At most {MAX_BLANKS} blanks are written, but there are {len(prepared.mask_positions)}; use fewer."
        )
    draw = _Draw(masked_lm, temperature=temperature, generator=torch.Generator().manual_seed(seed))
    write_all = _one_by_one if way == "one_by_one" else _few_at_a_time
    return Writing(prepared, tuple(write_all(draw, prepared, rounds=rounds)))


def blanks_alone(masked_lm: MaskedLM, count: int) -> str:
    """A text of so many blanks and a full stop: ``"[MASK] [MASK] ."``

    Raises SettingsError unless the count is from 1 to 24.
    """
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MAX_BLANKS:
        raise SettingsError(f"The number of blanks must be a whole number from 1 to {MAX_BLANKS}, but is {count!r}.")
    return " ".join([str(masked_lm.tokenizer.mask_token)] * count) + "."


@dataclass(frozen=True)
class _Draw:
    masked_lm: MaskedLM
    temperature: float
    generator: torch.Generator

    def scores(self, token_ids: list[int], places: list[int]) -> Tensor:
        """Log-probabilities (N, V) at the places, special tokens impossible."""
        scores = log_probabilities_at(self.masked_lm, [token_ids], [places])
        scores[:, sorted(self.masked_lm.special_ids)] = -torch.inf
        scores[:, len(self.masked_lm.tokenizer) :] = -torch.inf  # what pads the table has no name
        return scores

    def token(self, scores: Tensor) -> int:
        """One token of log-probabilities (V,)."""
        if self.temperature == 0:
            return int(scores.argmax())
        chances = torch.softmax(scores / self.temperature, dim=-1)
        return int(torch.multinomial(chances, 1, generator=self.generator))

    def step(self, token_ids: list[int], filled: list[int], hidden_again: list[int]) -> WritingStep:
        names = readable_pieces(self.masked_lm, token_ids)
        return WritingStep(tuple(token_ids), names, tuple(sorted(filled)), tuple(sorted(hidden_again)))


def _one_by_one(draw: _Draw, prepared: PreparedText, *, rounds: int) -> list[WritingStep]:
    """The blank that the model is surest of first, each given those before it; ``rounds`` is as many as there are."""
    token_ids, left, steps = list(prepared.token_ids), list(prepared.mask_positions), []
    while left:
        scores = draw.scores(token_ids, left)
        surest = int(scores.amax(dim=1).argmax())
        place = left.pop(surest)
        token_ids[place] = draw.token(scores[surest])
        steps.append(draw.step(token_ids, [place], []))
    return steps


def _few_at_a_time(draw: _Draw, prepared: PreparedText, *, rounds: int) -> list[WritingStep]:
    """All blanks at once; then those that are least sure are hidden and drawn again, fewer in each round."""
    token_ids, blanks = list(prepared.token_ids), list(prepared.mask_positions)
    left, sure, steps = list(blanks), dict.fromkeys(blanks, 0.0), []
    for number in range(1, rounds + 1):
        scores = draw.scores(token_ids, left)
        for place, row in zip(left, scores, strict=True):
            token_ids[place] = draw.token(row)
            sure[place] = float(row[token_ids[place]])
        again = len(blanks) * (rounds - number) // rounds  # linear decay, as in the paper
        hidden = sorted(blanks, key=sure.__getitem__)[:again]
        steps.append(draw.step(token_ids, left, hidden))
        if not hidden:
            break
        left = hidden
        for place in left:
            token_ids[place] = draw.masked_lm.mask_token_id
    return steps
