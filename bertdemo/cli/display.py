"""What a person or a program sees: tables and a progress bar, or JSON lines. Computes nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from bertdemo.mlm.errors import BertDemoError
from bertdemo.mlm.wording import percent
from bertdemo.runs.log import finite

Record = dict[str, Any]
TAB = "\t"
console = Console(highlight=False)


def print_json(record: Record) -> None:
    """One compact line on standard output; NaN, which JSON does not know, becomes null."""
    text = json.dumps(finite(record), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    sys.stdout.buffer.write(text.encode("utf-8", errors="backslashreplace") + b"\n")
    sys.stdout.buffer.flush()


def show(record: Record, tables: Callable[[Record], Iterator[Table | str]], *, as_json: bool) -> None:
    if as_json:
        print_json(record)
        return
    for item in tables(record):
        console.print(item)


def print_written(what: str, path: Path, *, as_json: bool) -> None:
    """Where a file or folder was written: ``{"model": "/home/..."}``."""
    show({what: str(path.resolve())}, lambda record: iter([escape(f"{what}: {record[what]}")]), as_json=as_json)


def inspection_tables(record: Record) -> Iterator[Table | str]:
    how = [record["format"], *([record["encoding"]] if record["encoding"] else [])]
    if record["rows_are"] != "record":
        how.append(f"each {record['rows_are']} is a text")
    elif record["delimiter"]:
        how.append(f"delimiter {'tab' if record['delimiter'] == TAB else record['delimiter']}")
    if record["header"] is not None:
        how.append("with a header" if record["header"] else "no header")
    yield escape(f"{record['file']}: {', '.join(how)}")
    yield escape(f"{record['rows']} rows, {record['columns']} columns: {', '.join(record['column_names'])}")
    if record["text_column"] is None:
        yield "No column holds free text, so there is nothing to train on."
        return
    others = [name for name in record["text_columns"] if name != record["text_column"]]
    yield escape(f"Text column: {record['text_column']}" + (f" (or {', '.join(others)})" if others else ""))
    counts = ("used", "empty", "duplicate", "truncated", "ragged")
    yield ", ".join(f"{name} {record['report'][name]}" for name in counts)
    if "unknown_share" in record:
        yield f"[UNK] among the tokens: {percent(record['unknown_share'])}".replace("[", r"\[")
        if longer := record["report"]["truncated"]:
            yield too_long(longer, record["report"]["used"], record["pieces"], record["max_length"])
    if record.get("spelled_words"):
        words = (f"{w['word']}: {' '.join(w['pieces'])}, {w['uses']} times" for w in record["spelled_words"])
        yield escape("Words that this model must spell (train --new-words N makes them tokens): " + "; ".join(words))
    yield from map(escape, record["report"]["warnings"])


def too_long(longer: int, texts: int, pieces: int, length: int | None = None) -> str:
    """What becomes of long texts: ``"212 of 4,182 texts are longer than 256 tokens: 1,031 pieces"``."""
    said = (
        f"{longer:,} of {texts:,} texts are longer than {length or 'the maximum length'}{' tokens' if length else ''}"
    )
    return f"{said}: {pieces:,} pieces" if pieces > longer else f"{said} and cut there"


def fill_tables(record: Record) -> Iterator[Table | str]:
    yield escape(" ".join(record["tokens"]))
    yield from map(escape, record["notes"])
    for number, mask in enumerate(record["masks"], start=1):
        rows = [(c["rank"], c["token"], percent(c["probability"]), c["token_id"]) for c in mask["candidates"]]
        yield _table(f"Mask {number}", ("rank", "token", "probability", "id"), rows)
        if mask["targets"]:
            rows = [(t["word"], " ".join(t["pieces"]), percent(t["probability"]), t["rank"]) for t in mask["targets"]]
            yield _table("Your words", ("word", "pieces", "probability", "rank"), rows)


def comparison_tables(record: Record) -> Iterator[Table | str]:
    yield from map(escape, record["notes"])
    for number, mask in enumerate(record["masks"], start=1):
        rows = [
            (
                candidate["token"],
                *(_side(candidate[side]) for side in ("before", "after")),
                "" if candidate["log2_ratio"] is None else f"{candidate['log2_ratio']:+.2f}",
            )
            for candidate in mask["candidates"]
        ]
        yield _table(f"Mask {number}", ("token", "before", "after", "log2 ratio"), rows)
        entropy = mask["entropy"]
        yield (
            f"Jensen-Shannon divergence {mask['js_divergence']:.3f} bits,"
            f" entropy {entropy['before']:.2f} -> {entropy['after']:.2f} bits"
        )


def score_tables(record: Record) -> Iterator[Table | str]:
    yield from map(escape, record["notes"])
    rows = [
        (t["token"], "-" if t["surprisal_bits"] is None else f"{t['surprisal_bits']:.2f}", t["rank"], t["prediction"])
        for t in record["tokens"]
    ]
    yield _table("", ("token", "surprisal (bits)", "rank", "preferred"), rows)
    yield f"pseudo-log-likelihood {record['pll']:.2f} nats, pseudo-perplexity {record['pseudo_perplexity']:.2f}"


def evaluation_tables(record: Record) -> Iterator[Table | str]:
    yield _evaluation(record)
    yield from record.get("notes", ())


def print_runs(summaries: list[Record]) -> None:
    columns = ("run", "name", "state", "data", "held-out loss before", "after")
    rows = []
    for run in summaries:
        loss = run["held_out_loss"]
        figures = ("-" if loss[side] is None else f"{loss[side]:.3f}" for side in ("before", "after"))
        rows.append((run["run"], run["name"], run["state"], run["data"], *figures))
    console.print(_table("", columns, rows) if rows else "No runs yet; 'bertdemo train FILE' makes one.")


@contextmanager
def progress(*, hidden: bool) -> Iterator[Callable[[Any], None]]:
    """A bar on standard error for signs of life (phase, done, total)."""
    with _bar(hidden=hidden) as bar:
        task = bar.add_task("", total=None)
        yield lambda event: bar.update(task, description=event.phase, completed=event.done, total=event.total)


@contextmanager
def training(*, as_json: bool) -> Iterator[Callable[[Record], None]]:
    """Gives a function that shows a run's records one by one."""
    if as_json:
        yield lambda record: None if record["event"] == "progress" else print_json(record)
        return
    with _bar(hidden=False) as bar:
        task = bar.add_task("preparing", total=None)
        yield lambda record: _show_record(record, bar, task)


