"""What a model expects behind each mask: the most probable tokens, and the user's own words.

Exact softmax over the whole vocabulary, each mask by itself: several masks are predicted given the same blanks, so
their probabilities do not multiply to a joint one (``fill_in_order`` fills them in order). A target word is split as it
would be at the mask, and a piece is never passed off as the word: a word of n pieces widens the mask to n masks, filled
from left to right, each piece given those before it, with the log-probabilities summed (the chain rule within the
word). Knows no chart and no training.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from ..errors import SettingsError, TextError
from ..models.masked_lm import MaskedLM
from ..text.prompt import PreparedText, Suggestion, prepare_text, valid_unicode
from ..text.tokens import encode, piece_id, raw_pieces, readable_pieces, space_marker
from .log_probs import entropy_bits, log_probabilities_at, precision_notes, ranks_of

MAX_TARGET_SCORES = 200  # target words times masks
MAX_CANDIDATES = 200_000  # in one answer: some tens of megabytes
MAX_PIECES = 16  # of a target word


@dataclass(frozen=True)
class Candidate:
    """One token that could stand at a mask; ``rank`` counts from 1 in the whole vocabulary."""

    token: str
    token_id: int
    probability: float
    rank: int


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


@dataclass(frozen=True)
class MaskPrediction:
    """One mask: its best candidates, best first, the user's words in their order, and how sure the model is."""

    position: int  # index into the tokens
    candidates: tuple[Candidate, ...]
    targets: tuple[TargetScore, ...]
    entropy_bits: float  # of the whole distribution: 0 is certain, log2(V) knows nothing
    covered: float  # probability of all candidates together


@dataclass(frozen=True)
class FilledText:
    """What the model read, and its predictions mask by mask."""

    prepared: PreparedText
    masks: tuple[MaskPrediction, ...]

    @property
    def tokens(self) -> tuple[str, ...]:
        return self.prepared.tokens

    @property
    def notes(self) -> tuple[str, ...]:
        return self.prepared.notes

    @property
    def suggestions(self) -> tuple[Suggestion, ...]:
        return self.prepared.suggestions

    def to_record(self) -> dict[str, Any]:
        """The JSON object of ``fill``: ``tokens``, ``masks`` with their ``candidates`` and ``targets``, ``notes``."""
        masks = [
            {
                "position": mask.position,
                "candidates": [asdict(candidate) for candidate in mask.candidates],
                "targets": [{**asdict(target), "pieces": list(target.pieces)} for target in mask.targets],
            }
            for mask in self.masks
        ]
        return {"tokens": list(self.tokens), "masks": masks, "notes": list(self.notes)}

    def to_frame(self) -> pd.DataFrame:
        """A row a candidate: ``position`` of its mask, ``token``, ``token_id``, ``probability``, ``rank``."""
        rows = [{"position": mask.position, **asdict(word)} for mask in self.masks for word in mask.candidates]
        return pd.DataFrame(rows, columns=["position", *(item.name for item in fields(Candidate))])

    def targets_frame(self) -> pd.DataFrame:
        """A row a target word: ``position`` of the mask, then the fields of a ``TargetScore``; missing ranks are NA."""
        rows = [{"position": mask.position, **asdict(word)} for mask in self.masks for word in mask.targets]
        frame = pd.DataFrame(rows, columns=["position", *(item.name for item in fields(TargetScore))])
        return frame.astype({"rank": "Int64", "probability": float, "log_probability": float})


def fill_masks(
    masked_lm: MaskedLM,
    text: str | PreparedText,
    *,
    top_k: int = 5,
    targets: Sequence[str] = (),
    precision: str = "fp32",
) -> FilledText:
    """Predict every mask in one pass, each by itself. ``top_k`` above the vocabulary is cut to it.

    "I really [MASK] this show!" -> for the mask at position 3: love 0.41, enjoyed 0.19, ...

    Raises:
        TextError: nothing to predict.
        SettingsError: ``top_k`` or ``precision`` is none, or there are too many candidates or target words.
    """
    check_count("The number of words shown", top_k)
    prepared = prepare_text(masked_lm, text) if isinstance(text, str) else text
    check_answer_size(masked_lm, prepared, top_k=top_k)
    words = [valid_unicode(word.strip()) for word in targets if word.strip()]
    masks = prepared.mask_positions
    if len(words) * len(masks) > MAX_TARGET_SCORES:
        raise SettingsError(
            f"Target words times masks may be at most {MAX_TARGET_SCORES}, but are {len(words)} times {len(masks)}; "
            "give fewer words."
        )
    scores = log_probabilities_at(masked_lm, [prepared.token_ids], [masks], precision=precision)  # (M, V)
    prepared = replace(prepared, notes=(*prepared.notes, *precision_notes(masked_lm, precision)))
    predictions = []
    for mask, position in enumerate(masks):
        candidates = best_candidates(masked_lm, scores[mask], top_k=top_k)
        scored = tuple(
            score_target(masked_lm, prepared, word, mask=mask, log_probabilities=scores[mask], precision=precision)
            for word in words
        )
        covered = min(1.0, math.fsum(candidate.probability for candidate in candidates))
        predictions.append(MaskPrediction(position, candidates, scored, entropy_bits(scores[mask]), covered))
    return FilledText(prepared, tuple(predictions))


