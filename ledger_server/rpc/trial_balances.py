"""Trial balances and their runs: wire to domain and back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date

from ledger.v1 import ledger_service_pb2 as pb

from ledger_server.domain.refusals import PageTokenInvalid
from ledger_server.domain.trial_balance_runs import TrialBalanceRun
from ledger_server.rpc import limits, responses
from ledger_server.rpc.page_tokens import page_token, position
from ledger_server.rpc.requests import Form
from ledger_server.service.trial_balances import Breakdown, Sums, SumsAsk

_BREAKDOWNS: dict[int, Breakdown] = {
    pb.TRIAL_BALANCE_ROWS_UNSPECIFIED: Breakdown.NONE,
    pb.TRIAL_BALANCE_ROWS_BY_ACCOUNT: Breakdown.BY_ACCOUNT,
    pb.TRIAL_BALANCE_ROWS_BY_TYPE: Breakdown.BY_TYPE,
}
_OK, _MISMATCH = pb.TRIAL_BALANCE_STATUS_OK, pb.TRIAL_BALANCE_STATUS_MISMATCH
_RECOMPUTED = pb.TRIAL_BALANCE_BASIS_RECOMPUTED


def breakdown(request: pb.TrialBalanceRequest, form: Form) -> Breakdown:
    """Which rows are asked for."""
    if request.basis not in pb.TrialBalanceBasis.values():
        form.fault("basis", f"{request.basis} is not a TrialBalanceBasis")
    if request.rows not in _BREAKDOWNS:
        form.fault("rows", f"{request.rows} is not a TrialBalanceRows")
    return _BREAKDOWNS.get(request.rows, Breakdown.NONE)


def sums_ask(request: pb.TrialBalanceRequest, rows: Breakdown) -> tuple[SumsAsk, int]:
    """Which sums, and from which row on. Raises PageTokenInvalid."""
    at, offset = position(request, int, int) or (request.at_sequence, 0)
    may_use_checkpoint = request.basis == pb.TRIAL_BALANCE_BASIS_CHECKPOINTED
    return SumsAsk(at, rows, request.digest, may_use_checkpoint), offset


def response(request: pb.TrialBalanceRequest, sums: Sums, offset: int, count: int) -> pb.TrialBalanceResponse:
    """A page of a trial balance. Raises PageTokenInvalid."""
    if offset > len(sums.rows):
        raise PageTokenInvalid("the page token points beyond the last row")
    totals = [responses.asset_total(total) for total in sums.totals]
    answer = pb.TrialBalanceResponse(
        status=_OK if all(total.status == _OK for total in totals) else _MISMATCH,
        totals=totals,
        rows=[responses.trial_balance_row(row) for row in sums.rows[offset : offset + count]],
        sequence=sums.at,
        digest=sums.digest,
        basis=pb.TRIAL_BALANCE_BASIS_CHECKPOINTED if sums.checkpoint else _RECOMPUTED,
        checkpoint_sequence=sums.checkpoint,
    )
    if offset + count < len(sums.rows):
        answer.next_page_token = page_token(request, sums.at, offset + count)
    return answer


# runs ---------------------------------------------------------------------------------------


def utc_day(text: str, form: Form) -> date | None:
    """A day as YYYY-MM-DD, None where it is not given."""
    if not text:
        return None
    try:
        # fromisoformat alone takes weeks and days without hyphens too.
        return date.fromisoformat(text if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) else "")
    except ValueError:
        form.fault("day", "is not a day as YYYY-MM-DD, such as 2026-11-21")
        return None


def run(made: TrialBalanceRun) -> pb.TrialBalanceRun:
    """A run as it was kept."""
    return pb.TrialBalanceRun(
        number=made.number,
        day=made.day.isoformat(),
        record_time=responses.timestamp(made.record_time),
        created_by=made.created_by,
        daily=made.is_daily,
        sequence=made.sequence,
        hash=made.hash,
        status=_OK if made.is_ok else _MISMATCH,
        totals=[responses.asset_total(total) for total in made.totals],
        offending_count=made.offending_count,
        offending_sequences=made.offending,
        basis=_RECOMPUTED,
    )


def runs_response(
    request: pb.ListTrialBalanceRunsRequest, found: Sequence[TrialBalanceRun], *, has_more: bool
) -> pb.ListTrialBalanceRunsResponse:
    """A page of runs, which ends early where it would be too large."""
    answer = pb.ListTrialBalanceRunsResponse()
    size_bytes = 0
    for made in found:
        message = run(made)
        size_bytes += message.ByteSize() + 8
        if size_bytes > limits.PAGE_BYTES_MAX and answer.runs:
            has_more = True
            break
        answer.runs.append(message)
    if has_more:
        answer.next_page_token = page_token(request, answer.runs[-1].number)
    return answer
