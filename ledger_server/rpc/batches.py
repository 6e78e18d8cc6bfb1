"""PostBatch: well-formed and malformed operations side by side, and the size of the answer."""

from __future__ import annotations

from collections.abc import Sequence

from google.rpc.status_pb2 import Status
from ledger.v1 import ledger_service_pb2 as pb

from ledger_server.domain.decisions import Decision, Draft
from ledger_server.domain.refusals import AtomicGroupRefused, BatchTooLarge, Refusal
from ledger_server.domain.transactions import PostDraft, ReverseDraft, Transaction
from ledger_server.rpc import limits, responses
from ledger_server.rpc.status import status
from ledger_server.service.ledger import Ledgers

# What a whole transaction adds to its request's bytes: times, hash, sequence,
# created_by; and to each entry: its running balance.
_TRANSACTION_BYTES = 256
_ENTRY_BYTES = 48
# A reversal's entries are not in the request.
_REVERSAL_BYTES = 64 * 1024


def check_answer_size(request: pb.PostBatchRequest, *, is_full: bool) -> None:
    """Refuses, before anything is decided, a batch whose answer could be too large for a plain client."""
    count = len(request.operations)
    size_bytes = count * limits.RESULT_BYTES_MAX
    if is_full:
        size_bytes += request.ByteSize() + count * _TRANSACTION_BYTES
        for operation in request.operations:
            if operation.HasField("reverse"):
                size_bytes += _REVERSAL_BYTES
            else:
                entries = len(operation.post.entries)
                size_bytes += entries * _ENTRY_BYTES + count_names(request.ledger)
    if size_bytes > limits.ANSWER_BYTES_MAX:
        raise BatchTooLarge(
            f"the answer could need {size_bytes} bytes; at most {limits.ANSWER_BYTES_MAX} are allowed:"
            " split the batch, or ask for BATCH_VIEW_BASIC",
            answer_bytes=size_bytes,
            answer_bytes_max=limits.ANSWER_BYTES_MAX,
        )


def count_names(ledger: str) -> int:
    """The bytes that the ledger's name takes in each transaction."""
    return len(ledger.encode())


def decide(
    ledgers: Ledgers, ledger: str, drafts: Sequence[Draft | Refusal], *, atomic: bool
) -> list[Decision]:
    """One decision for each operation, in order; a malformed one is refused in its place."""
    culprit = next((index for index, draft in enumerate(drafts) if isinstance(draft, Refusal)), None)
    if atomic and culprit is not None:
        refusal = drafts[culprit]
        assert isinstance(refusal, Refusal)
        others = AtomicGroupRefused(
            f"operation {culprit} of the atomic batch was refused with {refusal.reason};"
            " nothing was recorded",
            culprit_index=culprit,
            culprit_reason=refusal.reason,
        )
        return [refusal if index == culprit else others for index in range(len(drafts))]
    sound = [draft for draft in drafts if isinstance(draft, PostDraft | ReverseDraft)]
    decided = iter(ledgers.decide(ledger, sound, atomic=atomic) if sound else ())
    return [draft if isinstance(draft, Refusal) else next(decided) for draft in drafts]


def result(ledger: str, decision: Decision, *, is_full: bool) -> pb.OperationResult:
    """One operation's result."""
    if isinstance(decision, Refusal):
        return pb.OperationResult(status=_operation_status(status(decision)))
    recorded = decision.record
    assert isinstance(recorded, Transaction)
    answer = pb.OperationResult(sequence=recorded.sequence, hash=recorded.hash, replayed=decision.replayed)
    if is_full:
        answer.transaction.CopyFrom(responses.transaction(ledger, recorded))
    return answer


def _operation_status(given: Status) -> pb.OperationStatus:
    return pb.OperationStatus.FromString(given.SerializeToString())