def best_candidates(masked_lm: MaskedLM, log_probabilities: Tensor, *, top_k: int) -> tuple[Candidate, ...]:
    """log-probabilities (V,) -> the ``top_k`` most probable tokens, best first."""
    best = torch.topk(log_probabilities, min(top_k, len(log_probabilities)))
    token_ids = best.indices.tolist()
    return tuple(
        Candidate(token, token_id, probability, rank)
        for rank, (token, token_id, probability) in enumerate(
            zip(readable_pieces(masked_lm, token_ids), token_ids, best.values.exp().tolist(), strict=True), start=1
        )
    )


def check_count(name: str, value: object) -> None:
    """Raise SettingsError unless ``value`` is a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise SettingsError(f"{name} must be a whole number of 1 or more, but is {value!r}.")


def check_answer_size(masked_lm: MaskedLM, prepared: PreparedText, *, top_k: int) -> None:
    """Raise SettingsError where the candidates of all masks together would fill the memory of whoever asked."""
    shown, masks = min(top_k, masked_lm.vocabulary_size), len(prepared.mask_positions)
    if shown * masks > MAX_CANDIDATES:
        raise SettingsError(
            f"{shown:,} words at each of {masks} masks are more than the {MAX_CANDIDATES:,} of one answer; "
            "show fewer words."
        )


def target_ids(masked_lm: MaskedLM, word: str, *, after_space: bool = True) -> tuple[int, ...]:
    """The pieces of a word as it would be tokenised at the mask: after a space or not, lower-cased or not.

    A continuing piece can be asked for as WordPiece writes it, "##ing". SentencePiece puts a space before whatever it
    is given; where the mask follows none, it is taken off again.
    """
    if word.startswith("##") and not space_marker(masked_lm):
        piece = piece_id(masked_lm, word)
        if piece is not None:
            return (piece,)
    word = valid_unicode(word)
    text = f" {word}" if after_space else word
    ids = tuple(encode(masked_lm.tokenizer, text, add_special_tokens=False)["input_ids"])
    return ids if after_space else _without_first_space(masked_lm, ids)


def _without_first_space(masked_lm: MaskedLM, ids: tuple[int, ...]) -> tuple[int, ...]:
    """Pieces that begin with a space -> the same without it, where the vocabulary has the first piece so."""
    first, mark = raw_pieces(masked_lm, ids[:1]), space_marker(masked_lm)
    if not first or not mark or not first[0].startswith(mark):
        return ids
    rest = first[0].removeprefix(mark)
    if not rest:
        return ids[1:]
    piece = piece_id(masked_lm, rest)
    return ids if piece is None else (piece, *ids[1:])


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
        rank = int(ranks_of(log_probabilities[None], torch.tensor(ids)))
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


def token_id_of(masked_lm: MaskedLM, word: str | int, *, after_space: bool = True) -> int:
    """The one token that a word is, tokenised as it would stand in a text; an id is only checked.

    Raises:
        TextError: no such id, or a word of no, several or unknown tokens.
    """
    if isinstance(word, int):
        if not 0 <= word < masked_lm.vocabulary_size:
            raise TextError(f"This model has no token {word}; its ids go from 0 to {masked_lm.vocabulary_size - 1}.")
        return word
    name = word.strip()
    ids = target_ids(masked_lm, name, after_space=after_space) if name else ()
    if not ids:
        raise TextError("There is no word to look at; type one.")
    if masked_lm.tokenizer.unk_token_id in ids:
        raise TextError(f'The model\'s vocabulary cannot write "{name}"; try another word.')
    if len(ids) > 1:
        pieces = " ".join(readable_pieces(masked_lm, ids))
        raise TextError(f'"{name}" is {len(ids)} tokens to this model ({pieces}); choose a word that is one.')
    return ids[0]


@dataclass(frozen=True)
class HiddenToken:
    """A token behind a mask, and what the model gives it there; rank 1 is its first guess."""

    position: int  # index into the tokens
    token: str
    token_id: int
    probability: float
    rank: int


def score_hidden_tokens(
    masked_lm: MaskedLM, prepared: PreparedText, hidden_tokens: Mapping[int, int]
) -> tuple[HiddenToken, ...]:
    """``hidden_tokens``: position of a mask -> id of the token it hides; all other masks stay masks.

    ``I really [MASK] it`` with {3: id of "love"} -> love 0.41, rank 1.

    Raises:
        TextError: a position that is no mask, or an id that the model does not have.
    """
    places = sorted(hidden_tokens)
    if not set(places) <= set(prepared.mask_positions):
        raise TextError("A hidden word stands where there is no mask; start from the text again.")
    if not places:
        return ()
    ids = [token_id_of(masked_lm, hidden_tokens[place]) for place in places]
    scores = log_probabilities_at(masked_lm, [prepared.token_ids], [places])  # (M, V)
    answers = scores.new_tensor(ids).long()
    ranks = ranks_of(scores, answers).tolist()
    chances = [math.exp(float(row[token_id])) for row, token_id in zip(scores, ids, strict=True)]
    columns = zip(places, readable_pieces(masked_lm, ids), ids, chances, ranks, strict=True)
    return tuple(HiddenToken(*column) for column in columns)
