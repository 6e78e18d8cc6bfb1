"""Wire to domain: the operations of DevService as drafts of the templates they are named after."""

from __future__ import annotations

from uuid import uuid4

from ledger.v1 import dev_service_pb2 as pb

from ledger_server.domain.amounts import amount_fault
from ledger_server.domain.parameters import Parameters, ParameterType, value_fault
from ledger_server.domain.transactions import ReverseDraft, TemplateDraft, TemplateUse
from ledger_server.rpc.requests import Form


def operation_draft(
    request: pb.TopUpRequest | pb.ChargeRequest | pb.BonusRequest, template: str, created_by: str, form: Form
) -> TemplateDraft:
    """The draft of a Post by the newest version of a template. Raises InvalidRequest."""
    given = {"user": request.user_id, "amount": request.amount}
    form.fault("user_id", value_fault(ParameterType.UUID, request.user_id))
    form.fault("amount", amount_fault(request.amount))
    note = ""
    if isinstance(request, pb.BonusRequest):
        given["reason"] = request.reason
        form.fault("reason", value_fault(ParameterType.TEXT, request.reason))
    else:
        note = form.text(request.note, "note")
    key = form.key(request.idempotency_key) or f"dev:{uuid4()}"
    form.judge()
    return TemplateDraft(TemplateUse(template, 0, Parameters(given)), key, None, note, "", created_by)


def reversal_draft(request: pb.ReversalRequest, created_by: str, form: Form) -> ReverseDraft:
    """The draft of a Reverse, never with force. Raises InvalidRequest."""
    origin, key = form.transaction(request.transaction), form.key(request.idempotency_key)
    form.judge()
    return ReverseDraft(origin, key, None, "", {}, created_by)
