"""Fine-tuning against Hugging Face Trainer, default and tuned, and against the beginner's notebook.

Same model, rows, learning rate, seed and number of passes for all. Two figures a row: real tokens per second (padding
not counted), and the wall time until the held-out loss that the reference has after its last pass, scored on the same
fixed masks by the same code with the clock stopped. The second counts: throughput alone could cheat with larger steps.
Where as many passes as the reference's end above its loss, a run planned for one or two more is timed instead.

    python benchmarks/training.py [--model mini-bert|bert-base] [--rows 435] [--passes 2] [--csv FILE]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from _measure import load, machine, matmul_peak, operations_per_token, print_table, sample_csv
from transformers import DataCollatorForLanguageModeling, Trainer, TrainerCallback, TrainingArguments

from bertdemo.mlm.batching import tokenize_texts
from bertdemo.mlm.corpus import read_corpus
from bertdemo.mlm.evaluation import FixedMasks, score_targets, tokenize_and_fix
from bertdemo.mlm.events import StepDone
from bertdemo.mlm.loading.checkpoints import default_learning_rate
from bertdemo.mlm.models import MaskedLM
from bertdemo.mlm.settings import TrainingConfig
from bertdemo.mlm.training import TrainingSession

MAX_LENGTH, BATCH, SEED = 512, 16, 0


@dataclass(frozen=True)
class Outcome:
    name: str
    seconds: float  # of training alone
    tokens: int  # real ones that were trained on
    loss: float  # held out, at the end
    reached: dict[str, tuple[float, int]]  # seconds until another's loss was reached, and the passes of that run


@dataclass(frozen=True)
class Task:
    model: str
    train: list[str]
    held_out: FixedMasks
    rate: float
    passes: int
    max_steps: int

    def held_out_loss(self, masked_lm: MaskedLM) -> float:
        *_, scores = score_targets(masked_lm, self.held_out, precision="fp32")
        return scores.figures()[0]


def ours(task: Task, *, goals: dict[str, float]) -> Outcome:
    """Our loop; after every few steps the clock stops and the held-out loss is held against the goals."""
    masked_lm = load(task.model)
    steps = None if task.max_steps < 0 else task.max_steps
    config = TrainingConfig(
        epochs=task.passes, learning_rate=task.rate, batch_size=BATCH, max_length=MAX_LENGTH, seed=SEED, max_steps=steps
    )

    @dataclass
    class Rows:
        train: list[str]
        held_out: list[str]

    session = TrainingSession(masked_lm, Rows(task.train, task.train[:1]), config)
    seconds, tokens, events = 0.0, 0, session.events()
    reached: dict[str, tuple[float, int]] = {}

    def note_goals() -> float:
        loss = task.held_out_loss(masked_lm)
        new = {name for name, goal in goals.items() if loss <= goal} - set(reached)
        reached.update(dict.fromkeys(new, (seconds, task.passes)))
        return loss

    while True:
        started = time.perf_counter()
        event = next((event for event in events if isinstance(event, StepDone)), None)
        seconds += time.perf_counter() - started
        if event is None:
            break
        tokens += event.tokens
        if set(goals) - set(reached) and event.step % 4 == 0:
            note_goals()
    loss = note_goals()
    return Outcome("bertdemo", seconds, tokens, loss, reached)


def ours_until_reached(task: Task, *, goals: dict[str, float]) -> Outcome:
    """Our run of as many passes, with the goals that only a longer one reached beside those that it reached itself."""
    mine = ours(task, goals=goals)
    for more in (1, 2):
        missing = {name: goal for name, goal in goals.items() if name not in mine.reached}
        if missing and task.max_steps < 0:
            mine.reached.update(ours(replace(task, passes=task.passes + more), goals=missing).reached)
    return mine


def trainer(task: Task, *, tuned: bool) -> Outcome:
    """Trainer with its collator, as its documentation shows; tuned: length grouping and bf16."""
    masked_lm = load(task.model)
    rows = _token_rows(masked_lm, task.train)
    arguments = TrainingArguments(
        output_dir="/tmp/bertdemo-benchmark",
        per_device_train_batch_size=BATCH,
        num_train_epochs=task.passes,
        max_steps=task.max_steps,
        learning_rate=task.rate,
        seed=SEED,
        bf16=tuned,
        train_sampling_strategy="group_by_length" if tuned else "random",
        use_cpu=not torch.cuda.is_available(),
        dataloader_pin_memory=False,
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    counter = _TokenCounter(masked_lm)
    job = Trainer(masked_lm.model, arguments, data_collator=counter, train_dataset=rows, callbacks=[_Silent()])
    started = time.perf_counter()
    job.train()
    seconds = time.perf_counter() - started
    name = "Trainer, length grouping and bf16" if tuned else "Trainer, defaults"
    return Outcome(name, seconds, counter.tokens, task.held_out_loss(masked_lm), {})


def notebook(task: Task) -> Outcome:
    """The beginner's loop: every row padded to 512, loss on every token, masks drawn once, float32."""
    masked_lm = load(task.model)
    encoded = masked_lm.tokenizer(
        task.train, max_length=512, truncation=True, padding="max_length", return_tensors="pt"
    )
    token_ids, attention = encoded["input_ids"], encoded["attention_mask"]
    chosen = (torch.rand(token_ids.shape) < 0.15) & (token_ids > 4)
    masked = token_ids.masked_fill(chosen, masked_lm.mask_token_id)
    optimizer = torch.optim.AdamW(masked_lm.model.parameters(), lr=task.rate)
    masked_lm.model.train()
    device, tokens, started, steps = masked_lm.device, 0, time.perf_counter(), 0
    for _ in range(task.passes):
        for rows in torch.randperm(len(token_ids)).split(BATCH):
            labels = token_ids[rows].to(device)
            output = masked_lm.model(masked[rows].to(device), attention_mask=attention[rows].to(device), labels=labels)
            output.loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            tokens, steps = tokens + int(attention[rows].sum()), steps + 1
            if steps == task.max_steps:
                seconds = time.perf_counter() - started
                return Outcome("the notebook's recipe", seconds, tokens, task.held_out_loss(masked_lm), {})
    seconds = time.perf_counter() - started
    return Outcome("the notebook's recipe", seconds, tokens, task.held_out_loss(masked_lm), {})


