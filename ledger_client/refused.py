"""Refusals decoded from the details that travel with a gRPC status."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError
from google.rpc import status_pb2
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from ledger.v1 import ledger_service_pb2

from ledger_client.refusals import (
    NOTHING_DONE_REASONS,
    Aborted,
    AccountAlreadyExists,
    AccountClosed,
    AccountFrozen,
    AccountNotEmpty,
    AccountNotFound,
    AccountSetNotFound,
    AlreadyExists,
    AmountInvalid,
    AmountOverflow,
    APIKeyNotFound,
    AssetAlreadyExists,
    AssetMismatch,
    AssetNotFound,
    AtomicGroupRefused,
    BalanceLimitExceeded,
    BatchTooLarge,
    ChartConflict,
    ChartNotFound,
    ClientUpgradeRequired,
    Contention,
    CredentialsInvalid,
    CredentialsMissing,
    DatabaseUnavailable,
    DeadlineExceeded,
    Exhausted,
    ForbiddenDevEndpoint,
    IdempotencyKeyRequired,
    IdempotencyKeyReused,
    InsufficientFunds,
    InvalidRequest,
    InvariantBroken,
    LastTenantAdmin,
    LedgerAlreadyExists,
    LedgerNotFound,
    MemberAlreadyExists,
    MemberNotFound,
    MembershipNarrowed,
    NotAMember,
    NotFound,
    NotPermitted,
    OutcomeUnknown,
    Overloaded,
    PageTokenInvalid,
    Precondition,
    PreconditionFailed,
    RateLimited,
    Refused,
    ReversalAlreadyExists,
    ReversalForbiddenType,
    RoleRequired,
    SequenceNotReached,
    ShuttingDown,
    TemplateNotFound,
    TooManyEntries,
    TransactionNotFound,
    Unavailable,
    UnbalancedTransaction,
    UnhandledKind,
    ValidationFailed,
    VersionMismatch,
    Violation,
)

__all__ = [
    "NOTHING_DONE_REASONS",
    "Refused",
    "Violation",
    "class_of",
    "refused_from_operation",
    "refused_from_rpc_error",
]

_DETAILS_KEY = "grpc-status-details-bin"
_STATUS_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}

BY_REASON: Mapping[str, type[Refused]] = {
    "VALIDATION_FAILED": ValidationFailed,
    "AMOUNT_INVALID": AmountInvalid,
    "PAGE_TOKEN_INVALID": PageTokenInvalid,
    "UNBALANCED_TRANSACTION": UnbalancedTransaction,
    "ASSET_MISMATCH": AssetMismatch,
    "UNHANDLED_KIND": UnhandledKind,
    "IDEMPOTENCY_KEY_REQUIRED": IdempotencyKeyRequired,
    "LEDGER_NOT_FOUND": LedgerNotFound,
    "ACCOUNT_NOT_FOUND": AccountNotFound,
    "ASSET_NOT_FOUND": AssetNotFound,
    "TRANSACTION_NOT_FOUND": TransactionNotFound,
    "TEMPLATE_NOT_FOUND": TemplateNotFound,
    "MEMBER_NOT_FOUND": MemberNotFound,
    "CHART_NOT_FOUND": ChartNotFound,
    "ACCOUNT_SET_NOT_FOUND": AccountSetNotFound,
    "API_KEY_NOT_FOUND": APIKeyNotFound,
    "CREDENTIALS_MISSING": CredentialsMissing,
    "CREDENTIALS_INVALID": CredentialsInvalid,
    "IDEMPOTENCY_KEY_REUSED": IdempotencyKeyReused,
    "REVERSAL_ALREADY_EXISTS": ReversalAlreadyExists,
    "LEDGER_ALREADY_EXISTS": LedgerAlreadyExists,
    "ASSET_ALREADY_EXISTS": AssetAlreadyExists,
    "ACCOUNT_ALREADY_EXISTS": AccountAlreadyExists,
    "MEMBER_ALREADY_EXISTS": MemberAlreadyExists,
    "INSUFFICIENT_FUNDS": InsufficientFunds,
    "BALANCE_LIMIT_EXCEEDED": BalanceLimitExceeded,
    "REVERSAL_FORBIDDEN_TYPE": ReversalForbiddenType,
    "SEQUENCE_NOT_REACHED": SequenceNotReached,
    "LAST_TENANT_ADMIN": LastTenantAdmin,
    "ACCOUNT_FROZEN": AccountFrozen,
    "ACCOUNT_CLOSED": AccountClosed,
    "ACCOUNT_NOT_EMPTY": AccountNotEmpty,
    "PRECONDITION_FAILED": PreconditionFailed,
    "CHART_CONFLICT": ChartConflict,
    "TOO_MANY_ENTRIES": TooManyEntries,
    "CLIENT_UPGRADE_REQUIRED": ClientUpgradeRequired,
    "AMOUNT_OVERFLOW": AmountOverflow,
    "CONTENTION": Contention,
    "ATOMIC_GROUP_REFUSED": AtomicGroupRefused,
    "VERSION_MISMATCH": VersionMismatch,
    "ROLE_REQUIRED": RoleRequired,
    "NOT_A_MEMBER": NotAMember,
    "MEMBERSHIP_NARROWED": MembershipNarrowed,
    "FORBIDDEN_DEV_ENDPOINT": ForbiddenDevEndpoint,
    "OVERLOADED": Overloaded,
    "BATCH_TOO_LARGE": BatchTooLarge,
    "RATE_LIMITED": RateLimited,
    "DATABASE_UNAVAILABLE": DatabaseUnavailable,
    "OUTCOME_UNKNOWN": OutcomeUnknown,
    "SHUTTING_DOWN": ShuttingDown,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "LEDGER_INVARIANT_BROKEN": InvariantBroken,
}
BY_STATUS: Mapping[str, type[Refused]] = {
    "INVALID_ARGUMENT": InvalidRequest,
    "NOT_FOUND": NotFound,
    "ALREADY_EXISTS": AlreadyExists,
    "FAILED_PRECONDITION": Precondition,
    "PERMISSION_DENIED": NotPermitted,
    "UNAUTHENTICATED": NotPermitted,
    "ABORTED": Aborted,
    "RESOURCE_EXHAUSTED": Exhausted,
    "UNAVAILABLE": Unavailable,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
}


def class_of(status: str, reason: str) -> type[Refused]:
    """The narrowest class for a status and a reason."""
    return BY_REASON.get(reason) or BY_STATUS.get(status, Refused)


def refused_from_rpc_error(error: grpc.RpcError) -> Refused:
    """Decodes what a stub raised; details that do not parse are left out rather than hide the status."""
    if not isinstance(error, grpc.Call | grpc.aio.AioRpcError):
        return Refused("UNKNOWN", str(error))
    code = error.code()
    message = error.details() or ""
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY:
            try:
                details = status_pb2.Status.FromString(value).details
            except DecodeError:
                break
            return _refused(code.name, message, details)
    return class_of(code.name, "")(code.name, message)


def refused_from_operation(status: ledger_service_pb2.OperationStatus) -> Refused:
    """Decodes the refusal of one operation of a batch."""
    return _refused(_STATUS_NAMES.get(status.code, "UNKNOWN"), status.message, status.details)


def _refused(status: str, message: str, details: Sequence[Any]) -> Refused:
    reason, facts, retry_after_s = "", dict[str, str](), None
    violations: list[Violation] = []
    for detail in details:
        known = _unpacked(detail)
        if isinstance(known, ErrorInfo):
            reason, facts = known.reason, dict(known.metadata)
        elif isinstance(known, BadRequest):
            violations += [Violation(each.field, each.description) for each in known.field_violations]
        elif isinstance(known, RetryInfo):
            retry_after_s = max(0.0, known.retry_delay.ToNanoseconds() / 1e9)
    return class_of(status, reason)(
        status, message, reason=reason, facts=facts, violations=violations, retry_after_s=retry_after_s
    )


def _unpacked(detail: Any) -> ErrorInfo | BadRequest | RetryInfo | None:
    """The detail as one of the kinds that are read; None where it is another one, or does not parse."""
    for known in (ErrorInfo(), BadRequest(), RetryInfo()):
        with suppress(DecodeError):
            if detail.Unpack(known):
                return known
    return None
