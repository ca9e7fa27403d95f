"""What all figures look alike in: the colour of each model, text, grid and font. They read on light and dark pages."""

from __future__ import annotations

BASE, TUNED, OTHERS = "#5a82c8", "#d0661a", "#8590a2"
MODEL_COLORS = {"base": BASE, "tuned": TUNED}
TEXT, GRID = "#6b7585", "rgba(128, 140, 160, 0.25)"
FONT = "IBM Plex Sans, ui-sans-serif, system-ui, sans-serif"  # the page's own
