"""The models that every list on the page offers. Any other reference may be typed in."""

from __future__ import annotations

from bertdemo.runs.run import Run
from bertdemo.runs.store import BEST_MODEL

from .services import Services

NO_MODEL = "none"
MOST_RUNS = 50


def model_choices(services: Services) -> list[tuple[str, str]]:
    """(label, reference): the model the page opens with, then runs that left a model, the newest first."""
    default = services.default_model
    label = f"{default} (bundled)" if default == "mini-bert" else default
    runs = [choice for run in services.store.list()[:MOST_RUNS] for choice in _run_choices(run)]
    return [(label, default), *runs]


def has_other_best(run: Run) -> bool:
    """Whether the best epoch's weights are kept and are not those of the last step."""
    best = run.record.figures.best
    return best is not None and best["step"] != run.record.steps_done and "best_model" in run.models()


def run_reference(run: Run, *, best: bool) -> str:
    """What names a run's last weights, or those of its best epoch."""
    return run.id + BEST_MODEL if best and has_other_best(run) else run.id


def _run_choices(run: Run) -> list[tuple[str, str]]:
    if not run.models():
        return []
    choices = [(f"{run.record.name} · {run.id}", run.id)]
    if has_other_best(run):
        choices.append((f"{run.record.name}, best epoch · {run.id}", run_reference(run, best=True)))
    return choices


def comparison_choices(services: Services) -> list[tuple[str, str]]:
    """The same with "none" in front."""
    return [("none", NO_MODEL), *model_choices(services)]
