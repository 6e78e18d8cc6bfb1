"""Wire to domain: what reports ask, and where their pages go on."""

from __future__ import annotations

from typing import Any

from ledger.v1 import report_service_pb2 as pb

from ledger_server.domain.overdue import DAYS_DEFAULT, DAYS_MAX, Accounts, Moment
from ledger_server.domain.refusals import PageTokenInvalid
from ledger_server.rpc.page_tokens import position
from ledger_server.rpc.requests import MICROSECONDS_MAX, MICROSECONDS_MIN, Form


def accounts(request: pb.ListOverdueBalancesRequest, form: Form) -> Accounts:
    """One account, or those of a prefix."""
    if request.account and request.account_prefix:
        form.fault("account_prefix", "excludes account; give one of them")
    elif not request.account and not request.account_prefix:
        form.fault("account", "must be given, or account_prefix")
    if request.account:
        form.account(request.account)
    if request.account_prefix:
        form.account(request.account_prefix, "account_prefix")
    return Accounts(request.account or request.account_prefix, bool(request.account))


def days(request: pb.ListOverdueBalancesRequest, form: Form) -> int:
    """For how many days a charge may be unpaid."""
    if not request.HasField("days"):
        return DAYS_DEFAULT
    if not 0 <= request.days <= DAYS_MAX:
        form.fault("days", f"is {request.days}; 0 to {DAYS_MAX} are allowed")
    return request.days


def is_oldest_first(order: int, form: Form) -> bool:
    """The order of overdue balances; by account unless said otherwise."""
    if order not in pb.OverdueOrder.values():
        form.fault("order", f"{order} is not an OverdueOrder")
    return order == pb.OVERDUE_ORDER_OLDEST_FIRST


def moment(request: pb.ListOverdueBalancesRequest | pb.ListChargesRequest, form: Form) -> Moment:
    """Of when the report is to be."""
    return Moment(form.sequence(request.at_sequence, "at_sequence"), form.time(request, "as_of"))


def on_later_pages(request: Any, asked: Moment, *kinds: type) -> tuple[Moment, list[Any] | None]:
    """Of when the first page was, and where the token goes on. Raises PageTokenInvalid."""
    place = position(request, int, int, *kinds)
    if place is None:
        return asked, None
    at, as_of, *rest = place
    return Moment(at, moved_back(as_of)), rest


def moved_on(microseconds: int) -> int:
    """A moment as it may stand in a page token: not negative."""
    return microseconds - MICROSECONDS_MIN


def moved_back(value: int) -> int:
    """The moment that stands in a page token. Raises PageTokenInvalid where it is none."""
    microseconds = value + MICROSECONDS_MIN
    if microseconds > MICROSECONDS_MAX:
        raise PageTokenInvalid("the page token is not one of this service's")
    return microseconds
