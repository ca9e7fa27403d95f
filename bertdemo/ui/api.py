"""The endpoints for programs: the same objects as the command line's ``--json``, typed and documented."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import gradio as gr
from gradio.components.api_component import Api

from bertdemo.mlm.analysis.compare import compare
from bertdemo.mlm.data.corpus import Dialect, chosen_dialect
from bertdemo.mlm.errors import DataError, RunError, TextError
from bertdemo.mlm.inference.fill_mask import fill_masks, fill_record
from bertdemo.mlm.inference.pseudo_likelihood import score_sentence
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.training.inspection import inspect_file
from bertdemo.runs.log import finite

from .services import MODEL_EVENT, READ_EVENT, Services, user_errors
from .train.run_form import RunForm, run_request, whole

MOST_CHARACTERS = 200_000
ANSWER = {"type": "object"}
# Reading or copying a whole file may take a minute: a few at once, whoever asks.
FILE_EVENT: dict[str, Any] = {"concurrency_id": "file", "concurrency_limit": 4}
_NO_OWNER = "This server is shared: give a secret text of your own as owner, with which you may stop the run later."


class Endpoints:
    """One method an endpoint; every argument comes from outside and is checked."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def fill_mask(self, text: str, model: str = "mini-bert", top_k: int = 5, targets: str = "") -> dict[str, Any]:
        """The most probable tokens for every mask; ``targets``: words to score there, separated by commas."""
        with user_errors(as_html=False):
            words = [word for item in _text(targets).split(",") if (word := item.strip())]
            count = whole("top_k", top_k, default=5)
            return finite(fill_record(fill_masks(self._model(model), _text(text), top_k=count, targets=words)))

    def compare(self, text: str, before: str, after: str, top_k: int = 5) -> dict[str, Any]:
        """The same text through two models."""
        with user_errors(as_html=False):
            models = self._model(before), self._model(after)
            return finite(compare(*models, _text(text), top_k=whole("top_k", top_k, default=5)).to_record())

    def score_sentence(self, text: str, model: str = "mini-bert") -> dict[str, Any]:
        """Every token masked in turn: surprisal in bits, pseudo-log-likelihood and pseudo-perplexity."""
        with user_errors(as_html=False):
            return finite(score_sentence(self._model(model), _text(text)).to_record())

    def run_status(self, run_id: str, cursor: int = 0) -> dict[str, Any]:
        """The run's state and its events from the cursor on; ask again with the cursor that is returned."""
        with user_errors(as_html=False):
            status = self._services.manager.status(_text(run_id), cursor=whole("cursor", cursor, default=0))
            answer = {"run": status.run, "state": status.state, "cursor": status.cursor, "events": status.events}
            return finite({**answer, "step": status.step, "steps": status.steps, "position": status.activity.position})

    def stop_training(self, run_id: str, owner: str = "") -> dict[str, Any]:
        """Ask a run to stop and keep what it has learnt; ``owner`` is needed where the server is shared."""
        with user_errors(as_html=False):
            return {"run": run_id, "state": self._services.manager.stop(_text(run_id), owner=_text(owner))}

    def runs(self) -> list[dict[str, Any]]:
        """All runs, the newest first; folders only where this machine's user asks."""
        with user_errors(as_html=False):
            summaries = [run.summary() for run in self._services.store.list()]
            hidden = () if self._services.allow_folders else ("folder", "model", "best_model")
            return [finite({key: summary[key] for key in summary if key not in hidden}) for summary in summaries]

    def inspect_csv(
        self,
        file: str | None,
        column: str | None = None,
        model: str | None = None,
        max_length: int | None = None,
        encoding: str | None = None,
        delimiter: str | None = None,
        header: bool | None = None,
    ) -> dict[str, Any]:
        """What a CSV file holds; with ``model`` or ``max_length`` the rows that are too long are counted, and [UNK].

        ``encoding``, ``delimiter`` ("": each line is a text) and ``header``: how it is read, over what would be found.
        """
        with user_errors(as_html=False):
            if not file:
                raise DataError("There is no file; send one with gradio_client.handle_file.")
            length = None if max_length is None else whole("max_length", max_length, default=256)
            counted = model or length is not None
            masked_lm = self._model(model or self._services.default_model) if counted else None
            dialect = _dialect(file, encoding, delimiter, header)
            options = {"column": _optional(column), "dialect": dialect, "masked_lm": masked_lm, "max_length": length}
            return finite(inspect_file(file, **options))

    def start_training(  # noqa: PLR0913, PLR0917 (the options of the command line)
        self,
        file: str | None,
        column: str | None = None,
        model: str = "mini-bert",
        epochs: int | None = None,
        learning_rate: float | None = None,
        batch_size: int | None = None,
        max_length: int | None = None,
        mask_rate: float | None = None,
        limit: int | None = None,
        seed: int | None = None,
        precision: str | None = None,
        probe: Sequence[str] = (),
        watch: Sequence[str] = (),
        name: str = "",
        owner: str = "",
        encoding: str | None = None,
        delimiter: str | None = None,
        header: bool | None = None,
    ) -> str:
        """Queue a run and return its id at once; follow it with ``/run_status``.

        ``owner``: a secret of the caller's own, with which the run can be stopped; needed where the server is shared.
        """
        with user_errors(as_html=False):
            settings = (epochs, learning_rate, batch_size, max_length, mask_rate, limit, seed)
            form = RunForm(_text(model), *settings, _text(name), _texts(probe), _texts(watch), _optional(precision))
            if self._services.require_owner and not _text(owner):
                raise RunError(_NO_OWNER)
            dialect = _dialect(file, encoding, delimiter, header) if file else None
            request = run_request(self._services, form, path=file, column=_optional(column), dialect=dialect)
            return self._services.manager.submit(request, owner=_text(owner)).run_id

    def _model(self, reference: str) -> MaskedLM:
        registry = self._services.registry
        return registry.shared(registry.resolve(_text(reference), allow_folders=self._services.allow_folders))


