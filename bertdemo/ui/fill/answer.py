"""What the fill tab shows of a text: the models' answers as bars and table, the strip, notes, or what is missing.

Handlers: values of the page in, {component: value} out. Nothing is laid out or wired here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.blocks import Block

from bertdemo.mlm.analysis.compare import Comparison
from bertdemo.mlm.errors import BertDemoError
from bertdemo.mlm.inference.fill_mask import FilledText, fill_masks, score_hidden_tokens
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.text.prompt import PreparedText
from bertdemo.mlm.text.tokens import readable_pieces
from bertdemo.mlm.wording import percent

from ..markup import notes_list, quiet
from ..question import Question, ask, compare_both, read
from ..services import Services, user_errors
from .bars import BY_CHANGE, compared_bars, compared_table, entropies_html, filled_bars, filled_table
from .token_strip import Piece, strip_edit, strip_value

NO_BLANK = "There is no blank yet: press a word below to hide it, or write [MASK] (or ___) in the text."
NO_TEXT = "Write a sentence, with [MASK] (or ___) where a word is missing."
Shown = dict[Block, Any]


@dataclass(frozen=True)
class FillView:
    """The components that an answer fills."""

    notes: gr.HTML
    full_stop: gr.Button
    strip: gr.HTML
    order: gr.Radio
    bars: gr.HTML
    summary: gr.HTML
    table: gr.Dataframe
    entropies: gr.HTML
    blank: gr.Radio

    @property
    def all(self) -> list[Block]:
        return list(vars(self).values())


def answer(  # noqa: PLR0913 - one argument for each control of the tab
    services: Services,
    view: FillView,
    *,
    text: str,
    strip: object,
    model: str,
    compared: str,
    top_k: int,
    blank: int = 0,
    order: str = BY_CHANGE,
    table_open: bool = False,
    between: Callable[[Question], AbstractContextManager[Question]] = nullcontext,
) -> Shown:
    """Fill every blank with one model or compare two; what is wrong with the text is said in place, not in a toast.

    ``between`` may lend another question in the place of what was asked, such as one to a blend of the two models.
    """
    with user_errors():
        try:
            if not (text or "").strip():
                return _nothing(view, strip)
            asked = ask(services, text=text, strip=strip, model=model, compared=compared, blank=blank)
            with between(asked) as question:
                new_strip = strip_of(question, text=text, strip=strip, said=original_scores(question))
                if not question.prepared.mask_positions:
                    return {**_refusal(view, NO_BLANK), view.strip: new_strip}
                answered = _answered(view, question, top_k=int(top_k), order=order, table_open=table_open)
            return {**_about(view, question), view.strip: new_strip, **answered}
        except BertDemoError as error:
            return _refusal(view, str(error))


def _answered(view: FillView, question: Question, *, top_k: int, order: str, table_open: bool) -> Shown:
    if len(question.models) == 1:
        filled = fill_masks(question.models[0], question.prepared, top_k=top_k)
        return _one_model(view, question, filled, table_open=table_open)
    comparison = compare_both(question, top_k=top_k)
    return _two_models(view, question, comparison, order=order, table_open=table_open)


def add_full_stop(services: Services, *, text: str, strip: object, model: str) -> tuple[str, object]:
    """The text, and the strip's ids if words are hidden in it, as the input doctor suggests them."""
    with user_errors():
        question = read(services.model(model), text, strip)
        suggestions = question.prepared.suggestions
        if not suggestions:
            return text, gr.skip()
        if not question.originals:
            return suggestions[0].text, gr.skip()
        edit, stopped = strip_edit(strip), text.rstrip() + suggestions[0].text[-1]
        ids = {"ids": list(suggestions[0].token_ids or ()), "tokens": None, "version": edit.version if edit else 0}
        originals = {str(place): {"id": token_id} for place, token_id in question.originals.items()}
        return stopped, {"text": stopped, **ids, "originals": originals, "edited": True}


def strip_of(question: Question, *, text: str, strip: object, said: Sequence[str] = ()) -> dict[str, Any]:
    """The strip's new value for what is read; ``strip`` is what the browser holds, whose version it answers."""
    prepared, originals, model = question.prepared, question.originals, question.models[0]
    names = dict(zip(originals, readable_pieces(model, list(originals.values())), strict=True))
    columns = zip(prepared.tokens, prepared.token_ids, question.words, strict=True)
    pieces = [
        Piece(token, token_id, word, (names[place], originals[place]) if place in originals else None)
        for place, (token, token_id, word) in enumerate(columns)
    ]
    edit = strip_edit(strip)
    mask = (model.tokenizer.mask_token, model.mask_token_id)
    return strip_value(pieces, text=text, mask=mask, said=said, version=edit.version if edit else 0)


