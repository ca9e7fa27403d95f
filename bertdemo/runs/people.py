"""Many people on one server: whose a run is, who may see and change it, how much each may ask for, whose turn it is.

A person is whoever holds a token, a secret text that a browser or a program keeps; only its hash is stored. Knows no
page and trains nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import shutil
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heapify, heappop, heapreplace
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from bertdemo.mlm.errors import ModelError, RunError, SettingsError
from bertdemo.mlm.models.masked_lm import ModelRef, read_blend

from .record import RunRecord
from .run import RECORD_NAME, open_or_describe

if TYPE_CHECKING:
    from bertdemo.mlm.models.registry import ModelRegistry

    from .store import RunStore

SHORT = 6  # digits of a hash that tell people of one server apart, in a log or a list
REMEMBERED = 200  # people whose last turn is remembered


def new_token() -> str:
    return secrets.token_urlsafe(24)


def token_hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def owns(stored_hash: str, token: str) -> bool:
    """Whether this is the token of that hash; a run without an owner is nobody's."""
    return bool(stored_hash and token) and hmac.compare_digest(stored_hash, token_hash(token))


def short(owner_hash: str) -> str:
    """What somebody is called in a log or a list: the beginning of the hash, "nobody" where there is none."""
    return owner_hash[:SHORT] or "nobody"


class Access:
    """Who may see and who may change a run.

    ``owned``: changing a run takes its owner's token. ``private``, on an owned server unless ``show_all``: so does
    seeing it, unless its owner shows it to everyone. ``open_models`` may be used by all, whosever they are. Whoever
    gave the ``operator_password`` may do everything. Safe to use from any thread.
    """

    def __init__(
        self,
        *,
        owned: bool = False,
        show_all: bool = False,
        operator_password: str = "",
        open_models: tuple[str, ...] = (),
    ) -> None:
        self.owned, self.private, self.open_models = owned, owned and not show_all, open_models
        self.has_operator = bool(operator_password)
        self._password = operator_password
        self.operator_token = new_token()  # of the server's own, for what the operator asks of it without a browser
        self._operators = {token_hash(self.operator_token)}

    def may_see(self, record: RunRecord, token: str) -> bool:
        return not self.private or record.shared is True or self.may_change(record, token)

    def may_change(self, record: RunRecord, token: str) -> bool:
        return not self.owned or owns(record.owner, token) or self.is_operator(token)

    def is_operator(self, token: str) -> bool:
        return bool(token) and token_hash(token) in self._operators

    def check_password(self, password: str) -> None:
        """Raises RunError unless this is the operator's password."""
        known = self._password.encode("utf-8", "surrogatepass")
        if not known or not hmac.compare_digest(known, password.encode("utf-8", "surrogatepass")):
            raise RunError("This is not the operator's password; whoever started the server has it.")

    def let_in(self, token: str, password: str) -> None:
        """From now on, until the server ends, whoever holds this token is the operator. Raises RunError."""
        self.check_password(password)
        if not token:
            raise RunError("This browser or program has no token of its own, so it cannot be told from others.")
        self._operators.add(token_hash(token))

    def let_out(self, token: str) -> None:
        self._operators.discard(token_hash(token))


def resolve_for(
    reference: str, token: str, *, access: Access, registry: ModelRegistry, store: RunStore, allow_folders: bool
) -> ModelRef:
    """What a model's reference means to this person: runs that they may not see are as if they were not there.

    Raises ModelError.
    """
    if not access.private or reference.strip() in access.open_models:
        return registry.resolve(reference, allow_folders=allow_folders or reference.strip() in access.open_models)

    def may_see(record: RunRecord) -> bool:
        return access.may_see(record, token)

    def lookup(name: str) -> Path | None:
        return store.find_model(name, may_see=may_see)

    ref = registry.resolve(reference, allow_folders=allow_folders, run_lookup=lookup)
    blend = read_blend(ref.source)
    for source in map(Path, blend[:2] if blend else (ref.source,)):
        for folder in (source, *source.parents)[:3] if source.is_absolute() else ():  # a run, or its model
            if (folder / RECORD_NAME).is_file() and not may_see(open_or_describe(folder).record):
                raise ModelError(f"{reference.strip()!r} is no model's name here; use 'mini-bert', a run or a hub id.")
    return ref


