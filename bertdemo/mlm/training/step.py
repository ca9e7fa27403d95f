"""One batch forward and backward: masks drawn, the head only at targets, the loss a mean over the batch's targets.

Knows no schedule and no epochs. A batch that does not fit into memory is split and tried again.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..errors import TrainingError
from ..models.devices import autocast, is_out_of_memory, on_its_way
from ..models.masked_lm import MAX_LOGITS, MaskedLM
from ..settings import TrainingConfig
from ..text.words import WordPieces
from . import distributed as processes
from .batching import Batch, TokenizedTexts, collate
from .events import Progress, Warned
from .masking import IGNORED, MaskedTokens, Stream, mask_generator, mask_tokens

logger = logging.getLogger(__name__)

TARGETS_ROUND_UP = 16  # few sizes of the head's products: each new one has to be prepared
MAX_GPU_LOGITS = 8 * MAX_LOGITS  # a GPU's batch is not split otherwise: 1 GiB in float32
CPU_TOKENS_AT_ONCE = 4096  # splits long batches on a CPU: a stop is heard between the parts, and memory stays bounded


@dataclass(frozen=True)
class MaskedBatch:
    """A batch and its masks; ``targets`` is the number of scored positions."""

    batch: Batch
    masked: MaskedTokens
    targets: int


class _SummedLoss:
    """The loss of a batch summed over its targets."""

    def __init__(self, masked_lm: MaskedLM, precision: str, *, padded: bool) -> None:
        self._masked_lm, self._precision, self._padded = masked_lm, precision, padded
        at_once = MAX_LOGITS if masked_lm.device.type == "cpu" else MAX_GPU_LOGITS
        self._targets_at_once = max(1, at_once // masked_lm.vocabulary_size)

    def __call__(self, token_ids: Tensor, positions: Tensor, answers: Tensor, attention: Tensor | None) -> Tensor:
        """token_ids, attention (B, T); positions, answers (M,) -> () in nats."""
        masked_lm = self._masked_lm
        with autocast(token_ids.device, self._precision):
            if masked_lm.head is None:
                logits = masked_lm.logits_at(token_ids, attention, positions=positions)
                return nn.functional.cross_entropy(logits.float(), answers, reduction="sum")
            hidden = self._hidden(token_ids, attention, positions)  # (M, H)
            if len(hidden) <= self._targets_at_once:
                return self._loss(hidden, answers)
            # A vocabulary of 250,000 would need gigabytes: a part's logits are dropped and made again going backwards.
            parts = zip(hidden.split(self._targets_at_once), answers.split(self._targets_at_once), strict=True)
            return torch.stack([checkpoint(self._loss, *part, use_reentrant=False) for part in parts]).sum()

    def _loss(self, hidden: Tensor, answers: Tensor) -> Tensor:
        head = self._masked_lm.head
        assert head is not None  # where there is none, all logits come at once
        return nn.functional.cross_entropy(head(hidden).float(), answers, reduction="sum")

    def _hidden(self, token_ids: Tensor, attention: Tensor | None, positions: Tensor) -> Tensor:
        if not self._padded:
            return self._masked_lm.hidden_at(token_ids, attention, positions=positions)
        hidden = self._masked_lm.hidden_states(token_ids, attention)  # of the padding as well: the recipe pays for it
        return hidden.flatten(0, 1).index_select(0, on_its_way(positions, hidden.device))


def check_step(masked_lm: MaskedLM, *, precision: str) -> None:
    """Try a step on one short row; weights, gradients and random state stay as found.

    Raises:
        ModelError: the library's code for this architecture cannot train on such a row.
    """
    prefix, suffix = masked_lm.frame
    row = torch.tensor([[*prefix, *[masked_lm.mask_token_id] * 3, *suffix]], device=masked_lm.device)  # (1, T)
    everywhere = torch.arange(row.numel(), device=row.device)
    was_training = masked_lm.model.training
    masked_lm.model.train()
    try:
        with torch.random.fork_rng(range(torch.cuda.device_count())), masked_lm.library_faults(row.numel()):
            _SummedLoss(masked_lm, precision, padded=False)(row, everywhere, row[0], None).backward()
    finally:
        masked_lm.model.train(was_training)
        masked_lm.model.zero_grad(set_to_none=True)


class BatchLoss:
    """Turns rows into gradients on the model's parameters."""

    def __init__(self, masked_lm: MaskedLM, config: TrainingConfig, *, precision: str) -> None:
        self._masked_lm, self._config, self._precision = masked_lm, config, precision
        self._summed_loss = _SummedLoss(masked_lm, precision, padded=config.pad_to_max_length)
        self._words = WordPieces(masked_lm) if config.masking.whole_words else None
        self._gradients = processes.GradientSum(masked_lm.model)
        on_cpu = masked_lm.device.type == "cpu"
        self._tokens_at_once = CPU_TOKENS_AT_ONCE if on_cpu else None

    def draw(self, texts: TokenizedTexts, rows: NDArray[np.int64], *, epoch: int, index: int) -> MaskedBatch:
        """Collate rows and draw their masks: anew for every (epoch, index), or once for good if the recipe says so."""
        masked_lm, config = self._masked_lm, self._config
        pad_to = config.max_length if config.pad_to_max_length else 0
        batch = collate(texts, rows, pad_token_id=masked_lm.pad_token_id, pad_to=pad_to)
        if config.redraw_masks:
            masked = self._mask(batch.token_ids, config.seed, Stream.MASKS, epoch, index)
        else:
            masked = self._mask_once(batch, rows)
        if config.loss_on_all_tokens:
            masked = MaskedTokens(masked.token_ids, batch.token_ids)
        return MaskedBatch(batch, masked, int((masked.labels != IGNORED).sum()))

    def backward(self, drawn: MaskedBatch) -> Generator[Progress | Warned, None, float]:
        """Add the gradients of the mean loss over the batch's targets; returns that loss in nats.

        Raises TrainingError when a single row does not fit into memory.
        """
        device = self._masked_lm.device
        while True:
            fits, loss, having = yield from self._backward_in_parts(drawn)
            # Asked of all processes in one message, since all or none of them must try again
            short, loss, *having = processes.all_reduce_sum([float(not fits), loss, *having], device=device)
            if not short:
                self._gradients.share(having)
                return loss
            self._masked_lm.model.zero_grad(set_to_none=True)
            yield Warned(self._halve(drawn))

    def _backward_in_parts(self, drawn: MaskedBatch) -> Generator[Progress, None, tuple[bool, float, list[float]]]:
        """(whether this process had the memory for it, its share of the loss, which parameters have gradients).

        One that runs out of memory goes through the other parts without working on them, since all processes are asked
        whether to stop between two parts.
        """
        fits, loss, having, parts = True, 0.0, self._gradients.none(), list(self._parts(drawn))
        for number, rows in enumerate(parts, start=1):
            try:
                if fits:
                    loss += self._backward_rows(drawn, rows)
                    having = self._gradients.gather() if number == len(parts) else having
            except (torch.OutOfMemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                fits = False
            if number < len(parts):
                yield Progress("training", number, len(parts))
        return fits, loss, having

    def _backward_rows(self, drawn: MaskedBatch, rows: slice) -> float:
        device = self._masked_lm.device
        token_ids, labels, attention = _own_part(drawn, rows, padded=self._config.pad_to_max_length)
        positions = (labels.flatten() != IGNORED).nonzero()[:, 0]  # on the CPU: no wait for the GPU
        answers = labels.flatten()[positions]
        positions, answers = _rounded_up(positions, answers)
        # Where the targets and the padding are is needed on the CPU: a GPU that had to be asked would be waited for.
        token_ids, answers = on_its_way(token_ids, device), on_its_way(answers, device)
        loss = self._summed_loss(token_ids, positions, answers, attention) / drawn.targets
        loss.backward()
        return loss.item()

    def _mask(self, token_ids: Tensor, *key: int) -> MaskedTokens:
        return mask_tokens(
            token_ids,
            self._masked_lm.selectable(token_ids),
            config=self._config.masking,
            mask_token_id=self._masked_lm.mask_token_id,
            vocabulary_size=len(self._masked_lm.tokenizer),
            generator=mask_generator(*key),
            words=self._words.first_of_word(token_ids) if self._words else None,
        )

    def _mask_once(self, batch: Batch, rows: NDArray[np.int64]) -> MaskedTokens:
        """The seed and the row alone decide a row's masks: its padding, another in every epoch, draws nothing."""
        token_ids, labels = batch.token_ids.clone(), torch.full_like(batch.token_ids, IGNORED)
        for place, (row, length) in enumerate(zip(rows.tolist(), batch.lengths, strict=True)):
            masked = self._mask(batch.token_ids[place : place + 1, :length], self._config.seed, Stream.MASKS_ONCE, row)
            token_ids[place, :length], labels[place, :length] = masked.token_ids[0], masked.labels[0]
        return MaskedTokens(token_ids, labels)

    def _parts(self, drawn: MaskedBatch) -> Iterator[slice]:
        count, width = drawn.batch.token_ids.shape
        rows_at_once = count if self._tokens_at_once is None else max(1, self._tokens_at_once // width)
        return (slice(start, start + rows_at_once) for start in range(0, count, rows_at_once))

    def _halve(self, drawn: MaskedBatch) -> str:
        count, width = drawn.batch.token_ids.shape
        rows = count if self._tokens_at_once is None else min(count, max(1, self._tokens_at_once // width))
        if rows == 1:
            raise TrainingError(
                f"A single row of {width} tokens does not fit into memory; choose a shorter maximum length or a"
                " smaller model."
            )
        self._tokens_at_once = width * (rows // 2)
        logger.info("out of memory: batches are now split into parts of %d tokens", self._tokens_at_once)
        return (
            "A batch did not fit into memory, so it is split into smaller parts; the result is the same, only slower."
        )


def _own_part(drawn: MaskedBatch, rows: slice, *, padded: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    """This process's share of the rows, cut to its longest unless ``padded``: (token_ids, labels, attention)."""
    token_ids, labels = (processes.shard_rows(part[rows]) for part in (drawn.masked.token_ids, drawn.masked.labels))
    if not len(token_ids):  # fewer rows than processes: run along on a row that nothing is asked of
        row = drawn.masked.token_ids[:1]
        return row, torch.full_like(row, IGNORED), None
    if drawn.batch.attention_mask is None:
        return token_ids, labels, None
    attention = processes.shard_rows(drawn.batch.attention_mask[rows])
    if padded:  # the recipe is to pay for the padding, so that what it costs can be seen
        return token_ids, labels, attention
    scored = (attention != 0) | (labels != IGNORED)
    width = int(scored.any(dim=0).nonzero().max()) + 1
    return token_ids[:, :width], labels[:, :width], attention[:, :width]


def _rounded_up(positions: Tensor, answers: Tensor) -> tuple[Tensor, Tensor]:
    """positions and answers (M,), filled up to a round number with the first position and no answer that counts."""
    fillers = -len(positions) % TARGETS_ROUND_UP if len(positions) else 0
    filled = torch.cat([positions, positions[:1].expand(fillers)])
    return filled, torch.cat([answers, answers.new_full((fillers,), IGNORED)])
