"""Wire to domain: the operations of a batch, each judged by itself."""

from __future__ import annotations

from typing import TypeAlias

from ledger.v1 import ledger_service_pb2 as ledger_pb

from ledger_server.domain.accounts import AccountDraft
from ledger_server.domain.members import Role
from ledger_server.domain.refusals import BatchTooLarge, Refusal, ValidationFailed, Violation
from ledger_server.domain.transactions import ENTRIES_PER_ITEM, PostDraft, ReverseDraft, TemplateDraft
from ledger_server.rpc import limits
from ledger_server.rpc.account_requests import account_draft
from ledger_server.rpc.requests import Form, reverse_draft
from ledger_server.rpc.template_requests import posting_draft

_Operation: TypeAlias = PostDraft | TemplateDraft | ReverseDraft | AccountDraft | Refusal


def operation_drafts(
    request: ledger_pb.PostBatchRequest, created_by: str, roles: frozenset[Role] | None = None
) -> list[_Operation]:
    """A batch's drafts, a refusal in the place of a malformed one. Raises InvalidRequest, BatchTooLarge."""
    form = Form()
    form.ledger(request.ledger)
    if not request.operations:
        form.fault("operations", "must not be empty")
    if request.view not in ledger_pb.BatchView.values():
        form.fault("view", f"{request.view} is not a BatchView")
    form.judge()
    if len(request.operations) > limits.OPERATIONS_MAX:
        raise _too_large(request)
    drafts: list[_Operation] = []
    entries = 0
    for operation in request.operations:
        draft = _operation_draft(operation, created_by, roles)
        if isinstance(draft, PostDraft):
            entries += len(draft.entries) + len(draft.preconditions)
        elif isinstance(draft, TemplateDraft):
            entries += draft.entries_expected + len(draft.preconditions)
        else:
            entries += _entries(operation.post)
        if entries > limits.BATCH_ENTRIES_MAX:
            raise _too_large(request)
        drafts.append(draft)
    return drafts


def _too_large(request: ledger_pb.PostBatchRequest) -> BatchTooLarge:
    count = len(request.operations)
    entries = sum(_entries(one.post) for one in request.operations[: limits.OPERATIONS_MAX + 1])
    return BatchTooLarge(
        f"the batch has {count} operations with {entries} entries and preconditions; at most"
        f" {limits.OPERATIONS_MAX} with {limits.BATCH_ENTRIES_MAX} are allowed: split it",
        operations=count,
        operations_max=limits.OPERATIONS_MAX,
        entries=entries,
        entries_max=limits.BATCH_ENTRIES_MAX,
    )


def _entries(post: ledger_pb.PostOperation) -> int:
    """How many entries a post counts as. A precondition weighs as one: each is a place to look up."""
    count = len(post.entries) + len(post.preconditions)
    return count + ENTRIES_PER_ITEM * (1 + len(post.template.items)) if post.HasField("template") else count


def _operation_draft(
    operation: ledger_pb.Operation, created_by: str, roles: frozenset[Role] | None
) -> _Operation:
    which = operation.WhichOneof("operation")
    try:
        if which == "post":
            return posting_draft(operation.post, created_by, Form(), roles)
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
