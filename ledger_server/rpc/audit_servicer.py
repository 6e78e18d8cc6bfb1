"""AuditService: read, do, write."""

from __future__ import annotations

import grpc
from ledger.v1 import audit_service_pb2 as pb
from ledger.v1 import audit_service_pb2_grpc

from ledger_server.domain import names
from ledger_server.domain.audit import AuditFilter
from ledger_server.domain.refusals import PageTokenInvalid
from ledger_server.rpc import limits, responses
from ledger_server.rpc.answering import answering
from ledger_server.rpc.door import OPEN_DOOR, Door
from ledger_server.rpc.page_tokens import page_token, position
from ledger_server.rpc.requests import MICROSECONDS_MAX, Form
from ledger_server.service.audits import audit_page
from ledger_server.service.ledger import Ledgers


class AuditServicer(audit_service_pb2_grpc.AuditServiceServicer):
    """Who did what, over the wire."""

    def __init__(self, ledgers: Ledgers, door: Door = OPEN_DOOR) -> None:
        self._ledgers = ledgers
        self.door = door

    @answering
    def ListAuditEvents(
        self, request: pb.ListAuditEventsRequest, context: grpc.ServicerContext
    ) -> pb.ListAuditEventsResponse:
        """Lists audit events, newest first."""
        form = Form()
        if request.actor:
            form.fault("actor", names.principal_fault(request.actor))
        ledger = form.ledger(request.ledger) if request.ledger else ""
        wanted = AuditFilter(
            request.actor or None,
            form.time(request, "since"),
            form.time(request, "until"),
        )
        count = form.page_size(request.page_size or limits.AUDIT_PAGE_SIZE_DEFAULT)
        form.judge()
        place = position(request, int, int)
        if place is not None and place[0] > MICROSECONDS_MAX:
            raise PageTokenInvalid("the page token is not one of this service's")
        found, has_more = audit_page(self._ledgers.database, ledger, wanted, place, count)
        answer = pb.ListAuditEventsResponse(events=[responses.audit_event(ledger, one) for one in found])
        if has_more:
            answer.next_page_token = page_token(request, found[-1].occurred_at, found[-1].event_id)
        return answer
