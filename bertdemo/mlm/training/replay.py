"""General texts mixed into the rows of a run, so that it forgets less of what it knew (rehearsal, Robins 1995).

Every epoch has as many of their tokens as its share asks for, and goes on in them where the one before stopped;
held-out rows are never among them. Knows no run and no page.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from ..data.corpus import Dialect, read_texts
from ..data.texts import same_text_key
from ..errors import DataError
from ..models.loading import bundled_assets
from ..settings import TrainingConfig
from .batching import ROWS_AT_ONCE, TokenizedTexts, tokenize_all
from .masking import Stream

GENERAL = "general"  # in the place of a file: the bundled paragraphs of English
GENERAL_FILE = "general_paragraphs.txt"
_A_LINE_EACH = Dialect(encoding="utf-8", delimiter=None, quote=None, header=False)


def replay_path(reference: str) -> Path:
    """The file that ``--replay`` names."""
    return bundled_assets() / GENERAL_FILE if reference == GENERAL else Path(reference)


def check_replay(reference: str) -> None:
    """Raises DataError where the file cannot be opened; reads nothing of it."""
    with _opened(reference):
        pass


def replay_sha256(reference: str) -> str:
    """Of the file's bytes. Raises DataError where it cannot be read."""
    with _opened(reference) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _opened(reference: str) -> Iterator[BufferedReader]:
    try:
        with replay_path(reference).open("rb") as file:
            yield file
    except OSError as exc:
        raise DataError(
            f"The general texts {Path(reference).name!r} cannot be read; give a file that is there, or 'general'."
        ) from exc


def read_replay(reference: str, *, held_out: Sequence[str]) -> tuple[str, ...]:
    """The texts to mix in, without any that is held out. Raises DataError where none is left."""
    texts = read_texts(replay_path(reference), dialect=_A_LINE_EACH if reference == GENERAL else None)[0]
    hidden = set(map(same_text_key, held_out))
    kept = tuple(text for text in texts if same_text_key(text) not in hidden)
    if not kept:
        raise DataError(
            f"All texts of {Path(reference).name!r} are held out from the run's own rows, so there is nothing to mix"
            " in; give another file."
        )
    return kept


def tokens_wanted(own_tokens: int, *, share: float) -> int:
    """General tokens of an epoch with so many of its own: share / (1 - share) of them.

    >>> tokens_wanted(9000, share=0.1)
    1000
    """
    return max(1, round(own_tokens * share / (1 - share)))


def tokenize_replay(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, config: TrainingConfig, enough: int
) -> Iterator[int | TokenizedTexts]:
    """The texts in a random order that the seed decides, tokenised until there are ``enough`` tokens or no more texts;
    yields the texts done so far, and last the result. Long ones are split or cut as the run's own are."""
    order = np.random.default_rng((config.seed, Stream.REPLAY)).permutation(len(texts))
    parts: list[TokenizedTexts] = []
    for start in range(0, len(order), ROWS_AT_ONCE):
        chosen = [texts[index] for index in order[start : start + ROWS_AT_ONCE]]
        parts.append(tokenize_all(tokenizer, chosen, max_length=config.max_length, split=config.splits))
        yield start + len(chosen)
        if sum(len(part.token_ids) for part in parts) >= enough:
            break
    token_ids = np.concatenate([part.token_ids for part in parts])
    offsets = np.concatenate([np.zeros(1, np.int64), *(part.lengths for part in parts)]).cumsum()
    yield TokenizedTexts(token_ids, offsets, parts[0].truncated, parts[0].pieces)


def rows_of_epoch(offsets: NDArray[np.int64], *, wanted: int, epoch: int) -> NDArray[np.int64]:
    """Those of M rows, cut by ``offsets`` (M + 1,), that an epoch mixes in: the rows that begin within its ``wanted``
    tokens, counted on from the epoch before; behind the last row comes the first one again.

    Rows of 4, 4 and 4 tokens, 6 wanted: epoch 0 has rows 0 and 1, epoch 1 has row 2, epoch 2 has 0 and 1 again.
    """
    rows, total = len(offsets) - 1, int(offsets[-1])

    def first_behind(tokens: int) -> int:
        rounds, rest = divmod(tokens, total)
        return rounds * rows + int(np.searchsorted(offsets, rest))

    return np.arange(first_behind(epoch * wanted), first_behind((epoch + 1) * wanted)) % rows


def joined(own: TokenizedTexts, general: TokenizedTexts) -> TokenizedTexts:
    """The rows of both, end to end; what was too long is counted for the first alone."""
    dtype = np.result_type(own.token_ids, general.token_ids)
    token_ids = np.concatenate([own.token_ids, general.token_ids], dtype=dtype)
    offsets = np.concatenate([own.offsets, general.offsets[1:] + own.offsets[-1]])
    return TokenizedTexts(token_ids, offsets, own.truncated, own.pieces)