class _TokenCounter(DataCollatorForLanguageModeling):
    """The library's collator, counting the real tokens that pass."""

    def __init__(self, masked_lm: MaskedLM) -> None:
        super().__init__(masked_lm.tokenizer, mlm_probability=0.15)
        self.tokens = 0

    def torch_call(self, examples: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        self.tokens += sum(len(example["input_ids"]) for example in examples)
        return super().torch_call(examples)


class _Silent(TrainerCallback):
    """Trainer prints its summary through a callback of its own unless there is another."""


def _token_rows(masked_lm: MaskedLM, texts: list[str]) -> list[dict[str, list[int]]]:
    *_, (rows, _cut) = tokenize_texts(masked_lm.tokenizer, texts, max_length=MAX_LENGTH)
    return [{"input_ids": rows.row(index).tolist()} for index in range(len(rows))]


def report(task: Task, outcomes: list[Outcome], mine: Outcome) -> None:
    peak = matmul_peak(torch.bfloat16)
    share = mine.tokens / mine.seconds * operations_per_token(load(task.model), targets_per_token=0.15) / peak
    table = []
    for outcome in [*outcomes, mine]:
        rate = outcome.tokens / outcome.seconds
        table.append(
            (
                outcome.name,
                f"{rate:,.0f}",
                f"{mine.tokens / mine.seconds / rate:.1f}x",
                f"{outcome.loss:.3f}",
                f"{outcome.seconds:.1f} s",
                "-" if outcome is mine else _until(outcome, mine),
            )
        )
    print_table(
        ("", "real tokens/s", "bertdemo ahead", "held-out loss", "time", "bertdemo reaches that loss in"), table
    )
    print(f"bertdemo: {share:.0%} of a measured bf16 matrix product, {peak / 1e9:,.0f} GFLOP/s (useful work only)\n")


def _until(reference: Outcome, mine: Outcome) -> str:
    if reference.name not in mine.reached:
        return "not reached"
    seconds, passes = mine.reached[reference.name]
    return f"{seconds:.1f} s ({reference.seconds / seconds:.1f}x), of {passes} passes"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini-bert", choices=("mini-bert", "bert-base"))
    parser.add_argument("--csv", type=Path, default=sample_csv())
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--passes", type=int, default=2)
    parser.add_argument("--max-steps", type=int, default=-1, help="stop all of them after so many steps")
    parser.add_argument("--notebook-steps", type=int, default=4, help="0: leave the notebook out; -1: all its steps")
    options = parser.parse_args()
    corpus = read_corpus(options.csv, limit=options.rows, seed=SEED)
    probe = load(options.model)
    held_out = tokenize_and_fix(probe, corpus.held_out, max_length=MAX_LENGTH, seed=SEED)
    rate = default_learning_rate(probe.ref)
    task = Task(options.model, list(corpus.train), held_out, rate, options.passes, options.max_steps)
    print(f"{machine()}\n{options.model}, {len(task.train)} rows, {options.passes} passes, learning rate {rate:g}\n")
    references: list[Callable[[], Outcome]] = [lambda: trainer(task, tuned=False), lambda: trainer(task, tuned=True)]
    outcomes = [reference() for reference in references]
    goals = {outcome.name: outcome.loss for outcome in outcomes}
    if options.notebook_steps:
        short = replace(task, max_steps=options.notebook_steps)
        outcomes.append(notebook(short))
    report(task, outcomes, ours_until_reached(task, goals=goals))


if __name__ == "__main__":
    main()
