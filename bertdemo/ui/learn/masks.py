"""The masking lesson: which tokens of the reader's own rows are hidden, drawn by the code that trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from html import escape
from typing import NamedTuple

import gradio as gr
import pandas as pd

from bertdemo.mlm.errors import BertDemoError, SettingsError
from bertdemo.mlm.lessons.masking_view import (
    MAX_ROWS,
    TARGET_CORRUPTIONS,
    Corruption,
    CorruptionCount,
    DrawnRow,
    DrawnToken,
    MaskingView,
    view_file,
)
from bertdemo.mlm.settings import DEFAULT_MAX_LENGTH, MaskingConfig, TrainingConfig
from bertdemo.mlm.training.masking import IGNORED
from bertdemo.mlm.wording import percent

from ..events import when_typed
from ..markup import quiet, table, visible
from ..services import MODEL_EVENT, PAGE_EVENT, Services, Updates, unchecked, user_errors
from .glossary import term
from .lesson import Lesson, Opening, next_seed, text

SHOWN_TOKENS = 40
FATES = {
    Corruption.MASKED: "turned into [MASK], scored",
    Corruption.RANDOM: "replaced by a random token, scored",
    Corruption.KEPT: "kept as it is, but scored",
    Corruption.UNTOUCHED: "untouched, not scored (label -100)",
    Corruption.NEVER: "never chosen: [CLS], [SEP] and their like",
}


class MasksView(NamedTuple):
    drawing: gr.HTML
    row: gr.Slider
    counts: gr.HTML


def draw(  # noqa: PLR0913 - one argument for each control of the lesson
    services: Services,
    view: MasksView,
    *,
    rate: float,
    masked: float,
    random: float,
    kept: float,
    seed: float | None,
    row: float | None,
    file: str | None,
    whole_words: bool = False,
) -> Updates:
    """The first batch that a run with these settings would train on, and with ``whole_words`` below it the same batch
    with whole words hidden; the three shares may be any three numbers, of which the ratio counts."""
    with user_errors():
        masked_lm = services.shown_model()
        masking = _masking(rate, [float(share or 0) for share in (masked, random, kept)])
        length = min(DEFAULT_MAX_LENGTH, masked_lm.max_length)
        config = TrainingConfig(max_length=length, masking=masking, seed=int(seed or 0))
        rules = {"Single pieces": masking, "Whole words": replace(masking, whole_words=True)}
        path = file or services.sample_csv
        try:
            drawn = {
                name: view_file(masked_lm, path, replace(config, masking=rule))
                for name, rule in rules.items()
                if whole_words or rule is masking
            }
        except BertDemoError as error:
            return {view.drawing: f'<p class="notes" role="status">{escape(str(error))}</p>', view.counts: ""}
        rows = len(drawn["Single pieces"].rows)
        place = min(max(1, int(row or 1)), rows)
        return {
            view.drawing: row_html(drawn, place - 1),
            view.row: gr.Slider(maximum=max(2, rows), value=place),
            view.counts: "".join(counts_html(found, rules[name], name=name) for name, found in drawn.items()),
        }


def _masking(rate: float, shares: list[float]) -> MaskingConfig:
    if sum(shares) <= 0:
        raise SettingsError("At least one of the three shares must be above 0.")
    return MaskingConfig(float(rate), shares[0] / sum(shares), shares[1] / sum(shares))


def row_html(drawn: Mapping[str, MaskingView], place: int) -> str:
    """One row of the batch in every epoch, side by side where there is room; below each other by what was chosen."""
    epochs = "".join(_epochs_html(view.rows[place], name if len(drawn) > 1 else "") for name, view in drawn.items())
    key = "".join(
        f'<li><span class="draw-swatch {corruption}">{_SIGNS[corruption]}</span> {escape(words)}</li>'
        for corruption, words in FATES.items()
    )
    return f'<div class="draw"><ul class="draw-key">{key}</ul>{epochs}</div>'


def _epochs_html(row: DrawnRow, name: str) -> str:
    title = f"{name}, epoch" if name else "Epoch"
    epochs = "".join(
        f'<section class="draw-epoch"><h3>{title} {number}</h3>{_tokens_html(tokens)}{_padding(padding)}</section>'
        for number, (tokens, padding) in enumerate(zip(row.epochs, row.padding, strict=True), start=1)
    )
    return f'<div class="draw-epochs">{epochs}</div>'


_SIGNS = {
    Corruption.MASKED: "[MASK]",
    Corruption.RANDOM: "other",
    Corruption.KEPT: "word",
    Corruption.UNTOUCHED: "word",
    Corruption.NEVER: "[CLS]",
}
_IN_SHORT = {Corruption.MASKED: "[MASK]", Corruption.RANDOM: "random", Corruption.KEPT: "kept"}


def _tokens_html(tokens: tuple[DrawnToken, ...]) -> str:
    first = f'<ol class="draw-tokens">{"".join(map(_token_html, tokens[:SHOWN_TOKENS]))}</ol>'
    rest = tokens[SHOWN_TOKENS:]
    if not rest:
        return first
    more = "".join(map(_token_html, rest))
    return f'{first}<details><summary>{len(rest)} more</summary><ol class="draw-tokens">{more}</ol></details>'


def _token_html(token: DrawnToken) -> str:
    label = "−100" if token.label == IGNORED else visible(token.written)
    joined = " goes-on" if token.goes_on else ""
    return (
        f'<li class="draw-token {token.corruption}{joined}" title="{escape(FATES[token.corruption])}">'
        f"<span><bdi>{visible(token.read)}</bdi></span><small><bdi>{label}</bdi></small></li>"
    )


def _padding(padding: int) -> str:
    return f'<p class="quiet">and {padding} × [PAD], never chosen</p>' if padding else ""


def counts_html(view: MaskingView, masking: MaskingConfig, *, name: str) -> str:
    """Expected against actual counts over the whole batch, a column an epoch."""
    chosen = [[_of(counts, corruption) for corruption in TARGET_CORRUPTIONS] for counts in view.counts]
    shares = [*_shares(masking), masking.selection_rate]
    expected = [count.expected for count in chosen[0]]
    frame = pd.DataFrame(
        {
            "became": [*(_IN_SHORT[corruption] for corruption in TARGET_CORRUPTIONS), "targets"],
            "share": shares,
            "expected": [*expected, sum(expected)],
        }
    )
    for epoch, found in enumerate(chosen, start=1):
        actual = [count.actual for count in found]
        frame[f"epoch {epoch}"] = [*actual, sum(actual)]
    eligible = round(sum(expected) + _of(view.counts[0], Corruption.UNTOUCHED).expected)
    caption = f"{name}: all {len(view.rows)} rows of the batch: {eligible:,} tokens that may be chosen"
    formats = {"share": percent, "expected": "{:.1f}".format}
    return table(frame, label="Expected and actual counts", caption=caption, formats=formats, total=True) + quiet(
        "The draw is random, so the counts differ from the expectation and from epoch to epoch. "
        "A row in which no token was chosen gets one all the same; the expectation counts that."
    )


def _shares(masking: MaskingConfig) -> list[float]:
    """Of all tokens, in the order of the targets' corruptions."""
    kept = max(0.0, 1 - masking.mask_token_rate - masking.random_token_rate)
    rates = {
        Corruption.MASKED: masking.mask_token_rate,
        Corruption.RANDOM: masking.random_token_rate,
        Corruption.KEPT: kept,
    }
    return [rates[corruption] * masking.selection_rate for corruption in TARGET_CORRUPTIONS]


