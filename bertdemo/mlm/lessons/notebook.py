"""A beginner's masked language modelling in seven stages, with live values, and the slip that shows most.

This is what such a notebook does, not what this project trains with; ``lessons`` compares the two. Knows no page.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..models.masked_lm import MaskedLM, evaluating
from ..settings import NOTEBOOK, NOTEBOOK_ROWS
from ..text.prompt import prepare_text
from ..text.tokens import readable_pieces
from ..training.batching import tokenize_all
from ..training.masking import mask_generator

SHOWN = 14  # tokens of the first row
RATE = 0.15


@dataclass(frozen=True)
class NotebookStages:
    """The values behind the seven stages. Tuples of ``SHOWN`` places describe the beginning of the first row."""

    texts: tuple[str, ...]  # the first few
    rows: int
    length: int  # every row is padded or cut to it
    padding_share: float  # of the table of token ids
    pieces: tuple[str, ...]
    token_ids: tuple[int, ...]
    draws: tuple[float, ...]  # one random number a place, from 0 to 1
    chosen: tuple[bool, ...]  # below the rate, and no special token
    masked_ids: tuple[int, ...]
    mask_token_id: int
    chosen_everywhere: int  # over all rows
    eligible_everywhere: int
    steps_per_epoch: int
    epochs: int
    learning_rate: float


def notebook_stages(masked_lm: MaskedLM, texts: Sequence[str], *, seed: int = 0) -> NotebookStages:
    """Do with the texts what the notebook does, up to the training loop, which is only counted."""
    texts = [texts[index] for index in range(min(NOTEBOOK_ROWS, len(texts)))]
    length = min(NOTEBOOK.max_length, masked_lm.max_length)
    tokenized = tokenize_all(masked_lm.tokenizer, texts, max_length=length)
    real = torch.from_numpy(np.arange(length) < tokenized.lengths[:, None])
    table = torch.full((len(texts), length), masked_lm.pad_token_id)
    table[real] = torch.from_numpy(tokenized.token_ids.astype(np.int64))
    draws = torch.rand(table.shape, generator=mask_generator(seed))
    eligible = masked_lm.selectable(table)
    chosen = (draws < RATE) & eligible
    first = table[0, :SHOWN]
    return NotebookStages(
        texts=tuple(texts[:3]),
        rows=len(texts),
        length=length,
        padding_share=1 - float(real.float().mean()),
        pieces=readable_pieces(masked_lm, first.tolist()),
        token_ids=tuple(first.tolist()),
        draws=tuple(draws[0, :SHOWN].tolist()),
        chosen=tuple(chosen[0, :SHOWN].tolist()),
        masked_ids=tuple(first.masked_fill(chosen[0, :SHOWN], masked_lm.mask_token_id).tolist()),
        mask_token_id=masked_lm.mask_token_id,
        chosen_everywhere=int(chosen.sum()),
        eligible_everywhere=int(eligible.sum()),
        steps_per_epoch=math.ceil(len(texts) / NOTEBOOK.batch_size),
        epochs=NOTEBOOK.epochs,
        learning_rate=NOTEBOOK.learning_rate,
    )


@dataclass(frozen=True)
class EveryGuess:
    """T places: what stands there, and the most probable token there, whether or not anything was asked."""

    read: tuple[str, ...]
    guessed: tuple[str, ...]
    mask_positions: tuple[int, ...]
    real: int  # places before the padding


def guess_everywhere(masked_lm: MaskedLM, text: str, *, length: int) -> EveryGuess:
    """Take the best token at every place of the text padded to ``length``, padding too: the notebook's slip.

    Raises TextError for a text without a mask.
    """
    prepared = prepare_text(masked_lm, text)
    real = len(prepared.token_ids)
    padding = max(0, min(length, masked_lm.max_length) - real)
    token_ids = torch.tensor([[*prepared.token_ids, *[masked_lm.pad_token_id] * padding]], device=masked_lm.device)
    attention = (torch.arange(real + padding, device=masked_lm.device) < real).long()[None]
    with evaluating(masked_lm.model), torch.inference_mode():
        logits = masked_lm.logits_at(
            token_ids, attention, positions=torch.arange(real + padding, device=token_ids.device)
        )
    return EveryGuess(
        read=readable_pieces(masked_lm, token_ids[0].tolist()),
        guessed=readable_pieces(masked_lm, logits.argmax(dim=-1).tolist()),
        mask_positions=prepared.mask_positions,
        real=real,
    )
