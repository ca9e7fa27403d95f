"""The endpoints for programs: the same objects as the command line's ``--json``, typed and documented."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from bertdemo.mlm.analysis.compare import compare
from bertdemo.mlm.data.corpus import Dialect, chosen_dialect
from bertdemo.mlm.errors import DataError, RunError, TextError
from bertdemo.mlm.inference.fill_mask import fill_masks
from bertdemo.mlm.inference.pseudo_likelihood import score_sentence
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.setting import Setting
from bertdemo.mlm.settings import SETTINGS
from bertdemo.mlm.training.estimate import inspect_file
from bertdemo.runs.log import finite

from .services import FILE_LIMIT, MODEL_EVENT, READ_EVENT, Services, asked_by, asker, user_errors
from .train.estimate import check_ahead
from .train.form import run_request
from .uploads import uploaded

MAX_CHARACTERS = 200_000
_NO_OWNER = (
    "This server is shared: give a secret text of your own as owner, or as the header X-Bertdemo-Owner of all requests,"
    " with which you may see and stop the run later."
)


class Endpoints:
    """One method an endpoint; every argument comes from outside and is checked.

    On a server for others ``owner``, a secret of the caller's own, says who asks: whoever started a run sees it, uses
    its model and stops it. The header X-Bertdemo-Owner says the same for all calls, as in
    ``gradio_client.Client(url, headers={"X-Bertdemo-Owner": "a secret of my own"})``.

    ``received`` turns what stands for a file into its path, or into None where there is none.
    """

    def __init__(self, services: Services, *, received: Callable[[Any], Path | None] = uploaded) -> None:
        self._services, self._received = services, received

    def fill_mask(  # noqa: PLR0917 - the options of the command line
        self, text: str, model: str = "mini-bert", top_k: int = 5, targets: str = "", owner: str = ""
    ) -> dict[str, Any]:
        """The most probable tokens for every mask; ``targets``: words to score there, separated by commas."""
        with user_errors(as_html=False), asked_by(_text(owner)):
            words = [word for item in _text(targets).split(",") if (word := item.strip())]
            count = _whole("top_k", top_k, default=5)
            return finite(fill_masks(self._model(model), _text(text), top_k=count, targets=words).to_record())

    def compare(  # noqa: PLR0917
        self, text: str, before: str, after: str, top_k: int = 5, owner: str = ""
    ) -> dict[str, Any]:
        """The same text through two models."""
        with user_errors(as_html=False), asked_by(_text(owner)):
            models = self._model(before), self._model(after)
            return finite(compare(*models, _text(text), top_k=_whole("top_k", top_k, default=5)).to_record())

    def score_sentence(self, text: str, model: str = "mini-bert", owner: str = "") -> dict[str, Any]:
        """Every token masked in turn: surprisal in bits, pseudo-log-likelihood and pseudo-perplexity."""
        with user_errors(as_html=False), asked_by(_text(owner)):
            return finite(score_sentence(self._model(model), _text(text)).to_record())

    def run_status(self, run_id: str, cursor: int = 0, owner: str = "") -> dict[str, Any]:
        """The run's state and its events from the cursor on; ask again with the cursor that is returned."""
        with user_errors(as_html=False), asked_by(_text(owner)):
            cursor = _whole("cursor", cursor, default=0)
            status = self._services.manager.status(_text(run_id), cursor=cursor, owner=asker())
            answer = {"run": status.run, "state": status.state, "cursor": status.cursor, "events": status.events}
            return finite({**answer, "step": status.step, "steps": status.steps, "position": status.activity.position})

    def stop_training(self, run_id: str, owner: str = "") -> dict[str, Any]:
        """Ask a run to stop and keep what it has learnt; ``owner`` is needed where the server is shared."""
        with user_errors(as_html=False), asked_by(_text(owner)):
            return {"run": run_id, "state": self._services.manager.stop(_text(run_id), owner=asker())}

    def share_run(self, run_id: str, everyone: bool = True, owner: str = "") -> dict[str, Any]:
        """Show a run, its texts and its model to everyone who uses this server, or no longer; its owner may."""
        with user_errors(as_html=False), asked_by(_text(owner)):
            self._services.manager.share(_text(run_id), shared=bool(everyone), owner=asker())
            return {"run": run_id, "shared": bool(everyone)}

    def runs(self, owner: str = "") -> list[dict[str, Any]]:
        """All runs that the caller may see, the newest first; folders only where this machine's user asks."""
        with user_errors(as_html=False), asked_by(_text(owner)):
            summaries = [run.summary() for run in self._services.runs()]
            hidden = () if self._services.allow_folders else ("folder", "model", "best_model")
            return [finite({key: summary[key] for key in summary if key not in hidden}) for summary in summaries]

    def inspect_csv(  # noqa: PLR0913, PLR0917 - the options of the command line
        self,
        file: dict[str, Any] | None,
        column: str | None = None,
        model: str | None = None,
        max_length: int | None = None,
        encoding: str | None = None,
        delimiter: str | None = None,
        header: bool | None = None,
        long_texts: str | None = None,
        owner: str = "",
    ) -> dict[str, Any]:
        """What a file holds; with ``model`` or ``max_length`` the rows that are too long are counted, and [UNK].

        ``encoding``, ``delimiter`` ("": each line is a text, "paragraph": each paragraph) and ``header``: how it is
        read, over what would be found. ``long_texts``: "split" or "cut".
        """
        with user_errors(as_html=False), asked_by(_text(owner)):
            path = self._received(file)
            if path is None:
                raise DataError("There is no file; send one with gradio_client.handle_file.")
            length = None if max_length is None else SETTINGS["max_length"].parse(max_length)
            counted = model or length is not None
            masked_lm = self._model(model or self._services.default_model) if counted else None
            dialect = _dialect(path, encoding, delimiter, header)
            kept = None if long_texts is None else SETTINGS["long_texts"].parse(long_texts)
            found = inspect_file(
                path,
                column=_optional(column),
                dialect=dialect,
                masked_lm=masked_lm,
                max_length=length,
                long_texts=kept,
            )
            return finite(found)

    def start_training(  # noqa: PLR0913, PLR0917 - the options of the command line
        self,
        file: dict[str, Any] | None,
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
        probe: list[str] = [],  # noqa: B006 - never changed; the client is shown an empty list
        watch: list[str] = [],  # noqa: B006
        name: str = "",
        owner: str = "",
        encoding: str | None = None,
        delimiter: str | None = None,
        header: bool | None = None,
        whole_words: bool | None = None,
        patience: int | None = None,
        evaluate_every: int | None = None,
        replay: str | None = None,
        replay_share: float | None = None,
        long_texts: str | None = None,
        device: str | None = None,
        new_words: int | None = None,
    ) -> str:
        """Queue a run and return its id at once; follow it with ``/run_status``.

        ``owner``: a secret of the caller's own, with which the run can be stopped; needed where the server is shared.
        ``replay``: "general" mixes in general English, the share ``replay_share`` of all tokens.
        """
        sent = locals()
        with user_errors(as_html=False), asked_by(_text(owner)):
            values = {key: sent[key] for key in SETTINGS}
            values |= {key: _optional(values[key]) for key in ("precision", "device", "long_texts", "replay")}
            values |= {"probe": _texts(probe), "watch": _texts(watch)}
            if self._services.access.owned and not asker():
                raise RunError(_NO_OWNER)
            path = self._received(file)
            dialect = _dialect(path, encoding, delimiter, header) if path else None
            named: dict[str, Any] = {"column": _optional(column), "model": _text(model), "name": _text(name)}
            request = run_request(self._services, values, path=path, dialect=dialect, **named)
            check_ahead(self._services, request)
            return self._services.manager.submit(request, owner=asker()).run_id

    def _model(self, reference: object) -> MaskedLM:
        services = self._services  # a program waits for a download, and would not be told of its end
        return services.registry.shared(services.resolve(_text(reference)))


