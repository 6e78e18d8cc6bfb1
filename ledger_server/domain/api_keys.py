"""API keys: `lk_<id>_<secret>`, of which the secret is told once and kept as its SHA-256 only.

The id finds the key, the secret proves it. 256 random bits need no slow hash: there
is nothing to guess.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest

ID_BYTES = 8
SECRET_BYTES = 32
# What every key begins with, and no token does.
PREFIX = "lk_"

_CREDENTIAL = re.compile(rf"{PREFIX}([0-9a-f]{{{2 * ID_BYTES}}})_([0-9a-f]{{{2 * SECRET_BYTES}}})")
# Compared with where there is no such key, so that it takes as long.
_NO_DIGEST = bytes(32)


@dataclass(frozen=True, slots=True)
class APIKeyDraft:
    """A key to be made. `ledger` is the only one it is good for; None makes a platform's.

    It expires at `expires_at`, or `lifetime` after it is made, in microseconds; with neither it does not.
    """

    ledger: str | None
    principal: str
    description: str = ""
    expires_at: int | None = None
    lifetime: int | None = None


@dataclass(frozen=True, slots=True)
class APIKey:
    """A key as it is listed; times in microseconds since 1970."""

    key_id: str
    ledger: str | None
    principal: str
    description: str
    created_at: int
    created_by: str
    expires_at: int | None
    revoked_at: int | None


@dataclass(frozen=True, slots=True)
class GoodKey:
    """What is known of a key that is neither revoked nor expired."""

    digest: bytes
    principal: str
    ledger: str | None


def credential(key_id: bytes, secret: bytes) -> str:
    """The text that a caller sends; ID_BYTES and SECRET_BYTES of randomness."""
    return f"{PREFIX}{key_id.hex()}_{secret.hex()}"


def parted(text: str) -> tuple[str, str] | None:
    """The id and the secret of a caller's text, or None where it has not the form of a key."""
    match = _CREDENTIAL.fullmatch(text)
    return (match[1], match[2]) if match else None


def digest(secret: str) -> bytes:
    """What is kept of a secret."""
    return sha256(secret.encode()).digest()


def is_proved(secret: str, known: GoodKey | None) -> bool:
    """Whether the secret is the key's, in a time that does not tell how much of it is right."""
    return compare_digest(digest(secret), known.digest if known else _NO_DIGEST) and known is not None
