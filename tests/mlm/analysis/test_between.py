"""What lies between before and after: the losses of blends by plain computation, and no sentence beyond its figures."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from bertdemo.mlm.analysis.between import SHARES, BlendPoint, between_sentence, blend_curve
from bertdemo.mlm.models.blend import blended
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.training.evaluation import Quality, score_all, tokenize_and_fix
from bertdemo.mlm.training.report import BeforeAfter, Interval

ROWS = ["i really love this show .", "the dog can bark , the cat can not bark !", "paris is the capital of france ."]


def change(before: float, after: float, *, sure: bool = True, rows: int = 40, targets: int = 300) -> BeforeAfter:
    """A change of the loss whose interval excludes zero if ``sure``."""
    first, last = (Quality(loss, math.exp(loss), 0.3, 0.5, targets, targets) for loss in (before, after))
    middle = after - before
    interval = Interval(middle - 0.01, middle + 0.01) if sure else Interval(-1.0, 1.0)
    return BeforeAfter(rows, first, last, interval, Interval(-1.0, 1.0))


def points(held_out: tuple[float, ...], general: tuple[float, ...]) -> tuple[BlendPoint, ...]:
    """At 0, 0.25, 0.5, 0.75 and 1."""
    return tuple(BlendPoint(*values) for values in zip((0.0, 0.25, 0.5, 0.75, 1.0), held_out, general, strict=True))


def test_every_point_is_what_its_blend_scores(tiny_bert: MaskedLM, trainable: Callable[[MaskedLM], MaskedLM]) -> None:
    tuned = trainable(tiny_bert)
    with torch.no_grad():
        for weight in tuned.model.parameters():
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)) * 0.1)
    fixed = tokenize_and_fix(tiny_bert, ROWS, max_length=32, seed=0)
    ends = (BlendPoint(0.0, 9.0, None), BlendPoint(1.0, 8.0, None))
    curve = blend_curve(tiny_bert, tuned, fixed, general=None, ends=ends)
    assert tuple(point.share for point in curve) == SHARES
    assert (curve[0], curve[4]) == ends  # known already, not scored again
    for point in (curve[1], curve[5]):
        scores = score_all(blended(tiny_bert, tuned, point.share), fixed, precision="fp32")
        assert point.held_out == pytest.approx(scores.quality().loss, abs=1e-5)


LEARNT = change(3.0, 2.0)
FORGOT = change(3.0, 4.0)


@pytest.mark.parametrize(
    ("held_out", "general", "kept", "lost"),
    [
        ((3.0, 2.6, 2.1, 2.05, 2.0), (3.0, 3.1, 3.3, 3.6, 4.0), "At 0.5 it keeps 90% of", "forgets only 30% as much"),
        ((3.0, 2.6, 2.101, 2.05, 2.0), (3.0, 3.1, 3.3, 3.6, 4.0), "At 0.75 it keeps 95% of", "forgets only 60%"),
        ((3.0, 2.6, 2.2, 2.1, 2.0), (3.0, 3.1, 3.3, 3.75, 4.0), "At 0.75 it keeps 90%", "only 75% as much"),
        ((3.0, 2.6, 2.2, 2.1, 2.0), (3.0, 3.1, 3.3, 3.76, 4.0), "At 0.75 it keeps 90%", "little is won"),
        ((3.0, 2.6, 2.2, 2.11, 2.0), (3.0, 3.1, 3.3, 3.5, 4.0), "No blend that was tried", "the price"),
        ((3.0, 2.6, 1.9, 1.9, 2.0), (3.0, 2.9, 3.0, 3.6, 4.0), "At 0.5 it keeps 100% of", "forgets nothing"),
    ],
)
def test_the_sentence_says_what_the_figures_support(
    held_out: tuple[float, ...], general: tuple[float, ...], kept: str, lost: str
) -> None:
    sentence = between_sentence(points(held_out, general), held_out=LEARNT, general=FORGOT)
    assert kept in sentence
    assert lost in sentence


SOME = points((3.0, 2.6, 2.1, 2.05, 2.0), (3.0, 3.1, 3.3, 3.6, 4.0))


@pytest.mark.parametrize(
    ("held_out", "general", "words"),
    [
        (change(3.0, 2.0, rows=19), FORGOT, "Too little was scored"),
        (LEARNT, change(3.0, 4.0, targets=29), "Too little was scored"),
        (change(3.0, 2.0, sure=False), FORGOT, "did not clearly lower"),
        (LEARNT, change(3.0, 4.0, sure=False), "forgot no general English that could be measured"),
        (LEARNT, None, "forgot no general English that could be measured"),
    ],
)
def test_it_says_nothing_of_what_may_be_chance(held_out: BeforeAfter, general: BeforeAfter | None, words: str) -> None:
    assert words in between_sentence(SOME, held_out=held_out, general=general)
