"""Tokens: signed JSON Web Tokens (RFC 7519), judged by PyJWT under pinned algorithms.

Of a token whose signature is good the caller is told what is wrong with it; of any
other one only that it is not accepted. A good one is remembered by its hash until it
expires, or the keys change: a signature costs more than the call it comes with.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from hashlib import sha256
from threading import Lock
from typing import Any

import jwt

from ledger_server.domain.names import principal_fault
from ledger_server.domain.refusals import CredentialsInvalid
from ledger_server.rpc.key_sets import ALGORITHMS, Keys, KeySet

# How far the clock of who signs may be from ours.
LEEWAY_S = 30
TOKEN_LENGTH_MAX = 8_192
REMEMBERED_MAX = 10_000

_NOT_ACCEPTED = (
    "the token is not accepted: it must be a JWT signed with"
    f" {', '.join(ALGORITHMS[:-1])} or {ALGORITHMS[-1]} by a key of this server's key set"
)


class Tokens:
    """Answers whose a token is."""

    def __init__(self, keys: KeySet, issuer: str, audience: str, lifetime_max_s: int) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._lifetime_max_s = lifetime_max_s
        # Critical section: the memory, principal and expiry by hash, of tokens that these keys signed.
        self._lock = Lock()
        self._good: OrderedDict[bytes, tuple[str, float]] = OrderedDict()
        self._good_under: Keys = {}

    def principal(self, token: str) -> str:
        """`jwt:` and the token's `sub`. Raises CredentialsInvalid."""
        if len(token) > TOKEN_LENGTH_MAX:
            raise CredentialsInvalid(_NOT_ACCEPTED)
        name = sha256(token.encode("utf-8", "surrogatepass")).digest()
        keys = self._keys.keys
        with self._lock:
            if self._good_under is not keys:
                self._good.clear()
                self._good_under = keys
            good = self._good.get(name)
        if good is not None and time.time() < good[1]:
            return good[0]
        subject, expires_at = self._judged(token)
        principal = f"jwt:{subject}"
        fault = principal_fault(principal) if subject else "is empty"
        if fault is not None:
            raise CredentialsInvalid(f"the token's `sub` {fault}")
        with self._lock:
            if self._good_under is keys:
                self._good[name] = principal, expires_at
                if len(self._good) > REMEMBERED_MAX:
                    self._good.popitem(last=False)
        return principal

    def _judged(self, token: str) -> tuple[str, float]:
        """The subject of a good token, and when it expires, in seconds since 1970."""
        try:
            key = self._keys.key(jwt.get_unverified_header(token).get("kid"))
            if key is None:
                raise CredentialsInvalid(_NOT_ACCEPTED)
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                # This key's own, which is one of ALGORITHMS; never what the token would like.
                algorithms=[key.algorithm_name],
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY_S,
                options={"require": ["exp", "sub", "aud", "iss"]},
            )
            subject, expires_at = str(claims["sub"]), float(claims["exp"])
            lifetime_s = expires_at - float(claims.get("iat", time.time()))
        except CredentialsInvalid:
            raise
        except jwt.PyJWTError as error:
            raise CredentialsInvalid(_told(error)) from None
        except Exception:
            # Whatever a made-up token does to the parser, it is not one of ours.
            raise CredentialsInvalid(_NOT_ACCEPTED) from None
        if lifetime_s > self._lifetime_max_s:
            raise CredentialsInvalid(
                f"the token is good for longer than the {self._lifetime_max_s} seconds this server allows"
            )
        return subject, expires_at


def _told(error: jwt.PyJWTError) -> str:
    """What is wrong with a token: PyJWT judges the claims only after the signature."""
    match error:
        case jwt.ExpiredSignatureError():
            return "the token has expired; get a new one"
        case jwt.ImmatureSignatureError():
            return "the token is not valid yet; compare the clock of who signed it"
        case jwt.InvalidAudienceError():
            return "the token is for another audience"
        case jwt.InvalidIssuerError():
            return "the token is of another issuer"
        case jwt.MissingRequiredClaimError():
            return f"the token has no `{error.claim}`; exp, sub, aud and iss are required"
        case _:
            return _NOT_ACCEPTED
