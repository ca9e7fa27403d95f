"""The first rows of a data file as a small table, the text column marked; every cell is escaped."""

from __future__ import annotations

from html import escape

from bertdemo.mlm.data.corpus import Preview

from ..markup import Html, table


def preview_html(found: Preview) -> str:
    """At most five rows; style sheets cut long cells, and the whole of what is known of them shows on hover."""
    if not found.sample_rows:
        return ""
    frame = found.to_frame().map(_cell)
    label = f"The first {len(frame)} rows"
    return table(frame, label=label, look="preview", marked=found.text_column)


def _cell(cell: str) -> Html:
    return Html(f'<span title="{escape(cell)}">{escape(cell)}</span>')