def _of(counts: tuple[CorruptionCount, ...], corruption: Corruption) -> CorruptionCount:
    return next(count for count in counts if count.corruption is corruption)


def build(services: Services) -> Opening:
    text(
        f"<p>To learn, BERT is given texts with holes. Some {term('token', 'tokens')} are chosen by chance: the "
        f"{term('target', 'targets')}. Most targets turn into {term('[MASK] token', '[MASK]')}, a few into a random "
        "token, a few stay as they are. BERT must name the right token at every target, and only there.</p>"
        "<p>Below is the first batch of a training run with these settings, drawn by the same code that trains. "
        "Above: what BERT reads. Beneath: the label, that is the right answer, or −100 where nothing is asked.</p>"
    )
    drawing = gr.HTML(apply_default_css=False)
    with gr.Row():
        row = unchecked(gr.Slider(1, 16, value=1, step=1, label="Row of the batch", scale=3, elem_id="masks-row"))
        redraw = gr.Button("Draw again", variant="primary", scale=1, min_width=160, elem_id="masks-redraw")
    counts = gr.HTML(apply_default_css=False)
    with gr.Accordion("Change the rules", open=False):
        with gr.Row():
            rate = gr.Slider(0.01, 0.9, value=0.15, step=0.01, label="Share of tokens chosen")
            seed = gr.Number(0, label="Seed", info="The same seed draws the same masks.", precision=0, minimum=0)
        with gr.Row():
            masked = gr.Slider(0, 100, value=80, step=5, label="of these, to [MASK]")
            random = gr.Slider(0, 100, value=10, step=5, label="to a random token")
            kept = gr.Slider(0, 100, value=10, step=5, label="kept as they are")
        whole_words = gr.Checkbox(
            False,
            label="Show whole words beside single pieces",
            info="The pieces of a word are hidden together or not at all.",
            elem_id="masks-whole-words",
        )
        file = gr.File(label=f"Your own file (its first {MAX_ROWS:,} rows)", file_count="single", height=120)
    _explain()
    choice = {"rate": rate, "masked": masked, "random": random, "kept": kept, "seed": seed, "row": row, "file": file}
    choice |= {"whole_words": whole_words}
    view = MasksView(drawing, row, counts)
    event = {**MODEL_EVENT, **PAGE_EVENT, "trigger_mode": "always_last"}
    opening = Opening(partial(draw, services, view), choice, list(view), event)
    released = [part.release for part in (rate, masked, random, kept, row)]
    gr.on([*released, row.input, file.change, whole_words.input], **opening.wiring)
    when_typed(seed).then(**opening.wiring)
    redraw.click(next_seed, seed, seed, **PAGE_EVENT)
    return opening


def _explain() -> None:
    text(
        "<p><strong>Why not always [MASK]?</strong> Where BERT is used later, there is no [MASK] in the texts. "
        "Because any word might have been changed, the model has to keep a sense of every word, not only of the holes. "
        "15% and 80/10/10 are the choices of the BERT paper (Devlin et al. 2019, section 3.1). They are a convention: "
        "larger models can learn better from 40% (Wettig et al. 2023).</p>"
        "<p><strong>Whole words.</strong> A word of several pieces can lose one of them while the others stand by and "
        "give it away. Whole-word masking hides all pieces of a word together, at the same share of tokens; "
        "what becomes of each piece is still drawn for itself, as in BERT's own whole-word release. A full stop is no "
        "part of a word. In Chinese and other scripts without spaces every piece counts as a word.</p>"
        f"<p><strong>Three things are called mask.</strong> The {term('[MASK] token')} that you see here, the "
        f"{term('attention mask')} over {term('padding')}, and GPT's {term('causal mask')}. Only the first is a blank "
        "to fill.</p>"
    )


MASKS = Lesson("masks", "Which words are hidden", "15%, and 80/10/10 of them, on real rows", build)
