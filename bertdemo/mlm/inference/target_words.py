"""The user's own words at a mask, split as they would be there; a piece is never passed off as the word.

A word of one piece is looked up in the mask's distribution. One of n pieces widens the mask to n masks, filled from
left to right, each piece given those before it, with the log-probabilities summed (the chain rule within the word).
That answers another question than one piece does, and says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from ..errors import TextError
from ..models.masked_lm import MaskedLM
from ..text.prompt import PreparedText
from ..text.text_notes import valid_unicode
from ..text.tokens import raw_pieces, readable_pieces, space_marker
from .log_probs import log_probabilities_at

MAX_PIECES = 16


@dataclass(frozen=True)
class TargetScore:
    """A word at a mask. The numbers are None where the vocabulary cannot write it, and ``note`` says so; ``rank`` also
    where it has several pieces."""

    word: str
    pieces: tuple[str, ...]
    probability: float | None
    rank: int | None  # from 1, in the whole vocabulary
    log_probability: float | None  # nats, summed over the pieces
    note: str = ""


def target_ids(masked_lm: MaskedLM, word: str, *, after_space: bool = True) -> tuple[int, ...]:
    """The pieces of a word as it would be tokenised at the mask: after a space or not, lower-cased or not.

    A continuing piece can be asked for as WordPiece writes it, "##ing". SentencePiece puts a space before whatever it
    is given; where the mask follows none, it is taken off again.
    """
    tokenizer = masked_lm.tokenizer
    if word.startswith("##") and not space_marker(masked_lm):
        piece = tokenizer.convert_tokens_to_ids(word)
        if piece != tokenizer.unk_token_id:
            return (piece,)
    word = valid_unicode(word)
    text = f" {word}" if after_space else word
    ids = tuple(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
    return ids if after_space else _without_first_space(masked_lm, ids)


def _without_first_space(masked_lm: MaskedLM, ids: tuple[int, ...]) -> tuple[int, ...]:
    """Pieces that begin with a space -> the same without it, where the vocabulary has the first piece so."""
    first, mark = raw_pieces(masked_lm, ids[:1]), space_marker(masked_lm)
    if not first or not mark or not first[0].startswith(mark):
        return ids
    rest = first[0].removeprefix(mark)
    if not rest:
        return ids[1:]
    piece = masked_lm.tokenizer.convert_tokens_to_ids(rest)
    return ids if piece in (None, masked_lm.tokenizer.unk_token_id) else (piece, *ids[1:])


def answer_ids(masked_lm: MaskedLM, prepared: PreparedText, word: str, *, mask: int) -> tuple[int, ...]:
    """The pieces that would have to stand at the mask with the index ``mask`` for the word to be the answer.

    "barked" -> the ids of bark and ##ed.

    Raises:
        TextError: no word, or one that the vocabulary cannot write or the model cannot read.
    """
    name = word.strip()
    if not name:
        raise TextError("There is no word to look at; type one.")
    ids = target_ids(masked_lm, name, after_space=prepared.after_space[mask])
    refusal = _refusal(masked_lm, prepared, ids)
    if refusal:
        raise TextError(f"{refusal.removesuffix('.')}; try another word.")
    return ids


def piece_rows(
    masked_lm: MaskedLM, prepared: PreparedText, ids: tuple[int, ...], *, mask: int
) -> list[tuple[int, ...]]:
    """A row (T + P - 1,) for each of P pieces: the mask widened to P masks, those before the piece filled already.

    ``the [MASK] .`` and bark, ##ed -> ``the [MASK] [MASK] .`` and ``the bark [MASK] .``
    """
    position = prepared.mask_positions[mask]
    before, after = prepared.token_ids[:position], prepared.token_ids[position + 1 :]
    blank = (masked_lm.mask_token_id,)
    return [(*before, *ids[:known], *blank * (len(ids) - known), *after) for known in range(len(ids))]


def order_note(pieces: int) -> str:
    """What sets a word of several pieces apart."""
    return f"{pieces} pieces, scored one after the other: a different question from one piece."


def score_target(
    masked_lm: MaskedLM,
    prepared: PreparedText,
    word: str,
    *,
    mask: int,
    log_probabilities: Tensor,
    precision: str = "fp32",
) -> TargetScore:
    """Score a word at the mask with the index ``mask``, whose log-probabilities (V,) are known already."""
    ids = target_ids(masked_lm, word, after_space=prepared.after_space[mask])
    pieces = readable_pieces(masked_lm, ids)
    refusal = _refusal(masked_lm, prepared, ids)
    if refusal:
        return TargetScore(word, pieces, None, None, None, refusal)
    if len(ids) == 1:
        score = float(log_probabilities[ids[0]])
        rank = int((log_probabilities > log_probabilities[ids[0]]).sum()) + 1
        return TargetScore(word, pieces, math.exp(score), rank, score)
    score = _score_pieces(masked_lm, prepared, ids, mask=mask, precision=precision)
    return TargetScore(word, pieces, math.exp(score), None, score, order_note(len(ids)))


def _refusal(masked_lm: MaskedLM, prepared: PreparedText, ids: tuple[int, ...]) -> str:
    if not ids:
        return "The tokenizer leaves nothing of this word."
    if masked_lm.tokenizer.unk_token_id in ids:
        return f"This model's vocabulary cannot write this word ({masked_lm.tokenizer.unk_token})."
    if len(ids) > MAX_PIECES:
        return f"This word has {len(ids)} pieces; at most {MAX_PIECES} are scored."
    if len(prepared.token_ids) + len(ids) - 1 > masked_lm.max_length:
        return "With all pieces of this word the text would be too long for the model."
    return ""


def _score_pieces(
    masked_lm: MaskedLM, prepared: PreparedText, ids: tuple[int, ...], *, mask: int, precision: str
) -> float:
    """Sum of log p(piece i | pieces before it, masks behind it), all pieces in one batch; other masks stay masks."""
    position = prepared.mask_positions[mask]
    rows = piece_rows(masked_lm, prepared, ids, mask=mask)
    positions = [[position + known] for known in range(len(ids))]
    scores = log_probabilities_at(masked_lm, rows, positions, precision=precision)  # (pieces, V)
    return math.fsum(float(scores[known, piece]) for known, piece in enumerate(ids))
