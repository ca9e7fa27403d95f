"""What a model gives the tokens that were hidden, and texts that hide nothing yet."""

from __future__ import annotations

import math

import pytest
import torch

from bertdemo.mlm.errors import TextError
from bertdemo.mlm.inference.fill_mask import score_hidden_tokens
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.text.prompt import prepare_ids, prepare_text


def test_every_hidden_token_is_scored_at_its_own_mask(any_tiny: MaskedLM) -> None:
    whole = prepare_text(any_tiny, "the dog can bark .", needs_mask=False)
    places = (2, 4)
    ids = [any_tiny.mask_token_id if place in places else token for place, token in enumerate(whole.token_ids)]
    hidden = score_hidden_tokens(any_tiny, prepare_ids(any_tiny, ids), {p: whole.token_ids[p] for p in places})
    with torch.no_grad():
        scores = any_tiny.model(torch.tensor([ids])).logits[0].log_softmax(-1)
    for token in hidden:
        own = scores[token.position, token.token_id]
        assert token.probability == pytest.approx(math.exp(own), rel=1e-4)
        assert token.rank == int((scores[token.position] > own).sum()) + 1
    assert [token.token for token in hidden] == [whole.tokens[place] for place in places]


def test_nothing_hidden_needs_no_model(tiny_bert: MaskedLM) -> None:
    assert score_hidden_tokens(tiny_bert, prepare_text(tiny_bert, "i [MASK] it"), {}) == ()


def test_a_place_that_is_no_mask_is_refused(tiny_bert: MaskedLM) -> None:
    with pytest.raises(TextError, match="start from the text again"):
        score_hidden_tokens(tiny_bert, prepare_text(tiny_bert, "i [MASK] it"), {1: 7})


def test_a_long_text_without_a_mask_shows_its_beginning(tiny_bert: MaskedLM) -> None:
    prepared = prepare_text(tiny_bert, "dog " * 500, needs_mask=False)
    assert len(prepared.token_ids) == tiny_bert.max_length
    assert prepared.mask_positions == ()
    assert "left out" in prepared.notes[0]


@pytest.mark.parametrize("text", ["", " ", "\u200b", "\x01"])
def test_a_text_of_which_nothing_is_left_is_refused(tiny_bert: MaskedLM, text: str) -> None:
    with pytest.raises(TextError):
        prepare_text(tiny_bert, text, needs_mask=False)
