"""How numbers are written and what words follow from them, the same on the page, on the command line and in files."""

from __future__ import annotations

import math


def percent(probability: float | None) -> str:
    """A share of 1 for people: one place, and neither nothing nor certainty unless it is exactly that; None is "–".

    >>> percent(0.4123), percent(0.0004), percent(0.9996), percent(0.0), percent(1.0), percent(None)
    ('41.2%', '< 0.1%', '> 99.9%', '0%', '100%', '–')
    """
    if probability is None or not math.isfinite(probability):
        return "–"
    if probability in (0, 1):
        return f"{probability:.0%}"
    if 0 < probability < 0.001:
        return "< 0.1%"
    if 0.9995 <= probability < 1:
        return "> 99.9%"
    return f"{100 * probability:.1f}%"


def fine_percent(probability: float) -> str:
    """The same beside a ratio or in a sentence, where two small ones must be told apart: two digits, however small.

    >>> fine_percent(0.4123), fine_percent(0.0017), fine_percent(0.00034), fine_percent(2e-9), fine_percent(0.99996)
    ('41.2%', '0.17%', '0.034%', '< 0.0001%', '> 99.9%')
    """
    if not 0 < probability < 0.01:
        return percent(probability)
    if probability < 1e-6:
        return "< 0.0001%"
    return f"{100 * probability:.{1 - math.floor(math.log10(100 * probability))}f}%"


def percents(before: float, after: float) -> tuple[str, str]:
    """Two shares that stand beside each other: with a second place where they would look the same and are not.

    >>> percents(0.384, 0.449), percents(0.3941, 0.3944), percents(0.5, 0.5)
    (('38.4%', '44.9%'), ('39.41%', '39.44%'), ('50.0%', '50.0%'))
    """
    texts = percent(before), percent(after)
    if texts[0] == texts[1] and before != after and texts[0][0] not in "<>–":
        return f"{100 * before:.2f}%", f"{100 * after:.2f}%"
    return texts


def points(before: float, after: float) -> str:
    """The change in percentage points: what the two percentages that are shown beside it differ by.

    >>> points(0.0512, 0.3724), points(0.3, 0.28), points(0.2, 0.2), points(0.2, 0.20001), points(0.0002, 0.3)
    ('+32.1 points', '−2.0 points', 'no change', 'up < 0.1', '+30.0 points')
    """
    change = after - before
    if change == 0:
        return "no change"
    size = round(round(100 * after, 1) - round(100 * before, 1), 1)
    if size == 0 or abs(change) < 0.001:
        return f"{'up' if change > 0 else 'down'} < 0.1"
    return f"{size:+.1f} points".replace("-", "−")
