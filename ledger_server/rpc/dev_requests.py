"""DevService's requests as those of the verbs: a Post by the template of the operation's name, a Reverse."""

from __future__ import annotations

from uuid import uuid4

from ledger.v1 import dev_service_pb2 as pb
from ledger.v1 import ledger_pb2 as nouns_pb
from ledger.v1 import ledger_service_pb2 as ledger_pb

from ledger_server.domain.amounts import amount_fault
from ledger_server.domain.parameters import ParameterType, value_fault
from ledger_server.rpc.requests import Form


def post_request(
    request: pb.TopUpRequest | pb.ChargeRequest | pb.BonusRequest, template: str
) -> ledger_pb.PostRequest:
    """The Post by the newest version of a template. Raises InvalidRequest, in the fields of this request."""
    form = Form()
    given = {"user": request.user_id, "amount": request.amount}
    form.ledger(request.ledger)
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
    return ledger_pb.PostRequest(
        ledger=request.ledger,
        idempotency_key=key,
        description=note,
        template=nouns_pb.TemplateUse(name=template, parameters=given),
    )


def reverse_request(request: pb.ReversalRequest) -> ledger_pb.ReverseRequest:
    """The Reverse, never with force; its fields are called the same."""
    return ledger_pb.ReverseRequest(
        ledger=request.ledger,
        transaction=request.transaction if request.HasField("transaction") else None,
        idempotency_key=request.idempotency_key,
    )
