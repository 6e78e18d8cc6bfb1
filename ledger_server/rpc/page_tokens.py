"""Page tokens: opaque, bound to the request they came from (https://google.aip.dev/158).

A token is the digest of the request without its paging, then where to go on. It
is not a secret: a forged one can only name another place in the same list.
"""

from __future__ import annotations

import base64
import binascii
import json
from hashlib import sha256
from typing import Any

from ledger_server.domain.refusals import PageTokenInvalid

_DIGEST_BYTES = 12


def _digest(request: Any) -> bytes:
    bare = type(request)()
    bare.CopyFrom(request)
    for field in ("page_token", "page_size", "min_sequence"):
        if field in bare.DESCRIPTOR.fields_by_name:
            bare.ClearField(field)
    name = bare.DESCRIPTOR.full_name.encode()
    return sha256(name + b"\0" + bare.SerializeToString(deterministic=True)).digest()[:_DIGEST_BYTES]


def page_token(request: Any, *position: int | str) -> str:
    """The token that goes on from the position."""
    body = json.dumps(position, separators=(",", ":"), ensure_ascii=False).encode()
    return base64.urlsafe_b64encode(_digest(request) + body).decode().rstrip("=")


def position(request: Any, *kinds: type) -> list[Any] | None:
    """Where the token goes on, one value of each kind; None on the first page. Raises PageTokenInvalid."""
    token = request.page_token
    if not token:
        return None
    try:
        data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        values = json.loads(data[_DIGEST_BYTES:])
    except (binascii.Error, ValueError, RecursionError) as error:
        raise PageTokenInvalid("the page token is not one of this service's") from error
    if data[:_DIGEST_BYTES] != _digest(request):
        raise PageTokenInvalid(
            "the page token belongs to another request; keep ledger, filter and order when paging"
        )
    is_ours = (
        isinstance(values, list)
        and len(values) == len(kinds)
        and all(type(value) is kind for value, kind in zip(values, kinds, strict=True))
        and all(_is_place(value) for value in values)
    )
    if not is_ours:
        raise PageTokenInvalid("the page token is not one of this service's")
    return values  # type: ignore[no-any-return]


def _is_place(value: int | str) -> bool:
    """Whether the database could have answered this value as a sequence or a name."""
    if isinstance(value, int):
        return 0 <= value < 2**63
    return "\x00" not in value and not any("\ud800" <= character <= "\udfff" for character in value)
