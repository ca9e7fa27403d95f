"""Fine-tuning against Hugging Face Trainer, default and tuned, and against the beginner's notebook.

Same model, rows, learning rate, seed and number of passes for all, a step of one after a step of the other, so that
whatever else the machine does meets both. Two figures a row: real tokens per second (padding not counted), and the wall
time until the held-out loss that the reference has after its last pass, scored on the same fixed masks by the same code
with the clock stopped. The second counts: throughput alone could cheat with larger steps. Where as many passes as the
reference's end above its loss, the steps that a run of one or two more takes are counted.

    python benchmarks/training.py [--model mini-bert|bert-base] [--rows 435] [--passes 2] [--csv FILE]
"""

from __future__ import annotations

import argparse
import gc
import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from _measure import (
    DEVICE,
    load,
    machine,
    matmul_peak,
    operations_per_token,
    print_table,
    sample_csv,
    synchronize,
)
from transformers import DataCollatorForLanguageModeling, Trainer, TrainerCallback, TrainingArguments

from bertdemo.mlm.data.corpus import read_corpus
from bertdemo.mlm.models.loading import default_learning_rate
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.settings import TrainingConfig
from bertdemo.mlm.training.batching import tokenize_all
from bertdemo.mlm.training.evaluation import FixedMasks, score_targets, tokenize_and_fix
from bertdemo.mlm.training.events import StepDone
from bertdemo.mlm.training.loop import TrainingSession

MAX_LENGTH, SEED = 512, 0
SCORED_EVERY = 4  # steps
MOST_EXTRA_PASSES = 2


@dataclass(frozen=True)
class Task:
    model: str
    train: list[str]
    held_out: FixedMasks
    rate: float
    passes: int
    batch: int = 16
    max_steps: int | None = None

    def held_out_loss(self, masked_lm: MaskedLM) -> float:
        *_, scores = score_targets(masked_lm, self.held_out, precision="fp32")
        return scores.quality().loss


@dataclass(frozen=True)
class Rows:
    train: list[str]
    held_out: list[str]


class Ours:
    """Our loop, a step at a time; after every few steps the held-out loss is scored with the clock stopped."""

    def __init__(self, task: Task, *, scored: bool = True) -> None:
        self._scored = scored
        self.task, self._masked_lm = task, load(task.model)
        config = TrainingConfig(
            epochs=task.passes,
            learning_rate=task.rate,
            batch_size=task.batch,
            max_length=MAX_LENGTH,
            long_texts="cut",  # as those that it is compared with read them
            seed=SEED,
        )
        self._events = TrainingSession(self._masked_lm, Rows(task.train, task.train[:1]), config).events()
        self.seconds, self.tokens, self.steps = 0.0, 0, 0
        self.curve: list[tuple[int, float]] = []  # steps done, held-out loss

    def step(self) -> bool:
        """Whether there was one left."""
        started = time.perf_counter()
        event = next((event for event in self._events if isinstance(event, StepDone)), None)
        synchronize()
        if event is not None:
            self.seconds += time.perf_counter() - started
            self.tokens, self.steps = self.tokens + event.tokens, event.step
        due = self._scored and (event is None or event.step % SCORED_EVERY == 0)
        if due and self.steps not in dict(self.curve):  # the reference may still take steps when ours have ended
            self.curve.append((self.steps, self.task.held_out_loss(self._masked_lm)))
        return event is not None

    def steps_to(self, goal: float) -> int | None:
        return next((steps for steps, loss in self.curve if loss <= goal), None)


class Turns(TrainerCallback):
    """Our next step after each of the reference's."""

    def __init__(self, ours: Ours) -> None:
        self._ours, self.seconds = ours, 0.0

    def on_step_end(self, *_arguments: Any, **_options: Any) -> None:
        synchronize()  # each pays for its own work
        started = time.perf_counter()
        self._ours.step()
        synchronize()
        self.seconds += time.perf_counter() - started


@dataclass(frozen=True)
class Outcome:
    """A reference's run, and ours that ran by turns with it."""

    name: str
    seconds: float  # of training alone
    tokens: int  # real ones that were trained on
    loss: float | None  # held out, at the end; None where it was stopped before
    ours: Ours

    @property
    def ahead(self) -> float:
        return self.ours.tokens / self.ours.seconds / (self.tokens / self.seconds)


