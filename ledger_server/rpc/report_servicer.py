"""ReportService: read, do, write."""

from __future__ import annotations

import grpc
from ledger.v1 import report_service_pb2 as pb
from ledger.v1 import report_service_pb2_grpc

from ledger_server.domain.overdue import Charge, OverdueBalance
from ledger_server.rpc import narrowing, report_requests
from ledger_server.rpc.answering import access, answering
from ledger_server.rpc.door import OPEN_DOOR, Door
from ledger_server.rpc.page_tokens import page_token
from ledger_server.rpc.report_requests import moved_back, moved_on
from ledger_server.rpc.requests import Form
from ledger_server.rpc.responses import timestamp
from ledger_server.service.ledger import Ledgers


class ReportServicer(report_service_pb2_grpc.ReportServiceServicer):
    """What is owed and since when, over the wire."""

    def __init__(self, ledgers: Ledgers, door: Door = OPEN_DOOR) -> None:
        self.door = door
        self._ledgers = ledgers

    @answering
    def ListOverdueBalances(
        self, request: pb.ListOverdueBalancesRequest, context: grpc.ServicerContext
    ) -> pb.ListOverdueBalancesResponse:
        """Lists accounts with overdue charges."""
        form = Form()
        ledger = form.ledger(request.ledger)
        accounts = report_requests.accounts(request, form)
        asset = form.asset(request.asset)
        days = report_requests.days(request, form)
        asked = report_requests.moment(request, form)
        oldest_first = report_requests.is_oldest_first(request.order, form)
        count = form.page_size(request.page_size)
        min_sequence = form.sequence(request.min_sequence, "min_sequence")
        form.judge()
        by = access(context)
        if accounts.is_one:
            narrowing.refuse_uncovered(by, ledger, (accounts.name,))
        else:
            narrowing.refuse_listing(by, None, accounts.name)
        moment, place = report_requests.on_later_pages(request, asked, int if oldest_first else str)
        ask = (asset, days, moment)
        if oldest_first:
            offset = place[0] if place else 0
            page = self._ledgers.overdue.oldest_first(ledger, accounts, *ask, min_sequence)
            go_on = offset + count if len(page.balances) > offset + count else None
            page = page._replace(balances=page.balances[offset : offset + count])
        else:
            accounts = accounts._replace(start=place[0] if place else "")
            page = self._ledgers.overdue.by_account(ledger, accounts, *ask, count, min_sequence)
            go_on = page.go_on
        answer = pb.ListOverdueBalancesResponse(
            balances=[_balance(one) for one in page.balances], sequence=page.at, as_of=timestamp(page.as_of)
        )
        if go_on is not None:
            answer.next_page_token = page_token(request, page.at, moved_on(page.as_of), go_on)
        return answer

    @answering
    def ListCharges(
        self, request: pb.ListChargesRequest, context: grpc.ServicerContext
    ) -> pb.ListChargesResponse:
        """Lists an account's charges, the oldest first."""
        form = Form()
        ledger = form.ledger(request.ledger)
        account = form.account(request.account)
        asset = form.asset(request.asset)
        asked = report_requests.moment(request, form)
        count = form.page_size(request.page_size)
        min_sequence = form.sequence(request.min_sequence, "min_sequence")
        form.judge()
        narrowing.refuse_uncovered(access(context), ledger, (account,))
        moment, place = report_requests.on_later_pages(request, asked, int, int, int)
        page = self._ledgers.overdue.charges(
            ledger,
            account,
            asset,
            moment,
            unpaid_only=request.unpaid_only,
            after=(moved_back(place[0]), place[1], place[2]) if place else None,
            count=count,
            min_sequence=min_sequence,
        )
        answer = pb.ListChargesResponse(
            charges=[_charge(one) for one in page.charges], sequence=page.at, as_of=timestamp(page.as_of)
        )
        if page.has_more:
            last = page.charges[-1]
            answer.next_page_token = page_token(
                request,
                page.at,
                moved_on(page.as_of),
                moved_on(last.effective_time),
                last.sequence,
                last.line,
            )
        return answer


def _balance(found: OverdueBalance) -> pb.OverdueBalance:
    return pb.OverdueBalance(
        account=found.account,
        overdue=str(found.overdue),
        balance=str(found.balance),
        oldest_unpaid=_charge(found.oldest_unpaid),
    )


def _charge(found: Charge) -> pb.Charge:
    return pb.Charge(
        sequence=found.sequence,
        index=found.line,
        effective_time=timestamp(found.effective_time),
        amount=str(found.amount),
        remaining=str(found.remaining),
        settled_at=None if found.settled_at is None else timestamp(found.settled_at),
    )
