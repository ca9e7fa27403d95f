"""What the fill tab gives away: a link that brings back what the page shows, and the answers as files and a picture.

The link holds the text, the models, the settings and, where words were hidden by hand, the strip's ids. It is made in
the browser, which knows its own address, and read when a page opens; what stands in it is checked like any input.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
import pandas as pd
from gradio.blocks import Block

from bertdemo.mlm.analysis.compare import Comparison
from bertdemo.mlm.errors import TextError
from bertdemo.mlm.inference.fill_mask import FilledText, fill_masks
from bertdemo.mlm.models.blend import BlendPairs

from ..question import Question, ask, compare_both
from ..services import MODEL_EVENT, PAGE_EVENT, Services, user_errors
from .blend import at_share

MAX_TOKENS = 2_000  # that a link may hold
MAX_CHARACTERS = 20_000
_NOTHING_TO_SAVE = "There is no blank and so no prediction to save; hide a word first."
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_SCRIPTS = Path(__file__).with_name("export.js")


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
    text = query.get("text", "")[:MAX_CHARACTERS] or None
    words = query.get("words", "")
    top_k = int(words) if words.isascii() and words.isdigit() and 1 <= len(words) <= 2 and int(words) else None
    model, compared = (query.get(name, "")[:300] or None for name in ("model", "compare"))
    return Shared(text, model, compared, top_k, _strip(query, text), query.get("view", "")[:80] or None)


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
    if len(parts) > MAX_TOKENS or not all(part.isascii() and part.isdigit() and len(part) < 8 for part in parts):
        return []
    return [int(part) for part in parts]


def predictions_file(  # noqa: PLR0913 - one argument a field of the page
    services: Services,
    pairs: BlendPairs,
    kind: str,
    *,
    text: str,
    strip: object,
    model: str,
    compared: str,
    top_k: int,
    share: float = 1.0,
) -> dict[str, str]:
    """The file for the browser to save; ``kind`` is "csv" or "json", ``share`` where the slider stands."""
    with user_errors():
        question = ask(services, text=text, strip=strip, model=model, compared=compared)
        if not question.prepared.mask_positions:
            raise TextError(_NOTHING_TO_SAVE)
        filled = fill_masks(question.models[0], question.prepared, top_k=int(top_k))
        two = len(question.models) == 2
        with at_share(pairs, share)(question) as asked:
            comparison = compare_both(asked, top_k=int(top_k)) if two else None
        if kind == "csv":
            frame = compared_frame(comparison) if comparison else filled_frame(filled)
            written = frame.map(safe_cell).to_csv(index=False, lineterminator="\r\n")
            return {"name": "predictions.csv", "type": "text/csv;charset=utf-8", "text": f"\ufeff{written}"}
        after = compared if share == 1 else f"{compared}@{share:g}"
        record = _record(question, filled, comparison, models=(model, after) if two else (model,))
        written = json.dumps(record, ensure_ascii=False, indent=2)
        return {"name": "predictions.json", "type": "application/json", "text": written}


def filled_frame(filled: FilledText) -> pd.DataFrame:
    """A row a candidate: blank (from 1), position, rank, token, id, probability, natural log of it."""
    frame = _numbered(filled.to_frame())
    frame["log_probability"] = frame["probability"].map(_log)
    return frame[["blank", "position", "rank", "token", "token_id", "probability", "log_probability"]]


def compared_frame(comparison: Comparison) -> pd.DataFrame:
    """A row a word of either model's top list, as it stands in both; empty where a model does not have it."""
    sides = {f"{side}_{name}": f"{name}_{side}" for side in ("before", "after") for name in ("rank", "probability")}
    frame = _numbered(comparison.to_frame()).rename(columns=sides)
    return frame[["blank", "position", "token", *sides.values(), "log2_ratio"]]


def _numbered(frame: pd.DataFrame) -> pd.DataFrame:
    """With the blanks counted from 1, in the order of their positions."""
    return frame.assign(blank=frame["position"].rank(method="dense").astype(int))


def safe_cell(value: object) -> object:
    """A text that a spreadsheet would run as a formula gets an apostrophe in front.

    >>> safe_cell("=1+1"), safe_cell("love"), safe_cell(-0.5)
    ("'=1+1", 'love', -0.5)
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _log(probability: float) -> float | None:
    return math.log(probability) if probability > 0 else None


def _record(
    question: Question, filled: FilledText, comparison: Comparison | None, *, models: tuple[str, ...]
) -> dict[str, Any]:
    """The command line's objects, with what is needed to ask again: models, text and token ids."""
    asked = {
        "models": list(models),
        "text": filled.prepared.text,
        "token_ids": list(filled.prepared.token_ids),
        "hidden": {str(place): token_id for place, token_id in question.originals.items()},
    }
    compared = {"comparison": comparison.to_record()} if comparison else {}
    return {**asked, **filled.to_record(), **compared}


def build_export(
    services: Services,
    pairs: BlendPairs,
    *,
    source: Mapping[str, Block],
    top_k: Block,
    share: Block,
    view: Block,
) -> None:
    """The buttons, on demand; ``source``: text, strip, model, compared."""
    with gr.Accordion("Share and save", open=False, elem_classes="share"), gr.Row(elem_classes="share-row"):
        copy = gr.Button("Copy link", size="sm", elem_id="copy-link")
        table = gr.Button("Predictions as CSV", size="sm", elem_id="save-csv")
        record = gr.Button("Predictions as JSON", size="sm", elem_id="save-json")
        picture = gr.Button("Chart as PNG", size="sm", elem_id="save-png")
        file = gr.JSON(visible=False)
    copy.click(None, [*source.values(), top_k, view], None, js=browser_call("copyLink"), **PAGE_EVENT)
    asked = {**source, "top_k": top_k, "share": share}
    for button, kind in ((table, "csv"), (record, "json")):
        made = button.click(
            partial(predictions_file, services, pairs, kind),
            inputs_kwargs=asked,
            outputs=file,
            **{**MODEL_EVENT, **PAGE_EVENT},
        )
        made.success(None, file, None, js=browser_call("saveFile"), **PAGE_EVENT)
    picture.click(None, source["text"], None, js=browser_call("savePicture"), **PAGE_EVENT)


def browser_call(name: str) -> str:
    """The ``js`` of an event: a function of ``export.js`` on the event's values."""
    scripts = _SCRIPTS.read_text(encoding="utf-8")
    return f"async (...values) => {{\n{scripts}\nreturn {name}(...values);\n}}"
