"""The page's own routes, beside Gradio's: the server's health, the news of a run, a run as a zip, Plotly's script.

They stand behind the same guards as the page; what is behind the password takes the page's own login, and who asks is
known by the token in a header. Knows nothing of how the page looks.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Message

from bertdemo.charts.report_page import report_page
from bertdemo.mlm.errors import BertDemoError, RunError
from bertdemo.runs.export import stream_zip
from bertdemo.runs.notebook_file import notebook_json, source_of
from bertdemo.runs.people import OneTimeKeys, short
from bertdemo.runs.record import is_run_id, short_id
from bertdemo.runs.report_file import kept_report
from bertdemo.runs.run import Run

from .plot import PLOTLY_JS, plotly_source
from .security import LOGIN_PATH, OWNER_HEADER
from .train.live_chart import live_payload, quick_payload, refused, requested

if TYPE_CHECKING:
    from bertdemo.runs.manager import RunManager

logger = logging.getLogger(__name__)

_LOG_IN = PlainTextResponse("Log in on the page first.", status_code=401)
_A_DAY = {"Cache-Control": "private, max-age=86400"}

Handler = Callable[[Request], Awaitable[Response]]


def own_routes(manager: RunManager, *, needs_login: bool) -> list[Route]:
    """For the ``routes`` of the application that Gradio makes; all relative to where the page is shown."""
    keys = OneTimeKeys(time.monotonic)
    guard = _behind_login if needs_login else lambda handler: handler
    return [
        Route("/health", _health),
        Route(f"/{plotly_source()}", guard(_plotly)),
        Route("/live/{run}", guard(partial(_live, manager))),
        Route("/runs/{run}.zip", guard(partial(_zip, manager, keys))),
        Route("/runs/{run}.ipynb", guard(partial(_text_file, manager, keys, _notebook))),
        Route("/runs/{run}.html", guard(partial(_text_file, manager, keys, _report))),
        Route("/runs/{run}/key", guard(partial(_key, manager, keys)), methods=["POST"]),
    ]


def _behind_login(handler: Handler) -> Handler:
    async def guarded(request: Request) -> Response:
        return await handler(request) if await _has_logged_in(request) else _LOG_IN

    return guarded


async def _has_logged_in(request: Request) -> bool:
    """Gradio alone knows, so the same request goes to the address where it says so, within this process."""
    path = request.scope.get("root_path", "") + LOGIN_PATH
    statuses: list[int] = []

    async def send(message: Message) -> None:
        statuses.extend([message["status"]] if message["type"] == "http.response.start" else [])

    scope = {**request.scope, "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b""}
    await request.app.router(scope, request.receive, send)
    return statuses == [200]


async def _health(_request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _plotly(_request: Request) -> Response:
    return FileResponse(PLOTLY_JS, headers=_A_DAY)


async def _live(manager: RunManager, request: Request) -> Response:
    """What every open page asks each second. A page that has all but the last few events of a run at work is answered
    here and now, in a fraction of a millisecond; any other is answered by a thread that may take its time."""
    try:
        asked = requested(request.path_params["run"], request.query_params.get("cursor", "0"))
        who = _owner(request)
        quick = quick_payload(manager, *asked, owner=who)
        answer = quick or await run_in_threadpool(partial(live_payload, manager, *asked, owner=who))
    except RunError as error:
        answer = refused(str(error))
    body = json.dumps(answer, separators=(",", ":")).encode("ascii")
    return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})


def _owner(request: Request) -> str:
    return request.headers.get(OWNER_HEADER, "")


async def _run(manager: RunManager, request: Request, keys: OneTimeKeys | None = None) -> Run:
    """The run in the path, if whoever asks may see it or has a key to it. Raises RunError."""
    run_id = request.path_params["run"]
    if not is_run_id(run_id):
        raise RunError("This is not the id of a run.")
    if keys is not None and keys.opens(request.query_params.get("key", ""), run_id):
        return await run_in_threadpool(manager.store.get, run_id)
    return await run_in_threadpool(partial(manager.find, run_id, owner=_owner(request)))


async def _key(manager: RunManager, keys: OneTimeKeys, request: Request) -> Response:
    """What a link to a run's file takes on a server for others, since a link says nothing of who follows it."""
    try:
        run = await _run(manager, request)
    except BertDemoError as error:
        return PlainTextResponse(str(error), status_code=404)
    return PlainTextResponse(keys.make(run.id), headers={"Cache-Control": "no-store"})


def _notebook(run: Run) -> str:
    return notebook_json(source_of(run))


def _report(run: Run) -> str:
    """With the comparison if it is kept; it is made when the run is looked at on the page."""
    return report_page(run, kept_report(run))


_FILES: dict[Callable[[Run], str], tuple[str, str]] = {
    _notebook: ("ipynb", "application/x-ipynb+json"),
    _report: ("html", "text/html"),
}


async def _text_file(manager: RunManager, keys: OneTimeKeys, write: Callable[[Run], str], request: Request) -> Response:
    """A run as one file, to be saved and never shown on this server's own address."""
    suffix, media_type = _FILES[write]
    try:
        run = await _run(manager, request, keys)
        text = await run_in_threadpool(write, run)
    except BertDemoError as error:
        return PlainTextResponse(str(error), status_code=404)
    headers = {"Content-Disposition": f'attachment; filename="{run.id}.{suffix}"', "Cache-Control": "no-store"}
    return Response(text, media_type=media_type, headers=headers)


async def _zip(manager: RunManager, keys: OneTimeKeys, request: Request) -> Response:
    """Made while it is sent and written nowhere, so any number of people may take one run's at once."""
    try:
        run = await _run(manager, request, keys)
        parts = await run_in_threadpool(stream_zip, run.folder)
        logger.info("zip of run %s of %s: sent", short_id(run.id), short(run.record.owner))
    except BertDemoError as error:
        return PlainTextResponse(str(error), status_code=404)
    headers = {"Content-Disposition": f'attachment; filename="{run.id}.zip"', "Cache-Control": "no-store"}
    return StreamingResponse(parts, media_type="application/zip", headers=headers)
