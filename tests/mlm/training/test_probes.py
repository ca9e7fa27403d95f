"""The user's sentences are read while training without leaving a trace in it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from bertdemo.mlm.errors import TextError
from bertdemo.mlm.inference.fill_mask import fill_masks
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.training.probes import TOP_K, Prober

TEXT = "I really [MASK] this show!"


def test_a_probe_says_what_fill_mask_says(any_tiny: MaskedLM) -> None:
    mask = any_tiny.tokenizer.mask_token
    texts = [f"we {mask} the {mask} .", TEXT]
    probed = Prober(any_tiny, texts, watch=("love", "like")).read(7)
    assert probed.step == 7
    for text, probe in zip(texts, probed.probes, strict=True):
        filled = fill_masks(any_tiny, text, top_k=TOP_K, targets=("love", "like"))
        assert len(probe.masks) == len(filled.masks)
        for mine, theirs in zip(probe.masks, filled.masks, strict=True):
            assert [(c.token, c.probability) for c in mine.candidates] == [
                (c.token, c.probability) for c in theirs.candidates
            ]
            assert [(w.word, w.probability) for w in mine.watched] == [(t.word, t.probability) for t in theirs.targets]


def test_watched_words_say_their_pieces_and_unknown_ones_are_left_out(tiny_bert: MaskedLM) -> None:
    (probe,) = Prober(tiny_bert, [TEXT], watch=("love", "barked", "☃")).read(0).probes
    assert [(word.word, word.pieces) for word in probe.masks[0].watched] == [("love", 1), ("barked", 2)]


def test_reading_changes_neither_mode_nor_chance_nor_weights(tiny_bert: MaskedLM, trainable: Callable) -> None:
    masked_lm = trainable(tiny_bert)
    prober = Prober(masked_lm, [TEXT], watch=("love",))
    before = {name: tensor.clone() for name, tensor in masked_lm.model.state_dict().items()}
    for training in (True, False):
        masked_lm.model.train(training)
        chance = torch.get_rng_state()
        assert prober.read(0).probes == prober.read(1).probes  # eval(): no dropout, whatever the mode was
        assert masked_lm.model.training == training
        assert torch.equal(torch.get_rng_state(), chance)
    assert all(torch.equal(tensor, before[name]) for name, tensor in masked_lm.model.state_dict().items())
    assert all(parameter.grad is None for parameter in masked_lm.model.parameters())


def test_a_probe_without_a_mask_is_refused_before_anything_is_read(tiny_bert: MaskedLM) -> None:
    with pytest.raises(TextError, match="mask"):
        Prober(tiny_bert, [TEXT, "I really love this show!"])
