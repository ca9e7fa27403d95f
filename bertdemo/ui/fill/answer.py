"""What the fill tab shows of a text: the models' answers as bars and table, the strip, notes, or what is missing.

Everything here is a value for a component; none is laid out or wired here.
"""

from __future__ import annotations

from html import escape
from typing import Any, NamedTuple

import gradio as gr

from bertdemo.mlm.analysis.compare import Comparison, compare
from bertdemo.mlm.errors import BertDemoError
from bertdemo.mlm.inference.fill_mask import FilledText, fill_masks

from ..inside.quantities import equal_choices
from ..inside.view import Question
from ..services import Services, user_errors
from .candidate_bars import CandidateRow, MaskRows, bars_html, blank_title, percent, table_html
from .compared_rows import BY_CHANGE, both_covered, compared_rows, gist_html
from .reading import about, ask, load_model, read, standings, strip_of
from .token_strip import strip_edit

NO_BLANK = "Nothing is hidden yet: press a word below, or write [MASK] (or ___) in the text."


class FillView(NamedTuple):
    """What an answer fills: components when built, their values when returned."""

    notes: object
    full_stop: object
    strip: object
    order: object
    bars: object
    summary: object
    table: object
    blank: object


def answer(
    services: Services,
    text: str,
    strip: object,
    model: str,
    compared: str,
    top_k: int,
    blank: int,
    order: str = BY_CHANGE,
) -> FillView:
    """Fill every blank with one model or compare two; what is wrong with the text is said in place, not in a toast."""
    with user_errors():
        try:
            question = ask(services, text, strip, model, compared, blank=blank or 0)
            new_strip = strip_of(question, text=text, strip=strip, said=standings(question))
            if not question.prepared.mask_positions:
                return _refusal(NO_BLANK, strip=new_strip)
            if len(question.models) == 1:
                filled = fill_masks(question.models[0], question.prepared, top_k=int(top_k))
                return _one_model(question, filled, strip=new_strip)
            comparison = compare(*question.models, question.prepared, top_k=int(top_k))
            return _two_models(question, comparison, strip=new_strip, order=order)
        except BertDemoError as error:
            return _refusal(str(error))


def _one_model(question: Question, filled: FilledText, *, strip: dict[str, Any]) -> FillView:
    count = len(filled.masks)
    rows = [
        MaskRows(
            [CandidateRow(c.token, c.token_id, c.probability, c.rank) for c in mask.candidates],
            blank_title(number, count),
        )
        for number, mask in enumerate(filled.masks)
    ]
    bars, table = bars_html(rows, tuned=question.tuned), f"{table_html(rows)}{_entropies(filled)}"
    return _view(question, strip=strip, bars=bars, summary=_coverage(filled), table=table)


def _two_models(question: Question, comparison: Comparison, *, strip: dict[str, Any], order: str) -> FillView:
    rows = compared_rows(comparison, order)
    bars, table = (draw(rows, labels=question.labels) for draw in (bars_html, table_html))
    summary = both_covered(comparison)
    shown = _view(question, strip=strip, bars=gist_html(comparison) + bars, summary=summary, table=table)
    notes = question.prepared.notes
    only_here = [note for note in comparison.notes if note not in notes]
    return shown._replace(notes=_notes([*only_here, *notes])) if only_here else shown


def _coverage(filled: FilledText) -> str:
    lines = []
    for mask in filled.masks:
        count = len(mask.candidates)
        words = "1 word covers" if count == 1 else f"{count} words cover"
        lines.append(f"{words} {percent(mask.covered)} of all that it could have said.")
    return lines[0] if len(set(lines)) == 1 else " ".join(f"Blank {n}: {line}" for n, line in enumerate(lines, 1))


def _entropies(filled: FilledText) -> str:
    """How open each answer is, beside the table."""
    lines = "".join(
        f"<li>{blank_title(number, len(filled.masks)) or 'The answer'}: entropy {mask.entropy_bits:.2f} bits, "
        f"as open as a choice among {equal_choices(mask.entropy_bits)} equally likely words.</li>"
        for number, mask in enumerate(filled.masks)
    )
    return f'<ul class="entropies">{lines}</ul>'


def _view(question: Question, *, strip: dict[str, Any], bars: str, summary: str, table: str) -> FillView:
    prepared, suggestions = question.prepared, question.prepared.suggestions
    notes = [*prepared.notes, *(suggestion.message for suggestion in suggestions)]
    return FillView(
        notes=_notes(notes) if notes else f'<p class="quiet">{escape(about(question.models[0], prepared))}</p>',
        full_stop=gr.Button(visible=bool(suggestions)),
        strip=strip,
        order=gr.Radio(visible=len(question.models) > 1),
        bars=bars,
        summary=f'<p class="quiet">{escape(summary)}</p>',
        table=table,
        blank=_blanks(question),
    )


def _blanks(question: Question) -> gr.Radio:
    """Which blank the views look at; each is named by its number and the piece before it."""
    tokens, masks = question.prepared.tokens, question.prepared.mask_positions
    choices = [(f"{number + 1}, after “{tokens[place - 1]}”", number) for number, place in enumerate(masks)]
    return gr.Radio(choices=choices, value=question.blank, visible=len(masks) > 1)


def _refusal(sentence: str, *, strip: dict[str, Any] | None = None) -> FillView:
    """Say what is missing and leave the last answer where it is, paler, so that nothing jumps while someone types."""
    return FillView(
        notes=_notes([sentence], kind="notes stale"),
        full_stop=gr.Button(visible=False),
        strip=strip or gr.skip(),
        order=gr.skip(),
        bars=gr.skip(),
        summary=gr.skip(),
        table=gr.skip(),
        blank=gr.skip(),
    )


def _notes(notes: list[str], *, kind: str = "notes") -> str:
    return f'<ul class="{kind}" role="status">{"".join(f"<li>{escape(note)}</li>" for note in notes)}</ul>'


def add_full_stop(services: Services, text: str, strip: object, model: str) -> tuple[str, object]:
    """The text, and the strip's ids if words are hidden in it, as the input doctor suggests them."""
    with user_errors():
        question = read(load_model(services, model), text, strip)
        suggestions = question.prepared.suggestions
        if not suggestions:
            return text, gr.skip()
        if not question.originals:
            return suggestions[0].text, gr.skip()
        edit, stopped = strip_edit(strip), text.rstrip() + suggestions[0].text[-1]
        ids = {"ids": list(suggestions[0].token_ids or ()), "tokens": None, "version": edit.version if edit else 0}
        originals = {str(place): {"id": token_id} for place, token_id in question.originals.items()}
        return stopped, {"text": stopped, **ids, "originals": originals, "edited": True}
