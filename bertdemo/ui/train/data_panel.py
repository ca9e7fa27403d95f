"""The first part of the Train tab: choose a file, see how it was read and what is in it, correct that if need be.

Every upload is read again on the server at each change; the page keeps only where it lies. Starts nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
from gradio.blocks import Block

from bertdemo.mlm.data.corpus import DataReport, Dialect, Preview, chosen_dialect, preview
from bertdemo.mlm.errors import BertDemoError, DataError

from ..services import READ_EVENT, Services, Updates
from .data_preview import preview_html

ENCODINGS = (
    *("utf-8", "utf-8-sig", "utf-16", "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1256", "koi8-r"),
    *("gb18030", "big5", "cp932", "cp949", "cp850", "cp852", "cp866", "mac_roman"),
)
DELIMITERS = (
    ("comma", ","),
    ("semicolon", ";"),
    ("tab", "\t"),
    ("bar |", "|"),
    ("none: each line is a text", ""),
    ("none: each paragraph is a text", "paragraph"),
)
AS_DETECTED = "as detected"
_SHOWN_NAMES = {"utf-8": "UTF-8", "utf-8-sig": "UTF-8", "ascii": "ASCII", "cp1252": "Windows-1252"}
_NO_TEXT = (
    "No column holds free text, so there is nothing to train on (one that repeats the same few texts counts as none);"
    " choose a file with different sentences."
)
_WAITING = "Choose a file, or use the sample reviews."
_FORMATS = {"json": "JSON", "excel": "Excel", "parquet": "Parquet"}


class Reading(NamedTuple):
    """How the file is read."""

    encoding: gr.Dropdown
    delimiter: gr.Dropdown
    header: gr.Dropdown


class DataPanel(NamedTuple):
    """The server remembers the ``path``, the page the ``name``; see :func:`held`."""

    upload: gr.File
    sample: gr.Button
    path: gr.State
    name: gr.Textbox
    found: gr.HTML
    too_long: gr.HTML
    column: gr.Dropdown
    rows: gr.HTML
    reading: Reading

    @property
    def view(self) -> list[Block]:
        """What is shown of a file."""
        return [self.path, self.name, self.found, self.column, self.rows]

    @property
    def chosen(self) -> dict[str, Block]:
        """What says which file is read, and how: the arguments of :func:`chosen_file`."""
        return {"path": self.path, "file": self.name, "column": self.column, **self.reading._asdict()}

    def filled(self, described: Described) -> Updates:
        return {
            self.path: described.path,
            self.name: name_on_page(described.path),
            self.found: described.found,
            self.column: gr.Dropdown(
                choices=list(described.columns), value=described.column, visible=bool(described.columns)
            ),
            self.rows: described.rows,
        }


@dataclass(frozen=True)
class Described:
    """A file in words, with the columns to choose from; ``column`` None: there is nothing to train on."""

    path: str | None
    found: str
    columns: tuple[str, ...] = ()
    column: str | None = None
    rows: str = ""


@dataclass(frozen=True)
class ChosenFile:
    """The file that a page shows, its text column, and what was chosen over how it would be read by itself."""

    path: str | None
    column: str | None = None
    encoding: str = AS_DETECTED
    delimiter: str = AS_DETECTED
    header: str = AS_DETECTED

    def dialect(self) -> Dialect | None:
        """None where nothing was chosen. Raises DataError."""
        if not self.path:
            return None
        chosen = (self.encoding, self.delimiter, self.header)
        encoding, delimiter, header = (None if choice == AS_DETECTED else choice for choice in chosen)
        return chosen_dialect(self.path, encoding, delimiter, None if header is None else header == "yes")


def chosen_file(*, path: str | None, file: str, column: str | None = None, **reading: str) -> ChosenFile:
    """What the fields of the panel hold; ``file`` is the file's name on the page. Raises DataError."""
    return ChosenFile(held(path, file), column or None, **reading)


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


def describe(file: ChosenFile) -> Described:
    """Preview an upload; what is wrong with it is said in place."""
    if not file.path:
        return Described(None, _status([escape(_WAITING)]))
    try:
        found = preview(file.path, dialect=file.dialect(), column=file.column)
    except BertDemoError as error:
        said = _wrong(error)
        # Where it is the column that is wrong, the others are there to choose from.
        return replace(describe(replace(file, column=None)), found=said) if file.column else Described(file.path, said)
    columns = found.text_columns or found.columns
    return Described(file.path, found_html(found), tuple(columns), found.text_column, preview_html(found))


