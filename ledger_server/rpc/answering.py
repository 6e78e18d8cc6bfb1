"""What stands around every servicer method: refusals become status, bugs become INTERNAL without their text.

It sits on the servicer and not in an interceptor because grpc_testing runs no
interceptors, and because a test that sees the status sees the real one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any, NoReturn, TypeVar

import grpc

from ledger_server.domain.refusals import InvariantBroken, Refusal, ValidationFailed, Violation
from ledger_server.rpc.status import CODES, status

_log = logging.getLogger(__name__)

# The key that carries google.rpc.Status beside the plain status (gRPC, "richer error model").
DETAILS_KEY = "grpc-status-details-bin"

MethodT = TypeVar("MethodT", bound=Callable[..., Any])


def answering(method: MethodT) -> MethodT:
    """Wraps a servicer method: unknown fields are refused, refusals and bugs answered as status."""

    @wraps(method)
    def answer(servicer: Any, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            refuse_unknown_fields(request)
            return method(servicer, request, context)
        except Refusal as refused:
            refusal = refused
        except Exception:
            # The text of an exception may hold anything: it goes to the log only.
            _log.exception("%s failed", method.__name__)
            refusal = InvariantBroken("internal error")
        abort(context, refusal)

    return answer  # type: ignore[return-value]


def abort(context: grpc.ServicerContext, refusal: Refusal) -> NoReturn:
    """Ends the call with the refusal's status."""
    result = status(refusal)
    context.set_trailing_metadata(((DETAILS_KEY, result.SerializeToString()),))
    context.abort(CODES[refusal.reason], result.message)
    raise AssertionError("abort raises")


def refuse_unknown_fields(request: Any) -> None:
    """Refuses a message with fields that this contract does not know.

    A newer client's field must not be dropped in silence: it may be the one that
    says what the money is for. Known by its absence: the message is shorter
    without its unknown fields.
    """
    size_bytes = request.ByteSize()
    request.DiscardUnknownFields()
    if request.ByteSize() != size_bytes:
        raise ValidationFailed(
            "the request holds fields that this server's contract does not know; see GetServerInfo",
            violations=(Violation("", "unknown fields"),),
        )


def principal(context: grpc.ServicerContext) -> str:
    """Who calls: `created_by` of what the call records. Nobody is authenticated yet."""
    del context
    return "anonymous"
