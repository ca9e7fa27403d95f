"""The program that made the bundled model: one GPU, ten minutes, 1.5 billion tokens.

Rows stand end to end in flat batches of one size, so the encoder is compiled once and never waits; attention of
variable lengths keeps each row to itself. Masks, head, start and schedule are the project's own. The same command
again continues from the last checkpoint. With ``--device cpu`` and small numbers it is rehearsed without a GPU.

    python benchmarks/gpu/pretrain.py prepare TEXT.txt ... --to DIR          (on a CPU; a few minutes)
    python benchmarks/gpu/pretrain.py train DIR --output DIR [--steps N] [--tokens N] [--device cuda]
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pretraining_rows import read_documents, rows_of, tokenized, vocabulary_texts
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention
from transformers import AutoTokenizer

from bertdemo.mlm.models.architectures import EncoderParts, LayerParts, encoder_parts, mlm_head
from bertdemo.mlm.settings import MaskingConfig
from bertdemo.mlm.training.masking import IGNORED, mask_generator, mask_tokens
from bertdemo.mlm.training.optimizer import learning_rate_at
from bertdemo.mlm.training.pretraining import POSITIONS, PretrainingRecipe, train_tokenizer, untrained_model

CHECKPOINT_SECONDS, SAID_EVERY = 60.0, 100
TABLES_SHARE, WEIGHT_DECAY = 0.5, 0.05  # as in training.optimizer
BUILDERS, AHEAD = 6, 12  # threads that draw batches, and batches drawn ahead


@dataclass(frozen=True)
class FlatBatch:
    """Rows end to end, R tokens in all, the last rows padding: nobody looks from one row into another."""

    token_ids: Tensor  # (R,)
    columns: Tensor  # (R,) place in the own row
    bounds: Tensor  # (rows + 1,) int32, filled up with R
    positions: Tensor  # (M,) of the targets
    answers: Tensor  # (M,)

    def to(self, device: torch.device) -> FlatBatch:
        parts = (part.pin_memory() if device.type == "cuda" else part for part in vars(self).values())
        return FlatBatch(*(part.to(device, non_blocking=True) for part in parts))


class Rows:
    """Stretches of a stream of tokens, drawn into flat batches by the seed and the step alone."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
        self.stream: NDArray[np.uint16] = np.load(folder / "stream.npy")
        self._starts, self._lengths = np.load(folder / "rows.npy")
        self._size, self._steps = options.tokens, options.steps
        self._rates = (options.first_mask_rate, options.mask_rate)
        self._most_rows = int(1.35 * self._size / (self._lengths.mean() + 2)) + 8
        marks = self.tokenizer
        self._special = torch.zeros(len(marks), dtype=torch.bool)
        self._special[marks.all_special_ids] = True

    def batches(self, first: int) -> Iterator[FlatBatch]:
        """From step ``first`` on, some drawn ahead."""
        planned = islice(self._plan(), first, self._steps)
        with ThreadPoolExecutor(BUILDERS) as builders:
            ahead = [builders.submit(self._draw, *plan) for plan in islice(planned, AHEAD)]
            while ahead:
                yield ahead.pop(0).result()
                ahead += [builders.submit(self._draw, *plan) for plan in islice(planned, 1)]

    def _plan(self) -> Iterator[tuple[int, NDArray[np.int64]]]:
        step = 0
        for epoch in range(self._steps):
            order = np.random.default_rng((0, 2, epoch)).permutation(len(self._starts))
            ends = (self._lengths[order] + 2).cumsum()
            start = 0
            while True:
                end = int(np.searchsorted(ends, (ends[start - 1] if start else 0) + self._size, side="right"))
                if end >= len(order):  # what is left of a pass is too little for a batch
                    break
                yield step, order[start:end]
                step, start = step + 1, end

    def mask_rate(self, step: int) -> float:
        """Falls over the first four fifths of the run (arXiv 2305.15096)."""
        first, last = self._rates
        return last + (first - last) * max(0.0, 1 - step / (0.8 * self._steps))

    def _draw(self, step: int, rows: NDArray[np.int64]) -> FlatBatch:
        starts, lengths = self._starts[rows], self._lengths[rows]
        ends, size, marks = (lengths + 2).cumsum(), self._size, self.tokenizer
        begins, total = ends - lengths - 2, int(ends[-1])
        ids = np.full(size, marks.pad_token_id, dtype=np.int64)
        ids[begins], ids[ends - 1] = marks.cls_token_id, marks.sep_token_id
        counted = np.arange(lengths.sum()) - np.repeat(lengths.cumsum() - lengths, lengths)
        ids[np.repeat(begins + 1, lengths) + counted] = self.stream[np.repeat(starts, lengths) + counted]
        columns = np.arange(size) - np.repeat(np.append(begins, total), np.append(lengths + 2, size - total))
        columns[total:] %= POSITIONS
        bounds = np.full(self._most_rows + 1, size, dtype=np.int32)
        cuts = np.concatenate([[0], ends, np.arange(total + POSITIONS, size, POSITIONS)])
        bounds[: len(cuts)] = cuts
        token_ids = torch.from_numpy(ids)
        masked = mask_tokens(
            token_ids[None],
            ~self._special[token_ids][None],
            config=MaskingConfig(self.mask_rate(step)),
            mask_token_id=marks.mask_token_id,
            vocabulary_size=len(marks),
            generator=mask_generator(0, 1, step),
        )
        positions = (masked.labels[0] != IGNORED).nonzero()[:, 0]
        answers = masked.labels[0][positions]
        return FlatBatch(masked.token_ids[0], torch.from_numpy(columns), torch.from_numpy(bounds), positions, answers)


