"""A vocabulary and a model from text files: rows without loss, and a run that a kill does not end."""

from __future__ import annotations

import json
import lzma
import signal
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import Outcome, command, process
from transformers import AutoModelForMaskedLM, AutoTokenizer

from bertdemo.mlm.errors import DataError, SettingsError
from bertdemo.mlm.training.pretraining import (
    ALONE_LENGTH,
    ROW_LENGTHS,
    SPECIAL_TOKENS,
    PretrainingRecipe,
    hold_out,
    open_packed,
    pack_corpus,
    read_paragraphs,
    train_tokenizer,
    untrained_model,
)

SYLLABLES = ("ka", "lo", "mi", "ter", "san", "vel", "du", "por", "ne", "ris", "tan", "gol", "be", "ush", "im", "fra")
LEXICON = [first + second for first in SYLLABLES for second in SYLLABLES[:9]]  # 144 words
SIZES = ("--vocabulary-size", 400, "--layers", 1, "--width", 32, "--heads", 2, "--steps", 40, "--batch-rows", 4)


def paragraphs(count: int, *, seed: int = 0) -> list[str]:
    """Lines of 5 to 250 words, frequent and rare ones as in a language."""
    rng = np.random.default_rng(seed)
    chances = 1 / np.arange(1, len(LEXICON) + 1)
    lengths = rng.choice([5, 12, 30, 90, 250], count)
    return [" ".join(rng.choice(LEXICON, size, p=chances / chances.sum())).capitalize() + "." for size in lengths]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "corpus.txt"
    path.write_text("\n\n".join(paragraphs(200)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(iter(paragraphs(200)), vocabulary_size=400)


def pretrain(corpus: Path, output: Path, *options: object) -> Outcome:
    home = output.parent / "home"
    return command("pretrain", corpus, "--output", output, "--home", home, "--precision", "fp32", *options)


@pytest.mark.slow
def test_a_kill_in_mid_run_costs_only_what_came_after_the_last_checkpoint(corpus: Path, tmp_path: Path) -> None:
    output, options = tmp_path / "bert", (*SIZES, "--precision", "fp32", "--json")
    with process("pretrain", corpus, "--output", output, "--home", tmp_path / "home", *options) as begun:
        assert begun.stdout is not None
        for line in begun.stdout:
            if json.loads(line).get("step", 0) >= 9:
                break
        begun.send_signal(signal.SIGKILL)
    (interrupted,) = command("runs", "--home", tmp_path / "home", "--json").records
    assert interrupted["state"] == "interrupted"
    refused = command("resume", output, "--home", tmp_path / "home", "--json")
    assert (refused.code, "pretrain" in refused.err) == (2, True)

    continued = pretrain(corpus, output, *SIZES, "--json")
    assert (continued.code, continued.err) == (0, "")
    assert continued.records[-1]["event"] == "finished"
    steps = [step["step"] for step in continued.events("step")]
    assert steps == list(range(continued.records[0]["resumed_from"] + 1, 41))
    assert steps[0] > 6  # evaluated, and therefore saved, every two steps
    logged = [json.loads(line) for line in (output / "events.jsonl").read_text().splitlines()]
    assert [record["step"] for record in logged if record["event"] == "step"] == list(range(1, 41))
    scores = [record["loss"] for record in logged if record["event"] == "evaluated"]
    assert scores[-1] < scores[0]

    model = AutoModelForMaskedLM.from_pretrained(output / "model")
    tokenizer = AutoTokenizer.from_pretrained(output / "model")
    assert model.config.vocab_size == len(tokenizer) <= 400
    filled = command("fill", f"{LEXICON[0]} [MASK] {LEXICON[1]}.", "--model", output, "--json")
    assert filled.records[0]["tokens"][1:4] == [LEXICON[0], "[MASK]", LEXICON[1]]
    again = pretrain(corpus, output, "--json")
    assert (again.code, len(again.err.splitlines())) == (2, 1)


def test_rows_hold_every_token_in_order_and_long_paragraphs_fill_theirs(tokenizer, tmp_path: Path) -> None:
    texts = paragraphs(300, seed=1)
    packed = pack_corpus(iter(texts), tokenizer, path=tmp_path / "tokens.bin")
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
    rows = [packed.row(index).tolist() for index in range(len(packed))]
    assert all(row[0] == cls for row in rows)
    encoded = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    short = [[cls, *ids, sep] for ids in encoded if len(ids) + 2 <= ALONE_LENGTH]
    assert 50 < len(short) < 250
    in_order = iter(rows)
    assert all(row in in_order for row in short)  # each found behind the one before
    remaining = list(rows)
    for row in short:
        remaining.remove(row)
    assert [len(row) for row in remaining] == list(islice(ROW_LENGTHS * 9, len(remaining)))
    stream = [token for ids in encoded if len(ids) + 2 > ALONE_LENGTH for token in (*ids, sep)]
    read = [token for row in remaining for token in row[1:]]
    assert read == stream[: len(read)]
    assert len(stream) - len(read) < max(ROW_LENGTHS)
    again = open_packed(tmp_path / "tokens.bin")
    assert np.array_equal(again.token_ids, packed.token_ids)
    assert np.array_equal(again.offsets, packed.offsets)


def test_what_is_held_out_comes_from_all_files_and_is_nowhere_in_what_is_trained_on(tmp_path: Path) -> None:
    paths = []
    for name in "abc":
        paths.append(tmp_path / f"{name}.txt")
        paths[-1].write_text("\n\n".join(f"{name} {text}" for text in paragraphs(200, seed=ord(name))))
    twice = tmp_path / "twice.txt"
    twice.write_text(paths[1].read_text().upper().replace(" ", "  "))
    paths.append(twice)
    held_out = hold_out(paths, seed=0)
    assert {text[0].lower() for text in held_out} == set("abc")
    assert held_out == hold_out(paths, seed=0) != hold_out(paths, seed=1)
    assert 40 <= len(held_out) <= 80  # a tenth of 800, some drawn from both copies

    def same(text: str) -> str:
        return " ".join(text.lower().split())

    assert len({same(text) for text in held_out}) == len(held_out)
    trained = list(read_paragraphs(paths, without=held_out))
    assert {same(text) for text in trained}.isdisjoint(map(same, held_out))
    rest = [text for text in read_paragraphs(paths) if same(text) not in set(map(same, held_out))]
    assert trained == rest


def test_documents_are_held_out_whole(tmp_path: Path) -> None:
    documents = [[f"document {number} line {line}" for line in range(7)] for number in range(60)]
    (tmp_path / "corpus.txt").write_text("\n\n".join("\n".join(lines) for lines in documents))
    held_out = hold_out([tmp_path / "corpus.txt"], seed=0)
    assert len(held_out) == 6 * 7
    assert [lines for lines in documents if lines[0] in held_out] == [held_out[i : i + 7] for i in range(0, 42, 7)]
    first = hold_out([tmp_path / "corpus.txt"], seed=0, limit=210)
    assert all(int(line.split()[1]) < 30 for line in first)
    (tmp_path / "lines.txt").write_text("\n".join(f"line {number}" for number in range(50)))  # no blank line at all
    assert len(hold_out([tmp_path / "lines.txt"], seed=0)) == 5
    (tmp_path / "one.txt").write_text("only this\n")
    with pytest.raises(DataError, match="single paragraph"):
        hold_out([tmp_path / "one.txt"], seed=0)


def test_a_vocabulary_is_of_one_kind_every_time(tokenizer) -> None:
    again = train_tokenizer(iter(paragraphs(200)), vocabulary_size=400)
    for made in (tokenizer, again):
        assert made.convert_ids_to_tokens(list(range(5))) == list(SPECIAL_TOKENS)
        assert made.tokenize(f"{LEXICON[0].upper()} {LEXICON[1]}.") == [LEXICON[0], LEXICON[1], "."]
        assert made("a")["input_ids"][0] == made.cls_token_id
        assert made("a")["input_ids"][-1] == made.sep_token_id
        assert made.tokenize("☃") == ["[UNK]"]
    assert len(again) == len(tokenizer) <= 400
    assert set(LEXICON) <= again.get_vocab().keys()


def test_an_untrained_model_begins_with_what_counting_tells(tokenizer, tmp_path: Path) -> None:
    packed = pack_corpus(iter(paragraphs(300)), tokenizer, path=tmp_path / "tokens.bin")
    recipe = PretrainingRecipe(vocabulary_size=400, layers=1, width=32, heads=2)
    made, again = (untrained_model(tokenizer, recipe, token_ids=packed.token_ids) for _ in range(2))
    for name, tensor in made.model.state_dict().items():
        assert bool(tensor.isfinite().all()), name
        assert torch.equal(tensor, again.model.state_dict()[name]), name
    bias = made.model.cls.predictions.bias.exp()
    assert bias.sum().item() == pytest.approx(1, abs=1e-5)
    frequencies = torch.from_numpy(np.bincount(packed.token_ids, minlength=len(tokenizer)) + 1.0)
    assert torch.allclose(bias, (frequencies / frequencies.sum()).float(), atol=1e-6)


def test_a_model_may_be_wider_than_its_vocabulary(tmp_path: Path) -> None:
    few = ["so it is and so it was " * 20] * 12
    tokenizer = train_tokenizer(iter(few), vocabulary_size=300)
    packed = pack_corpus(iter(few), tokenizer, path=tmp_path / "tokens.bin")
    recipe = PretrainingRecipe(vocabulary_size=300, layers=1, width=64, heads=2)
    assert len(tokenizer) < recipe.width
    masked_lm = untrained_model(tokenizer, recipe, token_ids=packed.token_ids)
    vectors = masked_lm.model.bert.embeddings.word_embeddings.weight
    assert vectors.shape == (len(tokenizer), 64)
    assert bool(vectors.isfinite().all())


def test_text_is_read_plain_or_packed_line_by_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("first\n\n  second  \n", encoding="utf-8")
    (tmp_path / "b.txt.xz").write_bytes(lzma.compress("dritte Zeile ä\n".encode()))
    assert list(read_paragraphs([tmp_path / "a.txt", tmp_path / "b.txt.xz"])) == ["first", "second", "dritte Zeile ä"]


def test_text_that_cannot_be_read_says_which_and_why(tmp_path: Path) -> None:
    packed = lzma.compress(b"a line\n" * 5000)
    contents = {"latin.txt": "déjà\n".encode("latin-1"), "cut.xz": packed[: len(packed) // 2], "not.xz": b"plain text"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=name):
            list(read_paragraphs([tmp_path / name]))


@pytest.mark.parametrize(
    "options",
    [
        *(("--limit", 0), ("--limit", -1), ("--steps", 0), ("--heads", 0), ("--heads", 3)),
        *(("--width", -1), ("--vocabulary-size", 10), ("--vocabulary-size", 70_000), ("--seed", -1)),
        *(("--learning-rate", 2), ("--learning-rate", "nan"), ("--batch-rows", 0), ("--validation", "nowhere.txt")),
    ],
    ids=lambda options: " ".join(map(str, options)),
)
def test_what_cannot_be_pretrained_is_one_line_and_leaves_nothing(
    corpus: Path, tmp_path: Path, options: tuple[object, ...]
) -> None:
    for more in ((), ("--json",)):
        outcome = pretrain(corpus, tmp_path / "bert", *options, *more)
        assert (outcome.code, outcome.out) == (2, "")
        assert len(outcome.err.splitlines()) == 1, outcome.err
        assert outcome.err.endswith(".\n")
    assert not (tmp_path / "bert").exists()
    assert command("runs", "--home", tmp_path / "home", "--json").records == []


def test_a_corpus_too_short_or_missing_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("one line .\n")
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "latin.txt").write_bytes("déjà vu\n".encode("latin-1") * 100)
    for name in ("short.txt", "empty.txt", "latin.txt", "missing.txt"):
        outcome = pretrain(tmp_path / name, tmp_path / "bert")
        assert (outcome.code, len(outcome.err.splitlines())) == (2, 1), outcome.err
        assert not (tmp_path / "bert").exists()


def test_another_runs_folder_is_refused_and_left_alone(corpus: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bert"
    folder.mkdir()
    (folder / "run.json").write_text("{}")
    outcome = pretrain(corpus, folder, "--json")
    assert (outcome.code, len(outcome.err.splitlines())) == (2, 1)
    assert [path.name for path in folder.iterdir()] == ["run.json"]


def test_a_small_corpus_is_read_as_often_as_the_steps_need() -> None:
    for rows in (2, 50, 10**6):
        config = PretrainingRecipe(steps=4000, batch_rows=80).training_config(rows=rows)
        assert config.max_steps == 4000
        assert config.epochs * max(1, rows // 80) >= 4000
    with pytest.raises(SettingsError, match="multiple"):
        PretrainingRecipe(width=100, heads=3)
