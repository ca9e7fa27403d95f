"""One description of every setting: what is typed, sent or clicked means the same, and is refused in the same words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bertdemo.cli.arguments import build_parser
from bertdemo.mlm.errors import SettingsError
from bertdemo.mlm.settings import SETTINGS, MaskingConfig, TrainingConfig, config_values, configure


@pytest.mark.parametrize(
    ("name", "typed", "meant"),
    [
        ("epochs", "3", 3),
        ("epochs", 3.0, 3),
        ("seed", 2**63 - 1, 2**63 - 1),
        ("seed", str(2**53 + 1), 2**53 + 1),  # a float would round it
        ("learning_rate", " 5e-5 ", 5e-5),
        ("learning_rate", 0, 0),
        ("precision", "bf16", "bf16"),
        ("probe", "a [MASK].\n\n b [MASK]. ", ("a [MASK].", "b [MASK].")),
        ("whole_words", True, True),
        ("new_words", "20", 20),
        ("evaluate_every", "50", 50),
        ("watch", "love, like,", ("love", "like")),
        ("watch", ["a, b"], ("a, b",)),
    ],
)
def test_what_is_typed_is_understood(name: str, typed: object, meant: object) -> None:
    parsed = SETTINGS[name].parse(typed)
    assert (parsed, type(parsed)) == (meant, type(meant))


@pytest.mark.parametrize(
    ("name", "typed", "sentence"),
    [
        ("epochs", "1.5", "The number of epochs must be a whole number from 1 to 10000, but is 1.5; 3 is usual."),
        ("epochs", "many", "The number of epochs must be a whole number from 1 to 10000, but is 'many'; 3 is usual."),
        ("epochs", True, "The number of epochs must be a whole number from 1 to 10000, but is True; 3 is usual."),
        ("epochs", "", "The number of epochs must be a whole number from 1 to 10000, but is ''; 3 is usual."),
        ("seed", 10**400, f"The seed must be a whole number from 0 to {2**63 - 1}, but is far too large; 0 is usual."),
        ("learning_rate", "nan", "The learning rate must be a number from 0 to 1, but is nan."),
        ("mask_rate", 1, "The mask rate must be a number between 0 and 1, both excluded, but is 1; 0.15 is usual."),
        ("limit", 0, "The limit of rows must be a whole number from 1 on, but is 0."),
        ("whole_words", "perhaps", "Whole-word masking must be true or false, but is 'perhaps'."),
        ("new_words", 1001, "The number of new words must be a whole number from 0 to 1000, but is 1001; 0 is usual."),
        ("patience", -1, "The patience must be a whole number from 0 to 10000, but is -1; 0 is usual."),
        (
            "evaluate_every",
            0,
            "The interval between scores must be a whole number from 1 on, but is 0.",
        ),
        (
            "replay_share",
            1,
            "The share of general texts must be a number between 0 and 1, both excluded, but is 1; 0.1 is usual.",
        ),
        ("precision", "fp16", "The precision must be fp32 or bf16, but is 'fp16'."),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(name: str, typed: object, sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        SETTINGS[name].parse(typed)
    assert str(caught.value) == sentence


def test_left_out_and_blank_values_change_nothing() -> None:
    base = TrainingConfig(epochs=7, masking=MaskingConfig(0.3, 0.5, 0.2), probes=("a [MASK].",))
    assert configure(dict.fromkeys(SETTINGS), base=base) == base
    assert configure({"epochs": " ", "probe": ""}, base=base) == base
    assert configure({"mask_rate": "0.4"}, base=base) == replace(base, masking=MaskingConfig(0.4, 0.5, 0.2))


def test_values_and_words_lead_back_to_the_same_settings() -> None:
    config = TrainingConfig(
        *(7, 3e-4, 8, 32),
        masking=MaskingConfig(0.4, whole_words=True),
        seed=5,
        precision="fp32",
        long_texts="cut",
        probes=("-a [MASK].", "b [MASK]."),
        watch=("-x", "y"),
        patience=2,
        evaluate_every=9,
        replay_share=0.3,
    )
    values = config_values(config, limit=100, replay="general")
    assert configure(values, base=TrainingConfig()) == config
    words = [word for name, value in values.items() for word in SETTINGS[name].words(value)]
    options = build_parser().parse_args(["train", "file.csv", *words])
    assert configure({name: getattr(options, name) for name in SETTINGS}, base=TrainingConfig()) == config
    assert (options.limit, options.replay) == (100, "general")


def test_the_help_tells_range_and_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["train", "--help"])
    helped = " ".join(capsys.readouterr().out.split())
    for setting in SETTINGS.values():
        assert setting.option + ("" if setting.kind is bool else f" {setting.unit}") in helped
        assert setting.help.rstrip(".") in helped
    assert "read (a whole number from 1 to 10000; default: 3)" in helped