def original_scores(question: Question) -> list[str]:
    """What each model gives each word that was hidden by hand, a sentence a word.

    'mini-bert gave your word "really" 3.1%, rank 6.'
    """
    special = question.models[0].special_ids
    originals = {place: token for place, token in question.originals.items() if token not in special}
    hidden = [
        score_hidden_tokens(model, question.prepared, originals)
        for number, model in enumerate(question.models)
        if question.same_ids(number)
    ]
    sentences = []
    for tokens in zip(*hidden, strict=True):
        given = "; ".join(
            f"{label} {'gave it' if number else f'gave your word “{token.token}”'} "
            f"{percent(token.probability)}, rank {token.rank:,}"
            for number, (label, token) in enumerate(zip(question.labels, tokens, strict=False))
        )
        sentences.append(f"{given}.")
    return sentences


def _one_model(view: FillView, question: Question, filled: FilledText, *, table_open: bool) -> Shown:
    names = question.blank_names
    lines = []
    for mask in filled.masks:
        count = len(mask.candidates)
        words = "1 word covers" if count == 1 else f"{count} words cover"
        lines.append(f"{words} {percent(mask.covered)} of all that {question.labels[0]} could have said.")
    shown: Shown = {
        view.bars: filled_bars(filled.masks, names=names, kind=question.kinds[0]),
        view.summary: quiet(_by_blank(names, lines)),
    }
    if table_open:
        shown |= {view.table: filled_table(filled, names=names), view.entropies: entropies_html(filled, names)}
    return shown


def _two_models(view: FillView, question: Question, comparison: Comparison, *, order: str, table_open: bool) -> Shown:
    names, labels = question.blank_names, question.labels
    lines = [
        f"Each model's own first guesses cover {percent(mask.covered_before)} of all that it could have said before, "
        f"{percent(mask.covered_after)} after."
        for mask in comparison.masks
    ]
    shown: Shown = {
        view.bars: compared_bars(comparison, names=names, labels=labels, order=order),
        view.summary: quiet(_by_blank(names, lines)),
    }
    if table_open:
        shown |= {view.table: compared_table(comparison, names=names, labels=labels), view.entropies: ""}
    only_here = [note for note in comparison.notes if note not in question.prepared.notes]
    return {**shown, view.notes: notes_list([*only_here, *question.prepared.notes])} if only_here else shown


def _by_blank(names: Sequence[str], lines: Sequence[str]) -> str:
    """Each line under the name of its blank, or once where all say the same."""
    if len(set(lines)) == 1:
        return lines[0]
    return " ".join(f"{name}: {line}" for name, line in zip(names, lines, strict=True))


def _about(view: FillView, question: Question) -> Shown:
    """What is to be said of the text, and what can be done with it."""
    prepared, suggestions, masks = question.prepared, question.prepared.suggestions, question.blank_names
    notes = [*prepared.notes, *(suggestion.message for suggestion in suggestions)]
    return {
        view.notes: notes_list(notes) if notes else quiet(_room(question.models[0], prepared)),
        view.full_stop: gr.Button(visible=bool(suggestions)),
        view.order: gr.Radio(visible=len(question.models) > 1),
        view.blank: gr.Radio(
            choices=[(name, number) for number, name in enumerate(masks)],
            value=question.blank,
            visible=len(masks) > 1,
        ),
    }


def _room(masked_lm: MaskedLM, prepared: PreparedText) -> str:
    """How much of the model's room the text takes, and how it reads letters."""
    room = f"{len(prepared.token_ids):,} of {masked_lm.max_length:,} tokens"
    return f"{room} · {'reads all letters as lower case' if masked_lm.is_uncased else 'knows capital letters'}"


def _refusal(view: FillView, sentence: str) -> Shown:
    """Say what is missing and leave the last answer where it is, paler, so that nothing jumps while someone types."""
    return {view.notes: notes_list([sentence], stale=True), view.full_stop: gr.Button(visible=False)}


def _nothing(view: FillView, strip: object) -> Shown:
    """No text, no answer: an old one would seem to belong to the empty box."""
    edit = strip_edit(strip)
    empty = strip_value([], text="", mask=("", 0), version=edit.version if edit else 0)
    emptied: Shown = dict.fromkeys((view.bars, view.summary, view.entropies), "")
    hidden: Shown = {view.order: gr.Radio(visible=False), view.blank: gr.Radio(visible=False)}
    return {**_refusal(view, NO_TEXT), **emptied, **hidden, view.table: None, view.strip: empty}
