"""From what the page holds to what the models read: the text box, or the strip once the reader has hidden words in it.

The fill tab and every view ask here, so that all of them look at the same ids. Builds no component.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bertdemo.mlm.analysis.originals import score_originals
from bertdemo.mlm.errors import RunError
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.text.prompt import PreparedText, prepare_ids, prepare_text
from bertdemo.mlm.text.tokens import is_uncased, readable_pieces
from bertdemo.runs.store import BEST_MODEL

from ..inside.view import Question
from ..services import NO_MODEL, Services
from .candidate_bars import percent
from .token_strip import Piece, StripEdit, strip_edit, strip_value

_READ_ANEW = "The models split the text differently, so it was read anew and nothing is hidden by hand."


def load_model(services: Services, reference: str) -> MaskedLM:
    """The shared model that a reference names. Raises ModelError."""
    registry = services.registry
    return registry.shared(registry.resolve(reference or "", allow_folders=services.allow_folders))


def chosen_models(model: str, compared: str) -> tuple[str, ...]:
    """The references of one model, or of two to compare."""
    return (model,) if not compared or compared == NO_MODEL else (model, compared)


def ask(services: Services, text: str, strip: object, model: str, compared: str, *, blank: int = 0) -> Question:
    """The question that the page stands on now. Raises BertDemoError, a sentence for the reader."""
    references = chosen_models(model, compared)
    models = tuple(load_model(services, reference) for reference in references)
    labels = tuple(_label(services, reference) for reference in references)
    question = replace(
        read(models[0], text, strip), models=models, labels=labels, tuned=model != services.default_model
    )
    last = max(0, len(question.prepared.mask_positions) - 1)
    return replace(question, blank=max(0, min(int(blank), last)))


def read(masked_lm: MaskedLM, text: str, strip: object = None) -> Question:
    """The strip's ids as they are while it was edited and its text still stands in the box; else the text.

    Raises:
        TextError: nothing to read, or ids that this model does not have.
    """
    edit, label = strip_edit(strip), masked_lm.ref.label
    if edit is None or not edit.edited or edit.text != text:
        prepared = prepare_text(masked_lm, text, needs_mask=False)
        return Question((masked_lm,), (label,), prepared, words=prepared.word_ids)
    if not _named_alike(masked_lm, edit):
        prepared = prepare_text(masked_lm, text, needs_mask=False)
        noted = replace(prepared, notes=(_READ_ANEW, *prepared.notes))
        return Question((masked_lm,), (label,), noted, words=prepared.word_ids)
    prepared = prepare_ids(masked_lm, edit.token_ids, needs_mask=False)
    mask = masked_lm.mask_token_id
    originals = {place: token for place, token in edit.originals.items() if edit.token_ids[place] == mask}
    question = Question((masked_lm,), (label,), prepared, originals=originals)
    return replace(question, words=question.sentence.word_ids)


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


def standings(question: Question) -> list[str]:
    """What each model gives each word that was hidden by hand, a sentence a word.

    'mini-bert gave your word "really" 3.1%, rank 6.'
    """
    special = question.models[0].special_ids
    originals = {place: token for place, token in question.originals.items() if token not in special}
    hidden = [
        score_originals(model, question.prepared, originals)
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


def about(masked_lm: MaskedLM, prepared: PreparedText) -> str:
    """How much of the model's room the text takes, and how it reads letters, in one quiet line."""
    room = f"{len(prepared.token_ids):,} of {masked_lm.max_length:,} tokens"
    return f"{room} · {'reads all letters as lower case' if is_uncased(masked_lm) else 'knows capital letters'}"


def _label(services: Services, reference: str) -> str:
    """A run's name, a folder's own name, else the reference itself."""
    try:
        name = services.store.get(reference.removesuffix(BEST_MODEL)).record.name
        return f"{name}, best epoch" if reference.endswith(BEST_MODEL) else name
    except RunError:
        return Path(reference).name if Path(reference).is_absolute() else reference


def _named_alike(masked_lm: MaskedLM, edit: StripEdit) -> bool:
    """Whether the ids are this model's: they have the names that the strip showed."""
    if any(not 0 <= token_id < masked_lm.vocabulary_size for token_id in (*edit.token_ids, *edit.originals.values())):
        return False
    return edit.tokens is None or readable_pieces(masked_lm, edit.token_ids) == edit.tokens
