"""From text to loss: every number on the way is the one that training uses."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest

from bertdemo.mlm.errors import TextError
from bertdemo.mlm.inference.fill_mask import fill_masks
from bertdemo.mlm.lessons.walkthrough import Walkthrough, walk_through
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.text.prompt import prepare_ids
from bertdemo.mlm.training.masking import IGNORED

TEXT = "i really love this show , and you really like the old house ."


def walk(masked_lm: MaskedLM, text: str = TEXT, **options) -> Walkthrough:
    mine = replace(masked_lm, model=copy.deepcopy(masked_lm.model))
    return walk_through(mine, text, **({"seed": 0, "learning_rate": 1e-3} | options))


def test_each_number_follows_from_the_one_before(any_tiny: MaskedLM) -> None:
    walked = walk(any_tiny)
    for reading in walked.before:
        assert reading.answer.probability == pytest.approx(math.exp(reading.answer.logit - reading.log_total), rel=1e-5)
        assert reading.loss == pytest.approx(-math.log(reading.answer.probability), rel=1e-4)
        assert walked.read_ids[reading.position] == any_tiny.mask_token_id
        assert walked.labels[reading.position] == walked.token_ids[reading.position]
    assert walked.loss == pytest.approx(sum(reading.loss for reading in walked.before) / len(walked.before), rel=1e-4)
    assert sum(label != IGNORED for label in walked.labels) == len(walked.before)


def test_it_reads_the_masks_as_the_fill_mask_page_does(tiny_bert: MaskedLM) -> None:
    walked = walk(tiny_bert)
    filled = fill_masks(tiny_bert, prepare_ids(tiny_bert, walked.read_ids), top_k=5)
    for reading, mask in zip(walked.before, filled.masks, strict=True):
        assert [guess.token for guess in reading.best] == [candidate.token for candidate in mask.candidates]
        shown = [guess.probability for guess in reading.best]
        assert shown == pytest.approx([candidate.probability for candidate in mask.candidates], rel=1e-4)


def test_one_step_lowers_the_loss_and_leaves_the_shared_model_alone(tiny_bert: MaskedLM) -> None:
    weights = {name: value.clone() for name, value in tiny_bert.model.state_dict().items()}
    walked = walk(tiny_bert)
    assert walked.loss_after < walked.loss
    assert 0 < walked.step.moved <= walked.step.weights
    assert all((tiny_bert.model.state_dict()[name] == value).all() for name, value in weights.items())


def test_a_learning_rate_of_zero_changes_nothing(tiny_bert: MaskedLM) -> None:
    walked = walk(tiny_bert, learning_rate=0)
    assert walked.step.moved == 0
    assert walked.after == walked.before


@pytest.mark.parametrize("text", ["", "   ", "i love [MASK] show"])
def test_a_text_that_cannot_be_walked_through_is_refused_with_a_sentence(tiny_bert: MaskedLM, text: str) -> None:
    with pytest.raises(TextError, match="sentence"):
        walk(tiny_bert, text)
