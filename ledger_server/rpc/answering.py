"""What stands around every servicer method: who calls is asked, refusals become status, bugs INTERNAL.

It sits on the servicer and not in an interceptor because grpc_testing runs no
interceptors, and because a test that sees the status sees the real one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import replace
from functools import wraps
from typing import Any, NoReturn, TypeVar

import grpc

from ledger_server.domain.callers import Caller
from ledger_server.domain.permissions import Access
from ledger_server.domain.refusals import (
    InvariantBroken,
    LedgerNotFound,
    NotPermitted,
    Refusal,
    ValidationFailed,
    Violation,
)
from ledger_server.rpc.authorising import service_of
from ledger_server.rpc.confiding import confided
from ledger_server.rpc.status import CODES, status

_log = logging.getLogger(__name__)

# The key that carries google.rpc.Status beside the plain status (gRPC, "richer error model").
DETAILS_KEY = "grpc-status-details-bin"

# Who makes the call that this thread answers.
_caller: ContextVar[Caller] = ContextVar("caller")
# What it may.
_access: ContextVar[Access] = ContextVar("access")

MethodT = TypeVar("MethodT", bound=Callable[..., Any])


def answering(method: MethodT) -> MethodT:
    """Wraps a method of a servicer that has a `door`: who may not enter, and unknown fields, are refused.

    Refusals and bugs are answered as status.
    """

    @wraps(method)
    def answer(servicer: Any, request: Any, context: grpc.ServicerContext) -> Any:
        door, known = servicer.door, None
        full_name = f"{service_of(servicer.__class__)}.{method.__name__}"
        try:
            entered = door.enter(context)
            _caller.set(entered)
            refuse_unknown_fields(request)
            door.meter.charge_principal(entered.principal, request)
            known = door.authorise(entered, full_name, request)
            _access.set(known)
            # Strangers use up nothing of a ledger's.
            door.meter.charge_ledger(request)
            return method(servicer, request, context)
        except Refusal as refused:
            refusal = refused if known is None else confided(known, refused)
            is_foreign = known is None and isinstance(refusal, LedgerNotFound)
            if is_foreign or isinstance(refusal, NotPermitted):
                door.authorise.denied(caller(context), full_name, request, refusal)
            # It leads back to this frame, which would keep the request until cycles are collected.
            refused.__traceback__ = None
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


def caller(context: grpc.ServicerContext) -> Caller:
    """Who calls and from where, within a method that `answering` wraps.

    gRPC answers the address outside the interpreter's lock, which then is waited for: who
    needs the name alone asks for the `principal`.
    """
    return replace(_caller.get(), peer=_address(context))


def access(context: grpc.ServicerContext) -> Access:
    """What the caller may, within a method that `answering` wraps."""
    del context
    return _access.get()


def _address(context: grpc.ServicerContext) -> str:
    try:
        return context.peer()
    except NotImplementedError:
        # A call without a connection, as grpc_testing makes them.
        return ""


def principal(context: grpc.ServicerContext) -> str:
    """Who calls, by name: `created_by` of what the call records."""
    del context
    return _caller.get().principal
