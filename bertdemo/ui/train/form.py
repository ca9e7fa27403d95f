"""The second part of the Train tab: the settings of a run as fields, two sets of values to begin with, and the request
that they make with the chosen file.

What a setting is called, may be and means is described once, in ``bertdemo.mlm.settings``; here is how its field looks.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import gradio as gr
from gradio.blocks import Block

from bertdemo.mlm.data.corpus import Dialect
from bertdemo.mlm.errors import BertDemoError, DataError, SettingsError
from bertdemo.mlm.models.loading import default_learning_rate
from bertdemo.mlm.settings import NOTEBOOK, NOTEBOOK_ROWS, SETTINGS, TrainingConfig, config_values, configure
from bertdemo.mlm.training.replay import GENERAL
from bertdemo.runs.record import RunRequest

from ..download import build_download
from ..services import READ_EVENT, Services, Updates, model_choices
from .data_panel import chosen_file

MAX_PROBES = 10
MAX_WATCHED = 20  # words: each is scored in every probe, some forty times a run
DEFAULT_PROBES = (
    "It's okay. I really really [MASK] this show!\n"
    "It sucks! I really really [MASK] this show!\n"
    "It's awesome and full of mystery! I really really [MASK] this show!"
)
PRESET = (  # what a preset fills in
    *("epochs", "learning_rate", "batch_size", "max_length", "long_texts", "mask_rate", "whole_words", "limit"),
    *("new_words", "patience", "evaluate_every", "replay", "replay_share"),
)

Fields: TypeAlias = dict[str, Block]  # by the names in SETTINGS; and "model" and "name"


def run_request(
    services: Services,
    values: Mapping[str, object],
    *,
    path: str | Path | None,
    model: object,
    column: str | None = None,
    dialect: Dialect | None = None,
    name: object = "",
) -> RunRequest:
    """From what was typed into a form, or sent by a program: ``values`` by the names in SETTINGS.

    Raises DataError without a file, SettingsError for values that cannot be, ModelError for no model.
    """
    if not path:
        raise DataError("There is no data yet; upload a file, or use the sample reviews.")
    ref = services.resolve(str(model or ""))
    replay = _general_texts(values.get("replay"))
    config = configure({**values, "replay": replay}, base=TrainingConfig(learning_rate=default_learning_rate(ref)))
    if len(config.probes) > MAX_PROBES:
        raise SettingsError(f"At most {MAX_PROBES} sentences can be watched, but there are {len(config.probes)}.")
    if len(config.watch) > MAX_WATCHED:
        raise SettingsError(f"At most {MAX_WATCHED} words can be followed, but there are {len(config.watch)}.")
    limit = values.get("limit")
    return RunRequest(
        data=Path(path),
        settings=config,
        model=str(model),
        column=column or None,
        dialect=dialect,
        limit=None if limit is None or not str(limit).strip() else SETTINGS["limit"].parse(limit),
        replay=replay,
        name=str(name or ""),
        data_name=Path(path).name,
    )


def _general_texts(chosen: object) -> str | None:
    """What is mixed in, by the switch on the page or by a program's word for it. Raises SettingsError."""
    if not chosen:
        return None
    if chosen not in (True, GENERAL):  # a path here would let anybody read the server's files
        raise SettingsError(f"Only {GENERAL!r} texts can be mixed in from here; a file takes the command line.")
    return GENERAL


def request_of(  # noqa: PLR0913 - one argument for each field of the data panel
    services: Services,
    /,
    *,
    path: str | None,
    file: str,
    column: str | None,
    encoding: str,
    delimiter: str,
    header: str,
    model: str,
    name: str,
    **values: object,
) -> RunRequest:
    """What Start submits: the fields of the data panel, and those of the settings by their names."""
    reading = {"encoding": encoding, "delimiter": delimiter, "header": header}
    chosen = chosen_file(path=path, file=file, column=column, **reading)
    if chosen.path and not chosen.column:
        raise DataError("There is nothing to train on yet; choose a file with a column of texts.")
    return run_request(
        services, values, model=model, name=name, path=chosen.path, column=chosen.column, dialect=chosen.dialect()
    )


def suit_learning_rate(services: Services, model: str) -> float:
    """The learning rate that suits the chosen model, or the page's first model while there is no such one."""
    try:
        return default_learning_rate(services.resolve(model))
    except BertDemoError:
        return default_learning_rate(services.registry.resolve(services.default_model))


def notebook_preset(fields: Fields) -> Updates:
    return _preset(fields, config_values(NOTEBOOK, limit=NOTEBOOK_ROWS))


def usual_preset(services: Services, fields: Fields, model: str) -> Updates:
    return _preset(fields, _usual(services, model))


