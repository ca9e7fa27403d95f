"""From what the page holds to what the models read: the text box and the chosen models as one Question.

The tabs and views ask here, so that all of them look at the same ids. Builds no component.
"""

from __future__ import annotations

from bertdemo.mlm.models import MaskedLM
from bertdemo.mlm.text_input import prepare_text

from .context import Services
from .model_list import NO_MODEL
from .views.view import Question


def load_model(services: Services, reference: str) -> MaskedLM:
    """The shared model that a reference names. Raises ModelError."""
    registry = services.registry
    return registry.shared(registry.resolve(reference or "", allow_folders=services.allow_folders))


def ask(services: Services, text: str, model: str, compared: str, *, blank: int = 0) -> Question:
    """The question that the page stands on now. Raises BertDemoError, a sentence for the reader."""
    labels = (model,) if not compared or compared == NO_MODEL else (model, compared)
    models = tuple(load_model(services, label) for label in labels)
    prepared = prepare_text(models[0], text, needs_mask=False)
    last = max(0, len(prepared.mask_positions) - 1)
    return Question(models, labels, prepared, min(blank, last), tuned=model != services.default_model)
