"""What the reader looks at: the ids that the models read, which come from the text box, or from the strip once words
were hidden in it by hand. The fill tab and every view ask here, so that all of them look at the same ids.

Builds no component.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from bertdemo.mlm.analysis.compare import Comparison, compare
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.text.prompt import PreparedText, prepare_ids, prepare_text
from bertdemo.mlm.text.tokens import readable_pieces

from .fill.token_strip import StripEdit, strip_edit
from .markup import ordinal
from .services import NO_MODEL, Services

_READ_ANEW = "The models split the text differently, so it was read anew and nothing is hidden by hand."
_WORDS_BEFORE = 2  # that tell one blank from another


@dataclass(frozen=True)
class Question:
    """The ids as the first model reads them, one blank of them, and one model or two."""

    models: tuple[MaskedLM, ...]  # one; or two, before and after
    labels: tuple[str, ...]  # a name for each, from the reader: to be escaped
    prepared: PreparedText  # M masks; M is 0 only for views that need no blank
    blank: int = 0  # index into the masks
    words: tuple[int | None, ...] = ()  # (T,) the word of each piece, as they were before any was hidden by hand
    originals: Mapping[int, int] = field(default_factory=dict)  # position of a mask -> id of the token it hides
    tuned: bool = False  # the only model is a tuned one

    def read_by(self, number: int) -> PreparedText:
        """What the ``number``-th model reads: the same ids where both name them alike, else its own tokens."""
        if self.same_ids(number):
            return self.prepared
        return prepare_text(self.models[number], self.prepared.text, needs_mask=False)

    def same_ids(self, number: int, *others: int) -> bool:
        """Whether the ``number``-th model names the ids of the text, and ``others``, as the first one does."""
        ids = [*self.prepared.token_ids, *others]
        names, firsts = (model.tokenizer.convert_ids_to_tokens(ids) for model in (self.models[number], self.models[0]))
        return names == firsts

    @property
    def sentence(self) -> PreparedText:
        """The text with nothing hidden by hand; blanks that were written stay."""
        ids = [self.originals.get(place, token_id) for place, token_id in enumerate(self.prepared.token_ids)]
        return prepare_ids(self.models[0], ids, needs_mask=False) if self.originals else self.prepared

    @property
    def kinds(self) -> tuple[str, ...]:
        """The colour of each model: "base" or "tuned"."""
        return ("base", "tuned") if len(self.models) == 2 else ("tuned" if self.tuned else "base",)

    @property
    def blank_names(self) -> list[str]:
        """What tells the blanks apart: "1st, after “put the”"; one alone needs no name: [""]."""
        masks = self.prepared.mask_positions
        if len(masks) == 1:
            return [""]
        return [f"{ordinal(number)}, {self._before(place)}" for number, place in enumerate(masks, start=1)]

    def _before(self, place: int) -> str:
        tokenizer, prepared = self.models[0].tokenizer, self.prepared
        words = [word for word in dict.fromkeys(prepared.word_ids[:place]) if word is not None][-_WORDS_BEFORE:]
        ids = [prepared.token_ids[at] for at in range(place) if prepared.word_ids[at] in words]
        if not ids:
            return "at the beginning"
        return f"after “{str(tokenizer.decode(ids)).replace(tokenizer.mask_token, '___').strip()}”"


def compare_both(question: Question, *, top_k: int) -> Comparison:
    """Before and after, of a question to two models."""
    before, after = question.models
    return compare(before, after, question.prepared, top_k=top_k)


def ask(services: Services, *, text: str, strip: object, model: str, compared: str, blank: int = 0) -> Question:
    """The question that the page stands on now. Raises BertDemoError, a sentence for the reader."""
    references = chosen_models(model, compared)
    models = tuple(services.model(reference) for reference in references)
    labels = tuple(services.label(reference) for reference in references)
    question = replace(
        read(models[0], text, strip), models=models, labels=labels, tuned=model != services.default_model
    )
    last = max(0, len(question.prepared.mask_positions) - 1)
    return replace(question, blank=max(0, min(int(blank or 0), last)))


def chosen_models(model: str, compared: str) -> tuple[str, ...]:
    """The references of one model, or of two to compare."""
    return (model,) if not compared or compared == NO_MODEL else (model, compared)


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


def _named_alike(masked_lm: MaskedLM, edit: StripEdit) -> bool:
    """Whether the ids are this model's: they have the names that the strip showed."""
    if any(not 0 <= token_id < masked_lm.vocabulary_size for token_id in (*edit.token_ids, *edit.originals.values())):
        return False
    return edit.tokens is None or readable_pieces(masked_lm, edit.token_ids) == edit.tokens
