"""The notebook's stages are what such a notebook computes; its slip is shown, and not made by us."""

from __future__ import annotations

import pytest

from bertdemo.mlm.inference.fill_mask import fill_masks
from bertdemo.mlm.lessons.notebook import RATE, guess_everywhere, notebook_stages
from bertdemo.mlm.models.masked_lm import MaskedLM

TEXTS = ["i really love this show .", "the dog can bark , the cat can not bark !", "it sucks !"] * 20


def test_the_stages_fit_together(tiny_bert: MaskedLM) -> None:
    stages = notebook_stages(tiny_bert, TEXTS)
    assert (stages.rows, stages.length, stages.steps_per_epoch) == (60, tiny_bert.max_length, 4)
    special = [token_id in tiny_bert.special_ids for token_id in stages.token_ids]
    for place, chosen in enumerate(stages.chosen):
        assert chosen == (stages.draws[place] < RATE and not special[place])
        assert stages.masked_ids[place] == (stages.mask_token_id if chosen else stages.token_ids[place])
    real = sum(len(ids) for ids in tiny_bert.tokenizer(TEXTS)["input_ids"])
    assert stages.padding_share == pytest.approx(1 - real / (60 * stages.length))
    assert stages.chosen_everywhere / stages.eligible_everywhere == pytest.approx(RATE, abs=0.05)


def test_at_the_mask_both_ways_agree_and_elsewhere_nothing_was_asked(tiny_bert: MaskedLM) -> None:
    text = "i really [MASK] this show ."
    everywhere = guess_everywhere(tiny_bert, text, length=30)
    filled = fill_masks(tiny_bert, text, top_k=1)
    assert len(everywhere.guessed) == len(everywhere.read) == 30
    assert everywhere.read[everywhere.real :] == ("[PAD]",) * (30 - everywhere.real)
    assert [everywhere.guessed[place] for place in everywhere.mask_positions] == [filled.masks[0].candidates[0].token]
