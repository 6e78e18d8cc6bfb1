"""Post and Reverse for a caller who was let in, whichever method it came by."""

from __future__ import annotations

import grpc
from ledger.v1 import ledger_pb2 as nouns_pb
from ledger.v1 import ledger_service_pb2 as pb

from ledger_server.domain.permissions import Access, Permission
from ledger_server.domain.transactions import Transaction
from ledger_server.rpc import requests, responses, template_requests
from ledger_server.rpc.answering import access, caller, principal
from ledger_server.rpc.narrowing import allowed
from ledger_server.rpc.requests import Form
from ledger_server.service.ledger import Ledgers


def post(ledgers: Ledgers, request: pb.PostRequest, context: grpc.ServicerContext) -> pb.PostResponse:
    """Records one transaction, if the caller may post it. Raises refusals."""
    form = Form()
    ledger = form.ledger(request.ledger)
    by = access(context)
    draft = template_requests.posting_draft(request, principal(context), form, by.roles)
    recorded, replayed = ledgers.post(ledger, allowed(by, ledger, draft))
    return pb.PostResponse(transaction=_written(by, ledger, recorded), replayed=replayed)


def reverse(
    ledgers: Ledgers, request: pb.ReverseRequest, context: grpc.ServicerContext
) -> pb.ReverseResponse:
    """Records the mirror of a transaction, if the caller may. Raises refusals."""
    form = Form()
    ledger = form.ledger(request.ledger)
    by = access(context)
    draft = allowed(by, ledger, requests.reverse_draft(request, principal(context), form))
    recorded, replayed = ledgers.post(ledger, draft, caller(context) if request.force else None)
    return pb.ReverseResponse(transaction=_written(by, ledger, recorded), replayed=replayed)


def _written(by: Access, ledger: str, recorded: Transaction) -> nouns_pb.Transaction:
    """A transaction as a write answers it: with running balances for who may read them."""
    return responses.transaction(ledger, recorded, with_balances=by.allows(Permission.READ))
