"""What all figures have in common: the colour of each model, text, grid and font, how a text is made plain, and what
"smoothed" means. They read on light and dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

BASE, TUNED, OTHERS = "#5a82c8", "#d0661a", "#8590a2"
MODEL_COLORS = {"base": BASE, "tuned": TUNED}
TEXT, GRID = "#6b7585", "rgba(128, 140, 160, 0.25)"
FONT = "IBM Plex Sans, ui-sans-serif, system-ui, sans-serif"  # the page's own


def plain(text: str, *, most: int = 18) -> str:
    """A word as Plotly draws it: its little HTML disarmed, what cannot be printed replaced, not too long.

    >>> plain("<b>"), plain("incomprehensibilities")
    ('&lt;b&gt;', 'incomprehensibili…')
    """
    shown = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    return escape(shown if len(shown) <= most else f"{shown[: most - 1]}…", quote=False)


def smoothed(losses: Sequence[float | None]) -> list[float | None]:
    """An exponential mean of each loss and those before it; None where the loss is.

    Each counts 1 - 1 / window of the one behind it; the window is a fortieth of the steps, from 8 to 200, as in the
    live chart (``live_series.js``). The weights are made to add up to one, so the first mean is the first loss.

    >>> smoothed([3.0, None, 3.0]), smoothed([8.0, 0.0])
    ([3.0, None, 3.0], [8.0, 3.7333333333333334])
    """
    decay = 1 - 1 / min(200, max(8, round(len(losses) / 40)))
    total, weight = 0.0, 0.0
    means: list[float | None] = []
    for loss in losses:
        if loss is None:
            means.append(None)
            continue
        total, weight = decay * total + loss, decay * weight + 1
        means.append(total / weight)
    return means
