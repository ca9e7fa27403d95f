"""The drawing of masks shows what training does: the same rows, the same masks, the same numbers."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import pytest
import torch

from bertdemo.mlm.lessons.masking_view import (
    TARGET_CORRUPTIONS,
    Corruption,
    MaskingView,
    expected_targets,
    token_corruptions,
    view_masking,
)
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.settings import MaskingConfig, TrainingConfig
from bertdemo.mlm.training.batching import TokenizedTexts, tokenize_all
from bertdemo.mlm.training.loop import TrainingSession
from bertdemo.mlm.training.masking import IGNORED, choose_targets
from bertdemo.mlm.training.step import BatchLoss

TEXTS = [
    f"the {animal} can {verb} , and i really love this {thing} {end}"
    for animal in ("dog", "cat")
    for verb in ("bark", "walk")
    for thing in ("show", "film", "story", "car")
    for end in (".", "! it was awesome .")
]
CONFIG = TrainingConfig(epochs=3, batch_size=4, max_length=32, learning_rate=1e-3, precision="fp32", seed=5)


@dataclass(frozen=True)
class Texts:
    train: list[str]
    held_out: list[str]


def tokenized(masked_lm: MaskedLM) -> TokenizedTexts:
    return tokenize_all(masked_lm.tokenizer, TEXTS, max_length=CONFIG.max_length)


def read_ids(masked_lm: MaskedLM, view: MaskingView, epoch: int) -> list[list[str]]:
    return [[token.read for token in row.epochs[epoch]] for row in view.rows]


def test_the_drawing_is_the_batch_that_the_first_step_trains_on(
    tiny_bert: MaskedLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = []
    backward = BatchLoss.backward

    def recorded(self: BatchLoss, drawn):
        trained.append(drawn)
        return (yield from backward(self, drawn))

    monkeypatch.setattr(BatchLoss, "backward", recorded)
    mine = replace(tiny_bert, model=copy.deepcopy(tiny_bert.model).requires_grad_(True))
    session = TrainingSession(mine, Texts(TEXTS, TEXTS[:2]), CONFIG)
    for _ in session.events():
        pass
    view = view_masking(tiny_bert, tokenized(tiny_bert), CONFIG)

    first = trained[0]
    names = tiny_bert.tokenizer.convert_ids_to_tokens
    for place, row in enumerate(view.rows):
        real = len(row.epochs[0])
        assert [token.read for token in row.epochs[0]] == names(first.masked.token_ids[place, :real].tolist())
        assert [token.label for token in row.epochs[0]] == first.masked.labels[place, :real].tolist()
        assert row.padding[0] == first.masked.token_ids.shape[1] - real
    drawn_later = {
        tuple(names(ids[:length].tolist()))
        for drawn in trained[1:]
        for ids, length in zip(drawn.masked.token_ids, drawn.batch.token_ids.ne(0).sum(1).tolist(), strict=True)
    }
    for epoch in (1, 2):  # the same rows, in whichever batch they stand there
        assert all(tuple(row) in drawn_later for row in read_ids(tiny_bert, view, epoch))


def test_epochs_differ_unless_masks_are_drawn_once(tiny_bert: MaskedLM) -> None:
    texts = tokenized(tiny_bert)
    anew = view_masking(tiny_bert, texts, CONFIG)
    once = view_masking(tiny_bert, texts, replace(CONFIG, redraw_masks=False))
    assert read_ids(tiny_bert, anew, 0) != read_ids(tiny_bert, anew, 1)
    assert read_ids(tiny_bert, once, 0) == read_ids(tiny_bert, once, 1) == read_ids(tiny_bert, once, 2)


def test_each_token_is_told_by_what_became_of_it(tiny_bert: MaskedLM) -> None:
    ids = tiny_bert.tokenizer("i love this show")["input_ids"]
    i, love, this, show = ids[1:5]
    read = torch.tensor([ids[0], tiny_bert.mask_token_id, i, this, show, ids[-1], tiny_bert.pad_token_id])
    labels = torch.tensor([IGNORED, i, love, this, IGNORED, IGNORED, IGNORED])
    corruptions = [
        Corruption.NEVER,
        Corruption.MASKED,
        Corruption.RANDOM,
        Corruption.KEPT,
        Corruption.UNTOUCHED,
        Corruption.NEVER,
        Corruption.NEVER,
    ]
    assert token_corruptions(tiny_bert, read, labels) == corruptions


def test_the_counts_add_up_and_come_close_to_what_is_expected(tiny_bert: MaskedLM) -> None:
    everything = replace(CONFIG, batch_size=4000, masking=MaskingConfig(0.3, 0.5, 0.25))
    many = TEXTS * 40
    texts = tokenize_all(tiny_bert.tokenizer, many, max_length=32)
    view = view_masking(tiny_bert, texts, everything, epochs=1)
    counts = {count.corruption: count for count in view.counts[0]}
    assert sum(count.actual for count in counts.values()) == len(texts.token_ids)
    assert sum(count.expected for count in counts.values()) == pytest.approx(len(texts.token_ids))
    for corruption in TARGET_CORRUPTIONS:
        assert counts[corruption].actual == pytest.approx(counts[corruption].expected, rel=0.15)


def test_whole_words_are_drawn_whole_in_every_epoch_and_counted_so(any_tiny: MaskedLM) -> None:
    many = [f"{text} unfilmed{place} walking , barked." for place, text in enumerate(TEXTS * 12)]
    texts = tokenize_all(any_tiny.tokenizer, many, max_length=64)
    whole = replace(CONFIG, batch_size=4000, max_length=64, masking=MaskingConfig(0.3, whole_words=True))
    view = view_masking(any_tiny, texts, whole, epochs=2)
    several = 0
    for row in view.rows:
        for tokens in row.epochs:
            words: list[list[bool]] = []
            for token in tokens:
                words.append([]) if not token.goes_on else None
                words[-1].append(token.label != IGNORED)
            assert all(len(set(word)) == 1 for word in words)
            several += sum(len(word) > 1 and word[0] for word in words)
    assert several > 100
    for counts in view.counts:
        targets = [count for count in counts if count.corruption in TARGET_CORRUPTIONS]
        expected = sum(count.expected for count in targets)
        assert sum(count.actual for count in targets) == pytest.approx(expected, rel=0.1)
    single = view_masking(any_tiny, texts, replace(whole, masking=MaskingConfig(0.3)), epochs=1)
    assert any(token.goes_on and token.label == IGNORED for row in single.rows for token in row.epochs[0])


def test_the_average_counts_the_target_that_every_row_gets() -> None:
    generator = torch.Generator().manual_seed(0)
    chosen = choose_targets(torch.ones(20_000, 5, dtype=torch.bool), rate=0.15, generator=generator)
    assert float(chosen.sum(1).float().mean()) == pytest.approx(expected_targets(5, 0.15), abs=0.02)
    words = torch.tensor([[0, 1, 1, 1, 4]] * 20_000)
    chosen = choose_targets(torch.ones_like(words, dtype=torch.bool), rate=0.15, generator=generator, words=words)
    assert float(chosen.sum(1).float().mean()) == pytest.approx(expected_targets(5, 0.15, units=3), abs=0.03)
