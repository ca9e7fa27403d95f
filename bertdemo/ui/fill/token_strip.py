"""The token strip: the text as the model's pieces, each a button that hides it; the ids are the state.

The browser changes ids and says so with a ``tapped`` event; the server answers with the strip as it is then. What comes
back from a browser is checked here for its shape only; whether the ids mean anything is for the engine to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from bertdemo.mlm.errors import TextError

_HERE = Path(__file__).parent
_LOST = "What is hidden in the text got lost on the way; change the text to start again."


@dataclass(frozen=True)
class Piece:
    """One token. ``word`` groups pieces, None for [CLS] and the like; ``original`` is what a mask hides."""

    token: str
    token_id: int
    word: int | None
    original: tuple[str, int] | None = None  # (token, id)


@dataclass(frozen=True)
class StripEdit:
    """What a browser holds: the ids now, what the reader hid (position -> id), and the text that it all came from."""

    text: str
    token_ids: tuple[int, ...]
    tokens: tuple[str, ...] | None  # None in a link, which has no names
    originals: Mapping[int, int]
    version: int
    edited: bool


def token_strip() -> gr.HTML:
    """The component; give it :func:`strip_value`. It fires ``tapped`` when the reader hid or restored something."""
    return gr.HTML(
        None,
        html_template=(_HERE / "token_strip.html").read_text(encoding="utf-8"),
        js_on_load=(_HERE / "token_strip.js").read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_classes=["token-strip"],
        elem_id="token-strip",
        label="The text as the model sees it",
    )


def strip_value(
    pieces: Sequence[Piece], *, text: str, mask: tuple[str, int], said: Sequence[str] = (), version: int = 0
) -> dict[str, Any]:
    """What the script draws; ``mask`` is the mask token and its id, ``said`` the sentences under the strip."""
    originals = {
        str(place): {"token": piece.original[0], "id": piece.original[1]}
        for place, piece in enumerate(pieces)
        if piece.original is not None
    }
    return {
        "text": text,
        "ids": [piece.token_id for piece in pieces],
        "tokens": [piece.token for piece in pieces],
        "words": [piece.word for piece in pieces],
        "originals": originals,
        "mask": {"token": mask[0], "id": mask[1]},
        "said": list(said),
        "version": version,
        "edited": bool(originals),
    }


def strip_edit(value: Any) -> StripEdit | None:
    """What a browser sent back; None if there is no strip yet.

    >>> strip_edit({"text": "a", "ids": [5], "tokens": ["a"], "originals": {}, "version": 2, "edited": True}).token_ids
    (5,)

    Raises:
        TextError: not the shape that :func:`strip_value` has.
    """
    if not value:
        return None
    try:
        ids, names = list(value["ids"]), value["tokens"]
        tokens = None if names is None else tuple(map(str, names))
        originals = {int(place): original["id"] for place, original in dict(value["originals"]).items()}
        edit = StripEdit(
            str(value["text"]), tuple(ids), tokens, originals, int(value["version"]), value["edited"] is True
        )
    except (TypeError, KeyError, ValueError, AttributeError, IndexError) as error:
        raise TextError(_LOST) from error
    numbers = [*edit.token_ids, *edit.originals.values()]
    inside = all(0 <= place < len(ids) for place in edit.originals)
    named = tokens is None or len(tokens) == len(ids)
    if not inside or not named or not all(type(number) is int for number in numbers):
        raise TextError(_LOST)
    return edit
