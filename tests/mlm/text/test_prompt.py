"""What the model reads of a text or of edited ids, and what the user is told about it."""

from __future__ import annotations

import pytest

from bertdemo.mlm.errors import TextError
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.text.prompt import prepare_ids, prepare_text


def _plain_ids(masked_lm: MaskedLM, text: str) -> tuple[int, ...]:
    return tuple(masked_lm.tokenizer(text)["input_ids"])


def _pieces(masked_lm: MaskedLM, ids: tuple[int, ...]) -> list[str]:
    return masked_lm.tokenizer.convert_ids_to_tokens(list(ids))


@pytest.mark.parametrize(
    "text", ["I really {} this show!", "{} is it okay?", "The dog can {}.", "({}) bark, {} {}!", "don't {}-{} , ok ."]
)
def test_a_good_text_reads_as_the_plain_tokenizer_reads_it(any_tiny: MaskedLM, text: str) -> None:
    text = text.replace("{}", any_tiny.tokenizer.mask_token)
    prepared = prepare_text(any_tiny, text)
    assert prepared.token_ids == _plain_ids(any_tiny, text)
    assert [prepared.token_ids[position] for position in prepared.mask_positions] == [
        any_tiny.mask_token_id
    ] * text.count(any_tiny.tokenizer.mask_token)
    assert len(prepared.tokens) == len(prepared.word_ids) == len(prepared.token_ids)
    assert prepared.text == text


@pytest.mark.parametrize("written", ["[MASK]", "[mask]", "[ MASK ]", "<mask>", "<MASK>", "__", "______"])
def test_every_way_to_write_a_mask_becomes_the_models_own(any_tiny: MaskedLM, written: str) -> None:
    own = any_tiny.tokenizer.mask_token
    prepared = prepare_text(any_tiny, f"I really {written} this show!")
    assert prepared.token_ids == _plain_ids(any_tiny, f"I really {own} this show!")
    noted = any(written in note and own in note for note in prepared.notes)
    assert noted == (written != own)


@pytest.mark.parametrize("text", ["snake__case", "I _really_ do", "__init", "mask", "[mas k]"])
def test_what_only_looks_like_a_mask_is_none(tiny_bert: MaskedLM, text: str) -> None:
    with pytest.raises(TextError, match="no mask"):
        prepare_text(tiny_bert, text)


@pytest.mark.parametrize("text", ["", "  \n\t", "\0"])
def test_an_empty_text_is_refused(any_tiny: MaskedLM, text: str) -> None:
    with pytest.raises(TextError, match="empty"):
        prepare_text(any_tiny, text)


def test_roberta_sees_the_mask_with_its_space_even_if_the_tokenizer_forgot(tiny_roberta: MaskedLM) -> None:
    prepared = prepare_text(tiny_roberta, "I really   <mask> this show")
    assert _pieces(tiny_roberta, prepared.token_ids) == [*("<s>", "I", "Ġreally", "<mask>", "Ġthis", "Ġshow", "</s>")]
    assert prepared.tokens == ("<s>", "I", "really", "<mask>", "this", "show", "</s>")
    assert prepared.after_space == (True,)
    assert prepare_text(tiny_roberta, "<mask> (<mask>) <mask>").after_space == (False, False, True)


def test_nul_and_broken_characters_are_removed_and_said(any_tiny: MaskedLM) -> None:
    prepared = prepare_text(any_tiny, "I re\0ally ___ this \ud800 show!")
    assert "\0" not in prepared.text
    assert any("NUL" in note for note in prepared.notes)
    assert any("Unicode" in note for note in prepared.notes)


def test_unknown_characters_are_named(tiny_bert: MaskedLM) -> None:
    (note,) = prepare_text(tiny_bert, "the [MASK] 🙂 can 中 bark .").notes
    assert '"🙂"' in note
    assert '"中"' in note
    assert "[UNK]" in note
    assert prepare_text(tiny_bert, "the [MASK] can bark .").notes == ()


def test_many_or_long_unknown_words_are_counted_and_cut(tiny_bert: MaskedLM) -> None:
    unknown = " ".join("α" * 60 + chr(0x3B1 + number) for number in range(9))
    (note,) = prepare_text(tiny_bert, f"the [MASK] {unknown} .").notes
    assert "…" in note
    assert len(note) < 250


def test_literal_special_tokens_are_flagged(tiny_bert: MaskedLM, tiny_roberta: MaskedLM) -> None:
    assert any('"[SEP]"' in note for note in prepare_text(tiny_bert, "the [MASK] [SEP] dog .").notes)
    assert any('"<s>"' in note for note in prepare_text(tiny_roberta, "the <mask> <s>dog</s> .").notes)
    assert not prepare_text(tiny_roberta, "the <mask> [SEP] dog .").notes


@pytest.mark.parametrize(
    ("text", "stopped"),
    [
        ("the dog can ___", "the dog can {mask}."),
        ("the dog can ___  ", "the dog can {mask}."),
        ("我爱___ ___", "我爱{mask} {mask}。"),
        ("the dog can ___.", None),
        ("the ___ barks", None),
    ],
)
def test_a_full_stop_is_offered_where_a_mask_ends_the_text(any_tiny: MaskedLM, text: str, stopped: str | None) -> None:
    prepared = prepare_text(any_tiny, text)
    offered = [suggestion.text for suggestion in prepared.suggestions]
    assert offered == ([] if stopped is None else [stopped.replace("{mask}", any_tiny.tokenizer.mask_token)])
    for suggestion in prepared.suggestions:
        assert prepare_text(any_tiny, suggestion.text).suggestions == ()


