"""The server's log on standard error: one line a record for people, or one JSON object a line for programs."""

from __future__ import annotations

import json
import logging
import os
from datetime import UTC, datetime

from bertdemo.mlm.errors import SettingsError

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
FORMATS = ("text", "json")


class JsonFormatter(logging.Formatter):
    """``{"time": ..., "level": "INFO", "logger": ..., "message": ..., "trace": ...}``; ``trace`` only for a bug."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line)


def configure_logging() -> None:
    """Log as BERTDEMO_LOG, a level, and BERTDEMO_LOG_FORMAT, text or json, say; raises SettingsError for others."""
    level = _choice("BERTDEMO_LOG", LEVELS, default="INFO").upper()
    handler = logging.StreamHandler()
    if _choice("BERTDEMO_LOG_FORMAT", FORMATS, default="text") == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for library in ("httpx", "httpcore", "asyncio", "matplotlib"):
        logging.getLogger(library).setLevel(logging.WARNING)


def _choice(variable: str, choices: tuple[str, ...], *, default: str) -> str:
    value = os.environ.get(variable) or default
    if value.lower() not in map(str.lower, choices):
        raise SettingsError(f"{variable} must be one of {', '.join(choices)}, but is {value[:40]!r}.")
    return value.lower()