def add_endpoints(services: Services) -> None:
    """Register everything in the current Blocks; files go through ``gr.File``, which refuses paths of this machine."""
    endpoints = Endpoints(services)
    for name in ("fill_mask", "compare", "score_sentence"):
        gr.api(getattr(endpoints, name), api_name=name, **_limits(MODEL_EVENT))
    for name in ("run_status", "stop_training", "runs"):
        gr.api(getattr(endpoints, name), api_name=name, **_limits(READ_EVENT))
    with gr.Column(visible=False):
        button, file = gr.Button(), gr.File(label="file")
        text = partial(_argument, {"type": "string"})
        number = partial(_argument, {"type": "number"})
        texts = partial(_argument, {"type": "array", "items": {"type": "string"}})
        flag = partial(_argument, {"type": "boolean"})
        reading = (text("encoding", None), text("delimiter", None), flag("header", None))
        inspected = [file, text("column", None), text("model", None), number("max_length", None), *reading]
        settings = ("epochs", "learning_rate", "batch_size", "max_length", "mask_rate", "limit", "seed")
        started = [
            *(file, text("column", None), text("model", services.default_model)),
            *(number(name, None) for name in settings),
            *(text("precision", None), texts("probe", []), texts("watch", []), text("name", ""), text("owner", "")),
            *reading,
        ]
        for name, inputs in (("inspect_csv", inspected), ("start_training", started)):
            answer = Api(None, ANSWER if name == "inspect_csv" else {"type": "string"}, "answer")
            button.click(getattr(endpoints, name), inputs, answer, api_name=name, **FILE_EVENT)


def _dialect(file: str, encoding: object, delimiter: object, header: object) -> Dialect | None:
    named = [None if value is None else _text(value) for value in (encoding, delimiter)]
    return chosen_dialect(file, *named, header=None if header is None else bool(header))


def _argument(schema: dict[str, Any], label: str, value: Any) -> Api:
    return Api(value, schema, label)


def _limits(event: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name.startswith("concurrency")}


def _text(value: object) -> str:
    """The value if it is a text of bearable length. Raises TextError."""
    if not isinstance(value, str):
        raise TextError(f"A text is needed here, not {type(value).__name__}.")
    if len(value) > MOST_CHARACTERS:
        raise TextError(f"The text has {len(value):,} characters; at most {MOST_CHARACTERS:,} are read.")
    return value


def _optional(value: object) -> str | None:
    """The text, or None where there is none."""
    return None if value is None else _text(value) or None


def _texts(value: object) -> list[str]:
    """A list of bearable texts; None is an empty one. Raises TextError."""
    if value is not None and not isinstance(value, list | tuple):
        raise TextError(f"A list of texts is needed here, not {type(value).__name__}.")
    return [_text(item) for item in value or ()]