class BatchedMuon(torch.optim.Optimizer):
    """torch.optim.Muon with "match_rms_adamw", all matrices of one shape made orthogonal in one product.

    Keller Jordan et al. 2024, "Muon": momentum 0.95 with Nesterov's look ahead, five Newton-Schulz steps. One matrix
    at a time, the 36 of six layers take some 900 launches a step; so they take about 50.
    """

    def __init__(self, matrices: list[nn.Parameter]) -> None:
        super().__init__([{"params": matrices, "lr": 0.0, "share": 1.0}], {})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        assert closure is None
        (group,) = self.param_groups
        shapes: dict[torch.Size, list[nn.Parameter]] = {}
        for matrix in group["params"]:
            shapes.setdefault(matrix.shape, []).append(matrix)
        for shape, matrices in shapes.items():
            gradients = torch.stack([matrix.grad for matrix in matrices])
            momentum = self.state[matrices[0]].setdefault("momentum", torch.zeros_like(gradients))
            momentum.lerp_(gradients, 0.05)
            updates = orthogonal(gradients.lerp(momentum, 0.95))
            torch._foreach_mul_(matrices, 1 - group["lr"] * WEIGHT_DECAY)
            torch._foreach_add_(matrices, list(updates.unbind(0)), alpha=-0.2 * math.sqrt(max(shape)) * group["lr"])


def orthogonal(matrices: Tensor) -> Tensor:
    """(N, O, I) -> the same, singular values near 1: five steps of a quintic Newton-Schulz iteration, in bf16."""
    tall = matrices.shape[1] > matrices.shape[2]
    found = (matrices.mT if tall else matrices).bfloat16()
    found = found / found.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(5):
        gram = found @ found.mT
        found = 3.4445 * found + (-4.7750 * gram + 2.0315 * gram @ gram) @ found
    return (found.mT if tall else found).float()


class FlatModel:
    """BERT on flat batches: the last layer's second half and the head only at targets."""

    def __init__(self, model: nn.Module, *, compiled: bool) -> None:
        parts, head = encoder_parts(model), mlm_head(model)
        assert parts is not None
        assert head is not None
        self._parts, self._head = parts, head
        self._encode = torch.compile(_encode, dynamic=False) if compiled else _encode

    def loss(self, batch: FlatBatch) -> Tensor:
        """() in nats per target."""
        with torch.autocast(batch.token_ids.device.type, dtype=torch.bfloat16):
            hidden, attended = self._encode(self._parts, batch.token_ids, batch.columns, batch.bounds)
            last, wanted = self._parts.layers[-1], batch.positions
            logits = self._head(_feed_forward(last, attended.index_select(0, wanted), hidden.index_select(0, wanted)))
        return cross_entropy(logits.float(), batch.answers)


def _encode(parts: EncoderParts, token_ids: Tensor, columns: Tensor, bounds: Tensor) -> tuple[Tensor, Tensor]:
    """(R,) -> hidden states before the last layer and what its attention gives, both (R, H)."""
    assert parts.types is not None
    hidden = parts.norm(parts.words(token_ids) + parts.positions(columns) + parts.types.weight[0])
    *earlier, last = parts.layers
    for layer in earlier:
        hidden = _feed_forward(layer, _attended(layer, hidden, bounds), hidden)
    return hidden, _attended(last, hidden, bounds)


def _attended(layer: LayerParts, hidden: Tensor, bounds: Tensor) -> Tensor:
    query, key, value = (
        linear(hidden).unflatten(-1, (layer.heads, -1)) for linear in (layer.query, layer.key, layer.value)
    )
    if hidden.device.type == "cuda":
        from torch.nn.attention.varlen import varlen_attn  # torch 2.10 and newer

        return varlen_attn(query, key, value, bounds, bounds, POSITIONS, POSITIONS).flatten(1)
    row = torch.bucketize(torch.arange(len(hidden)), bounds[1:].long(), right=True)  # a rehearsal: R x R
    by_head = (part.transpose(0, 1)[None] for part in (query, key, value))
    return scaled_dot_product_attention(*by_head, attn_mask=row[:, None] == row)[0].transpose(0, 1).flatten(1)


def _feed_forward(layer: LayerParts, attended: Tensor, hidden: Tensor) -> Tensor:
    hidden = layer.attention_norm(layer.attention_output(attended) + hidden)
    return layer.output_norm(layer.output(layer.activation(layer.intermediate(hidden))) + hidden)


