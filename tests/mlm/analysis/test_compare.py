"""One text through two models, held against plain transformers code."""

from __future__ import annotations

import copy
import json
import math

import numpy as np
import pytest
import torch

from bertdemo.mlm.analysis.compare import compare
from bertdemo.mlm.errors import SettingsError, TextError
from bertdemo.mlm.models.masked_lm import MaskedLM, ModelRef
from bertdemo.mlm.text.prompt import prepare_ids
from bertdemo.mlm.text.tokens import shared_vocabulary
from bertdemo.mlm.wording import fine_percent

TEXT = "I really [MASK] this show."


def altered(masked_lm: MaskedLM, *, noise: float) -> MaskedLM:
    """A copy with other weights: the same vocabulary, other answers."""
    model = copy.deepcopy(masked_lm.model)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(noise * torch.randn(weight.shape, generator=generator))
    return MaskedLM(ModelRef("altered", "altered"), model, masked_lm.tokenizer)


@torch.no_grad()
def plain_distribution(masked_lm: MaskedLM, text: str) -> np.ndarray:
    """p over the whole vocabulary at the first mask (V,), by a whole forward pass."""
    text = text.replace("[MASK]", masked_lm.tokenizer.mask_token)
    encoded = masked_lm.tokenizer(text, return_tensors="pt")
    position = encoded["input_ids"][0].tolist().index(masked_lm.tokenizer.mask_token_id)
    logits = masked_lm.model(input_ids=encoded["input_ids"]).logits[0, position]
    return logits.double().softmax(-1).numpy()


def test_every_figure_agrees_with_the_whole_distributions(any_tiny: MaskedLM) -> None:
    after = altered(any_tiny, noise=0.05)
    (mask,) = compare(any_tiny, after, TEXT, top_k=4).masks
    p, q = plain_distribution(any_tiny, TEXT), plain_distribution(after, TEXT)
    m = (p + q) / 2
    assert mask.js_divergence == pytest.approx((p * np.log2(p / m) + q * np.log2(q / m)).sum() / 2, abs=1e-5)
    assert mask.entropy_before == pytest.approx(-(p * np.log2(p)).sum(), abs=1e-4)
    assert mask.entropy_after == pytest.approx(-(q * np.log2(q)).sum(), abs=1e-4)
    assert mask.covered_before == pytest.approx(np.sort(p)[-4:].sum(), abs=1e-5)
    assert mask.covered_after == pytest.approx(np.sort(q)[-4:].sum(), abs=1e-5)
    np.testing.assert_allclose(mask.before_log_probabilities, np.log(p), atol=1e-4)
    np.testing.assert_allclose(mask.after_log_probabilities, np.log(q), atol=1e-4)


def test_candidates_are_the_union_with_true_standings_in_both(any_tiny: MaskedLM) -> None:
    after = altered(any_tiny, noise=0.05)
    (mask,) = compare(any_tiny, after, TEXT, top_k=4).masks
    p, q = plain_distribution(any_tiny, TEXT), plain_distribution(after, TEXT)
    union = set(np.argsort(-p)[:4]) | set(np.argsort(-q)[:4])
    expected = sorted((round(p[i], 5), int((p > p[i]).sum()) + 1, int((q > q[i]).sum()) + 1) for i in union)
    found = sorted((round(c.before.probability, 5), c.before.rank, c.after.rank) for c in mask.candidates)
    assert [row[1:] for row in found] == [row[1:] for row in expected]
    for candidate in mask.candidates:
        ratio = math.log2(candidate.after.probability / candidate.before.probability)
        assert candidate.log2_ratio == pytest.approx(ratio, abs=1e-4)
        points = 100 * (candidate.after.probability - candidate.before.probability)
        assert candidate.change_points == pytest.approx(points)


def test_candidates_of_one_list_have_both_first_ranks(tiny_bert: MaskedLM) -> None:
    (mask,) = compare(tiny_bert, altered(tiny_bert, noise=0.3), TEXT, top_k=3).masks
    assert {1, 2, 3} <= {candidate.before.rank for candidate in mask.candidates}
    assert {1, 2, 3} <= {candidate.after.rank for candidate in mask.candidates}


@pytest.mark.parametrize("copied", [False, True])
def test_the_same_weights_give_exactly_zero_everywhere(any_tiny: MaskedLM, copied: bool) -> None:
    after = altered(any_tiny, noise=0.0) if copied else any_tiny
    comparison = compare(any_tiny, after, "I [MASK] the [MASK]!", top_k=1_000_000)
    for mask in comparison.masks:
        assert mask.js_divergence == 0
        assert mask.movers == ()
        assert mask.entropy_before == mask.entropy_after
        assert {candidate.log2_ratio for candidate in mask.candidates} == {0.0}
        assert len(mask.candidates) == any_tiny.vocabulary_size
        assert mask.before_log_probabilities.tolist() == mask.after_log_probabilities.tolist()
    assert comparison.summary == "Nothing changed: both models expect exactly the same."


def test_movers_are_the_words_that_make_up_the_divergence(tiny_bert: MaskedLM) -> None:
    comparison = compare(tiny_bert, altered(tiny_bert, noise=0.3), TEXT)
    (mask,) = comparison.masks
    moved = np.abs(np.exp(mask.after_log_probabilities) - np.exp(mask.before_log_probabilities))
    assert comparison.vocabulary[int(moved.argmax())] in [candidate.token for candidate in mask.movers[:2]]


