"""DevService: Post and Reverse under the names of a loyalty credit's operations."""

from __future__ import annotations

import grpc
from ledger.v1 import dev_service_pb2 as pb
from ledger.v1 import dev_service_pb2_grpc
from ledger.v1 import ledger_pb2 as nouns_pb

from ledger_server.domain.permissions import Access, Permission
from ledger_server.domain.transactions import Transaction
from ledger_server.rpc import dev_requests, responses
from ledger_server.rpc.answering import access, answering, principal
from ledger_server.rpc.door import OPEN_DOOR, Door
from ledger_server.rpc.narrowing import allowed
from ledger_server.rpc.requests import Form
from ledger_server.service.ledger import Ledgers


class DevServicer(dev_service_pb2_grpc.DevServiceServicer):
    """Operations to try by hand, over the wire."""

    def __init__(self, ledgers: Ledgers, door: Door = OPEN_DOOR) -> None:
        self.door = door
        self._ledgers = ledgers

    @answering
    def TopUp(self, request: pb.TopUpRequest, context: grpc.ServicerContext) -> pb.TopUpResponse:
        """Posts a top-up."""
        transaction, replayed = self._posted(request, "topup", context)
        return pb.TopUpResponse(transaction=transaction, replayed=replayed)

    @answering
    def Charge(self, request: pb.ChargeRequest, context: grpc.ServicerContext) -> pb.ChargeResponse:
        """Posts a charge."""
        transaction, replayed = self._posted(request, "charge", context)
        return pb.ChargeResponse(transaction=transaction, replayed=replayed)

    @answering
    def Bonus(self, request: pb.BonusRequest, context: grpc.ServicerContext) -> pb.BonusResponse:
        """Posts a bonus."""
        transaction, replayed = self._posted(request, "bonus", context)
        return pb.BonusResponse(transaction=transaction, replayed=replayed)

    @answering
    def Reversal(self, request: pb.ReversalRequest, context: grpc.ServicerContext) -> pb.ReversalResponse:
        """Records the mirror of a transaction."""
        form = Form()
        ledger = form.ledger(request.ledger)
        by = access(context)
        draft = allowed(by, ledger, dev_requests.reversal_draft(request, principal(context), form))
        recorded, replayed = self._ledgers.post(ledger, draft)
        return pb.ReversalResponse(transaction=_written(by, ledger, recorded), replayed=replayed)

    def _posted(
        self,
        request: pb.TopUpRequest | pb.ChargeRequest | pb.BonusRequest,
        template: str,
        context: grpc.ServicerContext,
    ) -> tuple[nouns_pb.Transaction, bool]:
        form = Form()
        ledger = form.ledger(request.ledger)
        by = access(context)
        draft = allowed(by, ledger, dev_requests.operation_draft(request, template, principal(context), form))
        recorded, replayed = self._ledgers.post(ledger, draft)
        return _written(by, ledger, recorded), replayed


def _written(by: Access, ledger: str, recorded: Transaction) -> nouns_pb.Transaction:
    """A transaction as LedgerService would answer it."""
    return responses.transaction(ledger, recorded, with_balances=by.allows(Permission.READ))
