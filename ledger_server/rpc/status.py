"""Refusals to status: the one table from reason to code, and the details that go with it.

Every error carries google.rpc.ErrorInfo (domain "ledger.v1", the reason, the facts),
BadRequest where fields are at fault, RetryInfo where a retry helps
(https://google.aip.dev/193). All of it stays below what a plain client accepts as
metadata.
"""

from __future__ import annotations

import logging
import math

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from ledger_server.domain.refusals import InvariantBroken, Refusal
from ledger_server.rpc import limits

_log = logging.getLogger(__name__)

DOMAIN = "ledger.v1"

CODES: dict[str, grpc.StatusCode] = {
    "VALIDATION_FAILED": grpc.StatusCode.INVALID_ARGUMENT,
    "UNBALANCED_TRANSACTION": grpc.StatusCode.INVALID_ARGUMENT,
    "ASSET_MISMATCH": grpc.StatusCode.INVALID_ARGUMENT,
    "AMOUNT_INVALID": grpc.StatusCode.INVALID_ARGUMENT,
    "UNHANDLED_KIND": grpc.StatusCode.INVALID_ARGUMENT,
    "IDEMPOTENCY_KEY_REQUIRED": grpc.StatusCode.INVALID_ARGUMENT,
    "PAGE_TOKEN_INVALID": grpc.StatusCode.INVALID_ARGUMENT,
    "CREDENTIALS_MISSING": grpc.StatusCode.UNAUTHENTICATED,
    "CREDENTIALS_INVALID": grpc.StatusCode.UNAUTHENTICATED,
    "LEDGER_NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "ACCOUNT_NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "ASSET_NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "TRANSACTION_NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "TEMPLATE_NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "ACCOUNT_SET_NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "API_KEY_NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "CHART_NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "MEMBER_NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "IDEMPOTENCY_KEY_REUSED": grpc.StatusCode.ALREADY_EXISTS,
    "REVERSAL_ALREADY_EXISTS": grpc.StatusCode.ALREADY_EXISTS,
    "LEDGER_ALREADY_EXISTS": grpc.StatusCode.ALREADY_EXISTS,
    "ASSET_ALREADY_EXISTS": grpc.StatusCode.ALREADY_EXISTS,
    "ACCOUNT_ALREADY_EXISTS": grpc.StatusCode.ALREADY_EXISTS,
    "MEMBER_ALREADY_EXISTS": grpc.StatusCode.ALREADY_EXISTS,
    "INSUFFICIENT_FUNDS": grpc.StatusCode.FAILED_PRECONDITION,
    "BALANCE_LIMIT_EXCEEDED": grpc.StatusCode.FAILED_PRECONDITION,
    "ACCOUNT_FROZEN": grpc.StatusCode.FAILED_PRECONDITION,
    "ACCOUNT_CLOSED": grpc.StatusCode.FAILED_PRECONDITION,
    "PRECONDITION_FAILED": grpc.StatusCode.FAILED_PRECONDITION,
    "ACCOUNT_NOT_EMPTY": grpc.StatusCode.FAILED_PRECONDITION,
    "REVERSAL_FORBIDDEN_TYPE": grpc.StatusCode.FAILED_PRECONDITION,
    "SEQUENCE_NOT_REACHED": grpc.StatusCode.FAILED_PRECONDITION,
    "LAST_TENANT_ADMIN": grpc.StatusCode.FAILED_PRECONDITION,
    "CHART_CONFLICT": grpc.StatusCode.FAILED_PRECONDITION,
    "TOO_MANY_ENTRIES": grpc.StatusCode.FAILED_PRECONDITION,
    "CLIENT_UPGRADE_REQUIRED": grpc.StatusCode.FAILED_PRECONDITION,
    "AMOUNT_OVERFLOW": grpc.StatusCode.OUT_OF_RANGE,
    "CONTENTION": grpc.StatusCode.ABORTED,
    "ATOMIC_GROUP_REFUSED": grpc.StatusCode.ABORTED,
    "VERSION_MISMATCH": grpc.StatusCode.ABORTED,
    "ROLE_REQUIRED": grpc.StatusCode.PERMISSION_DENIED,
    "NOT_A_MEMBER": grpc.StatusCode.PERMISSION_DENIED,
    "MEMBERSHIP_NARROWED": grpc.StatusCode.PERMISSION_DENIED,
    "FORBIDDEN_DEV_ENDPOINT": grpc.StatusCode.PERMISSION_DENIED,
    "OVERLOADED": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "BATCH_TOO_LARGE": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "RATE_LIMITED": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "DATABASE_UNAVAILABLE": grpc.StatusCode.UNAVAILABLE,
    "OUTCOME_UNKNOWN": grpc.StatusCode.UNAVAILABLE,
    "SHUTTING_DOWN": grpc.StatusCode.UNAVAILABLE,
    "DEADLINE_EXCEEDED": grpc.StatusCode.DEADLINE_EXCEEDED,
    "LEDGER_INVARIANT_BROKEN": grpc.StatusCode.INTERNAL,
}


def status(refusal: Refusal) -> Status:
    """A refusal as google.rpc.Status, bounded in size."""
    code = CODES[refusal.reason]
    if isinstance(refusal, InvariantBroken):
        # What broke is for the log; a caller learns only that it did.
        if refusal.facts:
            _log.error("%s: %s %s", refusal.reason, refusal.message, refusal.facts)
        return Status(
            code=code.value[0],
            message="internal error",
            details=[_packed(ErrorInfo(reason=refusal.reason, domain=DOMAIN))],
        )
    facts = {name: _cut(value, 512) for name, value in refusal.facts.items()}
    details = [_packed(ErrorInfo(reason=refusal.reason, domain=DOMAIN, metadata=facts))]
    if refusal.retry_after_s is not None:
        seconds = math.floor(refusal.retry_after_s)
        nanos = round((refusal.retry_after_s - seconds) * 1e9)
        details.append(_packed(RetryInfo(retry_delay=Duration(seconds=seconds, nanos=nanos))))
    result = Status(
        code=code.value[0],
        message=_cut(refusal.message, limits.MESSAGE_TEXT_BYTES_MAX),
        details=details,
    )
    if refusal.violations:
        _add_violations(result, refusal)
    return result


def short_status(refusal: Refusal) -> Status:
    """Code, the start of the sentence and the reason: what is told where there is no room for more."""
    return Status(
        code=CODES[refusal.reason].value[0],
        message=_cut(refusal.message, limits.SHORT_MESSAGE_TEXT_BYTES_MAX),
        details=[_packed(ErrorInfo(reason=refusal.reason, domain=DOMAIN))],
    )


def _add_violations(result: Status, refusal: Refusal) -> None:
    """As many violations as fit, at most VIOLATIONS_MAX."""
    violations = [
        BadRequest.FieldViolation(field=_cut(one.field, 256), description=_cut(one.description, 256))
        for one in refusal.violations[: limits.VIOLATIONS_MAX]
    ]
    room = limits.STATUS_DETAILS_BYTES_MAX - result.ByteSize() - 64
    while violations and sum(one.ByteSize() + 3 for one in violations) > room:
        violations.pop()
    result.details.append(_packed(BadRequest(field_violations=violations)))


def _packed(message: ErrorInfo | RetryInfo | BadRequest) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(message)
    return packed


def _cut(text: str, bytes_max: int) -> str:
    """The text, cut to its bound with an ellipsis; a surrogate or half character never remains."""
    data = text.encode("utf-8", "replace")
    if len(data) <= bytes_max:
        return data.decode()
    return data[: bytes_max - 3].decode("utf-8", "ignore") + "…"
