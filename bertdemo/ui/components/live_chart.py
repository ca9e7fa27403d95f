"""The live chart of a training run: a ``gr.HTML`` that draws with Plotly.js in the browser and asks for news by itself.

``gr.Plot`` would send and rebuild the whole figure at every update. Here the page is given a run's id as the
component's value; its script keeps a cursor, calls ``poll`` and appends what is new, so zoom survives and nothing is
remounted. What an answer holds is the business of ``live_feed``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import gradio as gr
import plotly

from bertdemo.mlm.errors import RunError
from bertdemo.ui.live_feed import live_payload, refused, requested

if TYPE_CHECKING:
    from bertdemo.runs.manager import RunManager

PLOTLY_JS = Path(plotly.__file__).with_name("package_data") / "plotly.min.js"

_HERE = Path(__file__).parent
_SCRIPTS = ("live_series.js", "live_figure.js", "live_probes.js", "live_chart.js")  # each uses only those before it


def live_chart(manager: RunManager, *, run_id: str = "") -> gr.HTML:
    """The chart, following ``run_id`` ("" for none yet); give it another run by returning that run's id as its value.

    It fires ``state_changed`` with ``run_id`` and ``state`` whenever the run it follows enters another state, the first
    one seen included: ``chart.state_changed(handler, ...)`` with a ``gr.EventData`` parameter.
    """

    def poll(data: Any) -> dict[str, Any]:
        try:
            asked_run, cursor = requested(data)
        except RunError as error:
            return refused(str(error))
        return live_payload(manager, asked_run, cursor)

    gr.set_static_paths([PLOTLY_JS])
    return gr.HTML(
        run_id,
        html_template=(_HERE / "live_chart.html").read_text(encoding="utf-8"),
        js_on_load="\n".join((_HERE / name).read_text(encoding="utf-8") for name in _SCRIPTS),
        server_functions=[poll],
        apply_default_css=False,
        elem_classes=["live-chart"],
        label="Training run",
        plotly_src=f"gradio_api/file={quote(PLOTLY_JS.as_posix())}",
    )
