"""Writing from blanks alone: the two ways step by step, chance that a seed decides, and nothing that is no word."""

from __future__ import annotations

import pytest

from bertdemo.mlm.errors import SettingsError
from bertdemo.mlm.inference.fill_in_order import fill_in_order
from bertdemo.mlm.inference.writing import MAX_BLANKS, Way, blanks_alone, write
from bertdemo.mlm.models.masked_lm import MaskedLM


@pytest.mark.parametrize("way", ["one_by_one", "few_at_a_time"])
def test_blanks_alone_become_words_and_the_seed_decides_which(any_tiny: MaskedLM, way: Way) -> None:
    text = blanks_alone(any_tiny, 8)
    first, again, other = (write(any_tiny, text, way=way, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.token_ids != other.token_ids
    assert len(first.prepared.mask_positions) == 8
    written = [first.token_ids[place] for place in first.prepared.mask_positions]
    assert not set(written) & any_tiny.special_ids
    assert max(written) < len(any_tiny.tokenizer)
    outside = set(range(len(first.token_ids))) - set(first.prepared.mask_positions)
    assert all(first.token_ids[place] == first.prepared.token_ids[place] for place in outside)


def test_one_by_one_without_chance_is_filling_in_order(tiny_bert: MaskedLM) -> None:
    text = "the [MASK] can [MASK] and [MASK] ."
    written = write(tiny_bert, text, temperature=0)
    ordered = fill_in_order(tiny_bert, text, strategy="confident").best
    if not {step.token_id for step in ordered.steps} & tiny_bert.special_ids:
        assert written.token_ids == ordered.token_ids
    assert [len(step.filled) for step in written.steps] == [1, 1, 1]


def test_a_few_at_a_time_hides_fewer_in_each_round_and_those_that_are_least_sure(tiny_bert: MaskedLM) -> None:
    written = write(tiny_bert, blanks_alone(tiny_bert, 12), way="few_at_a_time", rounds=4)
    assert [len(step.hidden_again) for step in written.steps] == [9, 6, 3, 0]
    assert [len(step.filled) for step in written.steps] == [12, 9, 6, 3]
    for step, following in zip(written.steps, written.steps[1:], strict=False):
        assert following.filled == step.hidden_again


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"temperature": -1}, "from 0 to 2"),
        ({"temperature": float("nan")}, "from 0 to 2"),
        ({"way": "backwards"}, "must be one of"),
    ],
)
def test_what_cannot_be_is_said(tiny_bert: MaskedLM, options: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        write(tiny_bert, "the [MASK] .", **options)


def test_there_are_at_most_24(tiny_bert: MaskedLM) -> None:
    assert len(write(tiny_bert, blanks_alone(tiny_bert, MAX_BLANKS), way="few_at_a_time").steps) == 6
    with pytest.raises(SettingsError, match="from 1 to 24"):
        blanks_alone(tiny_bert, MAX_BLANKS + 1)
    with pytest.raises(SettingsError, match="At most 24"):
        write(tiny_bert, "[MASK] " * 25)