@pytest.mark.parametrize(
    "text",
    [
        "הכלב יכול ___ היום.",
        "القط ___ في البيت.",
        "我___这个节目。",
        "🙂👩‍👩‍👧 ___ 🙂",
        "cafe\u0301 ___ e\u0301\u0301\u0301.",
        "<script>alert('___')</script>",
        " ".join(["___"] * 50),
        "___" + "\u200b" * 10,
        "a\u202eb ___",
    ],
)
def test_any_script_is_read(any_tiny: MaskedLM, text: str) -> None:
    prepared = prepare_text(any_tiny, text)
    assert len(prepared.mask_positions) == text.count("___") == len(prepared.after_space)
    assert len(prepared.token_ids) <= any_tiny.max_length


@pytest.mark.parametrize(("before", "after"), [(300, 0), (0, 300), (300, 300), (100, 30)])
def test_a_long_text_keeps_what_is_around_its_masks(any_tiny: MaskedLM, before: int, after: int) -> None:
    mask = any_tiny.tokenizer.mask_token
    text = "dog " * before + f"i really {mask} this show!" + " cat" * after
    whole = _plain_ids(any_tiny, text)
    prepared = prepare_text(any_tiny, text)
    read = prepared.token_ids
    assert len(read) <= any_tiny.max_length < len(whole)
    assert (read[0], read[-1]) == (whole[0], whole[-1])
    inner = read[1:-1]
    starts = [start for start in range(len(whole)) if whole[start : start + len(inner)] == inner]
    assert starts
    assert read.count(any_tiny.mask_token_id) == 1
    (note,) = prepared.notes
    assert f"{len(whole) - 2} tokens" in note
    if before and after:
        middle = prepared.mask_positions[0] / len(read)
        assert 0.3 < middle < 0.8


def test_a_window_starts_with_a_whole_word(tiny_bert: MaskedLM) -> None:
    for shift in range(4):
        prepared = prepare_text(tiny_bert, "barked " * 100 + "the " * shift + "dog [MASK] .")
        assert not prepared.tokens[1].startswith("##")


def test_masks_too_far_apart_are_refused(any_tiny: MaskedLM) -> None:
    with pytest.raises(TextError, match="closer together"):
        prepare_text(any_tiny, "___" + " dog" * 200 + " ___ .")
    with pytest.raises(TextError, match="closer together"):
        prepare_text(any_tiny, "___ " * 500)


@pytest.mark.parametrize("filler", ["a", "dog ", "中", "🙂", "[", "_ ", "<", " ", "[ "])
def test_a_hundred_thousand_characters_are_fine(any_tiny: MaskedLM, filler: str) -> None:
    prepared = prepare_text(any_tiny, filler * (100_000 // len(filler)) + " [MASK] ok.")
    assert len(prepared.mask_positions) == 1
    assert len(prepared.token_ids) <= any_tiny.max_length


# --- ids


def test_ids_of_a_text_give_the_same_as_the_text(any_tiny: MaskedLM) -> None:
    from_text = prepare_text(any_tiny, "the dog barked and really ___ this show.")
    from_ids = prepare_ids(any_tiny, from_text.token_ids)
    for field in ("token_ids", "tokens", "word_ids", "mask_positions", "after_space", "suggestions"):
        assert getattr(from_ids, field) == getattr(from_text, field)
    assert prepare_ids(any_tiny, from_text.token_ids[1:-1]) == from_ids


def test_a_mask_inside_a_word_stays_there(tiny_bert: MaskedLM) -> None:
    ids = tiny_bert.tokenizer.convert_tokens_to_ids(["[CLS]", "dog", "[MASK]", "##ed", ".", "[SEP]"])
    prepared = prepare_ids(tiny_bert, ids)
    assert prepared.token_ids == tuple(ids)
    assert prepared.tokens == ("[CLS]", "dog", "[MASK]", "##ed", ".", "[SEP]")


def test_a_full_stop_is_offered_for_ids_as_ids(any_tiny: MaskedLM) -> None:
    ids = prepare_text(any_tiny, "the dog can ___").token_ids
    (suggestion,) = prepare_ids(any_tiny, ids).suggestions
    assert suggestion.token_ids == prepare_text(any_tiny, "the dog can ___.").token_ids


@pytest.mark.parametrize("ids", [[-1, 4], [10**9], ["x"], [1.5], [None], [], [7, 8]])
def test_ids_that_cannot_be_used_are_refused(any_tiny: MaskedLM, ids: list) -> None:
    with pytest.raises(TextError):
        prepare_ids(any_tiny, ids)


def test_too_many_ids_are_cut_around_the_mask(tiny_bert: MaskedLM) -> None:
    dog = tiny_bert.tokenizer.convert_tokens_to_ids("dog")
    prepared = prepare_ids(tiny_bert, [2, *[dog] * 400, tiny_bert.mask_token_id, *[dog] * 400, 3])
    assert len(prepared.token_ids) == tiny_bert.max_length
    assert len(prepared.mask_positions) == 1
    assert "left out" in prepared.notes[0]
