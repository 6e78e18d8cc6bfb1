"""A refusal as the caller of the client sees it, decoded from the details that travel with a gRPC status."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from ledger.v1 import ledger_service_pb2

_DETAILS_KEY = "grpc-status-details-bin"

# Sent instead of doing anything: also safe to repeat where a request carries no idempotency key.
NOTHING_DONE_REASONS = frozenset({"CONTENTION", "OVERLOADED", "RATE_LIMITED", "SHUTTING_DOWN"})


@dataclass(frozen=True, slots=True)
class Violation:
    """One field of the request that has a bad value: its path and what is wrong with it."""

    field: str
    description: str


class Refused(Exception):
    """The server, or the way to it, said no.

    `status` is the gRPC code's name ("NOT_FOUND"); `reason` is the stable word to
    branch on ("ACCOUNT_NOT_FOUND"), empty where the answer came from no handler:
    nobody listens, the deadline passed. `facts` belong to the reason, `violations`
    name each bad field, `retry_after_s` is the server's wish in seconds.
    """

    def __init__(
        self,
        status: str,
        message: str,
        *,
        reason: str = "",
        facts: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"{reason or status}: {message}")
        self.status = status
        self.message = message
        self.reason = reason
        self.facts: Mapping[str, str] = MappingProxyType(dict(facts or {}))
        self.violations = tuple(violations)
        self.retry_after_s = retry_after_s

    @property
    def is_transient(self) -> bool:
        """True where the same request may succeed later without anything else changing."""
        if self.status == "UNAVAILABLE":
            return True
        if self.status in ("ABORTED", "RESOURCE_EXHAUSTED"):
            return self.retry_after_s is not None or self.reason in NOTHING_DONE_REASONS or not self.reason
        return False

    @property
    def is_unanswered(self) -> bool:
        """True where no server answered at all: nobody listens at the target, or the way is broken."""
        return self.status == "UNAVAILABLE" and not self.reason


def refused_from_rpc_error(error: grpc.RpcError) -> Refused:
    """Decodes what a stub raised; details that do not parse are left out rather than hide the status."""
    if not isinstance(error, grpc.Call):
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
    return Refused(code.name, message)


def refused_from_operation(status: ledger_service_pb2.OperationStatus) -> Refused:
    """Decodes the refusal of one operation of a batch."""
    names = {code.value[0]: code.name for code in grpc.StatusCode}
    return _refused(names.get(status.code, "UNKNOWN"), status.message, status.details)


def _refused(status: str, message: str, details: Sequence[Any]) -> Refused:
    reason, facts, retry_after_s = "", dict[str, str](), None
    violations: list[Violation] = []
    for detail in details:
        information = error_details_pb2.ErrorInfo()
        bad_request = error_details_pb2.BadRequest()
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(information):
            reason, facts = information.reason, dict(information.metadata)
        elif detail.Unpack(bad_request):
            violations += [Violation(each.field, each.description) for each in bad_request.field_violations]
        elif detail.Unpack(retry):
            retry_after_s = retry.retry_delay.ToNanoseconds() / 1e9
    return Refused(
        status, message, reason=reason, facts=facts, violations=violations, retry_after_s=retry_after_s
    )
