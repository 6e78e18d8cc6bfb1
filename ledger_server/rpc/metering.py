"""Metering: what a caller, and a ledger, is given a second.

What is counted are drafts, because they are the work: a batch of 8,192 weighs as much
as 8,192 calls of one, whoever joins calls gains nothing by it and loses nothing, and
nobody is made to send single posts to stay below a number of calls. Every other call
weighs 1. Each process of a server counts for itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ledger.v1 import account_service_pb2 as accounts_pb
from ledger.v1 import ledger_service_pb2 as pb

from ledger_server.domain import names
from ledger_server.domain.refusals import RateLimited
from ledger_server.service.rates import Rates

# How much is asked for by requests that ask for more than one thing.
WEIGHTS: dict[type, Callable[[Any], int]] = {
    pb.PostBatchRequest: lambda request: len(request.operations),
    pb.BatchGetBalancesRequest: lambda request: len(request.names),
    accounts_pb.BatchCreateAccountsRequest: lambda request: len(request.accounts),
}


class Meter:
    """Refuses what is more than `per_principal` or `per_ledger` allow; None allows everything."""

    def __init__(self, per_principal: Rates | None = None, per_ledger: Rates | None = None) -> None:
        self._per_principal = per_principal
        self._per_ledger = per_ledger

    def charge_principal(self, principal: str, request: Any) -> None:
        """Before it is asked what the caller may do, so that asking is not free. Raises RateLimited."""
        if self._per_principal is not None:
            _take(self._per_principal, "principal", principal, request)

    def charge_ledger(self, request: Any) -> None:
        """Behind that, so that a stranger cannot use up what a ledger is given. Raises RateLimited."""
        if self._per_ledger is not None:
            ledger = getattr(request, "ledger", "")
            # What can be no ledger's name is refused by its form, and not remembered here.
            if isinstance(ledger, str) and 0 < len(ledger) <= names.NAME_LENGTH_MAX:
                _take(self._per_ledger, "ledger", ledger, request)

    def limits(self) -> dict[str, int]:
        """What is limited, by name."""
        return {
            name: value
            for scope, rates in (("principal", self._per_principal), ("ledger", self._per_ledger))
            if rates is not None
            for name, value in (
                (f"drafts_per_second_per_{scope}", rates.per_second),
                (f"drafts_burst_per_{scope}", rates.burst),
            )
        }


def weight(request: Any) -> int:
    """How many drafts a request is; at least 1."""
    count = WEIGHTS.get(type(request))
    return 1 if count is None else max(1, count(request))


def _take(rates: Rates, scope: str, name: str, request: Any) -> None:
    asked = weight(request)
    wait_s = rates.take(name, asked)
    if wait_s:
        # Whole milliseconds, rounded up: who comes then is let in.
        wait_s = math.ceil(wait_s * 1_000) / 1_000
        refusal = RateLimited(
            f"{asked} more would be beyond the {rates.per_second} drafts a second that this {scope} is given;"
            f" try again in {wait_s:g} s",
            scope=scope,
            weight=asked,
            rate_per_second=rates.per_second,
            burst=rates.burst,
        )
        refusal.retry_after_s = wait_s
        raise refusal
