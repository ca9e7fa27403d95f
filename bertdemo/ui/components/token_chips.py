"""The text as the model sees it: its tokens in order, escaped, the masks marked. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr

from .candidate_bars import visible


def token_chips() -> gr.HTML:
    return gr.HTML(apply_default_css=False, elem_classes=["token-chips"])


def chips_html(tokens: Sequence[str], token_ids: Sequence[int], *, masks: Sequence[int]) -> str:
    """Tokens (T,) and ids (T,) -> a list of chips; the id shows on hover."""
    masked = set(masks)
    items = "".join(
        f'<li class="chip{" chip-mask" if place in masked else ""}" title="id {token_id}">{visible(token)}</li>'
        for place, (token, token_id) in enumerate(zip(tokens, token_ids, strict=True))
    )
    return f'<ol class="chips" aria-label="The text as the model sees it">{items}</ol>'
