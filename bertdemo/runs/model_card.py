"""A trained model as a folder that any library can load: safetensors, tokenizer, and a card that says what it is.

Knows no training and no queue.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bertdemo.mlm.errors import RunError
from bertdemo.mlm.models.blend import parts_of
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.wording import percent

from .files import disk_errors, replaced_folder
from .record import FROM_SCRATCH, Figures, RunRecord, command_line, mixed_in

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")

_CARD = """\
# {name}

A masked language model: it says which words it expects in a blank. It was trained {origin} on {train_rows} rows of
`{data}`; the data itself is not part of this model.{mixed_in}

## How it went

{figures}

15% of the tokens are targets: 80% of them show [MASK], 10% a random token, 10% the token itself. The loss is the mean
over all of them, in nats, and the perplexity its exponential; it is not the perplexity of a left-to-right model and
cannot be compared with one. Guesses are counted at the targets that show [MASK]. The same questions are asked each
time: masks drawn once, on {held_out_rows} rows that were never trained on (and on general English sentences, where
there is a column for them).

## How to use it

```python
from transformers import pipeline

fill = pipeline("fill-mask", model="path/to/this/folder")
fill("This show is {mask}.")
```

## How it was made
{command}
Precision: {precision}. Steps done: {steps_done} of {steps}. Versions: {versions}.

## Limits

- Its probabilities are associations in the texts that it has read, not facts, and they carry the biases of those texts.
- Fine-tuning on one kind of text makes it forget others: look at the column for general English, where there is one.
- Each blank is one token, and several blanks are filled independently of each other.
"""


def save_model(masked_lm: MaskedLM, folder: Path, *, record: RunRecord) -> None:
    """Write model, tokenizer and card to ``folder``, which is there only when complete. Raises RunError."""
    _write(masked_lm, folder, model_card(record, mask_token=str(masked_lm.tokenizer.mask_token)))


def export_model(masked_lm: MaskedLM, folder: Path) -> None:
    """Write any model, a blend too, as a checkpoint that every library loads. Raises RunError."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(f"The folder {folder.name!r} is not empty; choose another one.")
    with disk_errors("The model"):
        folder.parent.mkdir(parents=True, exist_ok=True)
    _write(masked_lm, folder, _exported_card(masked_lm))


def _write(masked_lm: MaskedLM, folder: Path, card: str) -> None:
    with disk_errors("The model"), replaced_folder(folder) as part:
        masked_lm.model.save_pretrained(part)
        masked_lm.tokenizer.save_pretrained(part)
        (part / "README.md").write_text(card, encoding="utf-8", errors="replace")


def _exported_card(masked_lm: MaskedLM) -> str:
    lines = [f"# {_plain(masked_lm.ref.label)}", "", "A masked language model, saved by bertdemo."]
    blend = parts_of(masked_lm.ref)
    if blend is not None:
        lines += [
            "",
            f"Every weight is {1 - blend[2]:g} times the base model's and {blend[2]:g} times the tuned one's.",
        ]
    return "\n".join([*lines, *masked_lm.notes, ""])


def model_card(record: RunRecord, *, mask_token: str) -> str:
    """The card in Markdown, with the front matter that the Hugging Face Hub reads."""
    base = record.model.label
    from_scratch = record.model.source == FROM_SCRATCH
    front = {
        "library_name": "transformers",
        "pipeline_tag": "fill-mask",
        "tags": ["fill-mask", "masked-lm", "bertdemo"],
        "widget": [{"text": f"This show is {mask_token}."}],
    }
    if _HUB_ID.fullmatch(base):
        front["base_model"] = base
    front_matter = "\n".join(f"{key}: {json.dumps(value)}" for key, value in front.items())
    body = _CARD.format(
        name=_plain(record.name),
        origin="from scratch" if from_scratch else f"further from `{_plain(base)}`",
        data=_plain(record.data.name),
        train_rows=record.train_rows,
        held_out_rows=record.held_out_rows,
        mixed_in=f" {_plain(sentence)}" if (sentence := mixed_in(record)) else "",
        figures=_figures_table(record.figures),
        mask=mask_token,
        command="" if from_scratch else f"\n    {' '.join(command_line(record).split())}\n",
        precision=record.precision,
        steps_done=record.steps_done,
        steps=record.steps,
        versions=", ".join(f"{library} {number}" for library, number in sorted(record.versions.items())),
    )
    return f"---\n{front_matter}\n---\n\n{body}"


def _figures_table(figures: Figures) -> str:
    evaluations = {
        "before": figures.before,
        "after": figures.after,
        "best epoch": figures.best,
        "general English, before": figures.general_before,
        "general English, after": figures.general_after,
    }
    columns = {title: record for title, record in evaluations.items() if record is not None}
    if not columns:
        return "Nothing was evaluated."
    rows = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for label, key, write in (
        ("loss per target", "loss", "{:.4f}".format),
        ("perplexity", "perplexity", "{:.2f}".format),
        ("targets", "targets", str),
        ("first guess right at [MASK]", "top1", percent),
        ("among the first five there", "top5", percent),
        ("targets that show [MASK]", "hidden", str),
    ):
        rows.append(f"| {label} | " + " | ".join(_cell(record, key, write) for record in columns.values()) + " |")
    return "\n".join(rows)


def _cell(record: dict[str, Any], key: str, write: Callable[[Any], str]) -> str:
    return "-" if record[key] is None else write(record[key])


def _plain(text: str) -> str:
    """Text from users as Markdown shows it literally: no markup, no line break."""
    return re.sub(r"[<>`*_\[\]|#\\]", " ", " ".join(text.split()))
