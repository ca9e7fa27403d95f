"""Names that users type, made safe: for a label on a page, and as part of a folder's name. Knows no files."""

from __future__ import annotations

import re
import secrets
import unicodedata
from datetime import datetime

LONGEST_NAME = 80
LONGEST_SLUG = 32
_ID = re.compile(r"\d{8}-\d{4}-[a-z0-9-]+-[0-9a-f]{4}")


def clean_name(text: str) -> str:
    """A run's name as it is shown: one line, no path, at most 80 characters; "" where nothing is left.

    ``"../../x"`` -> ``"x"``; emoji and letters of any script stay.
    """
    printable = "".join(" " if unicodedata.category(character)[0] in "CZ" else character for character in text)
    flat = re.sub(r"[/\\]+", "-", printable)
    return " ".join(flat.split()).lstrip(".- ")[:LONGEST_NAME].rstrip()


def slug(text: str) -> str:
    """The part of a folder's name that says what is in it: ``"Café reviews (2).csv"`` -> ``"cafe-reviews-2-csv"``."""
    plain = unicodedata.normalize("NFKD", text[:1000]).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:LONGEST_SLUG].strip("-") or "run"


def new_run_id(name: str, *, now: datetime) -> str:
    """Sortable by time, readable, and hardly ever twice the same: ``20261122-1130-reviews-ab12``.

    Also a safe file name everywhere: the date in front keeps it off the names that Windows reserves.
    """
    return f"{now:%Y%m%d-%H%M}-{slug(name)}-{secrets.token_hex(2)}"


def is_run_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None
