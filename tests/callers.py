"""Callers for tests: one ledger of a served app in few words, many at once, and a proof of its books."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
import psycopg
from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from ledger.v1 import account_service_pb2 as accounts_pb
from ledger.v1 import chart_service_pb2 as charts_pb
from ledger.v1 import chart_service_pb2_grpc
from ledger.v1 import ledger_admin_service_pb2 as admin_pb
from ledger.v1 import ledger_pb2 as nouns
from ledger.v1 import ledger_service_pb2 as pb
from serving import Serving

DEADLINE_S = 60.0
AnswerT = TypeVar("AnswerT")


@dataclass(frozen=True)
class Refused:
    """What a refused call was told."""

    code: grpc.StatusCode
    reason: str
    facts: Mapping[str, str]
    message: str
    is_retryable: bool


def refused(error: grpc.RpcError) -> Refused:
    """The refusal in an error's rich status."""
    metadata = dict(error.trailing_metadata() or ())
    if "grpc-status-details-bin" not in metadata:
        return Refused(error.code(), "", {}, error.details(), False)
    status = Status.FromString(metadata["grpc-status-details-bin"])
    assert status.code == error.code().value[0]
    return _refused(error.code(), status)


def refused_operation(result: pb.OperationResult) -> Refused:
    """The refusal of one operation of a batch."""
    status = Status.FromString(result.status.SerializeToString())
    code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
    assert result.sequence == 0
    assert not result.hash
    return _refused(code, status)


def _refused(code: grpc.StatusCode, status: Status) -> Refused:
    info = ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.domain == "ledger.v1"
    is_retryable = any(detail.Is(RetryInfo.DESCRIPTOR) for detail in status.details)
    return Refused(code, info.reason, dict(info.metadata), status.message, is_retryable)


def answer_of(call: Callable[[], AnswerT]) -> AnswerT | Refused:
    """What the call answers, or how it was refused."""
    try:
        return call()
    except grpc.RpcError as error:
        return refused(error)


def refusal_of(call: Callable[[], object]) -> Refused:
    """How the call was refused; fails where it was not."""
    answer = answer_of(call)
    assert isinstance(answer, Refused), f"answered {answer}"
    return answer


def together(calls: Sequence[Callable[[], AnswerT]]) -> list[AnswerT | Refused]:
    """Makes every call at the same moment, each on a thread of its own, and answers in the order given."""
    start = threading.Barrier(len(calls))

    def run(call: Callable[[], AnswerT]) -> AnswerT | Refused:
        start.wait(DEADLINE_S)
        return answer_of(call)

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def spread(tellers: Sequence[AnswerT], count: int) -> list[AnswerT]:
    """This many places, the tellers taking turns."""
    return [tellers[number % len(tellers)] for number in range(count)]


def lines(debit: str, credit: str, amount: int | str, asset: str = "USD") -> list[nouns.EntryDraft]:
    """Two entries."""
    return [
        nouns.EntryDraft(account=debit, side=nouns.SIDE_DEBIT, amount=str(amount), asset=asset),
        nouns.EntryDraft(account=credit, side=nouns.SIDE_CREDIT, amount=str(amount), asset=asset),
    ]


def post_operation(debit: str, credit: str, amount: int | str, key: str = "", **more: Any) -> pb.Operation:
    """A Post of two entries, as an operation of a batch."""
    post = pb.PostOperation(idempotency_key=key, entries=lines(debit, credit, amount), **more)
    return pb.Operation(post=post)


def open_operation(
    name: str, kind: int = nouns.ACCOUNT_TYPE_LIABILITY, asset: str = "USD", **bounds: str
) -> pb.Operation:
    """An account to open, bounded where bounds are given, as an operation of a batch."""
    limits = [nouns.BalanceLimit(asset=asset, **bounds)] if bounds else []
    draft = accounts_pb.AccountDraft(name=name, type=kind, limits=limits)  # type: ignore[arg-type]
    return pb.Operation(open_account=draft)


def reverse_operation(name: int | str, key: str = "", **more: Any) -> pb.Operation:
    """A Reverse as an operation of a batch."""
    return pb.Operation(
        reverse=pb.ReverseOperation(transaction=transaction_name(name), idempotency_key=key, **more)
    )


def transaction_name(name: int | str) -> nouns.TransactionName:
    """A transaction's name, by sequence or by key."""
    if isinstance(name, str):
        return nouns.TransactionName(idempotency_key=name)
    return nouns.TransactionName(sequence=name)