def _usual(services: Services, model: str) -> dict[str, Any]:
    return config_values(TrainingConfig(learning_rate=suit_learning_rate(services, model)))


def _preset(fields: Fields, values: Mapping[str, Any]) -> Updates:
    empty = {name: False if isinstance(fields[name], gr.Checkbox) else "" for name in PRESET}
    return {fields[name]: empty[name] if values[name] is None else values[name] for name in PRESET}


def build_form(services: Services) -> Fields:
    usual = _usual(services, services.default_model)
    with gr.Row(elem_classes="settings-row"):
        model = gr.Dropdown(
            model_choices(services),
            value=services.default_model,
            label="Start from",
            info="A copy of this model is trained; the model itself stays as it is.",
            allow_custom_value=True,
            min_width=260,
            scale=2,
        )
        fields: Fields = {"model": model, "epochs": _number("epochs", usual, min_width=130)}
        fields["learning_rate"] = _number("learning_rate", usual, min_width=130, step=1e-5, elem_id="learning-rate")
    build_download(services, model)
    with gr.Row(elem_classes="presets"):
        notebook = gr.Button("As in the notebook", size="sm", elem_id="as-in-the-notebook")
        defaults = gr.Button("Back to the usual settings", size="sm")
    with gr.Accordion("More settings", open=False):
        fields |= _build_rarer_fields(usual)
    filled = [fields[name] for name in PRESET]
    notebook.click(partial(notebook_preset, fields), None, filled, **READ_EVENT)
    defaults.click(partial(usual_preset, services, fields), model, filled, **READ_EVENT)
    model.input(partial(suit_learning_rate, services), model, fields["learning_rate"], **READ_EVENT)
    return fields


def _build_rarer_fields(usual: Mapping[str, Any]) -> Fields:
    with gr.Row():
        batch_size = _number("batch_size", usual, min_width=150)
        max_length = _number("max_length", usual, min_width=150)
        long_texts = gr.Dropdown(
            [("split into pieces, all read", "split"), ("cut: only the beginning", "cut")],
            value=usual["long_texts"],
            label=SETTINGS["long_texts"].label,
            info="Those over the maximum length.",
            min_width=180,
        )
        rate = SETTINGS["mask_rate"]
        mask_rate = gr.Slider(
            *(0.01, 0.9),
            value=rate.default,
            step=0.01,
            label=rate.label,
            info=f"{rate.help} {rate.default:g} is usual.",
            min_width=220,
        )
    with gr.Row():
        # not a Number: on the page an empty one turns into 0
        limit = _text("limit", info="Empty: all of them.", max_lines=1, min_width=150)
        seed = _number("seed", usual, min_width=150)
        name = gr.Textbox(
            "", label="Name of the run", info="Empty: the name of the file.", max_length=80, min_width=220
        )
    switches = _build_switches(usual)
    probe = _text("probe", DEFAULT_PROBES, info="One a line, each with a [MASK].", lines=3)
    watch = _text("watch", info="Separated by commas. Empty: the likeliest words of each moment.")
    fields: Fields = {"batch_size": batch_size, "max_length": max_length, "mask_rate": mask_rate, "limit": limit}
    fields["long_texts"] = long_texts
    return {**fields, **switches, "seed": seed, "name": name, "probe": probe, "watch": watch}


def _build_switches(usual: Mapping[str, Any]) -> Fields:
    """What is off by default; in columns, since a switch alone would be squeezed on a phone."""
    fields: Fields = {}
    with gr.Row():
        with gr.Column(min_width=220):
            words = SETTINGS["whole_words"]
            fields["whole_words"] = gr.Checkbox(False, label=words.label, info=words.help)
        with gr.Column(min_width=220):
            fields["patience"] = _number("patience", usual)
        with gr.Column(min_width=220):
            fields["new_words"] = _number("new_words", usual)
        with gr.Column(min_width=220):
            info = "Besides every epoch's end. Empty: only then."
            fields["evaluate_every"] = _text("evaluate_every", info=info, max_lines=1)
    with gr.Row():
        with gr.Column(min_width=280):
            info = "Paragraphs of all kinds, so that an English model forgets less of what it knew."
            fields["replay"] = gr.Checkbox(False, label="Mix in general English", info=info)
        with gr.Column(min_width=280):
            share = SETTINGS["replay_share"]
            fields["replay_share"] = gr.Slider(
                0.01, 0.9, value=share.default, step=0.01, label=share.label, info=share.help
            )
    return fields


def _number(name: str, usual: Mapping[str, Any], **look: Any) -> gr.Number:
    return gr.Number(usual[name], label=SETTINGS[name].label, info=SETTINGS[name].help, **look)


def _text(name: str, value: str = "", **look: Any) -> gr.Textbox:
    return gr.Textbox(value, label=SETTINGS[name].label, **look)
