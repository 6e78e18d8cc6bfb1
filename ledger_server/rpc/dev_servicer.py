"""DevService: Post and Reverse under the names of a loyalty credit's operations."""

from __future__ import annotations

import grpc
from ledger.v1 import dev_service_pb2 as pb
from ledger.v1 import dev_service_pb2_grpc

from ledger_server.rpc import dev_requests, verbs
from ledger_server.rpc.answering import answering
from ledger_server.rpc.door import OPEN_DOOR, Door
from ledger_server.service.ledger import Ledgers


class DevServicer(dev_service_pb2_grpc.DevServiceServicer):
    """Operations to try by hand, over the wire."""

    def __init__(self, ledgers: Ledgers, door: Door = OPEN_DOOR) -> None:
        self.door = door
        self._ledgers = ledgers

    @answering
    def TopUp(self, request: pb.TopUpRequest, context: grpc.ServicerContext) -> pb.TopUpResponse:
        """Posts a top-up."""
        posted = verbs.post(self._ledgers, dev_requests.post_request(request, "topup"), context)
        return pb.TopUpResponse(transaction=posted.transaction, replayed=posted.replayed)

    @answering
    def Charge(self, request: pb.ChargeRequest, context: grpc.ServicerContext) -> pb.ChargeResponse:
        """Posts a charge."""
        posted = verbs.post(self._ledgers, dev_requests.post_request(request, "charge"), context)
        return pb.ChargeResponse(transaction=posted.transaction, replayed=posted.replayed)

    @answering
    def Bonus(self, request: pb.BonusRequest, context: grpc.ServicerContext) -> pb.BonusResponse:
        """Posts a bonus."""
        posted = verbs.post(self._ledgers, dev_requests.post_request(request, "bonus"), context)
        return pb.BonusResponse(transaction=posted.transaction, replayed=posted.replayed)

    @answering
    def Reversal(self, request: pb.ReversalRequest, context: grpc.ServicerContext) -> pb.ReversalResponse:
        """Records the mirror of a transaction."""
        reversal = verbs.reverse(self._ledgers, dev_requests.reverse_request(request), context)
        return pb.ReversalResponse(transaction=reversal.transaction, replayed=reversal.replayed)
