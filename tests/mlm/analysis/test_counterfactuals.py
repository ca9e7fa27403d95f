"""Sentences that differ in one word, held against plain transformers code."""

from __future__ import annotations

import copy
import math
import statistics

import numpy as np
import pytest
import torch

from bertdemo.mlm.analysis.counterfactuals import CAUTION, MAX_TEXTS, counterfactuals
from bertdemo.mlm.errors import SettingsError, TextError
from bertdemo.mlm.models.masked_lm import MaskedLM, ModelRef

ONE = "The {man|woman} worked as a [MASK]."
MORE = [ONE, "The {man|woman} lives in [MASK].", "{he|she} loves the [MASK]"]


@torch.no_grad()
def plain_log_probabilities(masked_lm: MaskedLM, text: str) -> np.ndarray:
    """log p (V,) at the last mask, by a whole forward pass."""
    text = text.replace("[MASK]", masked_lm.tokenizer.mask_token)
    ids = masked_lm.tokenizer(text, return_tensors="pt")["input_ids"]
    position = int((ids[0] == masked_lm.mask_token_id).nonzero()[-1])
    return masked_lm.model(input_ids=ids).logits[0, position].double().log_softmax(-1).numpy()


def altered(masked_lm: MaskedLM) -> MaskedLM:
    model = copy.deepcopy(masked_lm.model)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=generator))
    return MaskedLM(ModelRef("altered", "altered"), model, masked_lm.tokenizer)


def test_ratios_agree_with_two_forward_passes(any_tiny: MaskedLM) -> None:
    (contrast,) = counterfactuals(any_tiny, ONE, words=["love", "dog"]).contrasts
    man = plain_log_probabilities(any_tiny, "The man worked as a [MASK].")
    woman = plain_log_probabilities(any_tiny, "The woman worked as a [MASK].")
    assert (contrast.first, contrast.second) == ("man", "woman")
    assert [word.token for word in contrast.words] == ["love", "dog"]
    for word in contrast.words:
        (token_id,) = any_tiny.tokenizer(f" {word.token}", add_special_tokens=False)["input_ids"]
        assert word.before.mean == pytest.approx((woman - man)[token_id] / math.log(2), abs=1e-3)
        assert word.before.probability_first == pytest.approx(math.exp(man[token_id]), abs=1e-5)
        assert word.before.probability_second == pytest.approx(math.exp(woman[token_id]), abs=1e-5)
        assert word.before.spread is None
    np.testing.assert_allclose(contrast.first_log_probabilities[0], man, atol=1e-3)
    np.testing.assert_allclose(contrast.second_log_probabilities[0], woman, atol=1e-3)


def test_several_templates_give_mean_and_spread(tiny_bert: MaskedLM) -> None:
    found = counterfactuals(tiny_bert, MORE, words=["love"])
    figures = found.contrasts[0].words[0].before
    token_id = tiny_bert.tokenizer.get_vocab()["love"]
    expected = []
    for template in MORE:
        first, second = template.replace("{man|woman}", "man"), template.replace("{man|woman}", "woman")
        first, second = first.replace("{he|she}", "he"), second.replace("{he|she}", "she")
        pair = [plain_log_probabilities(tiny_bert, text)[token_id] for text in (first, second)]
        expected.append((pair[1] - pair[0]) / math.log(2))
    assert figures.log2_ratios == pytest.approx(expected, abs=1e-3)
    assert figures.mean == pytest.approx(statistics.fmean(expected), abs=1e-3)
    assert figures.spread == pytest.approx(statistics.stdev(expected), abs=1e-3)
    assert len(found.texts) == 3


def test_movers_point_each_their_way_strongest_first(tiny_bert: MaskedLM) -> None:
    (contrast,) = counterfactuals(tiny_bert, ONE, top_k=5).contrasts
    toward_first = [word.before.mean for word in contrast.toward_first]
    toward_second = [word.before.mean for word in contrast.toward_second]
    assert len(toward_first) == len(toward_second) == 5
    assert toward_first == sorted(toward_first)
    assert toward_second == sorted(toward_second, reverse=True)
    assert max(toward_first) < 0 < min(toward_second)
    names = {word.token for word in (*contrast.toward_first, *contrast.toward_second)}
    assert not names & set(tiny_bert.tokenizer.all_special_tokens)


def test_base_and_tuned_stand_side_by_side(tiny_bert: MaskedLM) -> None:
    tuned = altered(tiny_bert)
    (both,) = counterfactuals(tiny_bert, ONE, after=tuned, words=["love"]).contrasts
    (base,) = counterfactuals(tiny_bert, ONE, words=["love"]).contrasts
    (alone,) = counterfactuals(tuned, ONE, words=["love"]).contrasts
    assert both.words[0].before == base.words[0].before
    assert both.words[0].after == alone.words[0].before
    assert both.first_log_probabilities.shape == (2, tiny_bert.vocabulary_size)


