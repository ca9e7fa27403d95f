"""What all figures look alike in: colours, text and grid, axes and margins, texts, and the smoothed line.

Figures are transparent and their colours hold on white and on dark; the page's script gives text and grid its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

BASE, TUNED, OTHERS = "#5a82c8", "#d0661a", "#8590a2"
HELD_OUT, WRONG = "#12877a", "#c0436a"
MODEL_COLORS = {"base": BASE, "tuned": TUNED}
TEXT, GRID = "#6b7585", "rgba(128, 140, 160, 0.25)"
CLEAR = "rgba(0,0,0,0)"
MAX_POINTS = 400  # of one curve: more cannot be told apart on a screen
FONT = "IBM Plex Sans, ui-sans-serif, system-ui, sans-serif"  # the page's own


def plain(text: str, *, most: int = 18) -> str:
    """A word as Plotly draws it: its little HTML disarmed, what cannot be printed replaced, not too long.

    >>> plain("<b>"), plain("incomprehensibilities")
    ('&lt;b&gt;', 'incomprehensibili…')
    """
    shown = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    return escape(shown if len(shown) <= most else f"{shown[: most - 1]}…", quote=False)


def axis(title: str = "", **more: Any) -> dict[str, Any]:
    """An axis that cannot be dragged and makes room for its own labels."""
    named = {"title": {"text": title, "standoff": 8}} if title else {}
    fixed = {"gridcolor": GRID, "zeroline": False, "fixedrange": True, "automargin": True, "ticks": ""}
    return {**fixed, **named, **more}


def layout(*, height: int, legend: bool, **more: Any) -> dict[str, Any]:
    """The frame of a figure; its height is known before it is drawn, so that nothing on the page jumps."""
    return {
        "template": "none",  # the default one is 6.5 kB with every figure
        "height": height,
        "margin": {"l": 60, "r": 12, "t": 36 if legend else 12, "b": 56},
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "font": {"family": FONT, "size": 14, "color": TEXT},
        "hoverlabel": {"bgcolor": "#1c2430", "font": {"color": "#ffffff"}},
        "showlegend": legend,
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "itemclick": False},
        "dragmode": False,
        "hovermode": "closest",
        **more,
    }


def smoothed(values: Sequence[float | None]) -> list[float | None]:
    """The exponential mean of what came so far, as the live chart draws it: None stays None.

    Each value counts 1 - 1/w of the next one's weight, w being a fortieth of them all but between 8 and 200; dividing
    by the sum of the weights corrects the start, where there is little to average (Kingma and Ba 2015, section 3).
    The same formula stands in the live chart's script; a test holds one against the other.

    >>> [round(value, 3) for value in smoothed([4.0, 2.0])]
    [4.0, 2.933]
    """
    kept = 1 - 1 / min(200, max(8, round(len(values) / 40)))
    means: list[float | None] = []
    total = mass = 0.0
    for value in values:
        if value is not None:
            total = kept * total + (1 - kept) * value
            mass = kept * mass + (1 - kept)
        means.append(None if value is None else total / mass)
    return means


def thinned(steps: Sequence[int], losses: Sequence[float | None]) -> tuple[list[int], list[float | None]]:
    """At most ``MAX_POINTS`` of the points, evenly, the last among them."""
    size = -(-len(steps) // MAX_POINTS) or 1
    places = range((len(steps) - 1) % size, len(steps), size) if steps else range(0)
    return [steps[place] for place in places], [_rounded(losses[place]) for place in places]


def _rounded(loss: float | None) -> float | None:
    return None if loss is None else round(loss, 4)
