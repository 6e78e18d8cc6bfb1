"""The judge of answers: which status a case may have, what must be in it, and what never."""

from __future__ import annotations

import base64
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status
from hostile.callers_of import NOBODY, STRANGER
from hostile.cases import NO_MESSAGE, OVERSIZE, UNKNOWN_METHOD, Case
from hostile.sending import Answer
from ledger.v1 import ledger_service_pb2 as pb

DETAILS_KEY = "grpc-status-details-bin"
DETAILS_BYTES_MAX = 4 * 1024
VIOLATIONS_MAX = 20
ANSWER_BYTES_MAX = 3_584 * 1024
# The statuses of the contract that hostile bytes can meet while nothing is broken.
ALLOWED = {
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
    "ALREADY_EXISTS",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "RESOURCE_EXHAUSTED",
}
# What gRPC answers itself, before any handler runs: by the kind of case. Metadata beyond its bound too.
GRPC_S_OWN = {
    UNKNOWN_METHOD: {"UNIMPLEMENTED"},
    # A unary method wants exactly one message.
    NO_MESSAGE: {"UNIMPLEMENTED"},
    OVERSIZE: {"RESOURCE_EXHAUSTED"},
}
# Bytes that are no message are no call that anybody could make.
_TOLD_TO_NOBODY = {"UNAUTHENTICATED", "INVALID_ARGUMENT"}
# What a hurried caller's own side makes up.
HURRIED = {"DEADLINE_EXCEEDED", "CANCELLED"}
# The health protocol's own word for a service that it does not know (grpc.health.v1).
HEALTH_S_OWN = ("/grpc.health.v1.Health/Check", "NOT_FOUND")

_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}


class Judge:
    """Judges answers one by one, and counts statuses. `secrets` are byte strings that nobody may be told."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._needles = [needle for secret in secrets for needle in spellings(secret)]
        self.histogram: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.mutations: Counter[str] = Counter()

    def faults(self, case: Case, answer: Answer) -> list[str]:
        """What is wrong with the answer to a case, in sentences; counts it."""
        self.histogram[case.method.name][answer.code] += 1
        self.mutations[case.mutation or case.kind] += 1
        found = [] if answer.code == "OK" else list(_of_an_error(case, answer))
        if answer.code == "OK":
            found += _of_an_answer(case, answer)
        found += _of_a_caller(case, answer)
        if any(needle in data for needle in self._needles for data in _everything(answer)):
            found.append("the answer holds a secret")
        return found

    def table(self) -> str:
        """The histogram: a line for each method."""
        codes = sorted({code for counts in self.histogram.values() for code in counts} - {"OK"})
        heads = ["method", "OK", *codes]
        rows = [
            [name, *(f"{counts[code]:,}" for code in heads[1:])]
            for name, counts in sorted(self.histogram.items())
        ]
        widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
        return "\n".join(
            "  ".join(
                cell.rjust(width) if column else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in [heads, *rows]
        )


def spellings(secret: str) -> list[bytes]:
    """A secret as it may stand in bytes: plain, and as three base64 texts by its place in what is encoded."""
    data = secret.encode()
    encoded = [base64.b64encode(b"\0" * lead + data)[(lead * 8 + 5) // 6 + 1 : -4] for lead in range(3)]
    return [data, secret.replace(" ", "%20").encode(), secret.replace(" ", "+").encode(), *encoded]


def _everything(answer: Answer) -> Iterator[bytes]:
    yield answer.text.encode("utf-8", "surrogatepass")
    yield from answer.replies
    for key, value in (*answer.initial, *answer.trailing):
        yield key.encode()
        yield value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")


def _of_an_answer(case: Case, answer: Answer) -> Iterator[str]:
    for reply in answer.replies:
        if len(reply) > ANSWER_BYTES_MAX and case.path.startswith("/ledger."):
            yield f"an answer of {len(reply)} bytes; a plain client takes 4 MiB"
    if case.method.name != "PostBatch":
        return
    for result in pb.PostBatchResponse.FromString(answer.replies[0]).results:
        if result.HasField("status"):
            status = Status.FromString(result.status.SerializeToString())
            yield from (f"an operation: {fault}" for fault in _of_a_status(status))


def _of_a_caller(case: Case, answer: Answer) -> Iterator[str]:
    """Who is nobody is told so, and who is a stranger is told nothing."""
    if not case.path.startswith("/ledger.v1.") or answer.code in HURRIED:
        return
    if case.caller == NOBODY and answer.code not in _TOLD_TO_NOBODY and not _is_another_s(case, answer):
        yield f"nobody was told {answer.code}: {answer.text!r}"
    if case.caller == STRANGER and answer.code == "OK" and case.method.name != "GetServerInfo":
        yield "a stranger was let in"


def _is_of_a_shut_account(answer: Answer) -> bool:
    """Whether an account is shut, which a bent call may have done: a lookup's bytes can be a freeze's."""
    return answer.code == "FAILED_PRECONDITION" and (
        " is frozen; " in answer.text or " is closed" in answer.text
    )


def _of_an_error(case: Case, answer: Answer) -> Iterator[str]:
    if case.is_plain and not _is_of_a_shut_account(answer):
        yield f"a valid call was refused: {answer.code} {answer.text}"
    if case.is_hurried and answer.code in HURRIED:
        return
    details = [value for key, value in answer.trailing if key == DETAILS_KEY]
    if not details and _is_another_s(case, answer):
        return
    if answer.code not in ALLOWED:
        yield f"status {answer.code}: {answer.text!r}"
    if not details:
        yield f"no details with {answer.code}: {answer.text!r}"
        return
    try:
        status = Status.FromString(_bytes(details[0]))
    except DecodeError:
        yield "the details are no google.rpc.Status"
        return
    if status.message != answer.text:
        yield f"two sentences: {answer.text!r} and {status.message!r}"
    if _NAMES.get(status.code) != answer.code:
        yield f"two codes: {answer.code} and {status.code}"
    yield from _of_a_status(status)


def _is_another_s(case: Case, answer: Answer) -> bool:
    """Whether the answer is gRPC's own, or the health protocol's."""
    return (
        answer.code in GRPC_S_OWN.get(case.kind, set())
        or (case.has_long_metadata and answer.code == "RESOURCE_EXHAUSTED")
        or (case.path, answer.code) == HEALTH_S_OWN
    )


def _of_a_status(status: Status) -> Iterator[str]:
    name = _NAMES.get(status.code, str(status.code))
    if name not in ALLOWED:
        yield f"status {name}: {status.message!r}"
    info, bad = ErrorInfo(), BadRequest()
    if not (status.details and status.details[0].Unpack(info)):
        yield "no ErrorInfo"
    elif info.domain != "ledger.v1" or not info.reason:
        yield f"ErrorInfo of {info.domain!r} with reason {info.reason!r}"
    if status.ByteSize() > DETAILS_BYTES_MAX:
        yield f"{status.ByteSize()} bytes of details"
    for detail in status.details:
        if detail.Unpack(bad) and not 1 <= len(bad.field_violations) <= VIOLATIONS_MAX:
            yield f"{len(bad.field_violations)} violations"


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()
