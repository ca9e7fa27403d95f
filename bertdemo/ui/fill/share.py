"""A link that brings back what the page shows, and files and a picture of what the models answered.

The link holds the text, the models, the settings and, where words were hidden by hand, the strip's ids. It is made in
the browser, which knows its own address, and read when a page opens; what stands in it is checked like any input.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import gradio as gr
from gradio.components import Component

from bertdemo.charts.candidates import Chances, candidates_figure
from bertdemo.mlm.analysis.compare import compare
from bertdemo.mlm.errors import TextError
from bertdemo.mlm.inference.fill_mask import fill_masks

from ..inside.view import Question
from ..plot import figure_value, plotly_source, scripts
from ..services import MODEL_EVENT, PAGE_EVENT, Services, user_errors
from .candidate_bars import blank_title
from .compared_rows import BY_CHANGE, compared_rows
from .prediction_files import answers_json, compared_csv, filled_csv
from .reading import ask, chosen_models

if TYPE_CHECKING:
    import plotly.graph_objects as go

MOST_TOKENS = 2_000  # that a link may hold
MOST_CHARACTERS = 20_000
_NOTHING_TO_SAVE = "There is no blank and so no prediction to save; hide a word first."

# Writes the link to the address bar and the clipboard; ``view`` is the open view of "Look inside".
_COPY_LINK_JS = """
async (text, strip, model, compared, topK, view) => {
  const link = new URL(location.href);
  const set = (name, value) => (value ? link.searchParams.set(name, value) : link.searchParams.delete(name));
  const edited = strip?.edited && strip.text === text;
  const hidden = Object.entries(strip?.originals ?? {}).map(([place, original]) => `${place}:${original.id}`);
  set('text', text); set('model', model); set('compare', compared === 'none' ? '' : compared);
  set('words', String(topK)); set('view', view);
  set('ids', edited ? strip.ids.join('.') : ''); set('hidden', edited ? hidden.join('.') : '');
  history.replaceState(null, '', link);
  const button = document.querySelector('#copy-link');
  const name = button.textContent;
  try {
    await navigator.clipboard.writeText(link.href);
    button.textContent = 'Link copied';
  } catch (error) {
    button.textContent = 'The link is in the address bar';
  }
  setTimeout(() => { button.textContent = name; }, 2500);
}
"""
_SAVE_JS = """
(file) => {
  if (!file) return;
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([file.text], { type: file.type }));
  link.download = file.name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
