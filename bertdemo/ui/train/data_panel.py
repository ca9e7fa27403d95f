"""The first part of the Train tab: choose a file, see how it was read and what is in it, correct that if need be.

Every upload is read again on the server at each change; the page keeps only where it lies. Starts nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from html import escape
from pathlib import Path
from typing import NamedTuple

import gradio as gr

from bertdemo.mlm.data.corpus import DataReport, Dialect, Preview, chosen_dialect, preview
from bertdemo.mlm.errors import BertDemoError, DataError

from ..services import READ_EVENT, Services
from .data_preview import preview_html

ENCODINGS = (
    *("utf-8", "utf-8-sig", "utf-16", "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1256", "koi8-r"),
    *("gb18030", "big5", "cp932", "cp949", "cp850", "cp852", "cp866", "mac_roman"),
)
DELIMITERS = (("comma", ","), ("semicolon", ";"), ("tab", "\t"), ("bar |", "|"), ("none: each line is a text", ""))
AS_DETECTED = "as detected"
_SHOWN_NAMES = {"utf-8": "UTF-8", "utf-8-sig": "UTF-8 with a mark in front", "ascii": "ASCII", "cp1252": "Windows-1252"}
_NO_TEXT = "No column holds free text, so there is nothing to train on; choose a file with sentences."
_WAITING = "Choose a CSV file, or use the sample reviews."


class FileReading(NamedTuple):
    """How the file is read: dropdowns when built, what was chosen in them when submitted."""

    encoding: object = AS_DETECTED
    delimiter: object = AS_DETECTED
    header: object = AS_DETECTED

    def dialect(self, path: str) -> Dialect | None:
        """What was chosen over what would be detected; None where nothing was. Raises DataError."""
        encoding, delimiter, header = (None if chosen == AS_DETECTED else str(chosen) for chosen in self)
        return chosen_dialect(path, encoding, delimiter, None if header is None else header == "yes")


class DataView(NamedTuple):
    """What is shown of a file: components when built, their values when returned.

    The server remembers the ``path``, the page the ``name``; see :func:`held`.
    """

    path: object
    name: object
    found: object
    column: object
    rows: object


class DataPanel(NamedTuple):
    """The components that other parts of the tab read."""

    upload: gr.File
    sample: gr.Button
    reading: FileReading
    view: DataView
    too_long: gr.HTML


@dataclass(frozen=True)
class Described:
    """A file in words, with the columns to choose from; ``column`` None: there is nothing to train on."""

    path: str | None
    found: str
    columns: tuple[str, ...] = ()
    column: str | None = None
    rows: str = ""

    def view(self) -> DataView:
        column = gr.Dropdown(choices=list(self.columns), value=self.column, visible=bool(self.columns))
        return DataView(self.path, name_on_page(self.path), self.found, column, self.rows)


def name_on_page(path: str | None) -> str:
    """What a page calls its file: with the folder, which Gradio names after what an upload holds, since somebody's
    file may be called as the sample is.

    >>> name_on_page("/tmp/gradio/77ab/reviews.csv")
    '77ab/reviews.csv'
    """
    return "/".join(Path(path or "").parts[-2:])


def held(path: str | None, name: str) -> str | None:
    """The path of the file that a page shows. Raises DataError where the server has forgotten it.

    It forgets a page that sleeps for an hour, all pages when it starts again, and of very many the one that asked for
    nothing longest, be it that it watched a run; it would then take the sample for that page's file.
    """
    if name and name_on_page(path) != name:
        file = Path(name).name
        raise DataError(
            f"The server has forgotten this page's file {file!r}, after a long sleep, a restart or very many visitors;"
            " choose it again."
        )
    return path


def describe(path: str | None, reading: FileReading, column: str | None) -> Described:
    """Preview an upload; what is wrong with it is said in place."""
    if not path:
        return Described(None, _status([escape(_WAITING)]))
    try:
        found = preview(path, dialect=reading.dialect(path), column=column or None)
    except BertDemoError as error:
        said = _status([f"<strong>{escape(str(error))}</strong>"])
        # Where it is the column that is wrong, the others are there to choose from.
        return replace(describe(path, reading, None), found=said) if column else Described(path, said)
    columns = found.text_columns or found.columns
    return Described(path, found_html(found), tuple(columns), found.text_column, preview_html(found))


def show_again(
    path: str | None, name: str, encoding: str, delimiter: str, header: str, column: str | None = None
) -> DataView:
    """The same file, read differently or with another column."""
    try:
        return describe(held(path, name), FileReading(encoding, delimiter, header), column).view()
    except DataError as error:
        return Described(None, _status([f"<strong>{escape(str(error))}</strong>"])).view()


def show_new(services: Services, path: str | None) -> list[object]:
    """A fresh file, read as detected whatever was chosen for the one before; without one, the sample."""
    described = describe(path or str(services.sample_csv), FileReading(), None)
    return [*FileReading(), *described.view()]


def show_sample(services: Services) -> list[object]:
    return [None, *show_new(services, None)]


def found_html(found: Preview) -> str:
    """How the file was read and what became of its rows; "about" where only the beginning was read."""
    about = "" if found.complete else "about "
    dialect = [
        _SHOWN_NAMES.get(found.dialect.encoding, found.dialect.encoding),
        _delimiter_name(found.dialect.delimiter),
        "header" if found.dialect.header else "no header",
        f"{about}{found.rows:,} rows",
    ]
    lines = [f"<strong>{escape(found.name)}</strong> <span>{escape(', '.join(dialect))}</span>"]
    if found.text_column is None:
        return _status([*lines, f"<strong>{_NO_TEXT}</strong>", *map(escape, found.report.warnings)])
    return _status([*lines, _counts(found.report, about=about), *map(escape, found.report.warnings)])


def _counts(report: DataReport, *, about: str) -> str:
    """ "used 4,101 · empty 46 · duplicate 35", and the rows with too many or too few fields if there are any."""
    names = ["used", "empty", "duplicate", *(["ragged"] if report.ragged else [])]
    counts = " · ".join(f"{name} <b>{about}{getattr(report, name):,}</b>" for name in names)
    return f'<span class="counts">{counts}</span>'


def _delimiter_name(delimiter: str | None) -> str:
    names = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "bar", None: "one text a line"}
    return names.get(delimiter, repr(delimiter))


def _status(lines: list[str]) -> str:
    """Lines that are HTML already, announced to a screen reader when they change."""
    return f'<div role="status">{"".join(f"<p>{line}</p>" for line in lines)}</div>'


def build_data_panel(services: Services) -> DataPanel:
    """The sample is chosen at first, so that Start works at once."""
    first = describe(str(services.sample_csv), FileReading(), None)
    with gr.Row(elem_classes="data-row"):
        with gr.Column(scale=2, min_width=280):
            upload = gr.File(label="Your CSV file", file_count="single", elem_id="upload", height=170)
            sample = gr.Button("Use the sample reviews", size="sm", elem_id="use-sample")
        with gr.Column(scale=3, min_width=280):
            found = gr.HTML(first.found, elem_id="found", apply_default_css=False)
            too_long = gr.HTML(elem_id="too-long", apply_default_css=False)
            column = gr.Dropdown(
                list(first.columns),
                value=first.column,
                label="Text column",
                info="The model learns from these texts; the other columns are not used.",
                visible=bool(first.columns),
                allow_custom_value=True,  # for a page that the server has forgotten, whose columns it no longer knows
                elem_id="text-column",
            )
            reading = _build_reading()
    rows = gr.HTML(first.rows, elem_id="preview", apply_default_css=False)
    view = DataView(gr.State(first.path), gr.Textbox(visible=False), found, column, rows)
    panel = DataPanel(upload, sample, reading, view, too_long)
    _wire(services, panel)
    return panel


def _build_reading() -> FileReading:
    with gr.Accordion("Read the file differently", open=False), gr.Row():
        return FileReading(
            gr.Dropdown([AS_DETECTED, *ENCODINGS], value=AS_DETECTED, label="Encoding", min_width=120),
            gr.Dropdown([AS_DETECTED, *DELIMITERS], value=AS_DETECTED, label="Delimiter", min_width=120),
            gr.Dropdown([AS_DETECTED, "yes", "no"], value=AS_DETECTED, label="First row is a header", min_width=120),
        )


def _wire(services: Services, panel: DataPanel) -> None:
    view = list(panel.view)
    fresh = [*panel.reading, *view]
    last = {**READ_EVENT, "trigger_mode": "always_last"}  # whoever is quick must not be left with the file before
    gr.on([panel.upload.upload, panel.upload.clear], partial(show_new, services), panel.upload, fresh, **last)
    panel.sample.click(partial(show_sample, services), None, [panel.upload, *fresh], **READ_EVENT)
    choices = [panel.view.path, panel.view.name, *panel.reading]
    gr.on([choice.input for choice in panel.reading], show_again, choices, view, **last)
    panel.view.column.input(show_again, [*choices, panel.view.column], view, **last)
