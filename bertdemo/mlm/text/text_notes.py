"""What the input doctor says and proposes: masks written in other ways, characters it cannot read, a missing full stop.

Every finding is a sentence. Cuts nothing and decides nothing; ``text_input`` does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ..errors import TextError
from ..models.masked_lm import MaskedLM

_WRITTEN_MASK = re.compile(r"\[ ?mask ?\]|< ?mask ?>|(?<![A-Za-z0-9_])_{2,}(?![A-Za-z0-9_])", re.IGNORECASE)
_EAST_ASIAN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_NAMED = 5  # unknown words that a note names
_NAME_LENGTH = 20
NO_STOP = (
    "The last mask ends the text, so the model mostly expects punctuation there; add a full stop and it expects a word."
)


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
        notes.append(f"Read as the model's mask {mask}: {_listed(written)}.")
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
