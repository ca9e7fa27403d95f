"""The models that every list on the page offers. Any other reference may be typed in."""

from __future__ import annotations

from .context import Services

NO_MODEL = "none"
MOST_RUNS = 50


def model_choices(services: Services) -> list[tuple[str, str]]:
    """(label, reference): the model the page opens with, then runs that left a model, the newest first."""
    default = services.default_model
    label = f"{default} (bundled)" if default == "mini-bert" else default
    runs = [(f"{run.record.name} · {run.id}", run.id) for run in services.store.list()[:MOST_RUNS] if run.models()]
    return [(label, default), *runs]


def comparison_choices(services: Services) -> list[tuple[str, str]]:
    """The same with "none" in front."""
    return [("none", NO_MODEL), *model_choices(services)]
