"""The first rows of a data file as a small table in HTML, the text column marked; every cell is escaped."""

from __future__ import annotations

from html import escape

from bertdemo.mlm.data.corpus import Preview


def preview_html(found: Preview) -> str:
    """At most five rows; style sheets cut long cells, and the whole of what is known of them shows on hover."""
    if not found.sample_rows:
        return ""
    chosen = [name == found.text_column for name in found.columns]
    heads = "".join(
        f'<th scope="col"{_mark(is_text)}>{escape(name)}</th>'
        for name, is_text in zip(found.columns, chosen, strict=True)
    )
    rows = "".join(f"<tr>{_cells(row, chosen)}</tr>" for row in found.sample_rows)
    caption, kind = f"The first {len(found.sample_rows)} rows", "preview chosen" if any(chosen) else "preview"
    return (
        f'<div class="{kind}" tabindex="0" role="region" aria-label="{caption}"><table>'
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _cells(row: tuple[str, ...], chosen: list[bool]) -> str:
    return "".join(
        f'<td{_mark(is_text)} title="{escape(cell)}"><span>{escape(cell)}</span></td>'
        for cell, is_text in zip(row, chosen, strict=True)
    )


def _mark(is_text: bool) -> str:
    return ' class="text"' if is_text else ""