@dataclass
class Limits:
    """How much people may ask for; None: as much as they like. The operator changes these while the server runs."""

    waiting: int = 20
    waiting_each: int | None = None
    rows: int | None = None
    upload_files_each: int | None = None
    upload_bytes_each: int | None = None
    free_bytes: int = 500_000_000

    def set(self, name: str, value: int) -> None:
        """Raises SettingsError for a limit that there is not, or for less than nothing."""
        if name not in LIMITS:
            raise SettingsError(f"There is no limit {name[:40]!r}; choose one of {', '.join(LIMITS)}.")
        if value < 0:
            raise SettingsError(f"A limit is a whole number from 0 on, not {value}.")
        setattr(self, name, value)

    def check_rows(self, rows: int, epochs: int) -> None:
        """Raises RunError for more work than one run may be."""
        if self.rows is not None and rows * epochs > self.rows:
            raise RunError(
                f"{rows:,} rows in {epochs:,} epochs are {rows * epochs:,} rows to go through, and here a run may have"
                f" {self.rows:,}; take fewer epochs or limit the rows."
            )

    @staticmethod
    def free(folder: Path) -> int:
        """Bytes that the folder's disk has left, also before there is such a folder."""
        return shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists())).free

    def check_disk(self, folder: Path, size: int) -> None:
        """Raises RunError where so many bytes more would leave too little of the disk."""
        free = self.free(folder)
        if free - size < self.free_bytes:
            raise RunError(
                f"The server's disk has {free // 10**6:,} MB left, of which {self.free_bytes // 10**6:,} MB are kept"
                " free; delete runs that nobody needs, or ask whoever runs the server."
            )


LIMITS = {
    "waiting": "runs that may wait",
    "waiting_each": "runs of one person that may wait",
    "rows": "rows times epochs of one run",
    "upload_files_each": "files that one person may upload a day",
    "upload_bytes_each": "bytes that one person may upload a day",
    "free_bytes": "bytes of the disk that are left alone",
}


def class_limits(*, waiting_each: int = 2) -> Limits:
    """For a server that others use: thirty people, each with a few runs of some quarter of an hour on two cores."""
    return Limits(
        waiting=60,
        waiting_each=waiting_each,
        rows=300_000,
        upload_files_each=100,
        upload_bytes_each=1_000_000_000,
    )


class Waiting(Protocol):
    """What waits: whose it is, and whether the operator has moved it to the front."""

    @property
    def person(self) -> str: ...
    @property
    def first(self) -> bool: ...


_W = TypeVar("_W", bound=Waiting)


class Turns(Generic[_W]):
    """A queue in which people alternate: next comes whoever was served longest ago, each person's in their order.

    Not locked: whoever uses it from several threads does that.
    """

    def __init__(self) -> None:
        self._waiting: list[_W] = []
        self._served: dict[str, int] = {}  # person -> the number of their last turn
        self._turn = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def of(self, person: str) -> int:
        """How many of this person's wait."""
        return sum(item.person == person for item in self._waiting)

    def add(self, item: _W) -> None:
        self._waiting.append(item)

    def remove(self, item: _W) -> None:
        self._waiting.remove(item)

    def in_order(self) -> list[_W]:
        """As they would be taken if nothing else came. Every poll of a page asks: a heap of people, not a search."""
        waiting, turn, order = list(self._waiting), self._turn, list[_W]()
        places: dict[str, deque[int]] = {}  # of each person's, the one that comes first in front
        for place in sorted(range(len(waiting)), key=lambda place: not waiting[place].first):
            places.setdefault(waiting[place].person, deque()).append(place)

        def rank(person: str, served: int) -> tuple[bool, int, int, str]:
            return not waiting[places[person][0]].first, served, places[person][0], person

        heap = [rank(person, self._served.get(person, 0)) for person in places]
        heapify(heap)
        while heap:
            *_, person = heap[0]
            order.append(waiting[places[person].popleft()])
            turn += 1
            if places[person]:
                heapreplace(heap, rank(person, turn))
            else:
                heappop(heap)
        return order

    def take(self) -> _W:
        """The next one, out of the queue. Raises IndexError where nothing waits."""
        chosen = self.in_order()[0]
        self._waiting.remove(chosen)
        self._turn += 1
        self._served.pop(chosen.person, None)
        self._served[chosen.person] = self._turn
        while len(self._served) > REMEMBERED:
            self._served.pop(next(iter(self._served)))
        return chosen


class OneTimeKeys:
    """Keys that open one thing, once, within a minute: for a link, which cannot say who follows it."""

    SECONDS = 60.0
    MOST = 1000

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._keys: dict[str, tuple[str, float]] = {}

    def make(self, thing: str) -> str:
        with self._lock:
            now = self._clock()
            self._keys = {key: kept for key, kept in self._keys.items() if kept[1] > now}
            while len(self._keys) >= self.MOST:
                self._keys.pop(next(iter(self._keys)))
            key = new_token()
            self._keys[key] = (thing, now + self.SECONDS)
            return key

    def opens(self, key: str, thing: str) -> bool:
        with self._lock:
            known, until = self._keys.pop(key, ("", 0.0))
            return known == thing and until > self._clock()