class Teller:
    """Speaks to one ledger of one server. `at` is the same ledger on another server."""

    def __init__(self, server: Serving, ledger: str) -> None:
        self.server = server
        self.ledger = ledger

    @classmethod
    def open(cls, server: Serving, name: str = "") -> Teller:
        """A new ledger with USD; cash, other and sales have no bounds, the wallet stays at 0 or above."""
        teller = cls(server, name or f"book:{secrets.token_hex(6)}")
        server.admin.CreateLedger(admin_pb.CreateLedgerRequest(name=teller.ledger), timeout=DEADLINE_S)
        teller.create_asset("USD", 2)
        teller.open_account("cash", nouns.ACCOUNT_TYPE_ASSET)
        teller.open_account("other", nouns.ACCOUNT_TYPE_ASSET)
        teller.open_account("sales", nouns.ACCOUNT_TYPE_REVENUE)
        teller.open_account("wallet", balance_min="0")
        return teller

    def at(self, server: Serving) -> Teller:
        """The same ledger on another server."""
        return Teller(server, self.ledger)

    def create_asset(self, code: str, scale: int) -> admin_pb.CreateAssetResponse:
        """Creates an asset."""
        request = admin_pb.CreateAssetRequest(ledger=self.ledger, code=code, scale=scale)
        return self.server.admin.CreateAsset(request, timeout=DEADLINE_S)

    def open_account(
        self, name: str, kind: int = nouns.ACCOUNT_TYPE_LIABILITY, asset: str = "USD", **bounds: str
    ) -> accounts_pb.CreateAccountResponse:
        """Opens an account, bounded where bounds are given."""
        limits = [nouns.BalanceLimit(asset=asset, **bounds)] if bounds else []
        draft = accounts_pb.AccountDraft(name=name, type=kind, limits=limits)  # type: ignore[arg-type]
        request = accounts_pb.CreateAccountRequest(ledger=self.ledger, account=draft)
        return self.server.accounts.CreateAccount(request, timeout=DEADLINE_S)

    def change(self, verb: str, name: str, version: int = 0, **more: Any) -> Any:
        """The answer of `Update`Account, `Freeze`Account, `Unfreeze`Account or `Close`Account."""
        kind = getattr(accounts_pb, f"{verb}AccountRequest")
        request = kind(ledger=self.ledger, name=name, version=version, **more)
        return getattr(self.server.accounts, f"{verb}Account")(request, timeout=DEADLINE_S)

    def update(self, name: str, version: int = 1, **parts: Any) -> accounts_pb.UpdateAccountResponse:
        """Replaces the parts of an account that are given: its limits, its metadata."""
        mask = FieldMask(paths=sorted(parts))
        answer = self.change("Update", name, version, update_mask=mask, **parts)
        assert isinstance(answer, accounts_pb.UpdateAccountResponse)
        return answer

    def account(self, name: str, **more: Any) -> nouns.Account:
        """An account in its newest version."""
        request = accounts_pb.GetAccountRequest(ledger=self.ledger, name=name, **more)
        return self.server.accounts.GetAccount(request, timeout=DEADLINE_S).account

    def post(
        self, debit: str, credit: str, amount: int | str, key: str = "", *, asset: str = "USD", **more: Any
    ) -> pb.PostResponse:
        """Posts two entries."""
        entries = lines(debit, credit, amount, asset)
        return self.post_entries(entries, key, **more)

    def post_entries(
        self, entries: Sequence[nouns.EntryDraft], key: str = "", timeout: float = DEADLINE_S, **more: Any
    ) -> pb.PostResponse:
        """Posts entries."""
        request = pb.PostRequest(ledger=self.ledger, idempotency_key=key, entries=entries, **more)
        return self.server.ledgers.Post(request, timeout=timeout)

    def reverse(self, name: int | str, key: str = "", **more: Any) -> pb.ReverseResponse:
        """Reverses a transaction."""
        request = pb.ReverseRequest(
            ledger=self.ledger, transaction=transaction_name(name), idempotency_key=key, **more
        )
        return self.server.ledgers.Reverse(request, timeout=DEADLINE_S)

    def batch(
        self, operations: Sequence[pb.Operation], *, atomic: bool = False, is_full: bool = False
    ) -> list[pb.OperationResult]:
        """Posts a batch; one result for each operation."""
        view = pb.BATCH_VIEW_FULL if is_full else pb.BATCH_VIEW_UNSPECIFIED
        request = pb.PostBatchRequest(ledger=self.ledger, operations=operations, atomic=atomic, view=view)
        return list(self.server.ledgers.PostBatch(request, timeout=DEADLINE_S).results)

    def apply_chart(
        self, chart: charts_pb.Chart, version: int = 0, **more: Any
    ) -> charts_pb.ApplyChartResponse:
        """Applies a chart."""
        request = charts_pb.ApplyChartRequest(ledger=self.ledger, chart=chart, version=version, **more)
        return self.charts.ApplyChart(request, timeout=DEADLINE_S)

    @property
    def charts(self) -> chart_service_pb2_grpc.ChartServiceStub:
        """The stub of charts."""
        return chart_service_pb2_grpc.ChartServiceStub(self.server.channel)

    def transaction(self, name: int | str) -> nouns.Transaction:
        """A recorded transaction."""
        request = pb.GetTransactionRequest(ledger=self.ledger, transaction=transaction_name(name))
        return self.server.ledgers.GetTransaction(request, timeout=DEADLINE_S).transaction

    def balance(self, account: str, asset: str = "USD", **more: Any) -> int:
        """A balance in minor units."""
        (balance,) = self.balances(account, asset, **more).balances
        return int(balance.posted)

    def balances(self, account: str, asset: str = "USD", **more: Any) -> pb.GetBalanceResponse:
        """The whole answer of a GetBalance."""
        request = pb.GetBalanceRequest(ledger=self.ledger, account=account, asset=asset, **more)
        return self.server.ledgers.GetBalance(request, timeout=DEADLINE_S)

    def entries(self, account: str, **more: Any) -> pb.ListEntriesResponse:
        """A page of an account's entries."""
        request = pb.ListEntriesRequest(ledger=self.ledger, account=account, **more)
        return self.server.ledgers.ListEntries(request, timeout=DEADLINE_S)

    def page(self, **more: Any) -> pb.ListTransactionsResponse:
        """A page of transactions."""
        request = pb.ListTransactionsRequest(ledger=self.ledger, **more)
        return self.server.ledgers.ListTransactions(request, timeout=DEADLINE_S)

    def walk(self, **more: Any) -> list[nouns.Transaction]:
        """Every transaction of a list, page by page."""
        page = self.page(**more)
        found = list(page.transactions)
        while page.next_page_token:
            page = self.page(page_token=page.next_page_token, **more)
            found += page.transactions
        return found

    def trial_balance(self, **more: Any) -> pb.TrialBalanceResponse:
        """The trial balance."""
        return self.server.ledgers.TrialBalance(
            pb.TrialBalanceRequest(ledger=self.ledger, **more), timeout=DEADLINE_S
        )

    def run_trial_balance(self, **more: Any) -> pb.TrialBalanceRun:
        """A run that is made now."""
        request = pb.RunTrialBalanceRequest(ledger=self.ledger, **more)
        return self.server.ledgers.RunTrialBalance(request, timeout=DEADLINE_S).run

    def runs(self, **more: Any) -> pb.ListTrialBalanceRunsResponse:
        """A page of runs, newest first."""
        request = pb.ListTrialBalanceRunsRequest(ledger=self.ledger, **more)
        return self.server.ledgers.ListTrialBalanceRuns(request, timeout=DEADLINE_S)

    def head(self) -> int:
        """The ledger's sequence."""
        request = admin_pb.GetLedgerRequest(name=self.ledger)
        return int(self.server.admin.GetLedger(request, timeout=DEADLINE_S).ledger.sequence)


