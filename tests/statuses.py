"""What a refused call is told, read from the bytes that a client gets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import grpc
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from ledger.v1 import ledger_service_pb2 as pb

DETAILS_KEY = "grpc-status-details-bin"


@dataclass(frozen=True)
class Told:
    """A status with its details. Violations are (field, description); no retry delay is None."""

    code: grpc.StatusCode
    reason: str
    message: str
    facts: Mapping[str, str]
    violations: Sequence[tuple[str, str]]
    retry_after_s: float | None
    size_bytes: int

    @property
    def fields(self) -> list[str]:
        """The fields at fault."""
        return [field for field, _ in self.violations]


def told_by(status: Status) -> Told:
    """Reads a google.rpc.Status; ErrorInfo comes first, and at most one of each kind."""
    info, bad, retry = ErrorInfo(), BadRequest(), RetryInfo()
    assert status.details[0].Unpack(info)
    assert info.domain == "ledger.v1"
    assert len({detail.type_url for detail in status.details}) == len(status.details)
    waits = False
    for detail in status.details[1:]:
        assert detail.Unpack(bad) or detail.Unpack(retry), detail.type_url
        waits = waits or detail.Is(RetryInfo.DESCRIPTOR)
    return Told(
        next(code for code in grpc.StatusCode if code.value[0] == status.code),
        info.reason,
        status.message,
        dict(info.metadata),
        [(one.field, one.description) for one in bad.field_violations],
        retry.retry_delay.ToTimedelta().total_seconds() if waits else None,
        status.ByteSize(),
    )


def told(call: Callable[[], object]) -> Told:
    """How the call was refused; fails where it was not."""
    try:
        answer = call()
    except grpc.RpcError as error:
        return told_error(error)
    raise AssertionError(f"answered {answer}")


def told_error(error: grpc.RpcError) -> Told:
    """The refusal that an error carries; the plain status and the rich one agree."""
    metadata = dict(error.trailing_metadata() or ())
    assert DETAILS_KEY in metadata, f"no details: {error.code()} {error.details()}"
    answer = told_by(Status.FromString(metadata[DETAILS_KEY]))
    assert (answer.code, answer.message) == (error.code(), error.details())
    return answer


def told_operation(result: pb.OperationResult) -> Told:
    """The refusal of one operation of a batch."""
    assert result.HasField("status")
    assert (result.sequence, result.hash, result.HasField("transaction")) == (0, b"", False)
    return told_by(Status.FromString(result.status.SerializeToString()))