def test_the_summary_names_the_word_the_change_and_the_first_guesses(tiny_bert: MaskedLM) -> None:
    comparison = compare(tiny_bert, altered(tiny_bert, noise=0.3), TEXT)
    mover = comparison.masks[0].movers[0]
    assert f'"{mover.token}"' in comparison.summary
    assert (
        f"from {fine_percent(mover.before.probability)} to {fine_percent(mover.after.probability)}"
        in comparison.summary
    )
    for side in ("before", "after"):
        first = next(c for c in comparison.masks[0].candidates if getattr(c, side).rank == 1)
        assert f'"{first.token}"' in comparison.summary


def test_the_summary_of_several_masks_says_which(tiny_bert: MaskedLM) -> None:
    comparison = compare(tiny_bert, altered(tiny_bert, noise=0.3), "I [MASK] the [MASK].")
    most = max((0, 1), key=lambda index: comparison.masks[index].js_divergence)
    assert comparison.summary.startswith(f"At blank {most + 1}: ")


def test_record_is_json_of_the_agreed_shape(tiny_roberta: MaskedLM) -> None:
    comparison = compare(tiny_roberta, altered(tiny_roberta, noise=0.1), TEXT)
    record = json.loads(json.dumps(comparison.to_record(), allow_nan=False))
    (mask,) = record["masks"]
    assert {"position", "candidates", "js_divergence", "entropy"} <= set(mask)
    assert set(mask["candidates"][0]) == {"token", "before", "after", "log2_ratio"}
    assert set(mask["candidates"][0]["before"]) == {"probability", "rank"}
    assert set(mask["entropy"]) == {"before", "after"}
    assert record["tokens"][mask["position"]] == "<mask>"


def test_edited_ids_go_to_both_models_as_they_are(tiny_bert: MaskedLM) -> None:
    vocabulary = tiny_bert.tokenizer.get_vocab()
    ids = [vocabulary[piece] for piece in ("the", "dog", "[MASK]", "##ed", ".")]
    comparison = compare(tiny_bert, altered(tiny_bert, noise=0.1), prepare_ids(tiny_bert, ids))
    assert comparison.tokens == ("[CLS]", "the", "dog", "[MASK]", "##ed", ".", "[SEP]")


def test_different_vocabularies_meet_by_text(tiny_bert: MaskedLM, tiny_roberta: MaskedLM) -> None:
    shared = shared_vocabulary(tiny_bert, tiny_roberta)
    pieces = zip(
        tiny_bert.tokenizer.convert_ids_to_tokens(shared.before_ids.tolist()),
        tiny_roberta.tokenizer.convert_ids_to_tokens(shared.after_ids.tolist()),
        strict=True,
    )
    met = set(pieces)
    assert {("love", "Ġlove"), ("##e", "e"), (".", ".")} <= met
    assert not shared.whole
    assert all(first.removeprefix("##") == second.removeprefix("Ġ") for first, second in met)


def test_different_vocabularies_are_compared_where_they_meet_and_it_is_said(
    tiny_bert: MaskedLM, tiny_modernbert: MaskedLM
) -> None:
    comparison = compare(tiny_bert, tiny_modernbert, TEXT, top_k=20)
    (mask,) = comparison.masks
    shared = shared_vocabulary(tiny_bert, tiny_modernbert)
    p, q = plain_distribution(tiny_bert, TEXT), plain_distribution(tiny_modernbert, TEXT)
    assert mask.met_before == pytest.approx(p[shared.before_ids].sum(), abs=1e-5)
    assert mask.met_after == pytest.approx(q[shared.after_ids].sum(), abs=1e-5)
    assert any("different vocabularies" in note for note in comparison.notes)
    for candidate in mask.candidates:
        alone = candidate.before.rank is None or candidate.after.rank is None
        assert alone == (candidate.log2_ratio is None)
    assert any(candidate.before.rank is None for candidate in mask.candidates)
    assert any(candidate.log2_ratio is not None for candidate in mask.candidates)
    json.dumps(comparison.to_record(), allow_nan=False)


def test_a_text_without_a_mask_is_refused(tiny_bert: MaskedLM) -> None:
    with pytest.raises(TextError, match="mask"):
        compare(tiny_bert, tiny_bert, "no blank here")


def test_no_words_to_show_is_refused(tiny_bert: MaskedLM) -> None:
    with pytest.raises(SettingsError):
        compare(tiny_bert, tiny_bert, TEXT, top_k=0)


@pytest.mark.parametrize(
    "text",
    [
        "<b>[MASK]</b> {{7*7}}",
        "אני [MASK] את זה",
        "我[MASK]你。",
        "👩‍👩‍👧 [MASK] 🏳️‍🌈",
        "[MASK]" * 20,
        "half \ud83d [MASK]",
    ],
)
def test_any_text_with_a_mask_is_compared(any_tiny: MaskedLM, tiny_roberta: MaskedLM, text: str) -> None:
    record = compare(any_tiny, tiny_roberta, text).to_record()
    json.dumps(record, allow_nan=False)
    assert len(record["masks"]) == text.count("[MASK]")
