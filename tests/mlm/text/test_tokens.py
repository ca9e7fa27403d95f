"""Pieces as a person reads them, and the words they make up."""

from __future__ import annotations

from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.text.tokens import readable_pieces, space_marker, word_ids


def _words(masked_lm: MaskedLM, text: str) -> list[str]:
    """The text put together again from the word of each piece."""
    ids = masked_lm.tokenizer(text)["input_ids"]
    words: dict[int, str] = {}
    for piece, word in zip(readable_pieces(masked_lm, ids), word_ids(masked_lm, ids), strict=True):
        if word is not None:
            words[word] = words.get(word, "") + piece.removeprefix("##")
    return list(words.values())


def test_pieces_are_grouped_into_the_words_of_the_text(any_tiny: MaskedLM) -> None:
    mask = any_tiny.tokenizer.mask_token
    assert _words(any_tiny, f"the dog barked, loved {mask} walking!") == [
        *("the", "dog", "barked", ",", "loved", mask, "walking", "!")
    ]


def test_special_tokens_belong_to_no_word_but_masks_do(any_tiny: MaskedLM) -> None:
    ids = any_tiny.tokenizer(f"the dog {any_tiny.tokenizer.mask_token} cat")["input_ids"]
    words = word_ids(any_tiny, ids)
    mask = ids.index(any_tiny.mask_token_id)
    assert (words[0], words[-1]) == (None, None)
    assert words[mask - 1 : -1] == (1, 2, 3)


def test_pieces_agree_with_the_tokenizers_own_words(tiny_bert: MaskedLM) -> None:
    encoded = tiny_bert.tokenizer("the dog barked, he loved walking . John's house [MASK] [SEP] ok")
    own = encoded.word_ids()
    ours = word_ids(tiny_bert, encoded["input_ids"])
    for left in range(1, len(own)):
        if None not in (own[left], own[left - 1], ours[left], ours[left - 1]):
            assert (own[left] == own[left - 1]) == (ours[left] == ours[left - 1]), left


def test_part_of_a_character_and_white_space_stay_visible(tiny_roberta: MaskedLM) -> None:
    ids = tiny_roberta.tokenizer("a  é", add_special_tokens=False)["input_ids"]
    assert "" not in readable_pieces(tiny_roberta, ids)
    assert "␣" in readable_pieces(tiny_roberta, ids)


def test_an_id_beyond_the_tokenizers_words_gets_a_name(tiny_bert: MaskedLM) -> None:
    beyond = len(tiny_bert.tokenizer) + 3
    assert readable_pieces(tiny_bert, [beyond]) == (f"[id {beyond}]",)


def test_the_kinds_are_told_apart(
    tiny_bert: MaskedLM, tiny_cased_bert: MaskedLM, tiny_roberta: MaskedLM, tiny_modernbert: MaskedLM
) -> None:
    marks = [space_marker(kind) for kind in (tiny_bert, tiny_cased_bert, tiny_roberta, tiny_modernbert)]
    assert marks == ["", "", "Ġ", "Ġ"]
    assert [kind.is_uncased for kind in (tiny_bert, tiny_cased_bert, tiny_roberta)] == [True, False, False]
