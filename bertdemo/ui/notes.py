"""One sentence beside a button, as HTML: what was done, or why not."""

from __future__ import annotations

from html import escape


def note_html(text: str, *, wrong: bool = False) -> str:
    """Announced to a screen reader; ``wrong`` gives it the look of a refusal.

    >>> note_html("a < b")
    '<p class="note" role="status">a &lt; b</p>'
    """
    role, kind = ("alert", "note wrong") if wrong else ("status", "note")
    return f'<p class="{kind}" role="{role}">{escape(text)}</p>'