def _show_record(record: Record, bar: Progress, task: Any) -> None:
    match record["event"]:
        case "progress" if record["phase"] != "training":
            bar.update(task, description=record["phase"])
        case "started":
            bar.update(task, total=record["steps"], completed=record.get("resumed_from", 0))
            general = f" and about {record['replay_rows']} general texts" if record.get("replay_rows") else ""
            bar.print(
                f"run {record['run']}: {record['train_rows']} rows{general}, {record['held_out_rows']} held out,"
                f" {record['steps']} steps, {record['precision']} on {record['device']}"
            )
            if longer := record.get("truncated"):
                texts = record["train_rows"] + record["held_out_rows"]
                bar.print(too_long(longer, texts, record.get("pieces") or longer))
            if record.get("new_words"):
                bar.print(escape("New words: " + ", ".join(word["word"] for word in record["new_words"])))
        case "step":
            loss = "-" if record["loss"] is None else f"{record['loss']:.3f}"
            description = f"epoch {record['epoch']}  loss {loss}"
            bar.update(task, completed=record["step"], description=description)
        case "evaluated" | "general" as kind:
            where = "held-out" if kind == "evaluated" else "general English"
            bar.print(f"step {record['step']}, {where}: {_evaluation(record)}")
        case "probe":
            for probe in record["probes"]:
                words = "; ".join(", ".join(c["token"] for c in mask["candidates"]) for mask in probe["masks"])
                bar.print(escape(f"step {record['step']}: {probe['text']} -> {words}"))
        case "ended_early":
            bar.print(escape(record["reason"]))
        case "warning":
            bar.print(escape(f"Note: {record['message']}"))
        case "finished" | "stopped" | "failed" as kind:
            bar.print(escape(f"{kind}: {record.get('error') or record.get('model') or 'nothing was trained yet'}"))


@contextmanager
def _bar(*, hidden: bool) -> Iterator[Progress]:
    """A bar on standard error where that is a terminal; an error takes its place, so that its sentence stands alone."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total}"))
    console = Console(stderr=True, highlight=False)
    hidden = hidden or not console.is_terminal
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=hidden) as bar:
        try:
            yield bar
        except BertDemoError:
            bar.live.transient = True
            raise


def _evaluation(record: Record) -> str:
    if not record["targets"]:
        return "no targets to score"
    return (
        f"loss {record['loss']:.4f} per target, perplexity {record['perplexity']:.2f}, {record['targets']} targets;"
        f" of the {record['hidden']} hidden ones top-1 {percent(record['top1'])}, top-5 {percent(record['top5'])}"
    )


def _side(side: Record | None) -> str:
    return "not in its vocabulary" if side is None else f"{percent(side['probability'])} (rank {side['rank']})"


def _table(title: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> Table:
    table = Table(*columns, title=title or None, title_justify="left")
    for row in rows:
        table.add_row(*(escape("-" if cell is None else str(cell)) for cell in row))
    return table
