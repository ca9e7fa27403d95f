"""A run's events as a file of JSON lines that only grows, read by byte offset.

What has been read costs nothing to skip, so following a run is as cheap after a million steps as after ten. Records of
older versions come back under today's keys.
"""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bertdemo.mlm.training.events import current_record

READ_BYTES = 1 << 20  # the most that one read takes in
TAIL_BYTES = 1 << 16  # about four hundred steps, or a probe of many sentences


class EventLog:
    """Appends whole lines, and reads whole lines only: a torn last one, left by a crash, is as if it were not there."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def size(self) -> int:
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def append(self, record: dict[str, Any]) -> None:
        """Add one line, in the system's hands when this returns. Raises OSError and leaves no torn line behind."""
        line = encode(record).encode("ascii") + b"\n"
        with open(self.path, "ab", buffering=0) as file:
            before = os.fstat(file.fileno()).st_size
            try:
                if file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                file.truncate(before)
                raise

    def read(self, offset: int, *, limit: int) -> tuple[list[dict[str, Any]], int]:
        """(up to ``limit`` records from the byte offset on, the offset behind them)."""
        block = self._block(offset, READ_BYTES)
        lines = block.splitlines(keepends=True)[:limit]
        if lines and not lines[-1].endswith(b"\n"):
            lines.pop()
            if not lines and len(block) == READ_BYTES:  # one line longer than a block: never stand still before it
                lines = self._block(offset, self.size()).splitlines(keepends=True)[:1]
        return decode(lines), offset + sum(map(len, lines))

    def tail(self) -> list[dict[str, Any]]:
        """The last records, some hundreds; cheap however long the log is."""
        return decode(self._last_lines().splitlines(keepends=True))

    def tail_ends(self, kind: str) -> list[dict[str, Any]]:
        """The first and the last record of one kind in the tail (or one, or none); no other line is even parsed."""
        begins = b'\n{"event":"%s"' % kind.encode("ascii")
        tail = b"\n" + self._last_lines()
        ends = tail.rfind(b"\n")  # behind it is a torn line, or nothing
        places = sorted({tail.find(begins, 0, ends), tail.rfind(begins, 0, ends)} - {-1})
        return decode([tail[place + 1 : tail.index(b"\n", place + 1) + 1] for place in places])

    def records(self) -> Iterator[dict[str, Any]]:
        """All records, in bounded memory; for a report at the end, not for following."""
        offset = 0
        while True:
            records, end = self.read(offset, limit=10_000)
            if end == offset:
                return
            yield from records
            offset = end

    def truncate(self, offset: int) -> None:
        """Forget everything behind the byte offset. Raises OSError."""
        with open(self.path, "ab") as file:
            file.truncate(offset)

    def flush_to_disk(self) -> None:
        """Make all lines so far survive a power cut. Raises OSError."""
        with open(self.path, "ab") as file:
            os.fsync(file.fileno())

    def _last_lines(self) -> bytes:
        start = max(0, self.size() - TAIL_BYTES)
        block = self._block(start, TAIL_BYTES)
        return block[block.find(b"\n") + 1 :] if start else block

    def _block(self, offset: int, size: int) -> bytes:
        try:
            with open(self.path, "rb", buffering=0) as file:
                file.seek(offset)
                return file.read(size)
        except FileNotFoundError:
            return b""


def encode(record: dict[str, Any]) -> str:
    """Strict compact JSON in ASCII; a number that JSON lacks becomes null: ``{"loss": nan}`` -> ``{"loss":null}``."""
    try:
        return json.dumps(record, separators=(",", ":"), allow_nan=False)
    except ValueError:
        return json.dumps(finite(record), separators=(",", ":"), allow_nan=False)


def decode(lines: list[bytes]) -> list[dict[str, Any]]:
    """The records of whole lines; a damaged line is left out."""
    records = []
    for line in lines:
        try:
            record = json.loads(line) if line.endswith(b"\n") else None
        except ValueError:
            continue
        if isinstance(record, dict):
            records.append(current_record(record))
    return records


def finite(value: Any) -> Any:
    """The same value with None for numbers that are not finite: ``{"a": [inf, 1]}`` -> ``{"a": [None, 1]}``."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
