"""Trial-balance runs: the value, the calls that ask for it, and how it is read."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

from ledger.v1 import ledger_service_pb2 as pb

from ledger_client import asks, reading
from ledger_client.asks import Ask
from ledger_client.values import AssetTotal


@dataclass(frozen=True, slots=True)
class TrialBalanceRun:
    """What every entry of a ledger added up to at `sequence`, as it was kept; `day` is a UTC day.

    `offending_sequences` names the lowest 100 of the `offending_count` sequences at fault.
    """

    number: int
    day: date
    record_time: datetime
    created_by: str
    is_daily: bool
    sequence: int
    hash: bytes
    is_ok: bool
    totals: tuple[AssetTotal, ...]
    offending_count: int
    offending_sequences: tuple[int, ...]


def run_trial_balance(ledger: str) -> Ask[TrialBalanceRun]:
    """LedgerService.RunTrialBalance."""
    request = pb.RunTrialBalanceRequest(ledger=ledger)
    return Ask(
        "ledger",
        "RunTrialBalance",
        request,
        lambda answer: _run(answer.run),
        ledger,
        lambda answer: answer.run.sequence,
    )


def list_trial_balance_runs(ledger: str, day: date | None) -> Ask[Iterable[TrialBalanceRun]]:
    """LedgerService.ListTrialBalanceRuns."""
    text = "" if day is None else day.isoformat()
    request = pb.ListTrialBalanceRunsRequest(ledger=ledger, day=text, page_size=asks.PAGE_SIZE)
    return Ask("ledger", "ListTrialBalanceRuns", request, lambda page: map(_run, page.runs))


def _run(message: pb.TrialBalanceRun) -> TrialBalanceRun:
    return TrialBalanceRun(
        number=message.number,
        day=date.fromisoformat(message.day),
        record_time=reading.moment(message.record_time),
        created_by=message.created_by,
        is_daily=message.daily,
        sequence=message.sequence,
        hash=message.hash,
        is_ok=message.status == pb.TRIAL_BALANCE_STATUS_OK,
        totals=reading.asset_totals(message.totals),
        offending_count=message.offending_count,
        offending_sequences=tuple(message.offending_sequences),
    )
