"""A Plotly figure on the page that is drawn anew in place: nothing flickers or jumps when an answer follows another.

``gr.Plot`` builds its whole node again with every value and loads a Plotly of its own. Here the node stays, its height
is known before the picture is, its letters and grid take the page's colours, and it can be saved as a PNG file.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import plotly

if TYPE_CHECKING:
    import plotly.graph_objects as go

PLOTLY_JS = Path(plotly.__file__).with_name("package_data") / "plotly.min.js"

_HERE = Path(__file__).parent


def plotly_source() -> str:
    """The address, relative to the page, of the Plotly.js that comes with the Python package; a route of our own."""
    return f"plotly-{plotly.__version__}.min.js"


def scripts(*names: str) -> str:
    """Scripts (paths from this folder) as one; each uses only those before it."""
    return "\n".join((_HERE / name).read_text(encoding="utf-8") for name in names)


def figure(*, elem_id: str | None = None, elem_classes: Sequence[str] = ()) -> gr.HTML:
    """The component; give it :func:`figure_value`, or None to show nothing."""
    # Further props of a gr.HTML are lost where its first value comes before it is mounted, so the script knows it.
    source = f"const PLOTLY_SOURCE = {json.dumps(plotly_source())};"
    return gr.HTML(
        None,
        html_template=(_HERE / "plot.html").read_text(encoding="utf-8"),
        js_on_load=f"{source}\n{scripts('load_plotly.js', 'plot.js')}",
        apply_default_css=False,
        elem_id=elem_id,
        elem_classes=["plot", *elem_classes],
    )


def figure_value(drawn: go.Figure, *, label: str, file: str) -> dict[str, Any]:
    """``label`` says what the picture is to who cannot see it; ``file`` names the saved picture.

    A figure needs a height; one with a width needs at least that much room, and a narrow page scrolls it.
    """
    record = json.loads(drawn.to_json())
    return {"data": record["data"], "layout": record["layout"], "label": label, "file": file}
