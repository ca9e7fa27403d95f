"""Models whose tokenizer is SentencePiece's (XLM-RoBERTa, CamemBERT): the whole explorer, held against plain code."""

from __future__ import annotations

import math

import pytest
import torch
from sentencepiece_checkpoints import KINDS, sentencepiece_checkpoint

from bertdemo.mlm.analysis.attention_maps import attention_from_mask
from bertdemo.mlm.analysis.erasure import erasure
from bertdemo.mlm.analysis.layer_lens import layer_lens
from bertdemo.mlm.analysis.neighbours import nearest_words
from bertdemo.mlm.inference.fill_in_order import fill_in_order
from bertdemo.mlm.inference.fill_mask import fill_masks, target_ids
from bertdemo.mlm.inference.pseudo_likelihood import score_sentence
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.text.prompt import prepare_ids, prepare_text
from bertdemo.mlm.text.tokens import raw_pieces, readable_pieces, space_marker, word_ids
from bertdemo.ui.fill.answer import strip_of
from bertdemo.ui.question import read

TEXT = "The dogs barked, John <mask> the old house."
ODD_TEXTS = ["我<mask>你。", "אני <mask> שלום", "🙂 <mask> é", "<mask>", "(<mask>)", "un<mask>able", "猫 <mask> 犬."]


@pytest.fixture(scope="module", params=KINDS)
def masked_lm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> MaskedLM:
    return sentencepiece_checkpoint(tmp_path_factory.mktemp("checkpoints") / request.param, request.param)


@torch.no_grad()
def plain_log_probabilities(masked_lm: MaskedLM, ids: list[int], position: int) -> torch.Tensor:
    return masked_lm.model(torch.tensor([ids])).logits[0, position].double().log_softmax(-1)


@pytest.mark.parametrize("text", [TEXT, *ODD_TEXTS])
def test_the_model_reads_what_its_own_tokenizer_gives(masked_lm: MaskedLM, text: str) -> None:
    prepared = prepare_text(masked_lm, text)
    assert list(prepared.token_ids) == masked_lm.tokenizer(text)["input_ids"]
    assert prepare_ids(masked_lm, prepared.token_ids).word_ids == prepared.word_ids


def test_pieces_are_shown_without_their_mark_and_grouped_into_words(masked_lm: MaskedLM) -> None:
    assert space_marker(masked_lm) == "▁"
    strip = strip_of(read(masked_lm, TEXT), text=TEXT, strip=None)
    assert strip["tokens"] == [
        *("<s>", "The", "dogs", "bark", "ed", ",", "John", "<mask>", "the", "old", "house", ".", "</s>"),
    ]
    assert strip["words"] == [None, 0, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9, None]
    assert strip["mask"] == {"token": "<mask>", "id": masked_lm.mask_token_id}


def test_a_lone_space_belongs_to_the_word_behind_it(masked_lm: MaskedLM) -> None:
    ids = masked_lm.tokenizer("the 🙂 猫 dog")["input_ids"]
    assert readable_pieces(masked_lm, ids) == ("<s>", "the", "␣", "🙂", "␣", "<unk>", "dog", "</s>")
    assert word_ids(masked_lm, ids) == (None, 0, 1, 1, 2, 2, 3, None)


def test_a_piece_is_hidden_by_its_id_and_stays_that_piece(masked_lm: MaskedLM) -> None:
    whole = read(masked_lm, "The dogs barked.")
    ids = list(whole.prepared.token_ids)
    place = raw_pieces(masked_lm, ids).index("ed")
    hidden, ids[place] = ids[place], masked_lm.mask_token_id
    originals = {str(place): {"id": hidden}}
    edit = {"text": "x", "ids": ids, "tokens": None, "originals": originals, "version": 1, "edited": True}
    question = read(masked_lm, "x", edit)
    assert question.prepared.token_ids == tuple(ids)
    assert question.sentence.token_ids == whole.prepared.token_ids
    assert question.words == whole.words


