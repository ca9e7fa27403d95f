"""What every view of "Look inside" is made of: its name, its components, and the function that answers a question.

Knows no view in particular and nothing of how they are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import NamedTuple

from gradio.components import Component

from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.text.prompt import PreparedText, prepare_ids, prepare_text


@dataclass(frozen=True)
class Question:
    """What the reader looks at: the ids as the first model reads them, one blank of them, and one model or two."""

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


class Parts(NamedTuple):
    """A view's components: the reader's use of a trigger answers anew; the answer fills the outputs."""

    controls: Sequence[Component]  # whose values ``show`` is given
    outputs: Sequence[Component]
    triggers: Sequence[Component] | None = None  # None: all controls; name a button where typing alone is to do nothing


@dataclass(frozen=True)
class View:
    """One way of looking.

    ``build()`` makes the components where it is called and returns them. ``show(question, *values of the controls)``
    returns one value (or ``gr.update``, ``gr.skip``) for each output, and raises ``BertDemoError`` for what the reader
    can mend. ``line`` explains the view in one plain sentence.
    """

    name: str
    line: str
    build: Callable[[], Parts]
    show: Callable[..., Sequence[object]]
    needs_blank: bool = True


def said(sentence: str) -> str:
    """One plain line as HTML: what a picture says in words."""
    return f'<p class="said">{escape(sentence)}</p>'
