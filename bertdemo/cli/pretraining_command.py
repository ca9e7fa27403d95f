"""``bertdemo pretrain``: the corpus packed once, a model from scratch, and the same again after a kill."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from bertdemo.mlm.errors import DataError, RunError, SettingsError
from bertdemo.mlm.models.loading import silence_libraries
from bertdemo.mlm.models.masked_lm import MaskedLM, ModelRef
from bertdemo.mlm.training import distributed as processes
from bertdemo.mlm.training.batching import TrainingTexts, tokenize_all
from bertdemo.mlm.training.loop import TrainingSession
from bertdemo.mlm.training.pretraining import (
    PretrainingRecipe,
    hold_out,
    open_packed,
    pack_corpus,
    read_paragraphs,
    train_tokenizer,
    untrained_model,
)
from bertdemo.runs.checkpoint import load_checkpoint
from bertdemo.runs.execution import claim_to_resume, execute, restore
from bertdemo.runs.files import write_atomically
from bertdemo.runs.record import DataSource
from bertdemo.runs.run import RECORD_NAME, Run, open_run
from bertdemo.runs.store import Workspace

SCORED_TOKENS = 128  # paragraphs are scored one by one, and cut here
VALIDATION_ROWS = 1000


def start_or_continue(
    workspace: Workspace, options: argparse.Namespace, *, stop: Callable[[], bool]
) -> Iterator[dict[str, Any]]:
    """The records of the run. A new run whose corpus cannot be used leaves no folder behind.

    Raises:
        DataError: a text file is missing, unreadable or too short.
        SettingsError: a size or setting is outside what it can be.
        RunError: the folder holds something else, or a finished run.
    """
    is_new = not (_folder(options) / RECORD_NAME).is_file()
    run = None
    told = False
    try:
        run, recipe = _claimed(workspace, options)
        _prepare_corpus(run.folder, options, recipe)
        run.settle()
        told = True
        processes.any_of(False)  # all is in its place: the others read it
        session = _session(run.folder, options, recipe)
        restore(run, session)
    except BaseException as error:
        if not told:
            processes.any_of(True)  # the others wait for word
        if run is not None:
            run.update(state="interrupted")
            run.release()
            if is_new and isinstance(error, DataError):
                workspace.store.delete(run.id)
        raise
    yield from execute(run, session, stop=stop, checkpoint_seconds=120.0)


def to_help(options: argparse.Namespace) -> TrainingSession | None:
    """The session of a process that writes nothing, once the first one has put everything in its place; None where that
    one could not, which says why."""
    silence_libraries()
    if processes.any_of(False):
        return None
    folder = _folder(options)
    session = _session(folder, options, _recorded_recipe(folder))
    checkpoint = open_run(folder).checkpoint_folder
    if checkpoint.is_dir():
        session.restore(load_checkpoint(checkpoint)["session"])
    return session


def _claimed(workspace: Workspace, options: argparse.Namespace) -> tuple[Run, PretrainingRecipe]:
    """A new run in the folder, or the one that is there; nobody else works on it from now on."""
    if options.limit is not None and options.limit < 1:
        raise SettingsError(f"A limit of {options.limit} paragraphs leaves nothing; give 1 or more.")
    silence_libraries()
    folder = _folder(options)
    if not (folder / RECORD_NAME).is_file():
        recipe = _recipe(options)
        return _create(workspace, options, recipe), recipe
    recipe, run = _recorded_recipe(folder), open_run(folder)
    claim_to_resume(run)
    return run, recipe


def _folder(options: argparse.Namespace) -> Path:
    return options.output.expanduser().resolve()


def _recorded_recipe(folder: Path) -> PretrainingRecipe:
    try:
        return PretrainingRecipe(**json.loads((folder / "recipe.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise RunError(
            f"The folder {folder.name!r} holds a run that is no pretraining, or a damaged one; choose another."
        ) from error


def _recipe(options: argparse.Namespace) -> PretrainingRecipe:
    typed = {field.name: getattr(options, field.name, None) for field in fields(PretrainingRecipe)}
    return PretrainingRecipe(**{name: value for name, value in typed.items() if value is not None})


def _create(workspace: Workspace, options: argparse.Namespace, recipe: PretrainingRecipe) -> Run:
    for path in [*options.corpus, *([options.validation] if options.validation else [])]:
        if not path.is_file():
            raise DataError(f"There is no file {path.name!r}; give UTF-8 text files, plain or .xz.")
    data = DataSource(", ".join(path.name for path in options.corpus), str(options.corpus[0].resolve()))
    settings = replace(recipe.training_config(rows=1_000_000), precision=options.precision, device=options.device)
    scratch = ModelRef("from scratch", "from scratch")
    run = workspace.store.create(
        name=options.output.name, model=scratch, data=data, settings=settings, output=options.output
    )
    write_atomically(run.folder / "recipe.json", json.dumps(asdict(recipe), indent=1) + "\n")
    (run.folder / "corpus").mkdir()
    return run


def _prepare_corpus(folder: Path, options: argparse.Namespace, recipe: PretrainingRecipe) -> None:
    """What is held out, the vocabulary and the packed rows, as far as an earlier start has not left them."""
    corpus = folder / "corpus"
    held_out = _held_out(corpus, options, seed=recipe.seed)

    def paragraphs() -> Iterator[str]:
        return islice(read_paragraphs(options.corpus, without=held_out), options.limit)

    if not (corpus / "tokenizer").is_dir():
        new = train_tokenizer(paragraphs(), vocabulary_size=recipe.vocabulary_size)
        new.save_pretrained(corpus / "tokenizer.part")
        (corpus / "tokenizer.part").rename(corpus / "tokenizer")
    if not (corpus / "tokens.bin").is_file():
        tokenizer = AutoTokenizer.from_pretrained(corpus / "tokenizer")
        pack_corpus(paragraphs(), tokenizer, path=corpus / "tokens.bin")


def _session(folder: Path, options: argparse.Namespace, recipe: PretrainingRecipe) -> TrainingSession:
    """On what was prepared, which several processes may read."""
    corpus = folder / "corpus"
    held_out = _held_out(corpus, options, seed=recipe.seed)
    tokenizer = AutoTokenizer.from_pretrained(corpus / "tokenizer")
    scored = tokenize_all(tokenizer, held_out, max_length=SCORED_TOKENS)
    rows = open_packed(corpus / "tokens.bin")
    masked_lm: MaskedLM = untrained_model(tokenizer, recipe, token_ids=rows.token_ids)
    settings = replace(recipe.training_config(rows=len(rows)), precision=options.precision, device=options.device)
    return TrainingSession(masked_lm, TrainingTexts(rows, scored), settings)


def _held_out(corpus: Path, options: argparse.Namespace, *, seed: int) -> list[str]:
    """What is scored and never trained on: drawn once and kept, so that a continued run has the same."""
    kept = corpus / "held_out.json"
    if kept.is_file():
        return json.loads(kept.read_text(encoding="utf-8"))
    if (corpus / "tokens.bin").is_file():
        raise RunError("This pretraining was begun by an older version, which held out other rows; begin a new one.")
    if options.validation is None:
        paragraphs = hold_out(options.corpus, seed=seed, limit=options.limit)
    else:
        every = list(read_paragraphs([options.validation]))
        paragraphs = every[:: max(1, len(every) // VALIDATION_ROWS)]
    if not paragraphs:
        raise DataError(f"{options.validation.name!r} holds no text to score on; give one with paragraphs.")
    write_atomically(kept, json.dumps(paragraphs))
    return paragraphs
