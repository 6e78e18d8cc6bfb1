"""Client versions: who is older than the server takes is told so, before anything is looked at.

A client of ours says its version with every call. A plain stub says none, and is let
in: the contract speaks for itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import grpc

from ledger_server.domain.refusals import ClientUpgradeRequired, Refusal, ValidationFailed, Violation
from ledger_server.rpc.answering import abort

VERSION_KEY = "ledger-client-version"
_VERSION = re.compile(r"(\d{1,3})\.(\d{1,3})\.(\d{1,3})", re.ASCII)
Version = tuple[int, ...]


def parsed(text: str) -> Version | None:
    """MAJOR.MINOR.PATCH, each up to 999, or None where it is something else."""
    found = _VERSION.fullmatch(text)
    return tuple(map(int, found.groups())) if found else None


def limits(least: str | None) -> dict[str, int]:
    """The minimum as one number, 1.2.3 as 1002003, by name; nothing where there is none."""
    version = parsed(least) if least else None
    return {"client_version_min": version[0] * 1_000_000 + version[1] * 1_000 + version[2]} if version else {}


class ClientVersions(grpc.ServerInterceptor):
    """Refuses calls of clients that say a version below the minimum."""

    def __init__(self, least: str) -> None:
        version = parsed(least)
        assert version is not None, least
        self._least = version
        # Few versions come, and those often.
        self._refusal = lru_cache(maxsize=64)(self._judge)

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Wraps the calls of clients that say a version; the others are left alone."""
        handler = continuation(details)
        said = [str(value) for key, value in details.invocation_metadata if key == VERSION_KEY]
        if handler is None or handler.unary_unary is None or not said:
            return handler
        refusal = next(filter(None, map(self._refusal, said)), None)
        return handler if refusal is None else _refusing(handler, refusal)

    def _judge(self, text: str) -> Refusal | None:
        version = parsed(text)
        if version is None:
            return ValidationFailed(
                f"the metadata {VERSION_KEY} is no version; it is MAJOR.MINOR.PATCH, or left out",
                violations=(Violation(VERSION_KEY, "is not MAJOR.MINOR.PATCH"),),
            )
        if version >= self._least:
            return None
        least = ".".join(map(str, self._least))
        return ClientUpgradeRequired(
            f"client {text} is older than this server takes: upgrade it to {least} or later",
            client_version=text,
            client_version_min=least,
        )


def _refusing(handler: grpc.RpcMethodHandler[Any, Any], refusal: Refusal) -> grpc.RpcMethodHandler[Any, Any]:
    def refuse(request: Any, context: grpc.ServicerContext) -> Any:
        abort(context, refusal)

    return grpc.unary_unary_rpc_method_handler(
        refuse, handler.request_deserializer, handler.response_serializer
    )
