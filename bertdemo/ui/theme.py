"""The look of the whole page: one Gradio theme, one style sheet, and the two switches that change it in the browser.

It knows nothing of what the page shows. Fonts come with Gradio or the reader's system: no request leaves the machine.
"""

from __future__ import annotations

from pathlib import Path

import gradio as gr
from gradio.themes.utils import colors, fonts, sizes

_HERE = Path(__file__).parent
_STYLE_SHEETS = ("style.css", "fill.css", "train.css", "learn.css")  # the frame and what is shared, then one a tab

# Both run in the browser as ``button.click(js=...)`` and touch nothing on the server.
TOGGLE_DARK_JS = "() => { document.body.classList.toggle('dark'); }"
BEGIN_JS = "() => { window.bertdemoBegin(); }"
# Large type survives a reload, and goes along in the address: ``?large=1`` (see head.html).
TOGGLE_PROJECTOR_JS = "() => { window.bertdemoLarge(!document.body.classList.contains('projector')); }"

# Of the fonts that come with Gradio 6.31 the semi-bold files lack most letters; bold is drawn for 600 instead.
_WEIGHTS = (400, 700)

# A quiet navy, for buttons and focus only: the four meanings (base, tuned, held-out, wrong) keep their own colours.
_NAVY = colors.Color(
    name="navy",
    c50="#f2f5fa",
    c100="#e3e9f2",
    c200="#c9d4e5",
    c300="#a5b6d1",
    c400="#7d94b8",
    c500="#5a7299",
    c600="#33476a",
    c700="#293a58",
    c800="#202e46",
    c900="#182335",
    c950="#0f1724",
)


_SETTINGS: dict[str, str] = {
    "body_background_fill": "#f8f9fb",
    "body_background_fill_dark": "#12161d",
    "body_text_color": "#1c2430",
    "body_text_color_dark": "#e8ecf2",
    "body_text_color_subdued": "#566072",
    "body_text_color_subdued_dark": "#a7b1c0",
    "background_fill_primary": "#ffffff",
    "background_fill_primary_dark": "#1a2029",
    "background_fill_secondary": "#f2f4f7",
    "background_fill_secondary_dark": "#20272f",
    "block_background_fill": "#ffffff",
    "block_background_fill_dark": "#1a2029",
    "block_border_color": "#dfe3ea",
    "block_border_color_dark": "#2e3744",
    "block_label_text_color": "#566072",
    "block_label_text_color_dark": "#a7b1c0",
    "block_info_text_color": "#566072",
    "block_info_text_color_dark": "#a7b1c0",
    "block_title_text_weight": "600",
    "block_shadow": "none",
    "border_color_primary": "#c4ccd8",
    "border_color_primary_dark": "#465162",
    "input_background_fill": "#ffffff",
    "input_background_fill_dark": "#12161d",
    "input_border_width": "1px",
    "input_border_width_dark": "1px",
    "input_border_color": "#8d97a7",  # 3:1 on white: the edge of a field is needed to find it
    "input_border_color_dark": "#6c788a",
    "input_placeholder_color": "#697385",
    "input_placeholder_color_dark": "#8e99aa",
    "button_primary_background_fill": "*primary_600",
    "button_primary_background_fill_hover": "*primary_700",
    "button_primary_background_fill_dark": "*primary_200",
    "button_primary_background_fill_hover_dark": "*primary_100",
    "button_primary_text_color": "#ffffff",
    "button_primary_text_color_dark": "#12161d",
    "button_large_text_weight": "600",
    "button_transition": "background-color 0.15s",
    "slider_color": "*primary_600",
    "slider_color_dark": "*primary_300",
    "checkbox_background_color_selected": "*primary_600",
    "checkbox_background_color_selected_dark": "*primary_400",
    "link_text_color": "#2a4f8f",
    "link_text_color_dark": "#a8c6f5",
    "link_text_color_hover": "#1c3769",
    "link_text_color_hover_dark": "#c9dcfa",
}


def page_head() -> str:
    """Our script and style sheets, to be given as ``head``.

    Not as ``css_paths``: of those Gradio loads every rule twice, as it is and once more with a prefix that counts as
    three classes and breaks ``:is(a, b)``.
    """
    sheets = "\n".join((_HERE / name).read_text(encoding="utf-8") for name in _STYLE_SHEETS)
    return f"{(_HERE / 'head.html').read_text(encoding='utf-8')}<style>\n{sheets}</style>"


def theme() -> gr.themes.Base:
    """The page's theme, light and dark; give it to ``launch(theme=...)`` or ``mount_gradio_app(theme=...)``."""
    base = gr.themes.Base(
        primary_hue=_NAVY,
        secondary_hue=_NAVY,
        neutral_hue=colors.slate,
        radius_size=sizes.radius_md,
        spacing_size=sizes.spacing_md,
        text_size=sizes.text_lg,
        font=(fonts.LocalFont("IBM Plex Sans", weights=_WEIGHTS), "ui-sans-serif", "system-ui", "sans-serif"),
        font_mono=(fonts.LocalFont("IBM Plex Mono", weights=_WEIGHTS), "ui-monospace", "Consolas", "monospace"),
    )
    return base.set(**_SETTINGS)