def trainer(task: Task, *, tuned: bool) -> Outcome:
    """Trainer with its collator, as its documentation shows; tuned: length grouping and bf16."""
    masked_lm, ours = load(task.model), Ours(task)
    rows, turns, arguments = _token_rows(masked_lm, task.train), Turns(ours), _arguments(task, tuned=tuned)
    counter = _TokenCounter(masked_lm)
    job = Trainer(masked_lm.model, arguments, data_collator=counter, train_dataset=rows, callbacks=[turns])
    started = time.perf_counter()
    job.train()
    synchronize()
    seconds = time.perf_counter() - started - turns.seconds
    while ours.step():
        pass
    name = "Trainer, length grouping and bf16" if tuned else "Trainer, defaults"
    return Outcome(name, seconds, counter.tokens, task.held_out_loss(masked_lm), ours)


def _arguments(task: Task, *, tuned: bool) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(Path(tempfile.gettempdir(), "bertdemo-benchmark")),
        per_device_train_batch_size=task.batch,
        num_train_epochs=task.passes,
        learning_rate=task.rate,
        seed=SEED,
        bf16=tuned,
        train_sampling_strategy="group_by_length" if tuned else "random",
        use_cpu=DEVICE.type == "cpu",
        dataloader_pin_memory=DEVICE.type == "cuda",
        max_steps=-1 if task.max_steps is None else task.max_steps,
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )


def memory(task: Task) -> str:
    """On a GPU: "Trainer, length grouping and bf16, 2.1 GiB; bertdemo 1.4 GiB"; each is let go of before the other."""
    short, said = replace(task, max_steps=3), []
    for name, steps in (("Trainer, length grouping and bf16", _three_of_trainer), ("bertdemo", _three_of_ours)):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        steps(short)
        gc.collect()
        said.append(f"{name} {(torch.cuda.max_memory_allocated() - before) / 2**30:.2f} GiB")
    return "; ".join(said)


def _three_of_trainer(task: Task) -> None:
    masked_lm = load(task.model)
    rows, collator = _token_rows(masked_lm, task.train), _TokenCounter(masked_lm)
    Trainer(masked_lm.model, _arguments(task, tuned=True), data_collator=collator, train_dataset=rows).train()


def _three_of_ours(task: Task) -> None:
    ours = Ours(task, scored=False)
    for _ in range(3):
        ours.step()


def notebook(task: Task) -> Outcome:
    """The beginner's loop: every row padded to 512, loss on every token, masks drawn once, float32."""
    masked_lm, ours = load(task.model), Ours(task)
    encoded = masked_lm.tokenizer(
        task.train, max_length=512, truncation=True, padding="max_length", return_tensors="pt"
    )
    token_ids, attention = encoded["input_ids"], encoded["attention_mask"]
    chosen = (torch.rand(token_ids.shape) < 0.15) & (token_ids > 4)
    masked = token_ids.masked_fill(chosen, masked_lm.mask_token_id)
    optimizer = torch.optim.AdamW(masked_lm.model.parameters(), lr=task.rate)
    masked_lm.model.train()
    device, tokens, seconds = masked_lm.device, 0, 0.0
    batches = [rows for _ in range(task.passes) for rows in torch.randperm(len(token_ids)).split(task.batch)]
    for rows in batches[: task.max_steps]:
        started = time.perf_counter()
        labels = token_ids[rows].to(device)
        output = masked_lm.model(masked[rows].to(device), attention_mask=attention[rows].to(device), labels=labels)
        output.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds += time.perf_counter() - started
        tokens += int(attention[rows].sum())
        ours.step()
    if task.max_steps is not None:
        return Outcome("the notebook's recipe", seconds, tokens, None, ours)
    while ours.step():
        pass
    return Outcome("the notebook's recipe", seconds, tokens, task.held_out_loss(masked_lm), ours)


