"""Words of whole batches, held against the characters of the text itself: three ways to write pieces, many scripts."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from sentencepiece_checkpoints import sentencepiece_checkpoint

from bertdemo.mlm.models.loading import BUNDLED_MODEL, bundled_assets, load_masked_lm
from bertdemo.mlm.models.masked_lm import MaskedLM, ModelRef
from bertdemo.mlm.text.tokens import raw_pieces
from bertdemo.mlm.text.words import WordPieces

TEXTS = (
    "the dog barked.",
    "The dogs barked, unlovable John loved (the) house!!! ...",
    "he can't, won't and shouldn't; state-of-the-art e-mail covid19 3.14",
    "un pingüino naïf à café, señor, Übermut",
    "Привет, мир! Как дела? Съешь ещё этих мягких французских булок.",
    "שלום עולם",
    "नमस्ते दुनिया",
    "한국어 문장입니다.",
    "我爱你。我真的爱你,John!",
    "iPhone手机 and 3个人",
    "東京タワーはどこですか",
    "สวัสดีชาวโลก",
    "🙂🙂 the 🙂dog",
    "tab\tand  two   spaces",
)
WITHOUT_SPACES = ("CJK", "HIRAGANA", "KATAKANA", "IDEOGRAPHIC", "THAI")


@pytest.fixture(params=["WordPiece", "byte-level BPE", "SentencePiece"])
def masked_lm(
    request: pytest.FixtureRequest, tiny_roberta: MaskedLM, tmp_path_factory: pytest.TempPathFactory
) -> MaskedLM:
    if request.param == "byte-level BPE":
        return tiny_roberta
    if request.param == "SentencePiece":
        return sentencepiece_checkpoint(tmp_path_factory.mktemp("checkpoints") / "sp", "xlm-roberta")
    folder = Path(bundled_assets() / BUNDLED_MODEL)
    return load_masked_lm(ModelRef("mini-bert", str(folder)))


def joins(left: str, right: str) -> bool:
    """Whether no word ends between two neighbouring characters."""
    letters = all(character.isalnum() or unicodedata.combining(character) for character in (left, right)) or (
        unicodedata.category(right)[0] == "M" or unicodedata.category(left)[0] == "M"
    )
    return letters and not any(unicodedata.name(char, "").startswith(WITHOUT_SPACES) for char in (left, right))


def words_by_characters(masked_lm: MaskedLM, text: str) -> tuple[list[int], list[list[int]]]:
    """(token ids, places of each word's tokens), from where the tokens stand in the text."""
    encoded = masked_lm.tokenizer(text, return_offsets_mapping=True)
    ids = encoded["input_ids"]
    words: list[list[int]] = []
    end = -1  # of the piece before in the text; -1 behind a special token
    for place, (token_id, (first, stop)) in enumerate(zip(ids, encoded["offset_mapping"], strict=True)):
        start = stop - len(text[first:stop].lstrip())
        touching = start == end and 0 < start < len(text) and joins(text[start - 1], text[start])
        before = masked_lm.tokenizer.convert_ids_to_tokens(ids[place - 1]) if place else ""
        behind_a_lone_space = before in ("▁", "Ġ") and start == end
        if token_id not in masked_lm.special_ids and end >= 0 and (start < end or touching or behind_a_lone_space):
            words[-1].append(place)
        else:
            words.append([place])
        end = -1 if token_id in masked_lm.special_ids else max(stop, start)
    return ids, words


def grouped(firsts: list[int]) -> list[list[int]]:
    return [[place for place, first in enumerate(firsts) if first == start] for start in sorted(set(firsts))]


@pytest.mark.parametrize("text", TEXTS)
def test_words_are_those_of_the_text(masked_lm: MaskedLM, text: str) -> None:
    ids, words = words_by_characters(masked_lm, text)
    firsts = WordPieces(masked_lm).first_of_word(torch.tensor([ids]))[0].tolist()
    assert grouped(firsts) == words, raw_pieces(masked_lm, ids)


def test_a_full_stop_is_no_part_of_the_word_before_it(masked_lm: MaskedLM) -> None:
    ids = masked_lm.tokenizer("the dog barked.")["input_ids"]
    pieces = raw_pieces(masked_lm, ids)
    words = grouped(WordPieces(masked_lm).first_of_word(torch.tensor([ids]))[0].tolist())
    assert ["".join(pieces[place] for place in word).lstrip("Ġ▁").replace("##", "") for word in words[1:-1]] == [
        *("the", "dog", "barked", "."),
    ]


def test_rows_of_a_batch_are_read_apart(masked_lm: MaskedLM) -> None:
    rows = masked_lm.tokenizer(list(TEXTS), padding=True, return_tensors="pt")["input_ids"]
    words = WordPieces(masked_lm)
    together = words.first_of_word(rows)
    for row, firsts in zip(rows, together, strict=True):
        real = int((row != masked_lm.pad_token_id).sum())
        assert torch.equal(words.first_of_word(row[None, :real])[0], firsts[:real])
        assert torch.equal(firsts[real:], torch.arange(real, len(row)))


def lines() -> Iterator[str]:
    yield from (bundled_assets() / "general_english.txt").read_text(encoding="utf-8").splitlines()


def test_english_in_the_bundled_vocabulary_has_words_of_several_pieces_and_their_library_agrees() -> None:
    """For WordPiece the tokenizers library numbers words as well."""
    masked_lm = load_masked_lm(ModelRef("mini-bert", str(bundled_assets() / BUNDLED_MODEL)))
    words, several = WordPieces(masked_lm), 0
    for text in lines():
        encoded = masked_lm.tokenizer(text)
        firsts = words.first_of_word(torch.tensor([encoded["input_ids"]]))[0].tolist()
        theirs = encoded.word_ids()
        assert grouped(firsts)[1:-1] == [
            [place for place, word in enumerate(theirs) if word == number] for number in range(max(theirs[1:-1]) + 1)
        ]
        several += sum(len(word) > 1 for word in grouped(firsts))
    assert several > 50
