"""Long texts become pieces: every token is in one of them, and no word is cut in two."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import accumulate, chain

import numpy as np
import pytest
from sentencepiece_checkpoints import sentencepiece_checkpoint
from small_corpus import CONFIG
from transformers import BatchEncoding

from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.training.batching import (
    MAX_CHARACTERS,
    TokenizedTexts,
    TrainingTexts,
    _boundary,
    _offsets,
    tokenize_all,
)
from bertdemo.mlm.training.events import RunStarted, StepDone
from bertdemo.mlm.training.loop import TrainingSession

WORDS = """
the dogs barked, John's well-known houses walked unlovable (cars) talking. It played! Mystery? é 🙂 3.5
""".split()  # noqa: SIM905 (as a text it can be read)
LONG = " ".join(random.Random(0).choices(WORDS, k=600))


@pytest.fixture(scope="module", params=["tiny_bert", "tiny_roberta", "tiny_modernbert", "xlm-roberta"])
def masked_lm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> MaskedLM:
    """WordPiece, two of byte-level BPE (one whose tokens begin behind the space, one with it), and SentencePiece."""
    if request.param.startswith("tiny"):
        return request.getfixturevalue(request.param)
    return sentencepiece_checkpoint(tmp_path_factory.mktemp("checkpoints") / request.param, request.param)


def body(masked_lm: MaskedLM, text: str) -> list[int]:
    """The tokens of a text, without the special ones at its ends."""
    prefix, suffix = masked_lm.frame
    ids = masked_lm.tokenizer(text, verbose=False)["input_ids"]
    return ids[len(prefix) : len(ids) - len(suffix)]


def joined(pieces: Iterable[list[int]]) -> list[int]:
    return list(chain.from_iterable(pieces))


def split(masked_lm: MaskedLM, texts: Sequence[str], max_length: int) -> tuple[TokenizedTexts, list[list[int]]]:
    """The rows, and their tokens without the special ones, which each must have."""
    rows = tokenize_all(masked_lm.tokenizer, texts, max_length=max_length, split=True)
    prefix, suffix = masked_lm.frame
    pieces = [rows.row(place).tolist() for place in range(len(rows))]
    for piece in pieces:
        assert len(piece) <= max_length
        assert piece[: len(prefix)] == prefix
        assert piece[len(piece) - len(suffix) :] == suffix
    return rows, [piece[len(prefix) : len(piece) - len(suffix)] for piece in pieces]


@pytest.mark.parametrize("max_length", [16, 17, 40])
def test_all_tokens_are_there_in_order_and_no_word_is_cut(masked_lm: MaskedLM, max_length: int) -> None:
    rows, pieces = split(masked_lm, [LONG, "it is okay"], max_length)
    assert joined(pieces[:-1]) == body(masked_lm, LONG)
    assert pieces[-1] == body(masked_lm, "it is okay")
    assert (rows.truncated, rows.pieces, rows.texts) == (1, len(pieces) - 1, 2)
    words = LONG.split()
    between = {len(body(masked_lm, " ".join(words[:count]))) for count in range(len(words) + 1)}
    assert set(accumulate(map(len, pieces[:-1]))) <= between
    assert len(pieces) < 3 * len(body(masked_lm, LONG)) / (max_length - 2)


def test_a_piece_ends_with_a_sentence_where_one_ends_near(masked_lm: MaskedLM) -> None:
    text = "The dog barked. John loves this house! The 3.5 dogs can walk. Is the show good? " * 8
    _rows, pieces = split(masked_lm, [text.strip()], 40)
    ends = [masked_lm.tokenizer.decode(piece).rstrip().replace(" ", "")[-1] for piece in pieces]
    assert len(pieces) > 3
    assert set(ends) <= set(".!?")


@pytest.mark.parametrize(
    ("before", "after", "boundary"),
    [
        ('He said: "Go!"', ' "Who?"', "SENTENCE"),
        ("go (home.)", " Then", "SENTENCE"),
        ("about 3 p.m.", " or later", "WORD"),
        ("我走了。”", "他", "SENTENCE"),
        ("我走了。", "”", "MARK"),
        ("我", "走", "WORD"),
        ("コン", "ピ", "WORD_PART"),
        ("well", "-known", "MARK"),
        ("bark", "ed", "WORD_PART"),
        ("cafe", "\u0301", "CHARACTER"),
    ],
)
def test_what_lies_between_two_tokens(before: str, after: str, boundary: str) -> None:
    place = len(before)
    assert _boundary(before + after, (0, place), (place, place + len(after))).name == boundary


def test_none_is_left_with_a_few_words(masked_lm: MaskedLM) -> None:
    for words in range(30, 60):
        _rows, pieces = split(masked_lm, ["dog " * words], 32)
        sizes = list(map(len, pieces))
        assert min(sizes) >= 10, sizes


def test_chinese_is_split_between_characters_at_the_end_of_a_sentence(masked_lm: MaskedLM) -> None:
    text = ("我爱你，你爱我" * 3 + "。") * 12
    _rows, pieces = split(masked_lm, [text], 100)
    assert joined(pieces) == body(masked_lm, text)
    full_stop = body(masked_lm, "我。")[-1]
    assert {piece[-1] for piece in pieces} == {full_stop}
    unbroken = "我爱你" * 80
    _rows, pieces = split(masked_lm, [unbroken], 50)
    assert joined(pieces) == body(masked_lm, unbroken)
    decoded = "".join(masked_lm.tokenizer.decode(piece) for piece in pieces).replace(" ", "")
    assert "\N{REPLACEMENT CHARACTER}" not in decoded  # a character is of several bytes


def test_a_word_longer_than_a_piece_is_cut_between_its_marks_or_letters(masked_lm: MaskedLM) -> None:
    link = "x/" + "/".join(f"{'abcd' * 2}{place}" for place in range(30))
    smiles = "🙂" * 60
    for word in (link, "ab" * 49, smiles):
        text = f"the dog {word} barked"
        _rows, pieces = split(masked_lm, [text], 24)
        assert joined(pieces) == body(masked_lm, text)
    if masked_lm.tokenizer.unk_token_id not in body(masked_lm, smiles):
        parts = [masked_lm.tokenizer.decode(piece) for piece in split(masked_lm, [smiles], 24)[1]]
        assert "".join(parts).replace(" ", "") == smiles


def test_a_text_too_long_to_be_tokenised_at_once_is_read_to_its_end(masked_lm: MaskedLM) -> None:
    words = [word for word in WORDS if word.isalpha()]
    text = " ".join(random.Random(1).choices(words, k=2500))
    assert len(text) > 3 * 16 * MAX_CHARACTERS
    rows, pieces = split(masked_lm, ["it is", text, "it is"], 16)
    assert joined(pieces[1:-1]) == body(masked_lm, text)
    assert (rows.truncated, rows.pieces, rows.texts) == (1, len(pieces) - 2, 3)


def test_a_tokenizer_that_cannot_say_where_its_tokens_stand_is_given_whole_words(tiny_bert: MaskedLM) -> None:
    text = "the dogs barked at John's house"
    encoded = BatchEncoding(dict(tiny_bert.tokenizer([text])))  # without the Rust library's own answer
    found = _offsets(tiny_bert.tokenizer, encoded, 0, text)[1:-1]
    assert [text[start:end] for start, end in dict.fromkeys(found)] == text.split()
    told = tiny_bert.tokenizer([text]).encodings[0].offsets[1:-1]
    assert all(around[0] <= exact[0] and exact[1] <= around[1] for around, exact in zip(found, told, strict=True))


def test_cut_is_as_it_was(any_tiny: MaskedLM) -> None:
    rows = tokenize_all(any_tiny.tokenizer, [LONG, "it is"], max_length=16)
    assert rows.row(0).tolist()[:-1] == any_tiny.tokenizer(LONG, verbose=False)["input_ids"][:15]
    assert (len(rows), rows.truncated, rows.pieces, rows.texts) == (2, 1, 1, 2)


def test_a_run_trains_on_all_tokens_and_scores_all_held_out_ones(
    tiny_bert: MaskedLM, trainable: Callable[[MaskedLM], MaskedLM]
) -> None:
    texts = [f"{'we love the dog . ' * count}the man walked" for count in range(1, 30)]
    corpus = TrainingTexts(texts[::2], texts[1::2])
    config = replace(CONFIG, max_length=20, epochs=2)
    session = TrainingSession(trainable(tiny_bert), corpus, config)
    events = list(session.events())
    started = next(event for event in events if isinstance(event, RunStarted))
    assert (started.train_rows, started.held_out_rows) == (15, 14)
    assert started.pieces > started.truncated > 10
    steps = [event for event in events if isinstance(event, StepDone)]
    assert len(steps) == started.steps
    assert sum(step.tokens for step in steps) == 2 * started.train_tokens
    tokens = sum(len(body(tiny_bert, text)) for text in corpus.train)
    assert started.train_tokens - 2 * len(session._train) == tokens
    records = list(session.held_out_masks())
    ids = [
        label if label >= 0 else token
        for record in records
        for token, label in zip(record["input_ids"][1:-1], record["labels"][1:-1], strict=True)
    ]
    assert ids == joined(body(tiny_bert, text) for text in corpus.held_out)
    assert np.max([len(record["input_ids"]) for record in records]) <= 20


def test_the_folder_of_an_old_run_says_nothing_of_long_texts_and_is_cut() -> None:
    from bertdemo.mlm.settings import config_values
    from bertdemo.runs.record import read_settings

    values = {name: value for name, value in config_values(CONFIG).items() if name in ("epochs", "max_length")}
    assert read_settings(values).long_texts == "cut"
    assert read_settings({**values, "long_texts": "split"}).long_texts == "split"
