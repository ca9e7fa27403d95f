"""Whose run it is: a secret token that the owner keeps, and of which only the hash is stored."""

from __future__ import annotations

import hashlib
import hmac
import secrets


def new_token() -> str:
    return secrets.token_urlsafe(24)


def token_hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def owns(stored_hash: str, token: str) -> bool:
    """Whether this is the token of that hash; a run without an owner is nobody's."""
    return bool(stored_hash and token) and hmac.compare_digest(stored_hash, token_hash(token))
