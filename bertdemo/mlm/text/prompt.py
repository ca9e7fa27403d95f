"""The input doctor: from what a person typed, or from edited token ids, to what the model reads, saying what was done.

Finds the masks however they are written, keeps them inside the model's window, and points at what would spoil the
answer; every finding is a sentence. Asks the tokenizer, never the weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..errors import TextError
from ..models.masked_lm import MaskedLM
from .tokens import (
    begins_with_space,
    continues_word,
    decode,
    encode,
    raw_pieces,
    readable_pieces,
    space_marker,
    word_ids,
)

_WRITTEN_MASK = re.compile(r"\[ ?mask ?\]|< ?mask ?>|(?<![A-Za-z0-9_])_{2,}(?![A-Za-z0-9_])", re.IGNORECASE)
_EAST_ASIAN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_NAMED = 5  # unknown words that a note names
_NAME_LENGTH = 20
NO_STOP = (
    "The last mask ends the text, so the model mostly expects punctuation there; add a full stop and it expects a word."
)


@dataclass(frozen=True)
class Suggestion:
    """A change that would help, ready to be taken: as text, and as ids where ids were given."""

    message: str
    text: str
    token_ids: tuple[int, ...] | None = None


@dataclass(frozen=True)
class PreparedText:
    """What the model reads: T token ids, special ones included, M of them masks. One text, nothing padded."""

    text: str  # all of it, with the model's own mask token
    token_ids: tuple[int, ...]  # (T,)
    tokens: tuple[str, ...]  # (T,) as a person reads them
    word_ids: tuple[int | None, ...]  # (T,) which word a piece belongs to; None for [CLS] and [SEP]
    mask_positions: tuple[int, ...]  # (M,) indices into the above
    after_space: tuple[bool, ...]  # (M,) whether a word there follows a space
    notes: tuple[str, ...] = ()  # what was changed, dropped or cannot be read, a sentence each
    suggestions: tuple[Suggestion, ...] = ()


def prepare_text(masked_lm: MaskedLM, text: str, *, needs_mask: bool = True) -> PreparedText:
    """Tokenise a text with masks; ``[MASK]``, ``[mask]``, ``<mask>`` and ``___`` all become the model's own mask.

    "I really ___ this show!" -> [CLS] i really [MASK] this show ! [SEP], and a note that says so. A text that is too
    long keeps the part around its masks. ``needs_mask`` False takes a text without any, to have its tokens shown.

    Raises:
        TextError: empty, without a mask where one is needed, or with masks too far apart to be read together.
    """
    mask = masked_lm.tokenizer.mask_token
    text, notes = marked_text(text, mask=mask, needs_mask=needs_mask)
    swallowed, after_space = _swallow_spaces(text, mask)
    source = swallowed if space_marker(masked_lm) else text
    if text.startswith(mask):
        after_space[0] = begins_with_space(masked_lm)
    encoded = encode(masked_lm.tokenizer, source, add_special_tokens=False)
    body: list[int] = encoded["input_ids"]
    if not body:
        raise TextError("The tokenizer leaves nothing of this text; write a sentence.")
    window, cut = _window(masked_lm, body)
    offsets = encoded.encodings[0].offsets[window] if encoded.encodings else []
    read_as = [source[start:end] for start, end in offsets]
    stop = missing_stop(masked_lm, body, text=text)
    return _framed(
        masked_lm,
        body[window],
        text=text,
        after_space=after_space,
        notes=[
            *notes,
            *cut,
            *literal_notes(masked_lm, text),
            *unknown_notes(masked_lm, body[window], read_as=read_as),
            *masked_lm.notes,
        ],
        suggestions=[Suggestion(NO_STOP, text + stop)] if stop else [],
    )


def prepare_ids(masked_lm: MaskedLM, token_ids: Sequence[int], *, needs_mask: bool = True) -> PreparedText:
    """The same from token ids, special ones included or not; they stay as they are and are never tokenised again.

    The ids of ``dog [MASK] ##ed`` stay three pieces, which no text could say: ``dog[MASK]ed`` ends in a word "ed".

    Raises:
        TextError: not this model's ids, none at all, without a mask where one is needed, or with masks too far apart.
    """
    known = masked_lm.vocabulary_size
    if not all(isinstance(token_id, int) and 0 <= token_id < known for token_id in token_ids):
        raise TextError(f"Token ids of this model are whole numbers from 0 to {known - 1}; start from the text again.")
    body = _without_frame(masked_lm, list(token_ids))
    mask = masked_lm.mask_token_id
    if mask not in body and (needs_mask or not body):
        raise TextError("No token is masked; choose one for the model to guess.")
    window, cut = _window(masked_lm, body)
    text = decode(masked_lm, body)
    first = begins_with_space(masked_lm)
    return _framed(
        masked_lm,
        body[window],
        text=text,
        after_space=[index > 0 or first for index, token_id in enumerate(body) if token_id == mask],
        notes=[*cut, *unknown_notes(masked_lm, body[window], read_as=[])],
        suggestions=_stopped_ids(masked_lm, body, text=text),
    )


def _swallow_spaces(text: str, mask: str) -> tuple[str, list[bool]]:
    """Join each mask to the text before it, and say where a space was; so RoBERTa was trained to see masks.

    Not every saved tokenizer remembers this. Where spaces are not marked they stay: most tokenizers drop them, but one
    of single characters reads them.

    >>> _swallow_spaces("I <mask> it (<mask>)", "<mask>")
    ('I<mask> it (<mask>)', [True, False])
    """
    *before, last = text.split(mask)
    kept = [part.rstrip() for part in before]
    return mask.join([*kept, last]), [len(short) < len(part) for short, part in zip(kept, before, strict=True)]


def _without_frame(masked_lm: MaskedLM, token_ids: list[int]) -> list[int]:
    prefix, suffix = masked_lm.frame
    start = len(prefix) if token_ids[: len(prefix)] == prefix else 0
    ends_framed = bool(suffix) and token_ids[-len(suffix) :] == suffix
    return token_ids[start : len(token_ids) - len(suffix) if ends_framed else None]


def _window(masked_lm: MaskedLM, body: list[int]) -> tuple[slice, list[str]]:
    """The part of the body that fits, with every mask in its middle, and a note on what was dropped.

    Raises:
        TextError: the masks lie too far apart.
    """
    room = masked_lm.max_length - sum(map(len, masked_lm.frame))
    if len(body) <= room:
        return slice(0, len(body)), []
    masks = [index for index, token_id in enumerate(body) if token_id == masked_lm.mask_token_id] or [0]
    first, span = masks[0], masks[-1] - masks[0] + 1
    if span > room:
        raise TextError(
            f"The masks reach over {span} tokens but the model reads {room} at once; "
            "bring them closer together or split the text."
        )
    start = min(max(0, first - (room - span) // 2), len(body) - room)
    end = start + room
    start = _word_start(masked_lm, body, start=start, first_mask=first)
    dropped = {"beginning": start, "end": len(body) - end}
    parts = " and ".join(f"{count} at its {place}" for place, count in dropped.items() if count)
    return slice(start, end), [
        f"The text has {len(body)} tokens but the model reads {room} at once: {parts} were left out."
    ]


def _word_start(masked_lm: MaskedLM, body: list[int], *, start: int, first_mask: int) -> int:
    """Move on from the middle of a word to the next one, but not beyond the first mask."""
    mark = space_marker(masked_lm)
    pieces = raw_pieces(masked_lm, body[max(0, start - 1) : first_mask + 1])
    for index in range(1, len(pieces) if start else 0):
        if not continues_word(pieces[index - 1], pieces[index], mark=mark):
            return start + index - 1
    return start


def _framed(
    masked_lm: MaskedLM,
    body: list[int],
    *,
    text: str,
    after_space: list[bool],
    notes: list[str],
    suggestions: list[Suggestion],
) -> PreparedText:
    prefix, suffix = masked_lm.frame
    token_ids = (*prefix, *body, *suffix)
    return PreparedText(
        text=text,
        token_ids=token_ids,
        tokens=readable_pieces(masked_lm, token_ids),
        word_ids=word_ids(masked_lm, token_ids),
        mask_positions=tuple(index for index, token_id in enumerate(token_ids) if token_id == masked_lm.mask_token_id),
        after_space=tuple(after_space),
        notes=tuple(notes),
        suggestions=tuple(suggestions),
    )


def _stopped_ids(masked_lm: MaskedLM, body: list[int], *, text: str) -> list[Suggestion]:
    """The offer of a full stop for ids; none where the tokenizer cannot write it."""
    stop = missing_stop(masked_lm, body, text=text)
    stop_ids = encode(masked_lm.tokenizer, stop, add_special_tokens=False)["input_ids"] if stop else []
    if stop is None or not stop_ids or masked_lm.tokenizer.unk_token_id in stop_ids:
        return []
    prefix, suffix = masked_lm.frame
    return [Suggestion(NO_STOP, text + stop, (*prefix, *body, *stop_ids, *suffix))]


def marked_text(text: str, *, mask: str, needs_mask: bool = True) -> tuple[str, list[str]]:
    """The text with every mask written as the model's own, and a note for each thing that was changed.

    >>> marked_text("I ___ it\\0!", mask="[MASK]")[0]
    'I [MASK] it!'

    Raises:
        TextError: empty, or without a mask where one is needed.
    """
    notes = []
    if "\0" in text:
        notes.append("NUL characters were removed from the text.")
    valid = valid_unicode(text)
    if valid != text:
        notes.append("Characters that are not valid Unicode were replaced by '?'.")
    text = valid.replace("\0", "").strip()
    if not text:
        raise TextError(f"The text is empty; write a sentence with {mask} where the model is to guess.")
    written = {match: None for match in _WRITTEN_MASK.findall(text) if match != mask}
    if written:
        text = _WRITTEN_MASK.sub(mask.replace("\\", r"\\"), text)
        notes.append(f"Read as a blank, which this model writes {mask}: {_listed(written)}.")
    if needs_mask and mask not in text:
        raise TextError(f"The text has no mask; write {mask} (or ___) where the model is to guess.")
    return text, notes


def valid_unicode(text: str) -> str:
    """The text with "?" for halves of characters, which no tokenizer and no JSON takes: "a\\ud800" -> "a?"."""
    return text.encode("utf-8", "replace").decode("utf-8")


def literal_notes(masked_lm: MaskedLM, text: str) -> list[str]:
    """A note when the text spells out special tokens other than the mask: "[SEP]" is read as a separator."""
    mask = masked_lm.tokenizer.mask_token
    spelled = [token for token in masked_lm.tokenizer.all_special_tokens if token != mask and token in text]
    return [f"Read as the model's own special tokens, not as words: {_listed(spelled)}."] if spelled else []


def unknown_notes(masked_lm: MaskedLM, token_ids: Sequence[int], *, read_as: Sequence[str]) -> list[str]:
    """A note when the vocabulary lacks something; ``read_as`` is the text behind each id, or empty if not known."""
    unknown = masked_lm.tokenizer.unk_token_id
    places = [place for place, token_id in enumerate(token_ids) if token_id == unknown]
    if not places:
        return []
    name = masked_lm.tokenizer.unk_token
    words = dict.fromkeys(read_as[place] for place in places if read_as and read_as[place] != name)
    if not words:
        return [f"{name} stands for something that the model's vocabulary lacks."]
    return [f"Not in this model's vocabulary and read as {name}: {_listed(words)}."]


def missing_stop(masked_lm: MaskedLM, token_ids: Sequence[int], *, text: str) -> str | None:
    """The full stop to add when a mask ends the text, in the text's own script; None when all is well."""
    if not token_ids or token_ids[-1] != masked_lm.mask_token_id:
        return None
    return "。" if _EAST_ASIAN.search(text) else "."


def _listed(words: Iterable[str]) -> str:
    """'"a", "b" and 3 more'."""
    words = [word if len(word) <= _NAME_LENGTH else word[:_NAME_LENGTH] + "…" for word in words]
    named = ", ".join(f'"{word}"' for word in words[:_NAMED])
    return named if len(words) <= _NAMED else f"{named} and {len(words) - _NAMED} more"


def locate_mask(masked_lm: MaskedLM, text: str | PreparedText, mask_index: int) -> tuple[PreparedText, int]:
    """What the model reads, and where in it the mask stands that is the ``mask_index``-th, counted from 0.

    Raises:
        TextError: no mask, or not so many.
    """
    prepared = prepare_text(masked_lm, text) if isinstance(text, str) else text
    count = len(prepared.mask_positions)
    if not 0 <= mask_index < count:
        raise TextError(
            f"The text has {count} masks, counted from 0, so there is no mask {mask_index}; choose another."
        )
    return prepared, prepared.mask_positions[mask_index]