@pytest.mark.parametrize(
    ("text", "word", "pieces"),
    [
        ("John <mask> the dog.", "love", ("▁love",)),
        ("un<mask> house", "love", ("love",)),
        ("<mask> the dog.", "love", ("▁love",)),
        ("John <mask> the dog.", "barked", ("▁bark", "ed")),
        ("un<mask> house", "barked", ("bark", "ed")),
        ("我<mask>你。", "爱", ("爱",)),
    ],
)
def test_target_words_are_cut_as_they_would_stand_there(
    masked_lm: MaskedLM, text: str, word: str, pieces: tuple[str, ...]
) -> None:
    prepared = prepare_text(masked_lm, text)
    ids = target_ids(masked_lm, word, after_space=prepared.after_space[0])
    assert raw_pieces(masked_lm, ids) == pieces
    (target,) = fill_masks(masked_lm, prepared, targets=[word]).masks[0].targets
    position, mask = prepared.mask_positions[0], masked_lm.mask_token_id
    expected = 0.0
    for known, piece in enumerate(ids):
        filled = [*ids[:known], *[mask] * (len(ids) - known)]
        row = [*prepared.token_ids[:position], *filled, *prepared.token_ids[position + 1 :]]
        expected += plain_log_probabilities(masked_lm, row, position + known)[piece].item()
    assert target.log_probability == pytest.approx(expected, abs=1e-3)
    assert (target.rank is None) == bool(target.note) == (len(pieces) > 1)


def test_words_that_cannot_be_written_are_named(masked_lm: MaskedLM) -> None:
    (target,) = fill_masks(masked_lm, TEXT, targets=["猫"]).masks[0].targets
    assert target.probability is None
    assert "cannot write" in target.note


def test_candidates_are_those_of_plain_transformers(masked_lm: MaskedLM) -> None:
    filled = fill_masks(masked_lm, TEXT, top_k=5).masks[0]
    ids = list(masked_lm.tokenizer(TEXT)["input_ids"])
    best = plain_log_probabilities(masked_lm, ids, filled.position).topk(5)
    assert [candidate.token_id for candidate in filled.candidates] == best.indices.tolist()
    assert [c.probability for c in filled.candidates] == pytest.approx(best.values.exp().tolist(), abs=1e-5)
    assert not any("▁" in candidate.token for candidate in filled.candidates)


def test_every_token_is_scored_within_its_word_and_the_full_stop_apart(masked_lm: MaskedLM) -> None:
    text = "The dogs barked."
    score = score_sentence(masked_lm, text)
    assert [token.token for token in score.tokens] == ["The", "dogs", "bark", "ed", "."]
    ids, mask = masked_lm.tokenizer(text)["input_ids"], masked_lm.mask_token_id
    hidden = {1: (1,), 2: (2,), 3: (3, 4), 4: (4,), 5: (5,)}
    for token in score.tokens:
        row = [mask if place in hidden[token.position] else token_id for place, token_id in enumerate(ids)]
        expected = -plain_log_probabilities(masked_lm, row, token.position)[token.token_id].item() / math.log(2)
        assert token.surprisal_bits == pytest.approx(expected, abs=1e-3)
    assert score.tokens == score_sentence(masked_lm, prepare_text(masked_lm, text, needs_mask=False)).tokens


def test_masks_are_filled_in_order(masked_lm: MaskedLM) -> None:
    filled = fill_in_order(masked_lm, "The <mask> barked, John <mask> home.", strategy="left_to_right")
    assert [step.position for step in filled.best.steps] == list(filled.prepared.mask_positions)
    assert "▁" not in masked_lm.tokenizer.decode(filled.best.token_ids)


def test_the_model_is_looked_into(masked_lm: MaskedLM) -> None:
    best = fill_masks(masked_lm, TEXT).masks[0].candidates[0]
    assert layer_lens(masked_lm, TEXT).layers[-1].candidates[0].token_id == best.token_id
    assert attention_from_mask(masked_lm, TEXT).weights.sum(axis=-1) == pytest.approx(1, abs=1e-5)
    assert [word.word for word in erasure(masked_lm, TEXT).words] == [
        *("The", "dogs", "barked", ",", "John", "the", "old", "house", "."),
    ]
    assert len(erasure(masked_lm, TEXT, word="barked").pieces) == 2
    assert nearest_words(masked_lm, "love", count=3)


@pytest.mark.parametrize("hand", [False, True])
def test_a_full_stop_is_offered_and_can_be_taken(masked_lm: MaskedLM, hand: bool) -> None:
    prepared = prepare_text(masked_lm, "John <mask>")
    prepared = prepare_ids(masked_lm, prepared.token_ids) if hand else prepared
    (offer,) = prepared.suggestions
    ids = list(offer.token_ids) if hand else masked_lm.tokenizer(offer.text)["input_ids"]
    assert ids == masked_lm.tokenizer("John <mask>.")["input_ids"]
