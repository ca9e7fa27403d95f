"""General texts mixed into a run: at their share, none of them held out, the same after an interruption."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_corpus import CONFIG, CORPUS

from bertdemo.mlm.errors import DataError
from bertdemo.mlm.models.loading import bundled_assets
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.training.events import RunStarted, StepDone
from bertdemo.mlm.training.loop import TrainingSession
from bertdemo.mlm.training.replay import GENERAL, read_replay, rows_of_epoch

GENERAL_TEXTS = tuple(
    f"paris is the {a} capital of {b} ." for a in ("old", "new", "great", "good") for b in "abcdefghij"
)
SHARE = 0.3


@pytest.fixture
def started(tiny_bert: MaskedLM, trainable: Callable[[MaskedLM], MaskedLM]) -> Callable[..., TrainingSession]:
    def start(texts: Sequence[str] = GENERAL_TEXTS, **changes: Any) -> TrainingSession:
        config = replace(CONFIG, replay_share=SHARE, **changes)
        return TrainingSession(trainable(tiny_bert), CORPUS, config, replay=texts)

    return start


def test_every_epoch_has_all_own_rows_and_the_share_of_general_tokens(started: Callable[..., TrainingSession]) -> None:
    session = started(epochs=4)
    events = list(session.events())
    begun = next(event for event in events if isinstance(event, RunStarted))
    assert begun.train_rows == len(CORPUS.train)
    assert begun.held_out_rows == len(CORPUS.held_out)
    longest, mixed = int(session.plan.replay_lengths.max()), []
    for epoch in range(4):
        rows = np.concatenate([step.rows for step in session.plan.remaining(0) if step.epoch == epoch])
        assert sorted(rows[rows < begun.train_rows].tolist()) == list(range(begun.train_rows))
        general = rows[rows >= begun.train_rows] - begun.train_rows
        mixed.append(frozenset(general.tolist()))
        tokens = sum(event.tokens for event in events if isinstance(event, StepDone) and event.epoch == epoch + 1)
        assert abs(tokens - begun.train_tokens / (1 - SHARE)) <= longest
    assert begun.replay_rows == len(mixed[0])
    assert not mixed[0] & mixed[1]  # there are enough of them for two epochs


def test_the_model_reads_general_texts_and_nothing_else_beside_its_own(started: Callable[..., TrainingSession]) -> None:
    session = started()
    list(session.events())
    decode = session.masked_lm.tokenizer.decode
    known = {decode(session.masked_lm.tokenizer(text)["input_ids"]) for text in (*CORPUS.train, *GENERAL_TEXTS)}
    read = {decode(session._train.row(row)) for row in range(len(session._train))}
    assert read <= known
    assert read & {decode(session.masked_lm.tokenizer(text)["input_ids"]) for text in GENERAL_TEXTS}


def test_few_general_texts_come_again(started: Callable[..., TrainingSession]) -> None:
    session = started(GENERAL_TEXTS[:2])
    list(session.events())
    counts = np.bincount(session.plan.replay_rows(0), minlength=2)
    assert counts.min() >= 1
    assert counts.max() - counts.min() <= 1
    assert counts.sum() > 2


def test_rows_go_on_where_the_epoch_before_stopped() -> None:
    offsets = np.array([0, 4, 8, 12])
    assert [rows_of_epoch(offsets, wanted=6, epoch=epoch).tolist() for epoch in range(3)] == [[0, 1], [2], [0, 1]]
    lengths = np.random.default_rng(0).integers(3, 90, 200)
    offsets = np.concatenate([[0], lengths.cumsum()])
    for wanted in (1, 50, 1000, int(offsets[-1]), 30_000):
        taken = np.concatenate([rows_of_epoch(offsets, wanted=wanted, epoch=epoch) for epoch in range(40)])
        assert abs(int(lengths[taken].sum()) - 40 * wanted) <= lengths.max()
        counts = np.bincount(taken, minlength=200)
        assert counts.max() - counts.min() <= 1


def test_a_run_that_mixes_in_general_texts_can_be_taken_up(started: Callable[..., TrainingSession]) -> None:
    whole = [event.loss for event in started().events() if isinstance(event, StepDone)]
    first = started()
    losses = []
    for event in first.events():
        if isinstance(event, StepDone):
            losses.append(event.loss)
            if event.step == len(whole) // 2:
                break
    second = started()
    second.restore(first.state())
    losses += [event.loss for event in second.events() if isinstance(event, StepDone)]
    assert losses == whole


def test_held_out_texts_are_never_mixed_in(tmp_path: Path) -> None:
    path = tmp_path / "texts.csv"
    path.write_text("text\n" + "\n".join(f"The {word} sentence stands here." for word in ("first", "second", "third")))
    assert read_replay(str(path), held_out=["the SECOND sentence stands here."]) == (
        "The first sentence stands here.",
        "The third sentence stands here.",
    )
    with pytest.raises(DataError, match="nothing to mix in"):
        read_replay(str(path), held_out=[f"the {word} sentence stands here." for word in ("first", "second", "third")])


def test_the_bundled_paragraphs_are_whole_and_none_of_those_that_measure() -> None:
    paragraphs = read_replay(GENERAL, held_out=())
    lines = (bundled_assets() / "general_paragraphs.txt").read_text(encoding="utf-8").splitlines()
    assert list(paragraphs) == [" ".join(line.split()) for line in lines]
    assert 900_000 < sum(map(len, paragraphs)) < 1_100_000
    measuring = (bundled_assets() / "general_english.txt").read_text(encoding="utf-8").splitlines()
    together = "\n".join(paragraphs).casefold()
    assert not [sentence for sentence in filter(None, measuring) if sentence.casefold() in together]
