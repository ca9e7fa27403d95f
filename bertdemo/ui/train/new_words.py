"""The words that the chosen texts use often and the chosen model must spell in pieces, and the one press that gives it
them as tokens of their own: it fills in the setting "New words". Starts nothing.
"""

from __future__ import annotations

from functools import lru_cache, partial
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from bertdemo.mlm.data.corpus import read_corpus
from bertdemo.mlm.errors import BertDemoError
from bertdemo.mlm.models.masked_lm import ModelRef
from bertdemo.mlm.text.new_words import MIN_USES, SpelledWord, spelled_words

from ..events import Fold
from ..notes import note_html
from ..services import LAST, READ_EVENT, SLOW_EVENT, Services, Updates
from .data_panel import ChosenFile, DataPanel, chosen_file
from .form import Fields

GIVEN = 20  # words that the press asks for
SHOWN = 40
MAX_ROWS = 20_000  # read of the file: more than the words are counted in, unless rows are very short
_REMEMBERED = 32  # files and models: every page asks the same of the sample
_WHY = (
    "A vocabulary is made once, from other texts than these. A word that was rare in them has no entry, so the model"
    " spells it in pieces that have one, and each piece alone says little. As a token of its own it begins as the mean"
    " of its pieces, and training on your texts teaches it what it means here."
)
_ABSENT = "Which words it must spell can be said once the model is on this machine."


class NewWords(NamedTuple):
    """The list, and the button beneath it, which shows how many words it gives."""

    listed: gr.HTML
    give: gr.Button


def show_words(
    services: Services, view: NewWords, /, *, model: str, new_words: float | None, opened: bool = True, **chosen: Any
) -> Updates:
    """``chosen``: the fields of the data panel. What is wrong with data or model is said in their own places.

    Nothing is read while the fold is closed.
    """
    if not opened:
        return _without_list(view, "")
    try:
        file, ref = chosen_file(**chosen), services.resolve(model)
        if not file.path or not file.column:
            return _without_list(view, "")
        if not Path(ref.source).is_absolute():  # a download is not begun for a list
            return _without_list(view, note_html(_ABSENT))
        found = _found(services, ref, file)
    except BertDemoError:
        return _without_list(view, "")
    return {view.listed: words_html(found), view.give: give_button(new_words, offered=bool(found))}


@lru_cache(maxsize=_REMEMBERED)
def _found(services: Services, ref: ModelRef, file: ChosenFile) -> tuple[SpelledWord, ...]:
    corpus = read_corpus(file.path or "", column=file.column, dialect=file.dialect(), limit=MAX_ROWS)
    return spelled_words(services.registry.shared(ref), corpus.train, at_most=SHOWN)


def words_html(words: tuple[SpelledWord, ...]) -> str:
    """``anime: an ##ime, 312 times``, one a line."""
    if not words:
        return note_html(f"This model has a token for every word that the texts use {MIN_USES} times or more.")
    items = "".join(
        f"<li><b>{escape(word.word)}</b>: {escape(' '.join(word.pieces))}, {word.uses:,} times</li>" for word in words
    )
    return f'<p class="quiet">{escape(_WHY)}</p><ul class="spelled-words">{items}</ul>'


def give_button(new_words: float | None, *, offered: bool = True) -> gr.Button:
    """It says what the setting is, and what a press would do."""
    told = f"The first {int(new_words or 0)} become tokens when training starts; press to take that back"
    return gr.Button(told if new_words else f"Give the model the first {GIVEN} as tokens", visible=offered)


def _without_list(view: NewWords, said: str) -> Updates:
    return {view.listed: said, view.give: gr.Button(visible=False)}


def _given(words: float | None) -> int:
    """A press sets the usual number, or takes it back where it is set."""
    return 0 if words else GIVEN


def build_new_words(services: Services, data: DataPanel, fields: Fields) -> None:
    fold = Fold("Words that this model must spell", elem_id="new-words")
    with fold.accordion:
        listed = gr.HTML(elem_id="spelled-words", apply_default_css=False)
        give = gr.Button("Give the model these words as tokens", size="sm", visible=False, elem_id="give-words")
    view = NewWords(listed, give)
    asked = {**data.chosen, "model": fields["model"]}
    form = {**asked, "new_words": fields["new_words"], "opened": fold.opened}
    event = {"fn": partial(show_words, services, view), "inputs_kwargs": form, "outputs": list(view)}
    changed = [part.change for part in asked.values()]  # type: ignore[attr-defined]
    gr.on(changed, **event, **SLOW_EVENT, **LAST)
    fold.when_opened().then(**event, **SLOW_EVENT, **LAST)
    give.click(_given, fields["new_words"], fields["new_words"], **READ_EVENT)
    fields["new_words"].change(give_button, fields["new_words"], give, **READ_EVENT)  # type: ignore[attr-defined]
