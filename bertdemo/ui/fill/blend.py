"""Between before and after: a slider that mixes the weights of two models of one build while the bars follow.

One pair of models is kept mixed at a time for each two that are compared; nothing is loaded or copied while it moves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

import gradio as gr

from bertdemo.mlm.errors import BertDemoError
from bertdemo.mlm.models.blend import HIGHEST, LOWEST, BlendPairs, check_one_build

from ..question import Question, chosen_models
from ..services import Services, Updates
from .answer import FillView, answer

Between: TypeAlias = Callable[[Question], AbstractContextManager[Question]]
_INFO = (
    "0 is before, 1 is after, beyond them is extrapolated. Bars and files follow; as a model, my-run@0.4 is a blend"
    " everywhere."
)


def build_slider() -> gr.Slider:
    """Shown only while two models of one build are compared."""
    return gr.Slider(
        LOWEST,
        HIGHEST,
        value=1.0,
        step=0.05,
        label="Between before and after",
        info=_INFO,
        visible=False,
        elem_id="blend-share",
    )


def offer_slider(services: Services, *, model: str, compared: str) -> gr.Slider:
    """The slider back at 1, if the two models allow one; what is wrong with them is said elsewhere."""
    try:
        models = [services.model(reference) for reference in chosen_models(model, compared)]
        if len(models) == 2:
            check_one_build(*models)
    except BertDemoError:
        return gr.Slider(value=1.0, visible=False)
    return gr.Slider(value=1.0, visible=len(models) == 2)


def at_share(pairs: BlendPairs, share: object) -> Between:
    """What lends a question whose second model is the blend; the question itself at 1, and where there is none."""
    place = float(share) if isinstance(share, int | float) else 1.0
    return partial(_lent, pairs, place)


@contextmanager
def _lent(pairs: BlendPairs, share: float, question: Question) -> Iterator[Question]:
    if len(question.models) != 2 or share == 1:
        yield question
        return
    before, after = question.models
    with pairs.of(before, after).at(share) as mixed:
        labels = (question.labels[0], f"{question.labels[1]} at {share:g}")
        yield replace(question, models=(before, mixed), labels=labels)


def answer_between(services: Services, pairs: BlendPairs, view: FillView, /, *, share: object, **form: Any) -> Updates:
    """``answer``, with the second model at this share between the two."""
    return answer(services, view, between=at_share(pairs, share), **form)
