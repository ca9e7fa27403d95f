"""The losses between before and after, as one small picture."""

from __future__ import annotations

from collections.abc import Sequence

from bertdemo.mlm.analysis.between import BlendPoint

from .look import HELD_OUT, OTHERS
from .svg import SvgLine, lines_svg


def blend_svg(points: Sequence[BlendPoint]) -> str:
    """Loss by share, on held-out rows and on general English; "" where nothing was scored."""
    held_out = [(point.share, point.held_out) for point in points]
    general = [(point.share, point.general) for point in points if point.general is not None]
    lines = [SvgLine("held-out rows", HELD_OUT, held_out, marked=True)]
    lines += [SvgLine("general English", OTHERS, general, dashed=True, marked=True)] if general else []
    return lines_svg(
        lines,
        label="The loss of blends from before, 0, to after, 1, and a little beyond",
        x_title="0 = before, 1 = after",
        y_title="loss (nats)",
        x_ticks=[point.share for point in points],
    )
