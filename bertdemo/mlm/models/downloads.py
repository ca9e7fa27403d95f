"""Downloads that are under way: one a repository for all who wait for it, with the bytes done and left; each can be
stopped, and then all who wait are told so. Knows no hub: what a download does is handed to it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import Any, TypeAlias

from ..errors import ModelError

Work: TypeAlias = Callable[["Download"], Path]  # raises ModelError, or CancelledError from ``Download.add``

_running: dict[str, Download] = {}
_changing = threading.Lock()  # guards the above


class Download:
    """``done`` of ``total`` bytes are here; ``total`` is what the hub says, None until it has said so."""

    def __init__(self, repository: str) -> None:
        self.repository = repository
        self.done = 0
        self.total: int | None = None
        self._stop = threading.Event()
        self._result: Future[Path] = Future()

    @property
    def is_over(self) -> bool:
        return self._result.done()

    def stop(self) -> None:
        """Whoever waits is told at once; the thread ends at the next bytes. Only whole files are kept."""
        self._stop.set()
        _forget(self)
        self._end(error=self._stopped())

    def add(self, count: int) -> None:
        """Count bytes that have come, or been thrown away. Raises CancelledError once it is stopped."""
        if self._stop.is_set():
            raise CancelledError
        self.done += count

    def result(self, timeout: float | None = None) -> Path:
        """Wait for the folder. Raises ModelError; TimeoutError where it takes longer than ``timeout`` seconds."""
        return self._result.result(timeout)

    def _run(self, work: Work) -> None:
        try:
            folder = work(self)
        except CancelledError:
            self._end(error=self._stopped())
        except BaseException as error:  # a bug is for those who wait
            self._end(error=error)
        else:
            self._end(folder=folder)
        finally:
            _forget(self)

    def _end(self, *, folder: Path | None = None, error: BaseException | None = None) -> None:
        with _changing:
            if self._result.done():  # stopped meanwhile
                return
            if error is not None:
                self._result.set_exception(error)
            elif folder is not None:
                self._result.set_result(folder)

    def _stopped(self) -> ModelError:
        return ModelError(f"The download of {self.repository!r} was stopped; choose the model again to begin it anew.")


def join_download(repository: str, work: Work) -> Download:
    """The download of this repository that is under way, or a new one that does ``work`` in a thread of its own."""
    with _changing:
        if repository in _running:
            return _running[repository]
        started = _running[repository] = Download(repository)
    threading.Thread(target=started._run, args=(work,), name="bertdemo-download", daemon=True).start()
    return started


def running_download(repository: str) -> Download | None:
    return _running.get(repository)


def _forget(download: Download) -> None:
    with _changing:
        if _running.get(download.repository) is download:
            del _running[download.repository]


class CountingBar:
    """Stands in for the progress bar that huggingface_hub moves on, and draws nothing. The library takes a class, so
    there is one for each download."""

    download: Download

    def __init__(self, *_arguments: Any, initial: int = 0, **_look: Any) -> None:
        self.download.add(initial)

    def __enter__(self) -> CountingBar:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def update(self, count: float | None = 1) -> None:
        self.download.add(int(count or 0))

    def __getattr__(self, _name: str) -> Callable[..., None]:
        return _nothing  # whatever else a bar may be told: its rate, its title


def _nothing(*_arguments: Any, **_named: Any) -> None:
    pass
