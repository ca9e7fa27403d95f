"""A sentence's pseudo-log-likelihood: hide every token in turn and ask how surprised the model is by it.

A masked language model gives no probability of a sentence by the chain rule; what is summed here is a pseudo
log-likelihood (Salazar et al. 2020, "Masked Language Model Scoring"). It compares sentences under one tokenizer, never
models with different ones. Knows nothing of training or of two models.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import pandas as pd
import torch
from torch import Tensor

from ..errors import SettingsError, TextError
from ..models.masked_lm import MaskedLM
from ..text.prompt import PreparedText, valid_unicode
from ..text.tokens import PIECE_SPACE, encode, readable_pieces, space_marker, word_ids
from .log_probs import WORK_LIMIT, hide, log_probabilities, precision_notes, ranks_of

WithinWord = Literal["left_to_right", "plain"]
_NO_WORD = -1
_SHOWN = ["token", "surprisal_bits", "rank", "prediction"]  # of each token, to programs and in tables


@dataclass(frozen=True)
class TokenScore:
    """One token hidden and guessed; the last four are None for [UNK], which stands for something else."""

    token: str
    token_id: int
    position: int  # in the tokenised text, [CLS] counted
    word_index: int  # pieces of one word share it
    surprisal_bits: float | None = None  # -log2 p(token)
    rank: int | None = None  # 1 = the model's first guess
    prediction: str | None = None  # that first guess
    prediction_probability: float | None = None


@dataclass(frozen=True)
class SentenceScore:
    """Every token but the special ones, and their sum: PLL = sum of log p in nats over the N scored tokens."""

    tokens: tuple[TokenScore, ...]
    pll: float
    scored: int  # N
    notes: tuple[str, ...]

    @property
    def pseudo_perplexity(self) -> float | None:
        """exp(-PLL / N); None where nothing could be scored."""
        return math.exp(min(-self.pll / self.scored, 700.0)) if self.scored else None

    def to_record(self) -> dict[str, Any]:
        """The JSON object of ``score``."""
        tokens = [{name: getattr(token, name) for name in _SHOWN} for token in self.tokens]
        figures = {"pll": self.pll, "pseudo_perplexity": self.pseudo_perplexity}
        return {"tokens": tokens, **figures, "notes": list(self.notes)}

    def to_frame(self) -> pd.DataFrame:
        """A row a token: ``token``, ``surprisal_bits``, ``rank``, ``prediction``; NA for [UNK]."""
        rows = [[getattr(token, name) for name in _SHOWN] for token in self.tokens]
        return pd.DataFrame(rows, columns=_SHOWN).astype({"rank": "Int64", "surprisal_bits": "float64"})


@dataclass(frozen=True)
class _Body:
    """A tokenised text without its frame of special tokens, and that frame."""

    prefix: tuple[int, ...]
    token_ids: tuple[int, ...]  # (T,)
    words: tuple[int, ...]  # (T,)
    suffix: tuple[int, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Window:
    """The part of a body that is read at once, and the part of it that is scored; indices into the body."""

    start: int
    end: int
    first: int
    last: int


def score_sentence(
    masked_lm: MaskedLM, text: str | PreparedText, *, within_word: WithinWord = "left_to_right", precision: str = "fp32"
) -> SentenceScore:
    """Hide each token in turn, the last one too, and score it by the rest of the sentence.

    A word of several pieces is scored left to right: with a piece, the later pieces of its word are hidden too, so that
    "##fish" does not give "jelly" away (PLL-word-l2r, Kauf and Ivanova 2023, "A Better Way to Do Masked Language Model
    Scoring"); "plain" hides one piece at a time. A text longer than the model's window is scored within windows around
    each part, and a note says so. A prepared text is scored by its ids as they are.

    ``"The dog barked."`` -> tokens the, dog, bark, ##ed, . with a surprisal each.

    Raises:
        TextError: nothing to score, or too long to hide every token in turn.
        SettingsError: ``within_word`` is neither of the two.
    """
    if within_word not in get_args(WithinWord):
        raise SettingsError(f"Words are scored left_to_right or plain, not {within_word!r}.")
    body = _framed_body(masked_lm, text) if isinstance(text, PreparedText) else _tokenized_body(masked_lm, text)
    windows = _windows(len(body.token_ids), _capacity(masked_lm, body))
    _check_work(masked_lm, body)
    scores: dict[int, TokenScore] = {}
    for window in windows:
        for score in _score_window(masked_lm, body, window, within_word=within_word, precision=precision):
            scores[score.position] = score
    tokens = _with_unknown(masked_lm, body, scores)
    if not tokens:
        raise TextError("The text holds nothing to score; type a sentence.")
    surprisals = [score.surprisal_bits for score in tokens if score.surprisal_bits is not None]
    pll = -math.fsum(surprisals) * math.log(2) if surprisals else 0.0
    found = _notes(masked_lm, body, windows=len(windows))
    notes = tuple(dict.fromkeys((*body.notes, *found, *masked_lm.notes, *precision_notes(masked_lm, precision))))
    return SentenceScore(tokens, pll, len(surprisals), notes)


def _tokenized_body(masked_lm: MaskedLM, text: str) -> _Body:
    encoded = encode(masked_lm.tokenizer, valid_unicode(text), return_special_tokens_mask=True)
    ids, added = tuple(encoded["input_ids"]), encoded["special_tokens_mask"]
    own = encoded.encodings and space_marker(masked_lm) != PIECE_SPACE  # SentencePiece parts at spaces alone
    words = encoded.word_ids() if own else word_ids(masked_lm, ids)
    return _body(ids, words, start=_leading(added), end=len(ids) - _leading(added[::-1]))


def _framed_body(masked_lm: MaskedLM, text: PreparedText) -> _Body:
    added = [word is None for word in text.word_ids]
    start, end = _leading(added), len(added) - _leading(added[::-1])
    return _body(text.token_ids, text.word_ids, start=start, end=end, notes=text.notes)


def _body(
    ids: tuple[int, ...], words: Sequence[int | None], *, start: int, end: int, notes: tuple[str, ...] = ()
) -> _Body:
    end = max(start, end)
    numbers = tuple(_NO_WORD if word is None else word for word in words[start:end])
    return _Body(ids[:start], ids[start:end], numbers, ids[end:], notes)


def _leading(flags: list[int] | list[bool]) -> int:
    return next((index for index, flag in enumerate(flags) if not flag), len(flags))


def _capacity(masked_lm: MaskedLM, body: _Body) -> int:
    return max(1, masked_lm.max_length - len(body.prefix) - len(body.suffix))


def _check_work(masked_lm: MaskedLM, body: _Body) -> None:
    count, capacity = len(body.token_ids), _capacity(masked_lm, body)
    if count * min(count, capacity) > WORK_LIMIT:
        most = max(WORK_LIMIT // capacity, math.isqrt(WORK_LIMIT))
        raise TextError(
            f"The text has {count:,} tokens, too many to hide each in turn; shorten it to {most:,} tokens or fewer."
        )


def _windows(count: int, capacity: int) -> list[_Window]:
    """Cut ``count`` tokens into windows of ``capacity``; each scores its middle half, the outer ones their ends too.

    >>> [(w.start, w.end, w.first, w.last) for w in _windows(10, 8)]
    [(0, 8, 0, 4), (2, 10, 4, 8), (2, 10, 8, 10)]
    """
    if count <= capacity:
        return [_Window(0, count, 0, count)]
    # A window moves on by half of itself and scores what it moved by, in its middle: every token then has at least a
    # quarter of a window on either side, unless the text ends there, and each is read by one window alone.
    step = max(1, capacity // 2)
    windows = []
    for first in range(0, count, step):
        start = min(max(0, first - (capacity - step) // 2), count - capacity)
        windows.append(_Window(start, start + capacity, first, min(first + step, count)))
    return windows


def _score_window(
    masked_lm: MaskedLM, body: _Body, window: _Window, *, within_word: WithinWord, precision: str
) -> Iterator[TokenScore]:
    read = torch.tensor([*body.prefix, *body.token_ids[window.start : window.end], *body.suffix])  # (T,)
    shift = len(body.prefix) - window.start  # from the body to the window
    targets = [i for i in range(window.first, window.last) if body.token_ids[i] not in masked_lm.special_ids]
    if not targets:
        return
    positions = torch.tensor(targets) + shift  # (N,)
    hidden = _hidden(body, window, positions=positions, length=len(read), whole_rest=within_word == "left_to_right")
    rows = hide(read, hidden, mask_token_id=masked_lm.mask_token_id)
    answers = read[positions]
    names = readable_pieces(masked_lm, [body.token_ids[i] for i in targets])
    results = _guesses(masked_lm, rows, positions, answers=answers, precision=precision)
    for index, name, (log_prob, rank, guess, probability) in zip(targets, names, results, strict=True):
        bits = -log_prob / math.log(2) + 0.0  # never -0.0
        place = index + len(body.prefix)
        yield TokenScore(name, body.token_ids[index], place, body.words[index], bits, rank, guess, probability)


def _hidden(body: _Body, window: _Window, *, positions: Tensor, length: int, whole_rest: bool) -> Tensor:
    """What each row hides (N, T) bool: its target alone, or with it the later pieces of the same word."""
    places = torch.arange(length)
    target = places == positions[:, None]
    if not whole_rest:
        return target
    words = torch.full((length,), _NO_WORD)
    words[len(body.prefix) : length - len(body.suffix)] = torch.tensor(body.words[window.start : window.end])
    return target | ((words == words[positions][:, None]) & (places > positions[:, None]) & (words != _NO_WORD))


def _guesses(
    masked_lm: MaskedLM, rows: Tensor, positions: Tensor, *, answers: Tensor, precision: str
) -> Iterator[tuple[float, int, str, float]]:
    """Per row: log p of the answer in nats, its rank, the first guess and its probability."""
    done = 0
    for log_probs in log_probabilities(masked_lm, rows, positions, precision=precision):
        batch = answers[done : done + len(log_probs)]
        done += len(log_probs)
        of_answers = log_probs.gather(1, batch[:, None])[:, 0]
        best, guesses = log_probs.max(dim=1)
        names = readable_pieces(masked_lm, guesses.tolist())
        columns = of_answers.tolist(), ranks_of(log_probs, batch).tolist(), names, best.exp().tolist()
        yield from zip(*columns, strict=True)


def _with_unknown(masked_lm: MaskedLM, body: _Body, scores: dict[int, TokenScore]) -> tuple[TokenScore, ...]:
    """The scores in order, with an empty one for each [UNK]; other special tokens are left out."""
    unknown = masked_lm.tokenizer.unk_token_id
    start = len(body.prefix)
    for index, token_id in enumerate(body.token_ids):
        if token_id == unknown and token_id in masked_lm.special_ids:
            name = masked_lm.tokenizer.unk_token
            scores[start + index] = TokenScore(name, token_id, start + index, body.words[index])
    return tuple(scores[position] for position in sorted(scores))


def _notes(masked_lm: MaskedLM, body: _Body, *, windows: int) -> Iterator[str]:
    tokenizer = masked_lm.tokenizer
    unknown = body.token_ids.count(tokenizer.unk_token_id)
    if unknown:
        what = "1 token is" if unknown == 1 else f"{unknown} tokens are"
        yield f"{what} unknown to the model ({tokenizer.unk_token}), not scored and not counted."
    special = set(body.token_ids) & masked_lm.special_ids - {tokenizer.unk_token_id}
    for token in sorted(tokenizer.convert_ids_to_tokens(list(special))):
        yield f"{token} in the text is read as the model's own special token, and not scored."
    if windows > 1:
        count, limit = len(body.token_ids), masked_lm.max_length
        yield f"The text has {count} tokens but the model reads {limit} at once, so each was scored by those around it."
