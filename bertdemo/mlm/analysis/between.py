"""Is there a better model between before and after? The loss of blends on held-out rows and on general English.

Every blend answers the same fixed questions as the two models (Wortsman et al. 2022, section 4). Says in a sentence
what the figures support and no more. Knows no run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..models.blend import BlendPair
from ..models.masked_lm import MaskedLM
from ..training.evaluation import FixedMasks, score_all
from ..training.report import BeforeAfter

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25)  # the last lies a little beyond the tuned model
NEARLY_ALL = 0.9  # of what was learnt
CLEARLY_LESS = 0.75  # of what was forgotten: a blend that forgets more than that is hardly worth it


@dataclass(frozen=True)
class BlendPoint:
    """Mean losses per target, in nats, of the blend at ``share``; ``general`` is None where it was not scored."""

    share: float
    held_out: float
    general: float | None


def blend_curve(
    base: MaskedLM, tuned: MaskedLM, held_out: FixedMasks, *, general: FixedMasks | None, ends: tuple[BlendPoint, ...]
) -> tuple[BlendPoint, ...]:
    """The losses at every one of ``SHARES``; ``ends``: those at 0 and 1, which are known already.

    Raises ModelError where the two models are not of one build.
    """
    known = {point.share: point for point in ends}
    pair = BlendPair(base, tuned)
    points = []
    for share in SHARES:
        if share in known:
            points.append(known[share])
            continue
        with pair.at(share) as mixed:
            loss = score_all(mixed, held_out, precision="fp32").quality().loss
            other = None if general is None else score_all(mixed, general, precision="fp32").quality().loss
        points.append(BlendPoint(share, loss, other))
    return tuple(points)


def between_sentence(points: Sequence[BlendPoint], *, held_out: BeforeAfter, general: BeforeAfter | None) -> str:
    """What the blends between 0 and 1 support: "At 0.75 it keeps 97% of what it learnt and forgets 60% as much."

    Learnt is how far the loss on held-out rows fell, forgotten how far that on general English rose, each spoken of
    only where its interval excludes zero; everything is relative to the model at 1.
    """
    if held_out.too_few or (general is not None and general.too_few):
        return "Too little was scored to say what lies between before and after."
    learnt = _fall(points)
    if not (held_out.loss_change.excludes_zero and learnt > 0):
        return "Training did not clearly lower the loss on held-out rows, so there is nothing to keep in between."
    inside = [point for point in points if 0 < point.share < 1]
    forgotten = _rise(points)
    if general is None or forgotten is None or not (general.loss_change.excludes_zero and forgotten > 0):
        return _without_forgetting(inside, points)
    chosen = next((point for point in inside if _kept(point, points) >= NEARLY_ALL), None)
    if chosen is None:
        return "No blend that was tried keeps nine tenths of what it learnt: what it forgot is the price."
    less = _lost(chosen, points)
    if less > CLEARLY_LESS:
        return (
            f"At {chosen.share:g} it keeps {min(1.0, _kept(chosen, points)):.0%} of what it learnt, but forgets"
            f" {less:.0%} as much: little is won in between."
        )
    words = "forgets nothing" if less <= 0 else f"forgets only {less:.0%} as much"
    return f"At {chosen.share:g} it keeps {min(1.0, _kept(chosen, points)):.0%} of what it learnt and {words}."


def _without_forgetting(inside: Sequence[BlendPoint], points: Sequence[BlendPoint]) -> str:
    """Nothing was lost that a blend could bring back; one may still be better on the rows themselves."""
    best = min(inside, key=lambda point: point.held_out)
    if _kept(best, points) > 1:
        return (
            "It forgot no general English that could be measured; the loss on held-out rows is lowest at"
            f" {best.share:g}, a little below that of the tuned model."
        )
    return "It forgot no general English that could be measured, so the tuned model itself is the best of them."


def _fall(points: Sequence[BlendPoint]) -> float:
    return _at(points, 0).held_out - _at(points, 1).held_out


def _rise(points: Sequence[BlendPoint]) -> float | None:
    first, last = _at(points, 0).general, _at(points, 1).general
    return None if first is None or last is None else last - first


def _kept(point: BlendPoint, points: Sequence[BlendPoint]) -> float:
    """The share of what was learnt: 0 at 0, 1 at 1, more where the loss is below that of the tuned model."""
    return round((_at(points, 0).held_out - point.held_out) / _fall(points), 9)  # 0.9 of it is to be 0.9


def _lost(point: BlendPoint, points: Sequence[BlendPoint]) -> float:
    """The share of what was forgotten: 0 at 0, 1 at 1; below 0 where it became better at general English."""
    rise = _rise(points)
    assert rise is not None  # asked only where both were scored
    assert point.general is not None
    return round((point.general - (_at(points, 0).general or 0.0)) / rise, 9)


def _at(points: Sequence[BlendPoint], share: float) -> BlendPoint:
    return next(point for point in points if point.share == share)
