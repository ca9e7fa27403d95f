"""Fine-tune on your own CSV: data, settings, the live chart, and the runs so far."""

from __future__ import annotations

from functools import partial
from html import escape
from typing import Any, NamedTuple

import gradio as gr

from bertdemo.mlm.corpus import Dialect, Preview, preview
from bertdemo.mlm.errors import BertDemoError
from bertdemo.mlm.loading import default_learning_rate
from bertdemo.runs.ownership import new_token

from .components.live_chart import live_chart
from .context import PAGE_EVENT, READ_EVENT, Services, user_errors
from .fill_mask_tab import FillMaskTab, refresh_models
from .model_list import model_choices
from .run_form import RunForm, run_request

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "cp1252", "latin-1", "gb18030", "shift_jis")
DELIMITERS = (("comma", ","), ("semicolon", ";"), ("tab", "\t"), ("bar |", "|"), ("none: each line is a text", ""))
AS_DETECTED = "as detected"
DEFAULT_PROBES = (
    "It's okay. I really really [MASK] this show!\n"
    "It sucks! I really really [MASK] this show!\n"
    "It's awesome and full of mystery! I really really [MASK] this show!"
)


class DataView(NamedTuple):
    """What is shown of a file."""

    path: object
    found: object
    column: object
    rows: object


class DataPart(NamedTuple):
    upload: gr.File
    sample: gr.Button
    encoding: gr.Dropdown
    delimiter: gr.Dropdown
    header: gr.Dropdown
    view: DataView


def show_file(
    services: Services, path: str | None, encoding: str, delimiter: str, header: str, column: str | None
) -> DataView:
    """Preview an upload; without one, say what can be done."""
    if not path:
        return _nothing("Choose a CSV file, or try the sample reviews.")
    try:
        with_defaults = _overridden(path, encoding, delimiter, header)
        return _shown(path, preview(path, dialect=with_defaults, column=column or None))
    except BertDemoError as error:
        return _nothing(str(error))


def show_new_file(services: Services, path: str | None) -> DataView:
    """A fresh file is read as detected, whatever was chosen for the one before."""
    return show_file(services, path, AS_DETECTED, AS_DETECTED, AS_DETECTED, None)


def show_sample(services: Services) -> DataView:
    return show_new_file(services, str(services.sample_csv))


def _overridden(path: str, encoding: str, delimiter: str, header: str) -> Dialect | None:
    if {encoding, delimiter, header} == {AS_DETECTED}:
        return None
    found = preview(path).dialect
    return Dialect(
        encoding=found.encoding if encoding == AS_DETECTED else encoding,
        delimiter=found.delimiter if delimiter == AS_DETECTED else delimiter or None,
        quote=found.quote,
        header=found.header if header == AS_DETECTED else header == "yes",
    )


def _shown(path: str, found: Preview) -> DataView:
    choices = list(found.text_columns) or list(found.columns)
    return DataView(
        path=path,
        found=_found_html(found),
        column=gr.Dropdown(choices=choices, value=found.text_column, visible=True),
        rows=gr.Dataframe(
            value=[list(row) for row in found.sample_rows], headers=list(found.columns), visible=bool(found.sample_rows)
        ),
    )


def _nothing(sentence: str) -> DataView:
    return DataView(
        path=None,
        found=f'<p role="status">{escape(sentence)}</p>',
        column=gr.Dropdown(choices=[], value=None, visible=False),
        rows=gr.Dataframe(value=[], visible=False),
    )


def _found_html(found: Preview) -> str:
    """What was detected and how many rows there are, in two lines; "about" where only the beginning was read."""
    delimiter = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "bar", None: "one text a line"}
    report, about = found.report, "" if found.complete else "about "
    dialect = [
        found.dialect.encoding,
        delimiter.get(found.dialect.delimiter, repr(found.dialect.delimiter)),
        "header" if found.dialect.header else "no header",
        f"{about}{report.rows:,} rows",
    ]
    counts = [f"{name} {getattr(report, name):,}" for name in ("used", "empty", "duplicate", "ragged")]
    lines = [f"<strong>{escape(found.name)}</strong>: {escape(', '.join(dialect))}", " · ".join(counts)]
    if found.text_column is None:
        lines.append("No column holds free text, so there is nothing to train on; choose another file.")
    lines += [escape(warning) for warning in report.warnings]
    return '<div role="status">' + "".join(f"<p>{line}</p>" for line in lines) + "</div>"


def start(services: Services, owner: str, path: str | None, column: str | None, *form: Any) -> str:
    """Submit the run; returns its id, which the chart then follows."""
    with user_errors():
        dialect = _overridden(path or "", *form[-3:]) if path else None
        request = run_request(services, RunForm(*form[:-3]), path=path, column=column, dialect=dialect)
        return services.manager.submit(request, owner=owner).run_id


def stop(services: Services, owner: str, run_id: str) -> None:
    with user_errors():
        live = services.manager.live()
        if not live:
            raise gr.Error("No run is at work.", print_exception=False)
        services.manager.stop(run_id if run_id in live else live[0], owner=owner)


def suit_learning_rate(services: Services, model: str) -> float:
    """The learning rate that suits the chosen model."""
    try:
        return default_learning_rate(services.registry.resolve(model or "", allow_folders=services.allow_folders))
    except BertDemoError:
        return default_learning_rate(services.registry.resolve(services.default_model))


def list_runs(services: Services) -> list[list[str]]:
    rows = []
    for run in services.store.list()[:50]:
        summary = run.summary()
        loss = summary["held_out_loss"]
        change = " → ".join("–" if loss[side] is None else f"{loss[side]:.3f}" for side in ("before", "after"))
        rows.append(
            [summary["name"], summary["data"], summary["state"], change, summary["created"][:16].replace("T", " ")]
        )
    return rows


