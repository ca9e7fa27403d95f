"""Templates with braces: what they expand to, and what they refuse."""

from __future__ import annotations

import pytest

from bertdemo.mlm.analysis.counterfactuals import parse_template
from bertdemo.mlm.errors import TextError


def test_a_template_expands_to_one_text_a_choice() -> None:
    template = parse_template("The {man|woman|boss} worked as a [MASK].")
    assert template.texts() == (
        "The man worked as a [MASK].",
        "The woman worked as a [MASK].",
        "The boss worked as a [MASK].",
    )
    assert template.labels == ("man", "woman", "boss")


def test_several_braces_move_together() -> None:
    assert parse_template("{He|She} likes {his|her} [MASK].").texts() == (
        "He likes his [MASK].",
        "She likes her [MASK].",
    )


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("A {|very} good [MASK].", "A good [MASK]."),
        ("{|Very} good [MASK].", "good [MASK]."),
        ("It is good {|again}", "It is good "),
        ("[MASK]{|,} he said", "[MASK] he said"),
    ],
)
def test_spaces_around_an_empty_choice_close_up(text: str, first: str) -> None:
    assert parse_template(text).texts()[0] == first


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("The man worked as a [MASK].", "has no braces"),
        ("", "has no braces"),
        ("The {man|woman worked.", "do not pair up"),
        ("The man|woman} worked.", "do not pair up"),
        ("The {a {man|woman}|boss} worked.", "do not pair up"),
        ("The }man|woman{ worked.", "do not pair up"),
        ("The {man} worked.", "two or more different"),
        ("The {} worked.", "two or more different"),
        ("The {man| man } worked.", "two or more different"),
        ("{He|She} likes {his|her|their} job.", "move together"),
    ],
)
def test_malformed_braces_are_refused_in_one_sentence(text: str, says: str) -> None:
    with pytest.raises(TextError, match=says) as refused:
        parse_template(text)
    assert "\n" not in str(refused.value)


def test_a_long_template_is_quoted_in_short() -> None:
    with pytest.raises(TextError) as refused:
        parse_template("no braces " * 1000)
    assert len(str(refused.value)) < 250