def add_endpoints(services: Services) -> None:
    """Register everything in the current Blocks."""
    endpoints = Endpoints(services)
    asked: dict[Callable[..., Any], dict[str, Any]] = {
        **dict.fromkeys((endpoints.fill_mask, endpoints.compare, endpoints.score_sentence), _limits(MODEL_EVENT)),
        **dict.fromkeys(
            (endpoints.run_status, endpoints.stop_training, endpoints.share_run, endpoints.runs), _limits(READ_EVENT)
        ),
        **dict.fromkeys((endpoints.inspect_csv, endpoints.start_training), FILE_LIMIT),
    }
    for endpoint, limits in asked.items():
        gr.api(endpoint, **limits)


def _dialect(path: Path, encoding: object, delimiter: object, header: object) -> Dialect | None:
    named, parted_by = (None if value is None else _text(value) for value in (encoding, delimiter))
    return chosen_dialect(path, named, parted_by, header=None if header is None else bool(header))


def _limits(event: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name.startswith("concurrency")}


def _whole(name: str, value: object, *, default: int) -> int:
    """Raises SettingsError for what is no whole number from 0 on."""
    return default if value is None else Setting(name, int, name, "", low=0, subject=name).parse(value)


def _text(value: object) -> str:
    """The value if it is a text of bearable length. Raises TextError."""
    if not isinstance(value, str):
        raise TextError(f"A text is needed here, not {type(value).__name__}.")
    if len(value) > MAX_CHARACTERS:
        raise TextError(f"The text has {len(value):,} characters; at most {MAX_CHARACTERS:,} are read.")
    return value


def _optional(value: object) -> str | None:
    """The text, or None where there is none."""
    return None if value is None else _text(value) or None


def _texts(value: object) -> list[str]:
    """A list of bearable texts; None is an empty one. Raises TextError."""
    if value is not None and not isinstance(value, list | tuple):
        raise TextError(f"A list of texts is needed here, not {type(value).__name__}.")
    return [_text(item) for item in value or ()]
