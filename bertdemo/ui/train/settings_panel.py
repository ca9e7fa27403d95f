"""The second part of the Train tab: what a run can be told, with plain help, and two sets of values to begin with."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import gradio as gr

from bertdemo.mlm.errors import BertDemoError
from bertdemo.mlm.models.loading import default_learning_rate
from bertdemo.mlm.settings import NOTEBOOK, NOTEBOOK_ROWS, TrainingConfig

from ..services import READ_EVENT, Services, model_choices
from .run_form import RunForm

DEFAULT_PROBES = (
    "It's okay. I really really [MASK] this show!\n"
    "It sucks! I really really [MASK] this show!\n"
    "It's awesome and full of mystery! I really really [MASK] this show!"
)


class Preset(NamedTuple):
    """The settings that a preset fills in, in the order of the components."""

    epochs: object
    learning_rate: object
    batch_size: object
    max_length: object
    mask_rate: object
    limit: object

    @classmethod
    def of(cls, config: TrainingConfig, *, limit: int | None) -> Preset:
        rate = config.masking.selection_rate
        return cls(config.epochs, config.learning_rate, config.batch_size, config.max_length, rate, limit)


def suit_learning_rate(services: Services, model: str) -> float:
    """The learning rate that suits the chosen model, or the page's first model while there is no such one."""
    try:
        return default_learning_rate(services.registry.resolve(model or "", allow_folders=services.allow_folders))
    except BertDemoError:
        return default_learning_rate(services.registry.resolve(services.default_model))


def notebook_preset() -> Preset:
    return Preset.of(NOTEBOOK, limit=NOTEBOOK_ROWS)


def usual_preset(services: Services, model: str) -> Preset:
    return Preset.of(TrainingConfig(learning_rate=suit_learning_rate(services, model)), limit=None)


def build_settings_panel(services: Services) -> RunForm:
    usual = usual_preset(services, services.default_model)
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
        epochs = gr.Number(usual.epochs, label="Epochs", info="How often every row is read.", min_width=130)
        learning_rate = gr.Number(
            usual.learning_rate,
            label="Learning rate",
            info="How far each step moves the weights.",
            min_width=130,
            step=1e-5,
            elem_id="learning-rate",
        )
    with gr.Row(elem_classes="presets"):
        notebook = gr.Button("As in the notebook", size="sm", elem_id="as-in-the-notebook")
        defaults = gr.Button("Back to the usual settings", size="sm")
    with gr.Accordion("More settings", open=False):
        form = _build_rarer_settings(usual, model=model, epochs=epochs, learning_rate=learning_rate)
    values = [getattr(form, name) for name in Preset._fields]
    notebook.click(notebook_preset, None, values, **READ_EVENT)
    defaults.click(partial(usual_preset, services), model, values, **READ_EVENT)
    model.input(partial(suit_learning_rate, services), model, learning_rate, **READ_EVENT)
    return form


def _build_rarer_settings(usual: Preset, *, model: gr.Dropdown, epochs: gr.Number, learning_rate: gr.Number) -> RunForm:
    with gr.Row():
        batch_size = gr.Number(usual.batch_size, label="Batch size", info="Rows per step, on average.", min_width=150)
        max_length = gr.Number(
            usual.max_length, label="Maximum length", info="Tokens per row; longer rows are cut.", min_width=150
        )
        mask_rate = gr.Slider(
            *(0.01, 0.9),
            value=usual.mask_rate,
            step=0.01,
            label="Mask rate",
            info="The share of tokens that is hidden; 0.15 is usual.",
            min_width=220,
        )
    with gr.Row():
        # not a Number: on the page an empty one turns into 0
        limit = gr.Textbox("", label="Rows at most", info="Empty: all of them.", max_lines=1, min_width=150)
        seed = gr.Number(0, label="Seed", info="The same seed draws the same masks.", min_width=150)
        name = gr.Textbox(
            "", label="Name of the run", info="Empty: the name of the file.", max_length=80, min_width=220
        )
    probes = gr.Textbox(
        DEFAULT_PROBES, label="Sentences to watch while it learns", lines=3, info="One a line, each with a [MASK]."
    )
    watch = gr.Textbox(
        "", label="Words to follow in them", info="Separated by commas. Empty: the likeliest words of each moment."
    )
    return RunForm(model, epochs, learning_rate, batch_size, max_length, mask_rate, limit, seed, name, probes, watch)