"""
_SAVE_PICTURE_JS = """
async (file) => {
  if (!file) return;
  %s
  savePicture(await loadPlotly(%s), file, { name: 'predictions', width: 900 });
}
"""


class Shared(NamedTuple):
    """What a link asks for; None where it does not say."""

    text: str | None
    model: str | None
    compared: str | None
    top_k: int | None
    strip: dict[str, Any] | None
    view: str | None


def shared(query: Mapping[str, str]) -> Shared:
    """A link's query -> what it asks for; what makes no sense is left out, and nothing raises.

    >>> shared({"text": "It is [MASK].", "words": "9", "ids": "x"})[:4]
    ('It is [MASK].', None, None, 9)
    """
    text = query.get("text", "")[:MOST_CHARACTERS] or None
    words = query.get("words", "")
    top_k = int(words) if words.isascii() and words.isdigit() and 1 <= len(words) <= 2 and int(words) else None
    names = [query.get(name, "")[:300] or None for name in ("model", "compare")]
    return Shared(text, *names, top_k, _strip(query, text), query.get("view", "")[:80] or None)


def _strip(query: Mapping[str, str], text: str | None) -> dict[str, Any] | None:
    """Ids and hidden originals in the shape that a browser sends; the names of the tokens are found by the server."""
    ids = _numbers(query.get("ids", ""))
    hidden = [_numbers(pair.replace(":", ".")) for pair in query.get("hidden", "").split(".") if pair]
    if text is None or not ids or not all(pair and len(pair) == 2 for pair in hidden):
        return None
    originals = {str(place): {"id": token_id} for place, token_id in hidden}
    return {"text": text, "ids": ids, "tokens": None, "originals": originals, "version": 0, "edited": True}


def _numbers(text: str) -> list[int]:
    """'101.2293' -> [101, 2293]; [] where it is anything else."""
    parts = text.split(".")
    if len(parts) > MOST_TOKENS or not all(part.isascii() and part.isdigit() and len(part) < 8 for part in parts):
        return []
    return [int(part) for part in parts]


def predictions_file(services: Services, kind: str, *asked: Any) -> dict[str, str]:
    """``asked``: text, strip, model, compared, words shown -> the file for the browser to save."""
    *source, top_k = asked
    with user_errors():
        question = ask(services, *source)
        if not question.prepared.mask_positions:
            raise TextError(_NOTHING_TO_SAVE)
        filled = fill_masks(question.models[0], question.prepared, top_k=int(top_k))
        two = len(question.models) == 2
        comparison = compare(*question.models, question.prepared, top_k=int(top_k)) if two else None
        if kind == "csv":
            text = compared_csv(comparison) if comparison else filled_csv(filled)
            return {"name": "predictions.csv", "type": "text/csv;charset=utf-8", "text": f"\ufeff{text}"}
        text = answers_json(filled, comparison, models=chosen_models(*source[2:]), originals=dict(question.originals))
        return {"name": "predictions.json", "type": "application/json", "text": text}


def predictions_picture(services: Services, *asked: Any) -> dict[str, Any]:
    """``asked``: text, strip, model, compared, words shown -> the figure for the browser to save."""
    *source, top_k = asked
    with user_errors():
        question = ask(services, *source)
        if not question.prepared.mask_positions:
            raise TextError(_NOTHING_TO_SAVE)
        return figure_value(_picture(question, top_k=int(top_k)), label="", file="predictions")


def _picture(question: Question, *, top_k: int) -> go.Figure:
    if len(question.models) == 1:
        masks = fill_masks(question.models[0], question.prepared, top_k=top_k).masks
        words = [[Chances(c.token, (c.probability,)) for c in mask.candidates] for mask in masks]
    else:
        rows = compared_rows(compare(*question.models, question.prepared, top_k=top_k), BY_CHANGE)
        words = [
            [Chances(r.token, (r.probability, r.after.probability)) for r in mask.rows if r.after] for mask in rows
        ]
    blanks = [(blank_title(number, len(words)), chances) for number, chances in enumerate(words)]
    return candidates_figure(question.prepared.text, blanks, labels=question.labels, kinds=question.kinds)


def build_share(services: Services, *, source: list[Component], top_k: Component, view: Component) -> None:
    """The buttons, on demand; ``source``: text, strip, model, compared."""
    with gr.Accordion("Share and save", open=False, elem_classes="share"), gr.Row(elem_classes="share-row"):
        copy = gr.Button("Copy link", size="sm", elem_id="copy-link")
        table = gr.Button("Predictions as CSV", size="sm", elem_id="save-csv")
        record = gr.Button("Predictions as JSON", size="sm", elem_id="save-json")
        picture = gr.Button("Chart as PNG", size="sm", elem_id="save-png")
        file = gr.JSON(visible=False)
        drawn = gr.JSON(visible=False)
    copy.click(None, [*source, top_k, view], None, js=_COPY_LINK_JS, **PAGE_EVENT)
    for button, kind in ((table, "csv"), (record, "json")):
        made = button.click(
            partial(predictions_file, services, kind), [*source, top_k], file, **{**MODEL_EVENT, **PAGE_EVENT}
        )
        made.success(None, file, None, js=_SAVE_JS, **PAGE_EVENT)
    made = picture.click(
        partial(predictions_picture, services), [*source, top_k], drawn, **{**MODEL_EVENT, **PAGE_EVENT}
    )
    save = _SAVE_PICTURE_JS % (scripts("load_plotly.js"), json.dumps(plotly_source()))
    made.success(None, drawn, None, js=save, **PAGE_EVENT)