_UNSOUND = """
with numbered as (
    select sequence from ledger.ledgers where ledger_id = %(id)s
    union all select sequence from ledger.assets where ledger_id = %(id)s
    union all select sequence from ledger.accounts where ledger_id = %(id)s and opened_by_posting is null
    union all select sequence from ledger.members where ledger_id = %(id)s
    union all select sequence from ledger.charts where ledger_id = %(id)s
    union all select sequence from ledger.transactions where ledger_id = %(id)s
),
summed as (
    select sequence, index, balance_after,
        sum(case side when 1 then amount else -amount end) over (
            partition by account_id, asset_id, layer order by sequence, index) as expected
    from ledger.entries where ledger_id = %(id)s
)
select 'the numbering has a gap or a double' where (
    select (count(*), count(distinct sequence), min(sequence), max(sequence)) from numbered
) is distinct from (
    select (sequence, sequence, 1::bigint, sequence) from ledger.heads where ledger_id = %(id)s)
union all
select format('balance_after of %%s/%%s is %%s, not %%s', sequence, index, balance_after, expected)
    from summed where balance_after <> expected
union all
select format('transaction %%s is not balanced', sequence) from ledger.entries
    where ledger_id = %(id)s group by sequence, asset_id
    having sum(case side when 1 then amount else -amount end) <> 0
union all
select format('the last number of %%s is %%s, of %%s', series, max(number), count(*)) from ledger.transactions
    where ledger_id = %(id)s and series is not null
    group by series having max(number) <> count(*) or count(distinct number) <> count(*)
union all
select format('transaction %%s is without entries, or the other way round', sequence) from (
    (select sequence from ledger.transactions where ledger_id = %(id)s
        except select sequence from ledger.entries where ledger_id = %(id)s)
    union all
    (select sequence from ledger.entries where ledger_id = %(id)s
        except select sequence from ledger.transactions where ledger_id = %(id)s)
) as alone
"""


def unsound(owner_url: str, ledger: str) -> list[str]:
    """What is wrong with a ledger's books, from SQL alone; empty where nothing is."""
    with psycopg.connect(owner_url) as connection:
        row = connection.execute(
            "select ledger_id from ledger.directory where name = %s", [ledger]
        ).fetchone()
        assert row is not None
        return [fault for (fault,) in connection.execute(_UNSOUND, {"id": row[0]})]