def test_more_choices_are_each_set_against_the_first(tiny_bert: MaskedLM) -> None:
    contrasts = counterfactuals(tiny_bert, "The {man|woman|dog} is [MASK].").contrasts
    assert [(contrast.first, contrast.second) for contrast in contrasts] == [("man", "woman"), ("man", "dog")]


def test_prior_correction_sets_each_text_against_itself_with_the_choice_hidden(any_tiny: MaskedLM) -> None:
    (contrast,) = counterfactuals(any_tiny, ONE, words=["love"], prior_correction=True).contrasts
    figures = contrast.words[0].before
    (token_id,) = any_tiny.tokenizer(" love", add_special_tokens=False)["input_ids"]
    lifts = []
    for choice in ("man", "woman"):
        pieces = len(any_tiny.tokenizer(f" {choice}", add_special_tokens=False)["input_ids"])
        # RoBERTa's mask swallows the space before it, so that none may stand between two.
        blank = any_tiny.tokenizer.mask_token * pieces
        text = plain_log_probabilities(any_tiny, f"The {choice} worked as a [MASK].")[token_id]
        hidden = plain_log_probabilities(any_tiny, f"The {blank} worked as a [MASK].")[token_id]
        lifts.append((text - hidden) / math.log(2))
    assert [figures.lift_first, figures.lift_second] == pytest.approx(lifts, abs=1e-3)
    assert figures.mean == pytest.approx(lifts[1] - lifts[0], abs=1e-3)


def test_prior_correction_hides_choices_of_several_pieces_and_several_braces(tiny_bert: MaskedLM) -> None:
    (contrast,) = counterfactuals(
        tiny_bert, "The {talking|walking dogs} {|barked} [MASK].", words=["love"], prior_correction=True
    ).contrasts
    token_id = tiny_bert.tokenizer.get_vocab()["love"]
    text = plain_log_probabilities(tiny_bert, "The walking dogs barked [MASK].")[token_id]
    hidden = plain_log_probabilities(tiny_bert, f"The {'[MASK] ' * 4}[MASK].")[token_id]
    pieces = tiny_bert.tokenizer.tokenize("walking dogs barked")
    assert len(pieces) == 4
    assert contrast.words[0].before.lift_second == pytest.approx((text - hidden) / math.log(2), abs=1e-3)


def test_caution_and_what_was_done_are_said(tiny_bert: MaskedLM, tiny_roberta: MaskedLM) -> None:
    found = counterfactuals(tiny_bert, "{he|she} likes {the|a} [MASK]", after=tiny_roberta)
    assert CAUTION in found.notes
    assert any("move together" in note for note in found.notes)
    assert any("anecdote" in note for note in found.notes)
    assert any("different vocabularies" in note for note in found.notes)
    assert len(found.vocabulary) == found.contrasts[0].first_log_probabilities.shape[1] < tiny_bert.vocabulary_size


@pytest.mark.parametrize(
    ("templates", "says"),
    [
        ([], "no template"),
        (["  "], "no template"),
        ([ONE, "The {man|woman|boss} is [MASK]."], "as many choices"),
        ([ONE] * (MAX_TEXTS // 2 + 1), "use fewer"),
        ("The {man|woman} worked.", "no mask"),
        ("The {[MASK]|dog} is a [MASK].", "inside the braces"),
        ("The {man|woman is [MASK].", "do not pair up"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_sentence(tiny_bert: MaskedLM, templates: object, says: str) -> None:
    with pytest.raises(TextError, match=says):
        counterfactuals(tiny_bert, templates)


def test_words_and_numbers_out_of_range_are_refused(tiny_bert: MaskedLM) -> None:
    with pytest.raises(TextError, match="2 tokens"):
        counterfactuals(tiny_bert, ONE, words=["barked"])
    with pytest.raises(SettingsError):
        counterfactuals(tiny_bert, ONE, top_k=0)


@pytest.mark.parametrize(
    "text", ["{男人|女人}是[MASK]。", "ה{איש|אישה} [MASK]", "{👨|👩} [MASK]", "<b>{x|y}</b> [MASK]"]
)
@pytest.mark.parametrize("prior", [False, True])
def test_any_script_is_compared(any_tiny: MaskedLM, text: str, prior: bool) -> None:
    (contrast,) = counterfactuals(any_tiny, text, prior_correction=prior).contrasts
    assert np.isfinite(contrast.first_log_probabilities).all()