def newest_run(services: Services) -> str:
    """The run to show when a page opens: the one at work, else the newest."""
    live = services.manager.live()
    return live[0] if live else next((run.id for run in services.store.list()), "")


def build_train_tab(demo: gr.Blocks, services: Services, fill_mask: FillMaskTab) -> None:
    owner = gr.BrowserState("", storage_key="bertdemo-owner", secret="bertdemo")
    gr.HTML("<h2>1 Data</h2>", apply_default_css=False)
    data = _build_data()
    gr.HTML("<h2>2 Settings</h2>", apply_default_css=False)
    form = _build_settings(services)
    gr.HTML("<h2>3 Watch</h2>", apply_default_css=False)
    with gr.Row():
        start_button = gr.Button("Start training", variant="primary", elem_id="start-training")
        stop_button = gr.Button("Stop and keep", variant="secondary", elem_id="stop-training")
    chart = live_chart(services.manager)
    gr.HTML("<h2>Runs</h2>", apply_default_css=False)
    table = gr.Dataframe(
        headers=["name", "data", "state", "held-out loss", "started (UTC)"], interactive=False, elem_id="runs"
    )
    _wire_data(services, data)
    form.model.change(partial(suit_learning_rate, services), form.model, form.learning_rate, **PAGE_EVENT)
    inputs = [owner, data.view.path, data.view.column, *form[:-1], data.encoding, data.delimiter, data.header]
    start_button.click(partial(start, services), inputs, chart, **PAGE_EVENT)
    stop_button.click(partial(stop, services), [owner, chart], None, **PAGE_EVENT)
    runs = {"fn": partial(list_runs, services), "outputs": table, **READ_EVENT}
    lists = [fill_mask.models, fill_mask.compared]
    chart.state_changed(**runs).then(partial(refresh_models, services), lists, lists, **PAGE_EVENT)
    demo.load(partial(newest_run, services), None, chart, **READ_EVENT).then(**runs)
    demo.load(_own_token, owner, owner, **PAGE_EVENT)


def _own_token(token: str) -> str:
    """The token that lets this browser, and no other, stop and delete what it started."""
    return token or new_token()


def _build_data() -> DataPart:
    with gr.Row():
        with gr.Column(scale=2):
            upload = gr.File(
                label="A CSV file with a column of texts", file_count="single", elem_id="upload", height=140
            )
            sample = gr.Button("Use the sample reviews", size="sm", elem_id="use-sample")
        with gr.Column(scale=3):
            found = gr.HTML(
                "<p>Choose a CSV file, or try the sample reviews.</p>", elem_id="found", apply_default_css=False
            )
            column = gr.Dropdown([], label="Text column", visible=False, elem_id="text-column")
            with gr.Accordion("Read the file differently", open=False), gr.Row():
                encoding = gr.Dropdown([AS_DETECTED, *ENCODINGS], value=AS_DETECTED, label="Encoding")
                delimiter = gr.Dropdown([(AS_DETECTED, AS_DETECTED), *DELIMITERS], value=AS_DETECTED, label="Delimiter")
                header = gr.Dropdown([AS_DETECTED, "yes", "no"], value=AS_DETECTED, label="First row is a header")
    rows = gr.Dataframe(visible=False, interactive=False, wrap=True, max_height=260, elem_id="preview")
    return DataPart(upload, sample, encoding, delimiter, header, DataView(gr.State(None), found, column, rows))


def _build_settings(services: Services) -> RunForm:
    with gr.Row():
        model = gr.Dropdown(
            model_choices(services), value=services.default_model, label="Start from", allow_custom_value=True
        )
        epochs = gr.Number(3, label="Epochs", info="How often every row is read.", precision=0)
        rate = suit_learning_rate(services, services.default_model)
        learning_rate = gr.Number(rate, label="Learning rate", info="How far each step moves the weights.")
    with gr.Accordion("More settings", open=False):
        with gr.Row():
            batch_size = gr.Number(16, label="Batch size", info="Rows per step, on average.", precision=0)
            max_length = gr.Number(
                256, label="Maximum length", info="Tokens per row; longer rows are cut.", precision=0
            )
            mask_rate = gr.Slider(0.01, 0.9, value=0.15, step=0.01, label="Mask rate", info="Share of tokens hidden.")
        with gr.Row():
            limit = gr.Number(None, label="Rows at most", info="Empty: all of them.", precision=0)
            seed = gr.Number(0, label="Seed", info="The same seed draws the same masks.", precision=0)
            name = gr.Textbox("", label="Name of the run", max_length=80)
        probes = gr.Textbox(
            DEFAULT_PROBES, label="Sentences to watch while training", lines=3, info="One a line, each with [MASK]."
        )
        watch = gr.Textbox("", label="Words to follow in them", info="Separated by commas; else the first guesses.")
    return RunForm(model, epochs, learning_rate, batch_size, max_length, mask_rate, limit, seed, name, probes, watch)


def _wire_data(services: Services, data: DataPart) -> None:
    view = list(data.view)
    data.upload.change(partial(show_new_file, services), data.upload, view, **PAGE_EVENT)
    data.sample.click(partial(show_sample, services), None, view, **PAGE_EVENT)
    again = partial(show_file, services)
    choices = [data.view.path, data.encoding, data.delimiter, data.header]
    gr.on(
        [data.encoding.input, data.delimiter.input, data.header.input],
        lambda *chosen: again(*chosen, None),
        choices,
        view,
        **PAGE_EVENT,
    )
    data.view.column.input(again, [*choices, data.view.column], view, **PAGE_EVENT)
