"""What becomes a target and what is done to it, counted over many tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

import pytest
import torch
from torch import Tensor

from bertdemo.mlm.errors import SettingsError
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.settings import MaskingConfig
from bertdemo.mlm.training.masking import IGNORED, MaskedTokens, choose_targets, mask_generator, mask_tokens

VOCABULARY, MASK = 500, 4
TOKENS = 5 + torch.arange(400 * 100).view(400, 100) % (VOCABULARY - 5)  # (400, 100), none of them special


def drawn(
    token_ids: Tensor = TOKENS,
    selectable: Tensor | None = None,
    *,
    config: MaskingConfig = MaskingConfig(),  # noqa: B008
    vocabulary: int = VOCABULARY,
    seed: int = 0,
) -> MaskedTokens:
    eligible = torch.ones_like(token_ids, dtype=torch.bool) if selectable is None else selectable
    return mask_tokens(
        token_ids,
        eligible,
        config=config,
        mask_token_id=MASK,
        vocabulary_size=vocabulary,
        generator=mask_generator(seed),
    )


def assert_share(count: int, total: int, expected: float) -> None:
    """Within five standard deviations of a fair draw."""
    assert abs(count - total * expected) < 5 * math.sqrt(total * expected * (1 - expected))


@pytest.mark.parametrize("rate", [0.05, 0.15, 0.4])
def test_the_share_of_targets_is_the_rate(rate: float) -> None:
    masked = drawn(config=MaskingConfig(rate))
    assert_share(int((masked.labels != IGNORED).sum()), TOKENS.numel(), rate)


def test_targets_become_the_mask_a_random_token_or_stay_80_10_10() -> None:
    masked = drawn()
    targets = masked.labels != IGNORED
    count, became = int(targets.sum()), masked.token_ids[targets]
    stayed = became == TOKENS[targets]
    assert_share(int((became == MASK).sum()), count, 0.8 + 0.1 / VOCABULARY)
    assert_share(int(stayed.sum()), count, 0.1 + 0.1 / VOCABULARY)
    assert_share(int((~stayed & (became != MASK)).sum()), count, 0.1)


def test_labels_are_the_hidden_tokens_and_nothing_else_changes() -> None:
    masked = drawn()
    targets = masked.labels != IGNORED
    assert torch.equal(masked.labels[targets], TOKENS[targets])
    assert torch.equal(masked.token_ids[~targets], TOKENS[~targets])
    assert set(masked.labels[~targets].tolist()) == {-100}


@pytest.mark.parametrize(
    ("config", "expected"),
    [(MaskingConfig(0.5, 1.0, 0.0), "masked"), (MaskingConfig(0.5, 0.0, 0.0), "kept")],
)
def test_recipes_without_chance(config: MaskingConfig, expected: str) -> None:
    masked = drawn(config=config)
    targets = masked.labels != IGNORED
    assert torch.equal(masked.token_ids[targets] == MASK, torch.full((int(targets.sum()),), expected == "masked"))
    if expected == "kept":
        assert torch.equal(masked.token_ids, TOKENS)


def test_random_replacements_span_the_whole_vocabulary() -> None:
    masked = drawn(config=MaskingConfig(0.99, 0.0, 1.0), vocabulary=30)
    assert set(masked.token_ids[masked.labels != IGNORED].tolist()) == set(range(30))


def test_every_row_has_a_target_however_short() -> None:
    rows = TOKENS[:, :5]
    assert bool((drawn(rows, config=MaskingConfig(0.01)).labels != IGNORED).any(dim=1).all())
    only_one = torch.zeros_like(rows, dtype=torch.bool)
    only_one[:, 3] = True
    labels = drawn(rows, only_one, config=MaskingConfig(0.01)).labels
    assert torch.equal(labels != IGNORED, only_one)


def test_a_row_with_nothing_eligible_has_no_target() -> None:
    none = torch.zeros(3, 4, dtype=torch.bool)
    assert bool((drawn(TOKENS[:3, :4], none).labels == IGNORED).all())
    assert torch.equal(drawn(TOKENS[:3, :4], none).token_ids, TOKENS[:3, :4])


def test_a_forced_target_falls_anywhere_in_the_row() -> None:
    chosen = choose_targets(torch.ones(3000, 4, dtype=torch.bool), rate=1e-9, generator=mask_generator(1))
    assert chosen.sum(dim=1).tolist() == [1] * 3000
    for count in chosen.sum(dim=0).tolist():
        assert_share(count, 3000, 0.25)


def test_special_tokens_are_never_targets_even_those_typed_into_the_text(any_tiny: MaskedLM) -> None:
    tokenizer = any_tiny.tokenizer
    typed = " ".join([*tokenizer.all_special_tokens, "love", *tokenizer.all_special_tokens, "☃", "show"])
    token_ids = tokenizer([typed, "we love it"], padding=True, return_tensors="pt")["input_ids"].repeat(50, 1)
    masked = mask_tokens(
        token_ids,
        any_tiny.selectable(token_ids),
        config=MaskingConfig(0.9),
        mask_token_id=any_tiny.mask_token_id,
        vocabulary_size=len(tokenizer),
        generator=mask_generator(0),
    )
    special = torch.isin(token_ids, torch.tensor(tokenizer.all_special_ids))
    assert {any_tiny.mask_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id} <= set(token_ids[special].tolist())
    assert bool((masked.labels[special] == IGNORED).all())
    assert torch.equal(masked.token_ids[special], token_ids[special])
    assert bool((masked.labels[~special] != IGNORED).any())


def test_one_key_gives_one_set_of_masks() -> None:
    first, again, other = drawn(seed=7), drawn(seed=7), drawn(seed=8)
    assert torch.equal(first.token_ids, again.token_ids)
    assert torch.equal(first.labels, again.labels)
    assert not torch.equal(first.labels, other.labels)
    keys = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (2**40, 1, 2)]
    draws = {tuple(torch.rand(4, generator=mask_generator(*key)).tolist()) for key in keys}
    assert len(draws) == len(keys)


@pytest.mark.parametrize("rate", [0, 1, -0.1, 1.5, math.nan, math.inf])
def test_a_rate_that_leaves_nothing_to_do_is_refused(rate: float) -> None:
    with pytest.raises(SettingsError, match=r"mask rate .* 0\.15 is usual"):
        MaskingConfig(rate)


@pytest.mark.parametrize("shares", [(0.9, 0.2), (-0.1, 0.5), (math.nan, 0.1), (0.5, math.inf)])
def test_shares_beyond_all_targets_are_refused(shares: tuple[float, float]) -> None:
    with pytest.raises(SettingsError, match="together at most 1"):
        MaskingConfig(0.15, *shares)


# Whole words


def blocks(lengths: Sequence[int], *, rows: int) -> Tensor:
    """Rows that are all cut into words of these lengths: (rows, sum of lengths) first places."""
    starts = [start for start, length in zip(accumulate([0, *lengths]), lengths, strict=False) for _ in range(length)]
    return torch.tensor([starts] * rows)


def chosen_words(chosen: Tensor, words: Tensor) -> list[list[int]]:
    """How many pieces of each word were chosen, row by row."""
    return [
        torch.zeros(words.shape[1], dtype=torch.long).index_add_(0, first, row.long())[first.unique()].tolist()
        for row, first in zip(chosen, words, strict=True)
    ]


@pytest.mark.parametrize("rate", [0.05, 0.15, 0.4])
def test_the_pieces_of_a_word_are_chosen_together_at_the_same_share_of_tokens(rate: float) -> None:
    lengths = (1, 3, 1, 1, 7, 2, 1, 4) * 3
    words = blocks(lengths, rows=4000)
    eligible = torch.ones_like(words, dtype=torch.bool)
    chosen = choose_targets(eligible, rate=rate, generator=mask_generator(3), words=words)
    counts = torch.tensor(chosen_words(chosen, words))
    assert bool(((counts == 0) | (counts == torch.tensor(lengths))).all())
    drawn_words = counts > 0
    none = (1 - rate) ** len(lengths)  # such a row gets a word all the same
    expected = rate + none / len(lengths)
    assert_share(int(drawn_words.sum()), drawn_words.numel(), expected)
    for place in range(words.shape[1]):  # a token of a long word no more often than one that stands alone
        assert_share(int(chosen[:, place].sum()), len(chosen), expected)


def test_a_row_without_a_chosen_word_gets_a_whole_one() -> None:
    words = blocks((1, 4, 2), rows=3000)
    eligible = torch.ones_like(words, dtype=torch.bool)
    eligible[:, 0] = False
    chosen = choose_targets(eligible, rate=1e-9, generator=mask_generator(3), words=words)
    counts = torch.tensor(chosen_words(chosen, words))
    assert {tuple(row) for row in counts.tolist()} == {(0, 4, 0), (0, 0, 2)}
    assert_share(int((counts[:, 1] == 4).sum()), 3000, 0.5)


def test_what_becomes_of_a_piece_is_drawn_for_itself_in_whole_words_too() -> None:
    words = blocks((1, 3, 2, 4), rows=400)[:, :10]
    tokens = TOKENS[:, :10]
    masked = mask_tokens(
        tokens,
        torch.ones_like(tokens, dtype=torch.bool),
        config=MaskingConfig(0.5, whole_words=True),
        mask_token_id=MASK,
        vocabulary_size=VOCABULARY,
        generator=mask_generator(0),
        words=words,
    )
    targets = masked.labels != IGNORED
    count, became = int(targets.sum()), masked.token_ids[targets]
    assert_share(int((became == MASK).sum()), count, 0.8 + 0.1 / VOCABULARY)
    assert_share(int((became == tokens[targets]).sum()), count, 0.1 + 0.1 / VOCABULARY)
    long = targets[:, 6:10].all(dim=1)
    hidden = (masked.token_ids[:, 6:10] == MASK).sum(dim=1)[long]
    assert_share(int((hidden == 4).sum()), int(long.sum()), (0.8 + 0.1 / VOCABULARY) ** 4)


def test_words_of_one_piece_are_drawn_as_pieces_are() -> None:
    eligible = torch.rand(50, 30, generator=mask_generator(9)) < 0.9
    alone = torch.arange(30).expand(50, 30)
    pieces, words = (
        choose_targets(eligible, rate=0.15, generator=mask_generator(1), words=first) for first in (None, alone)
    )
    assert torch.equal(pieces, words)