def show_again(panel: DataPanel, **chosen: Any) -> Updates:
    """The same file, read differently or with another column."""
    try:
        return panel.filled(describe(chosen_file(**chosen)))
    except DataError as error:
        return panel.filled(Described(None, _wrong(error)))


def show_new(services: Services, panel: DataPanel, path: str | None) -> Updates:
    """A fresh file, read as detected whatever was chosen for the one before; without one, the sample."""
    as_detected: Updates = dict.fromkeys(panel.reading, AS_DETECTED)
    return as_detected | panel.filled(describe(ChosenFile(path or str(services.sample_csv))))


def show_sample(services: Services, panel: DataPanel) -> Updates:
    return {panel.upload: None, **show_new(services, panel, None)}


def found_html(found: Preview) -> str:
    """How the file was read and what became of its rows; "about" where only the beginning was read."""
    about = "" if found.complete else "about "
    how = found.dialect.named()
    parts = [_FORMATS.get(how["format"]), _SHOWN_NAMES.get(how["encoding"], how["encoding"])]
    parts += [_delimiter_name(found.dialect)] if found.dialect.format == "csv" else []
    parts += [] if how["header"] is None else ["header" if how["header"] else "no header"]
    dialect = [*filter(None, parts), f"{about}{found.rows:,} rows"]
    lines = [f"<strong>{escape(found.name)}</strong> <span>{escape(', '.join(dialect))}</span>"]
    if found.text_column is None:
        return _status([*lines, f"<strong>{_NO_TEXT}</strong>", *map(escape, found.report.warnings)])
    return _status([*lines, _counts(found.report, about=about), *map(escape, found.report.warnings)])


def _counts(report: DataReport, *, about: str) -> str:
    """ "used 4,101 · empty 46 · duplicate 35", and the rows with too many or too few fields if there are any."""
    named = {"used": "used", "empty": "empty", "duplicate": "duplicate"}
    named |= {"ragged": "with too many or too few fields"} if report.ragged else {}
    counts = " · ".join(f"{words} <b>{about}{getattr(report, name):,}</b>" for name, words in named.items())
    return f'<span class="counts">{counts}</span>'


def _delimiter_name(dialect: Dialect) -> str:
    names = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "bar", None: f"one text a {dialect.rows_are}"}
    return names.get(dialect.delimiter, repr(dialect.delimiter))


def _status(lines: list[str]) -> str:
    """Lines that are HTML already, announced to a screen reader when they change."""
    return f'<div role="status">{"".join(f"<p>{line}</p>" for line in lines)}</div>'


def _wrong(error: BertDemoError) -> str:
    return _status([f"<strong>{escape(str(error))}</strong>"])


def build_data_panel(services: Services) -> DataPanel:
    """The sample is chosen at first, so that Start works at once."""
    first = describe(ChosenFile(str(services.sample_csv)))
    with gr.Row(elem_classes="data-row"):
        with gr.Column(scale=2, min_width=280):
            upload = gr.File(label="Your file", file_count="single", elem_id="upload", height=130)
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
    with gr.Accordion("The first rows", open=False, elem_id="first-rows"):
        rows = gr.HTML(first.rows, elem_id="preview", apply_default_css=False)
    path, name = gr.State(first.path), gr.Textbox(visible=False)
    panel = DataPanel(upload, sample, path, name, found, too_long, column, rows, reading)
    _wire(services, panel)
    return panel


def _build_reading() -> Reading:
    with gr.Accordion("Read the file differently", open=False), gr.Row():
        return Reading(
            gr.Dropdown([AS_DETECTED, *ENCODINGS], value=AS_DETECTED, label="Encoding", min_width=120),
            gr.Dropdown([AS_DETECTED, *DELIMITERS], value=AS_DETECTED, label="Delimiter", min_width=120),
            gr.Dropdown([AS_DETECTED, "yes", "no"], value=AS_DETECTED, label="First row is a header", min_width=120),
        )


def _wire(services: Services, panel: DataPanel) -> None:
    fresh = [*panel.reading, *panel.view]
    last = {**READ_EVENT, "trigger_mode": "always_last"}  # whoever is quick must not be left with the file before
    gr.on([panel.upload.upload, panel.upload.clear], partial(show_new, services, panel), panel.upload, fresh, **last)
    panel.sample.click(partial(show_sample, services, panel), None, [panel.upload, *fresh], **READ_EVENT)
    again = {"fn": partial(show_again, panel), "outputs": panel.view, **last}
    differently = {name: part for name, part in panel.chosen.items() if part is not panel.column}
    gr.on([choice.input for choice in panel.reading], inputs_kwargs=differently, **again)
    panel.column.input(inputs_kwargs=panel.chosen, **again)
