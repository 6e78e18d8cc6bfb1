"""Reports over the wire, in few words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from callers import DEADLINE_S, Teller
from google.protobuf.timestamp_pb2 import Timestamp
from ledger.v1 import report_service_pb2 as pb
from ledger.v1 import report_service_pb2_grpc

DAY_S = 24 * 3600


def at_day(day: float, microseconds: int = 0) -> Timestamp:
    """A moment so many days, and microseconds, after a day in 2023."""
    total = round((1_700_000_000 + day * DAY_S) * 1_000_000) + microseconds
    return Timestamp(seconds=total // 1_000_000, nanos=total % 1_000_000 * 1000)


def micros(moment: Timestamp) -> int:
    """A moment in microseconds."""
    return int(moment.seconds) * 1_000_000 + int(moment.nanos) // 1000


class Reports:
    """The reports of one teller's ledger."""

    def __init__(self, teller: Teller) -> None:
        self.ledger = teller.ledger
        self.stub = report_service_pb2_grpc.ReportServiceStub(teller.server.channel)

    def overdue(self, prefix: str = "", asset: str = "USD", **more: Any) -> pb.ListOverdueBalancesResponse:
        """A page of overdue balances."""
        request = pb.ListOverdueBalancesRequest(
            ledger=self.ledger, account_prefix=prefix, asset=asset, **more
        )
        return self.stub.ListOverdueBalances(request, timeout=DEADLINE_S)

    def charges(self, account: str, asset: str = "USD", **more: Any) -> pb.ListChargesResponse:
        """A page of an account's charges."""
        request = pb.ListChargesRequest(ledger=self.ledger, account=account, asset=asset, **more)
        return self.stub.ListCharges(request, timeout=DEADLINE_S)

    def all_overdue(self, prefix: str = "", **more: Any) -> list[pb.OverdueBalance]:
        """Every overdue balance, page by page."""
        return _walked(lambda token: self.overdue(prefix, page_token=token, **more), "balances")

    def all_charges(self, account: str, **more: Any) -> list[pb.Charge]:
        """Every charge of an account, page by page."""
        return _walked(lambda token: self.charges(account, page_token=token, **more), "charges")


def _walked(page_of: Callable[[str], Any], field: str) -> list[Any]:
    page = page_of("")
    found, of_when = list(getattr(page, field)), (page.sequence, page.as_of)
    while page.next_page_token:
        page = page_of(page.next_page_token)
        assert (page.sequence, page.as_of) == of_when
        found += getattr(page, field)
    return found