def optimizers(model: nn.Module) -> list[torch.optim.Optimizer]:
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    hidden = [weight for weight in model.parameters() if weight.ndim == 2 and id(weight) not in tables]
    inside = {id(weight) for weight in hidden}
    rest = [weight for weight in model.parameters() if id(weight) not in inside]
    groups = [
        {
            "params": [weight for weight in rest if weight.ndim == 2],
            "weight_decay": WEIGHT_DECAY,
            "share": TABLES_SHARE,
        },
        {"params": [weight for weight in rest if weight.ndim < 2], "weight_decay": 0.0, "share": TABLES_SHARE},
    ]
    return [BatchedMuon(hidden), torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)]


def prepare(options: argparse.Namespace) -> None:
    documents = list(read_documents(options.texts))
    options.to.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer(vocabulary_texts(documents), vocabulary_size=options.vocabulary)
    tokenizer.save_pretrained(options.to / "tokenizer")
    stream = tokenized(documents, tokenizer)
    np.save(options.to / "stream.npy", stream.token_ids)
    starts, lengths = rows_of(stream, tokenizer)
    np.save(options.to / "rows.npy", np.stack([starts, lengths]))
    print(f"{len(stream.token_ids):,} tokens; {len(starts):,} rows of {lengths.sum():,} tokens in one pass")


def train(options: argparse.Namespace) -> None:
    rows, device = Rows(options.data, options), torch.device(options.device)
    recipe = PretrainingRecipe(
        vocabulary_size=len(rows.tokenizer), layers=options.layers, width=options.width, heads=options.width // 64
    )
    masked_lm = untrained_model(rows.tokenizer, recipe, token_ids=rows.stream)
    model = masked_lm.model.to(device).train()
    driven, flat = optimizers(model), FlatModel(model, compiled=device.type == "cuda")
    options.output.mkdir(parents=True, exist_ok=True)
    checkpoint = options.output / "checkpoint.pt"
    done = restore(checkpoint, model, driven, device=device)
    saved = said = time.monotonic()
    total, tokens = torch.zeros((), device=device), options.tokens * SAID_EVERY
    for step, batch in enumerate(rows.batches(done), start=done):
        loss = flat.loss(batch.to(device))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        warmup = min(0.5, options.warmup / options.steps)
        rate = learning_rate_at(
            step, peak=options.learning_rate, steps=options.steps, warmup_share=warmup, decay_share=0.8
        )
        for optimizer in driven:
            for group in optimizer.param_groups:
                group["lr"] = rate * group["share"]
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        total += loss.detach()  # read once in a while: reading waits for the GPU
        if (step + 1) % SAID_EVERY == 0:
            mean, now = float(total) / SAID_EVERY, time.monotonic()
            if not math.isfinite(mean):
                raise SystemExit(f"The loss is no longer a number at step {step + 1}; choose a smaller learning rate.")
            print(f"step {step + 1:,} loss {mean:.4f} rate {rate:.2e} {tokens / (now - said) / 1e6:.2f}M tokens/s")
            total.zero_()
            said = now
        if time.monotonic() - saved > CHECKPOINT_SECONDS:
            save(checkpoint, model, driven, done=step + 1)
            saved = time.monotonic()
    model.half().save_pretrained(options.output / "model")
    rows.tokenizer.save_pretrained(options.output / "model")


def restore(path: Path, model: nn.Module, driven: list[torch.optim.Optimizer], *, device: torch.device) -> int:
    """The number of steps done; 0 where there is no checkpoint."""
    if not path.is_file():
        return 0
    state = torch.load(path, map_location=device, weights_only=True)
    model.load_state_dict(state["model"])
    for optimizer, kept in zip(driven, state["optimizers"], strict=True):
        optimizer.load_state_dict(kept)
    return int(state["done"])


def save(path: Path, model: nn.Module, driven: list[torch.optim.Optimizer], *, done: int) -> None:
    state = {"model": model.state_dict(), "optimizers": [one.state_dict() for one in driven], "done": done}
    torch.save(state, path.with_suffix(".part"))
    os.replace(path.with_suffix(".part"), path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    preparing = commands.add_parser("prepare")
    preparing.add_argument("texts", nargs="+", type=Path)
    preparing.add_argument("--to", type=Path, required=True)
    preparing.add_argument("--vocabulary", type=int, default=12_288)
    preparing.set_defaults(run=prepare)
    training = commands.add_parser("train")
    training.add_argument("data", type=Path)
    training.add_argument("--output", type=Path, required=True)
    training.add_argument("--device", default="cuda")
    for name, value in (("steps", 11_400), ("tokens", 131_072), ("layers", 6), ("width", 384), ("warmup", 200)):
        training.add_argument(f"--{name}", type=int, default=value)
    for name, value in (("learning-rate", 4e-3), ("first-mask-rate", 0.30), ("mask-rate", 0.15)):
        training.add_argument(f"--{name}", type=float, default=value)
    training.set_defaults(run=train)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
