"""Whatever is typed into the first screen gives an answer or one sentence, and never a wrong number."""

from __future__ import annotations

import pytest
from fuzzing import (
    FAST,
    NUMBERS,
    TEXTS,
    assert_is_a_sentence,
    assert_is_an_answer,
    check_any_comparison,
    check_any_score,
    check_any_text,
)
from hypothesis import given
from hypothesis import strategies as st

from bertdemo.mlm.analysis.compare import compare
from bertdemo.mlm.errors import BertDemoError, SettingsError, TextError
from bertdemo.mlm.inference.fill_mask import fill_masks
from bertdemo.mlm.models.masked_lm import MaskedLM

REFUSED = {
    "nothing": ("", "empty"),
    "spaces": (" \n\t ", "empty"),
    "only a NUL": ("\0", "empty"),
    "no mask": ("I love this show.", "no mask"),
    "masks too far apart": ("[MASK] " + "word " * 600 + "[MASK]", "bring them closer"),
}
ANSWERED = {
    "only masks": ("[MASK]", 1),
    "several masks and nothing else": ("[MASK] [MASK] [MASK]", 3),
    "50 masks": (" ".join(["[MASK]"] * 50), 50),
    "lower case": ("I really [mask] it.", 1),
    "another model's mask": ("I really <mask> it.", 1),
    "a blank line": ("I really ___ it.", 1),
    "600 tokens, the mask last": ("word " * 600 + "[MASK]", 1),
    "600 tokens, the mask first": ("[MASK] " + "word " * 600, 1),
    "100,000 characters": ("a long word " * 8500 + "[MASK].", 1),
    "right to left": ("אני אוהב [MASK] הזה", 1),
    "Chinese": ("我喜欢[MASK]。", 1),
    "emoji": ("👩‍👩‍👧 love [MASK] 🏳️‍🌈!", 1),
    "combining marks": ("cafe\u0301\u0301\u0301 [MASK] a\u0300\u0323.", 1),
    "a NUL inside": ("I\0 love [MASK]\0.", 1),
    "half a character": ("I \ud800 love [MASK].", 1),
    "control characters": ("\x1b[31m [MASK] \x07\x7f.", 1),
    "markup": ("<script>alert(1)</script> [MASK] <img src=x onerror=alert(1)>", 1),
    "a template": ("{{7*7}} ${7*7} {0} %s [MASK]", 1),
    "special tokens spelled out": ("[CLS] [SEP] [PAD] [MASK] [UNK]", 1),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_filled_is_refused_with_the_mend(any_tiny: MaskedLM, case: str) -> None:
    text, words = REFUSED[case]
    with pytest.raises(TextError, match=words) as caught:
        fill_masks(any_tiny, text)
    assert_is_a_sentence(str(caught.value))


@pytest.mark.parametrize("case", ANSWERED)
def test_what_looks_impossible_is_answered(any_tiny: MaskedLM, case: str) -> None:
    text, masks = ANSWERED[case]
    assert_is_an_answer(fill_masks(any_tiny, text).to_record(), masks=masks)


@pytest.mark.parametrize("top_k", [0, -1, -(10**30), True])
def test_no_words_to_show_is_refused(tiny_bert: MaskedLM, top_k: int) -> None:
    with pytest.raises(SettingsError, match="1 or more"):
        fill_masks(tiny_bert, "I [MASK] it.", top_k=top_k)


def test_more_words_than_there_are_is_all_of_them(tiny_bert: MaskedLM) -> None:
    (mask,) = fill_masks(tiny_bert, "I [MASK] it.", top_k=10**30).masks
    assert len(mask.candidates) == tiny_bert.vocabulary_size
    assert mask.covered == pytest.approx(1)


def test_an_answer_that_would_fill_the_memory_is_refused(tiny_bert: MaskedLM, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bertdemo.mlm.inference.fill_mask.MAX_CANDIDATES", 100)
    for ask in (
        lambda: fill_masks(tiny_bert, "[MASK] [MASK]", top_k=51),
        lambda: compare(tiny_bert, tiny_bert, "[MASK] [MASK]", top_k=51),
    ):
        with pytest.raises(SettingsError, match="show fewer words"):
            ask()
    assert len(fill_masks(tiny_bert, "[MASK] [MASK]", top_k=50).masks) == 2


@pytest.mark.parametrize(
    "word", ["xyzzyx", "👩‍👩‍👧", "\0", "[MASK]", "<b>", " ", "a" * 5000, "two words", "\ud800", "##"]
)
def test_any_target_word_is_scored_or_said_to_be_out_of_reach(any_tiny: MaskedLM, word: str) -> None:
    try:
        filled = fill_masks(any_tiny, "I [MASK] it.", targets=[word])
    except BertDemoError as error:
        return assert_is_a_sentence(str(error))
    for target in filled.masks[0].targets:
        assert target.note or 0 <= target.probability <= 1
    return None


@pytest.mark.slow
@FAST
@given(text=TEXTS, top_k=st.integers(1, 20), targets=st.lists(TEXTS, max_size=3))
def test_any_text_is_filled_or_refused(any_tiny: MaskedLM, text: str, top_k: int, targets: list[str]) -> None:
    check_any_text(any_tiny, text, top_k=top_k, targets=targets)


@pytest.mark.slow
@FAST
@given(text=TEXTS)
def test_any_text_is_scored_or_refused(tiny_bert: MaskedLM, tiny_roberta: MaskedLM, text: str) -> None:
    for masked_lm in (tiny_bert, tiny_roberta):
        check_any_score(masked_lm, text)


@FAST
@given(text=TEXTS, top_k=NUMBERS)
def test_any_text_is_compared_or_refused(tiny_bert: MaskedLM, tiny_roberta: MaskedLM, text: str, top_k: object) -> None:
    check_any_comparison(tiny_bert, tiny_roberta, text, top_k=top_k)
