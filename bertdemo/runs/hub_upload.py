"""Publish a run's model on the Hugging Face hub, private unless asked otherwise.

Only the model's own folder goes up: weights, tokenizer and card, never the data. The token is used and not kept.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError
from huggingface_hub.utils import validate_repo_id

from bertdemo.mlm.errors import RunError

from .run import Run

logger = logging.getLogger(__name__)


def upload_model(
    run: Run, repository: str, *, token: str, private: bool = True, best: bool = False, endpoint: str | None = None
) -> str:
    """Create ``repository`` ("name" or "owner/name"), put the run's last or best model there and return its address.

    A repository that exists is left as it is: nobody's model is overwritten by a slip. ``endpoint``: another hub.

    Raises:
        RunError: the run has no such model, the name cannot be or is taken, the token is missing or refused, or the hub
            is out of reach.
    """
    models, repository, token = run.models(), repository.strip(), token.strip()
    folder = models.get("best_model" if best else "model")
    if folder is None:
        raise RunError(f"The run {run.id} has no model to publish yet.")
    if not token:
        raise RunError("A Hugging Face token with write access is needed; make one at huggingface.co/settings/tokens.")
    try:
        validate_repo_id(repository)
    except HFValidationError as exc:
        raise RunError(f"{repository!r} cannot be a repository's name; write one such as my-name/my-model.") from exc
    try:
        return _upload(HfApi(endpoint=endpoint, token=token), Path(folder), repository, run=run, private=private)
    except (HTTPError, OSError, ValueError, RuntimeError) as exc:
        logger.info("run %s was not published: %s", run.id, type(exc).__name__)
        raise RunError(_sentence(exc, repository)) from exc


def _upload(api: HfApi, folder: Path, repository: str, *, run: Run, private: bool) -> str:
    created = api.create_repo(repository, private=private, exist_ok=False)
    message = f"{run.record.name}: {run.record.steps_done} steps from {run.record.model.label}"
    api.upload_folder(repo_id=created.repo_id, folder_path=folder, commit_message=message)
    return str(created)


def _sentence(error: Exception, repository: str) -> str:
    name = repr(repository)
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        if status == HTTPStatus.CONFLICT:
            return f"There is a repository {name} already; choose another name, for nothing is overwritten."
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return f"The hub refused the token for {name}; it needs write access there."
        return f"The hub refused {name} (HTTP status {status}); try again later."
    if isinstance(error, HTTPError | ConnectionError | TimeoutError):
        return "The Hugging Face hub is out of reach; check the connection and try again."
    return (
        f"The model could not be sent to {name}; look at the repository, delete it if it is incomplete, and try again."
    )