class _TokenCounter(DataCollatorForLanguageModeling):
    """The library's collator, counting the real tokens that pass."""

    def __init__(self, masked_lm: MaskedLM) -> None:
        super().__init__(masked_lm.tokenizer, mlm_probability=0.15)
        self.tokens = 0

    def torch_call(self, examples: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        self.tokens += sum(len(example["input_ids"]) for example in examples)
        return super().torch_call(examples)


def _token_rows(masked_lm: MaskedLM, texts: list[str]) -> list[dict[str, list[int]]]:
    rows = tokenize_all(masked_lm.tokenizer, texts, max_length=MAX_LENGTH)
    return [{"input_ids": rows.row(index).tolist()} for index in range(len(rows))]


def until_reached(outcome: Outcome) -> str:
    """The time to the reference's last loss, at the speed measured by turns with it."""
    if outcome.loss is None:
        return "-"
    ours = outcome.ours
    for more in range(MOST_EXTRA_PASSES + 1):
        if more:
            ours = Ours(replace(outcome.ours.task, passes=outcome.ours.task.passes + more))
            while ours.step():
                pass
        steps = ours.steps_to(outcome.loss)
        if steps is not None:
            seconds = steps * outcome.ours.seconds / outcome.ours.steps
            passes = f", of {ours.task.passes} passes" if more else ""
            return f"{seconds:.1f} s ({outcome.seconds / seconds:.1f}x){passes}"
    return f"not reached: ends at {outcome.ours.curve[-1][1]:.3f}"


def report(task: Task, outcomes: list[Outcome], peak: float) -> None:
    table = [
        (
            outcome.name,
            f"{outcome.tokens / outcome.seconds:,.0f}",
            f"{outcome.ours.tokens / outcome.ours.seconds:,.0f}",
            f"{outcome.ahead:.1f}x",
            "-" if outcome.loss is None else f"{outcome.loss:.3f}",
            f"{outcome.seconds:.1f} s",
            until_reached(outcome),
        )
        for outcome in outcomes
    ]
    columns = ("", "real tokens/s", "bertdemo's", "ahead", "held-out loss", "time", "bertdemo reaches that loss in")
    print_table(columns, table)
    runs = [outcome.ours for outcome in outcomes]
    speed = sum(run.tokens for run in runs) / sum(run.seconds for run in runs)
    share = speed * operations_per_token(load(task.model), targets_per_token=0.15) / peak
    loss = runs[0].curve[-1][1]
    print(
        f"bertdemo ends at a held-out loss of {loss:.3f}, and runs at {share:.0%} of a measured bf16 matrix product,"
        f" {peak / 1e9:,.0f} GFLOP/s (useful work only)\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini-bert", choices=("mini-bert", "bert-base"))
    parser.add_argument("--csv", type=Path, default=sample_csv())
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--batch", type=int, default=16, help="rows a step; a GPU is idle with few")
    parser.add_argument("--tuned-only", action="store_true", help="leave Trainer's defaults out")
    parser.add_argument("--passes", type=int, default=2)
    parser.add_argument("--notebook-steps", type=int, default=4, help="0: leave the notebook out; -1: all its steps")
    options = parser.parse_args()
    corpus = read_corpus(options.csv, limit=options.rows, seed=SEED)
    probe = load(options.model)
    held_out = tokenize_and_fix(probe, corpus.held_out, max_length=MAX_LENGTH, seed=SEED)
    rate = default_learning_rate(probe.ref)
    task = Task(options.model, list(corpus.train), held_out, rate, options.passes, options.batch)
    print(f"{machine()}\n{options.model}, {len(task.train)} rows, {options.passes} passes, learning rate {rate:g}\n")
    peaks = [matmul_peak(torch.bfloat16)]
    outcomes = []
    for tuned in (True,) if options.tuned_only else (False, True):
        outcomes.append(trainer(task, tuned=tuned))
        peaks.append(matmul_peak(torch.bfloat16))
    if options.notebook_steps:
        steps = None if options.notebook_steps < 0 else options.notebook_steps
        outcomes.append(notebook(replace(task, max_steps=steps)))
    report(task, outcomes, statistics.fmean(peaks))
    if DEVICE.type == "cuda":
        print(f"most memory of three steps, alone: {memory(task)}\n")


if __name__ == "__main__":
    main()
