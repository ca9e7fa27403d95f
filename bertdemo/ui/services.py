"""What every tab is given: the services behind the page, the edge where errors become sentences, and event settings.

It builds no component and knows no tab.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component
from gradio.context import LocalContext

from bertdemo.mlm.errors import BertDemoError
from bertdemo.mlm.models.blend import split_reference
from bertdemo.mlm.models.hub import await_checkpoint
from bertdemo.mlm.models.known import KNOWN_MODELS
from bertdemo.runs.people import Access, Limits, owns, resolve_for
from bertdemo.runs.record import is_run_id, run_label, run_labels
from bertdemo.runs.store import BEST_MODEL

from .security import OWNER_HEADER
from .sessions import OpenPages
from .uploads import UploadRoom

if TYPE_CHECKING:
    from bertdemo.mlm.models.masked_lm import MaskedLM, ModelRef
    from bertdemo.mlm.models.registry import ModelRegistry
    from bertdemo.runs.manager import RunManager
    from bertdemo.runs.run import Run
    from bertdemo.runs.store import RunStore

logger = logging.getLogger(__name__)
_Built = TypeVar("_Built", bound=Component)
# What a handler answers: new values by component, those of a NamedTuple of what was built; any other stays as it is.
Updates: TypeAlias = dict[Block, Any]

A_BUG = "Something went wrong inside bertdemo, not in what you did; the log of the server has the details."

NO_MODEL = "none"
_BEST = ", best epoch"
DOWNLOAD_SECONDS = 2.0  # that an answer waits for a model to arrive
MAX_LISTED = 50  # runs whose models are offered in a list

# Spread into ``.click(...)`` and the like: an event that only serves the page.
PAGE_EVENT: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
# The same for work that may run for many readers at once because it only reads small things.
READ_EVENT: dict[str, Any] = {**PAGE_EVENT, "concurrency_limit": None}
# Work that uses a model: all of it shares one limit, so that a full class queues instead of fighting for the cores.
MODEL_EVENT: dict[str, Any] = {"show_progress": "minimal", "concurrency_id": "model", "concurrency_limit": 2}
# Reading or copying a whole file may take a minute: a few at once, whoever asks.
FILE_LIMIT: dict[str, Any] = {"concurrency_id": "file", "concurrency_limit": 4}
FILE_EVENT: dict[str, Any] = {**PAGE_EVENT, **FILE_LIMIT}
# What may take a while has a few places of its own, so that a class cannot take every thread of the server.
SLOW_EVENT: dict[str, Any] = {**PAGE_EVENT, "concurrency_id": "slow", "concurrency_limit": 8}
LAST: dict[str, Any] = {"trigger_mode": "always_last"}  # whoever is quick must not be left with the answer before


@dataclass(frozen=True)
class Services:
    """Everything behind the page. Tests build their own; nothing below ``ui`` knows this class.

    ``allow_folders``: model references may be folders (loopback, or asked for). ``access``: who may see and change a
    run, the same object that the manager has. ``can_publish``: a token of the hub may be typed in, since nobody else
    runs this server. ``general``: sentences of general English, to see what training makes a model forget.

    Whoever asks is known by the token that their browser or program sends with each request (:func:`asker`).
    """

    registry: ModelRegistry
    manager: RunManager
    store: RunStore
    home: Path
    sample_csv: Path
    default_model: str = "mini-bert"
    allow_folders: bool = True
    general: tuple[str, ...] = ()
    access: Access = field(default_factory=Access)
    can_publish: bool = True
    uploads: UploadRoom = field(default_factory=lambda: UploadRoom(Limits()))
    pages: OpenPages = field(default_factory=OpenPages)

    def resolve(self, reference: str) -> ModelRef:
        """What a reference from the page means to whoever asks. Raises ModelError."""
        parts: Any = {"registry": self.registry, "store": self.store, "allow_folders": self.allow_folders}
        return resolve_for(reference or "", asker(), access=self.access, **parts)

    def model(self, reference: str) -> MaskedLM:
        """The shared model that a reference names, loaded if need be and never to be changed.

        Raises ModelError, also while it is still being downloaded: who waits for that keeps others from their answers.
        """
        ref = self.resolve(reference)
        await_checkpoint(ref.source, seconds=DOWNLOAD_SECONDS)
        return self.registry.shared(ref)

    def shown_model(self) -> MaskedLM:
        """The model that the page opens with, which may be a folder wherever others may not. Raises ModelError."""
        return self.registry.shared(self.registry.resolve(self.default_model))

    def label(self, reference: str) -> str:
        """What a model is called on the page: its run's name, its folder's own name, else the reference itself.

        Only an id is looked up: whatever else names a run is its name already.
        """
        blend = split_reference(reference)
        if blend is not None and self.find_run(blend[0].removesuffix(BEST_MODEL)) is not None:
            return f"{self.label(blend[0])} at {blend[1]:g}"
        run = self.find_run(reference.removesuffix(BEST_MODEL))
        if run is not None:
            return run_label(run.record) + (_BEST if reference.endswith(BEST_MODEL) else "")
        return Path(reference).name if Path(reference).is_absolute() else reference

    def find_run(self, run_id: str) -> Run | None:
        """None where there is none of this id that whoever asks may see; names are not looked for."""
        try:
            run = self.store.get(run_id) if is_run_id(run_id) else None
        except BertDemoError:
            return None
        return run if run is not None and self.access.may_see(run.record, asker()) else None

    def runs(self) -> list[Run]:
        """All runs that whoever asks may see, newest first, but their own before all others."""
        token = asker()
        runs = [run for run in self.store.list() if self.access.may_see(run.record, token)]
        return sorted(runs, key=lambda run: not owns(run.record.owner, token))

    def may_change(self, run: Run) -> bool:
        """Whether whoever asks may stop, resume, rename, share or delete the run."""
        return self.access.may_change(run.record, asker())


_named: ContextVar[str] = ContextVar("named", default="")


@contextmanager
def asked_by(token: str) -> Iterator[None]:
    """Inside the block whoever holds this token asks, or, for an empty one, whoever sent the request."""
    before = _named.set(token)
    try:
        yield
    finally:
        _named.reset(before)


def asker() -> str:
    """The token of whoever asks, from the request that is being answered; "" where there is none, as while the page is
    built. One of four places that lean on Gradio's inside: where it no longer says there which request it answers,
    nobody on a server for others sees a run, and ``tests/ui/test_gradio_inside.py`` says so."""
    if named := _named.get():
        return named
    request = LocalContext.request.get(None)
    return str(request.headers.get(OWNER_HEADER, "")) if request is not None else ""


def unchecked(component: _Built) -> _Built:
    """The component; what a page has chosen of it reaches the handlers, which make sense of it themselves.

    For choices that events change: of a page that the server has forgotten it knows the first choices only, and Gradio
    would answer the page's own choice with a list of those. One of four places that lean on Gradio's inside: where it
    no longer asks ``preprocess`` of the component itself, such a page is told that its choice is on no list.
    """
    component.preprocess = lambda payload: payload  # type: ignore[method-assign]
    return component


@contextmanager
def user_errors(*, as_html: bool = True) -> Iterator[None]:
    """Let a reader see what went wrong: our own errors as their sentence, a bug as a plain one with its trace logged.

    The sentence is escaped because Gradio's page shows it as HTML; endpoints for programs say ``as_html=False``.

    >>> with user_errors():
    ...     raise BertDemoError("The file <a.csv> is empty; choose another one.")
    Traceback (most recent call last):
    gradio.exceptions.Error: 'The file &lt;a.csv&gt; is empty; choose another one.'
    """
    try:
        yield
    except gr.Error:
        raise
    except BertDemoError as error:
        sentence = str(error)
        raise gr.Error(escape(sentence) if as_html else sentence, print_exception=False) from error
    except Exception as error:
        logger.exception("a handler of the page failed")
        raise gr.Error(A_BUG, print_exception=False) from error


def model_choices(services: Services) -> list[tuple[str, str]]:
    """(label, reference) for a list of models: the one the page opens with, then runs that left one, first those of
    this browser, and well-known ones, each with whether it is here or what would have to be downloaded.

    Any other reference may be typed in.
    """
    default = services.default_model
    label = f"{default} (bundled)" if default == "mini-bert" else default
    runs = services.runs()[:MAX_LISTED]
    labels = run_labels([run.record for run in runs])
    known = [(model.label, model.repository) for model in KNOWN_MODELS if model.repository != default]
    return [(label, default), *(choice for run in runs for choice in _run_choices(run, labels[run.id])), *known]


def comparison_choices(models: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The list of models for a second one, with "none" in front."""
    return [("none", NO_MODEL), *models]


def has_other_best(run: Run) -> bool:
    """Whether the best epoch's weights are kept and are not those of the last step."""
    best = run.record.figures.best
    return best is not None and best["step"] != run.record.steps_done and "best_model" in run.models()


def run_reference(run: Run, *, best: bool) -> str:
    """What names a run's last weights, or those of its best epoch."""
    return run.id + BEST_MODEL if best and has_other_best(run) else run.id


def _run_choices(run: Run, label: str) -> list[tuple[str, str]]:
    if not run.models():
        return []
    choices = [(label, run.id)]
    if has_other_best(run):
        choices.append((label + _BEST, run_reference(run, best=True)))
    return choices
