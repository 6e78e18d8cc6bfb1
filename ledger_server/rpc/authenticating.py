"""Who calls: one of a client certificate, a signed token or an API key, as far as they are configured.

A call with an `authorization` header is judged by it alone; it names the end user where
the connection has a certificate too. What is wrong is refused, and never taken for
another kind or for nobody. No other header says who calls.
"""

from __future__ import annotations

from collections.abc import Callable

import grpc

from ledger_server.domain.api_keys import PREFIX, GoodKey
from ledger_server.domain.callers import ANONYMOUS, Caller, Means
from ledger_server.domain.refusals import CredentialsInvalid, CredentialsMissing
from ledger_server.rpc.client_certificates import certificate_principal

_HEADER = "authorization"
_SCHEME = "bearer "


def anybody(context: grpc.ServicerContext) -> Caller:
    """Asks nobody, where no authentication is configured; but who says who they are is told so."""
    if _authorization(context):
        raise CredentialsInvalid(
            "this server does not ask who calls, and cannot check credentials: leave them out,"
            " or configure authentication"
        )
    return Caller(ANONYMOUS, Means.OPEN)


class Authenticator:
    """Answers who calls; raises CredentialsMissing or CredentialsInvalid, DatabaseUnavailable.

    `token_principal` answers a token's principal or raises; `proved_key` answers the key
    that a text proves, or None. Either is None where that kind is not configured.
    """

    def __init__(
        self,
        *,
        with_certificates: bool,
        token_principal: Callable[[str], str] | None,
        proved_key: Callable[[str], GoodKey | None] | None,
    ) -> None:
        self._with_certificates = with_certificates
        self._token_principal = token_principal
        self._proved_key = proved_key

    def __call__(self, context: grpc.ServicerContext) -> Caller:
        headers = _authorization(context)
        if headers:
            return self._by_bearer(_bearer(headers))
        if self._with_certificates:
            # A tuple of bytes for each name, whatever the stubs say.
            name = certificate_principal(context.auth_context())  # type: ignore[arg-type]
            return Caller(name, Means.CERTIFICATE)
        raise CredentialsMissing(
            f"the call carries no credentials; send `authorization: Bearer` with {self._wanted()}"
        )

    def _by_bearer(self, text: str) -> Caller:
        if text.startswith(PREFIX):
            key = self._proved_key(text) if self._proved_key else None
            if key is None:
                raise CredentialsInvalid(
                    "the API key is not accepted: it is unknown, wrong, expired or revoked; ask for a new one"
                    if self._proved_key
                    else f"this server takes no API keys; send {self._wanted()}"
                )
            return Caller(key.principal, Means.API_KEY, key_ledger=key.ledger)
        if self._token_principal is None:
            raise CredentialsInvalid(f"this server takes no tokens; send {self._wanted()}")
        return Caller(self._token_principal(text), Means.TOKEN)

    def _wanted(self) -> str:
        kinds = [
            kind
            for kind, is_taken in (
                ("a client certificate alone", self._with_certificates),
                ("a token", self._token_principal),
                ("an API key", self._proved_key),
            )
            if is_taken
        ]
        return " or ".join(kinds)


def _authorization(context: grpc.ServicerContext) -> list[str | bytes]:
    return [value for key, value in context.invocation_metadata() if key == _HEADER]


def _bearer(headers: list[str | bytes]) -> str:
    """What stands behind `Bearer`."""
    text = headers[0]
    if len(headers) > 1:
        raise CredentialsInvalid("the call has several `authorization` headers; send one")
    if not isinstance(text, str) or text[: len(_SCHEME)].lower() != _SCHEME:
        raise CredentialsInvalid("the `authorization` header must be `Bearer` and a token or an API key")
    return text[len(_SCHEME) :].strip()
