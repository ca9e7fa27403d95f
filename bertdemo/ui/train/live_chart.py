"""The live chart of a training run: a ``gr.HTML`` that draws with Plotly.js in the browser and asks for news by itself.

``gr.Plot`` would send and rebuild the whole figure at every update. Here the page is given a run's id as the
component's value; its script keeps a cursor, calls ``poll`` and appends what is new, so zoom survives and nothing is
remounted. What an answer holds is the business of ``live_feed``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from bertdemo.mlm.errors import RunError
from bertdemo.ui.train.live_feed import live_payload, refused, requested

from ..plot import plotly_source, scripts

if TYPE_CHECKING:
    from bertdemo.runs.manager import RunManager

_HERE = Path(__file__).parent
_SCRIPTS = ("load_plotly.js", *(f"train/live_{part}.js" for part in ("series", "figure", "probes", "chart")))


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

    return gr.HTML(
        run_id,
        html_template=(_HERE / "live_chart.html").read_text(encoding="utf-8"),
        js_on_load=scripts(*_SCRIPTS),
        server_functions=[poll],
        apply_default_css=False,
        elem_classes=["live-chart"],
        label="Training run",
        plotly_src=plotly_source(),
    )
