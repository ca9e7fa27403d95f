"""What all looks inside a prediction have in common: any text with a mask, one sentence where there is none."""

from __future__ import annotations

import pytest

from bertdemo.mlm.analysis.attention_maps import attention_from_mask
from bertdemo.mlm.analysis.erasure import erasure
from bertdemo.mlm.analysis.layer_lens import layer_lens, lens_by_piece
from bertdemo.mlm.errors import BertDemoError, TextError
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.text.prompt import prepare_ids

TEXT = "The dogs [MASK] and walked home."


@pytest.mark.parametrize(("word", "says"), [("", "type one"), ("猫", "cannot write"), ("ed" * 20, "at most 16")])
def test_a_word_that_cannot_be_the_answer_is_refused(tiny_bert: MaskedLM, word: str, says: str) -> None:
    for look in (lambda: lens_by_piece(tiny_bert, TEXT, word), lambda: erasure(tiny_bert, TEXT, word=word)):
        with pytest.raises(TextError, match=says):
            look()


LOOKS = {"erasure": erasure, "layer_lens": layer_lens, "attention": attention_from_mask}


@pytest.mark.parametrize("look", LOOKS)
def test_a_mask_that_is_not_there_is_refused(tiny_bert: MaskedLM, look: str) -> None:
    with pytest.raises(TextError, match="no mask 1"):
        LOOKS[look](tiny_bert, TEXT, mask_index=1)


@pytest.mark.parametrize("look", LOOKS)
def test_edited_ids_are_looked_at_as_they_are(tiny_bert: MaskedLM, look: str) -> None:
    vocabulary = tiny_bert.tokenizer.get_vocab()
    prepared = prepare_ids(tiny_bert, [vocabulary[piece] for piece in ("dog", "[MASK]", "##ed", "home")])
    result = LOOKS[look](tiny_bert, prepared)
    assert result.position == 2
    assert result.prepared.tokens[3] == "##ed"


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize(
    "text",
    [
        "<i>[MASK]</i>",
        "אני [MASK] את זה",
        "我[MASK]你。",
        "👩‍👩‍👧 [MASK]",
        "[MASK] [SEP] [CLS] x",
        "a \ud83d [MASK]",
        "dog " * 150 + "[MASK]",
    ],
)
def test_any_text_with_a_mask_is_looked_at(any_tiny: MaskedLM, look: str, text: str) -> None:
    result = LOOKS[look](any_tiny, text)
    assert result.prepared.token_ids[result.position] == any_tiny.mask_token_id


def test_nothing_raises_anything_else_than_sentences(any_tiny: MaskedLM) -> None:
    for look in LOOKS.values():
        with pytest.raises(BertDemoError, match="mask"):
            look(any_tiny, "no blank here")
