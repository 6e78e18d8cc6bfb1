"""Wire to domain: the operations of a batch, each judged by itself."""

from __future__ import annotations

from ledger.v1 import ledger_service_pb2 as ledger_pb

from ledger_server.domain.accounts import AccountDraft
from ledger_server.domain.refusals import BatchTooLarge, Refusal, ValidationFailed, Violation
from ledger_server.domain.transactions import PostDraft, ReverseDraft
from ledger_server.rpc import limits
from ledger_server.rpc.account_requests import account_draft
from ledger_server.rpc.requests import Form, post_draft, reverse_draft


def operation_drafts(
    request: ledger_pb.PostBatchRequest, created_by: str
) -> list[PostDraft | ReverseDraft | AccountDraft | Refusal]:
    """A batch's drafts, a refusal in the place of a malformed one. Raises InvalidRequest, BatchTooLarge."""
    form = Form()
    form.ledger(request.ledger)
    if not request.operations:
        form.fault("operations", "must not be empty")
    if request.view not in ledger_pb.BatchView.values():
        form.fault("view", f"{request.view} is not a BatchView")
    form.judge()
    count = len(request.operations)
    # A precondition weighs what an entry does: each is a place to look up.
    entries = sum(
        len(one.post.entries) + len(one.post.preconditions)
        for one in request.operations[: limits.OPERATIONS_MAX + 1]
    )
    if count > limits.OPERATIONS_MAX or entries > limits.BATCH_ENTRIES_MAX:
        raise BatchTooLarge(
            f"the batch has {count} operations with {entries} entries and preconditions; at most"
            f" {limits.OPERATIONS_MAX} with {limits.BATCH_ENTRIES_MAX} are allowed: split it",
            operations=count,
            operations_max=limits.OPERATIONS_MAX,
            entries=entries,
            entries_max=limits.BATCH_ENTRIES_MAX,
        )
    return [_operation_draft(operation, created_by) for operation in request.operations]


def _operation_draft(
    operation: ledger_pb.Operation, created_by: str
) -> PostDraft | ReverseDraft | AccountDraft | Refusal:
    which = operation.WhichOneof("operation")
    try:
        if which == "post":
            return post_draft(operation.post, created_by, Form())
        if which == "reverse":
            return reverse_draft(operation.reverse, created_by, Form())
        if which == "open_account":
            form = Form()
            draft = account_draft(operation.open_account, created_by, form)
            form.judge()
            assert draft is not None
            return draft
    except Refusal as refusal:
        return refusal
    fault = Violation("operation", "must be given: post, reverse or open_account")
    return ValidationFailed("operation: must be given", violations=(fault,))
