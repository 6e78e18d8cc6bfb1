"""Every servicer method by grpcio-testing over a real database: what it answers, and how it refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import grpc_testing
import pytest
from callers import lines, transaction_name
from clusters import Database
from google.protobuf.field_mask_pb2 import FieldMask
from ledger.v1 import account_service_pb2 as accounts_pb
from ledger.v1 import dev_service_pb2 as dev_pb
from ledger.v1 import dev_service_pb2_grpc, report_service_pb2_grpc
from ledger.v1 import ledger_admin_service_pb2 as admin_pb
from ledger.v1 import ledger_pb2 as nouns
from ledger.v1 import ledger_service_pb2 as pb
from ledger.v1 import report_service_pb2 as report_pb
from loyalty import ON, Loyalty, loyalty_chart
from serving import Serving, serving
from statuses import told

from ledger_server.domain.callers import ANONYMOUS, Caller, Means
from ledger_server.rpc.account_servicer import AccountServicer
from ledger_server.rpc.authorising import OnlyOpen
from ledger_server.rpc.dev_servicer import DevServicer
from ledger_server.rpc.door import Door
from ledger_server.rpc.ledger_admin_servicer import LedgerAdminServicer, ServerInfo
from ledger_server.rpc.ledger_servicer import LedgerServicer
from ledger_server.rpc.report_servicer import ReportServicer
from ledger_server.rpc.status import CODES
from ledger_server.service.ledger import Ledgers
from ledger_server.store.database import Database as OpenedDatabase

SERVICES = {
    service.name: service
    for service in (
        pb.DESCRIPTOR.services_by_name["LedgerService"],
        accounts_pb.DESCRIPTOR.services_by_name["AccountService"],
        admin_pb.DESCRIPTOR.services_by_name["LedgerAdminService"],
        report_pb.DESCRIPTOR.services_by_name["ReportService"],
        dev_pb.DESCRIPTOR.services_by_name["DevService"],
    )
}
BOOK = "acme:books"
UNKNOWN = "acme:nothing"
# Its chart has the templates of the example, and nothing else is in it.
CREDITS = "acme:credits"
ANN = "123e4567-e89b-12d3-a456-426614174000"
DEV_DOOR = Door(lambda context: Caller(ANONYMOUS, Means.OPEN), authorise=OnlyOpen(()))
INFO = ServerInfo("1.2.3", 7, {"calls_in_flight_max": 5}, {"reflection": True})


@dataclass(frozen=True)
class Refused:
    """What both ways of calling show of a refusal."""

    code: grpc.StatusCode
    message: str


class InProcess:
    """Calls servicer methods as gRPC would, without a network and without trailing metadata."""

    def __init__(self, ledgers: Any) -> None:
        servicers = (
            LedgerServicer(ledgers),
            AccountServicer(ledgers),
            LedgerAdminServicer(ledgers, INFO),
            ReportServicer(ledgers),
            DevServicer(ledgers, DEV_DOOR),
        )
        table = dict(zip(SERVICES.values(), servicers, strict=True))
        self._server = grpc_testing.server_from_dictionary(table, grpc_testing.strict_real_time())

    def __call__(self, method: str, request: Any) -> Any:
        """The answer, or how it was refused."""
        service, _, name = method.partition(".")
        descriptor = SERVICES[service].methods_by_name[name]
        call = self._server.invoke_unary_unary(descriptor, (), request, 30)
        answer, _, code, message = call.termination()
        return answer if code is grpc.StatusCode.OK else Refused(code, message)


class OverLoopback:
    """Calls the methods of a served app."""

    def __init__(self, server: Serving) -> None:
        self.server = server

    def __call__(self, method: str, request: Any) -> Any:
        """The answer, or how it was refused."""
        try:
            return self.ask(method, request)
        except grpc.RpcError as error:
            return Refused(error.code(), error.details())

    def ask(self, method: str, request: Any) -> Any:
        """The answer. Raises grpc.RpcError."""
        service, _, name = method.partition(".")
        stubs = {
            "LedgerService": self.server.ledgers,
            "AccountService": self.server.accounts,
            "LedgerAdminService": self.server.admin,
            "ReportService": report_service_pb2_grpc.ReportServiceStub(self.server.channel),
            "DevService": dev_service_pb2_grpc.DevServiceStub(self.server.channel),
        }
        return getattr(stubs[service], name)(request, timeout=30)


@pytest.fixture(scope="module")
def loopback(shared_database: Database) -> Iterator[OverLoopback]:
    """The served app, with the ledgers BOOK and CREDITS."""
    with serving(shared_database.app_url, **ON) as server:
        loopback = OverLoopback(server)
        fill(loopback)
        fill_credits(server)
        yield loopback


@pytest.fixture(scope="module")
def in_process(shared_database: Database, loopback: OverLoopback) -> Iterator[InProcess]:
    """Servicers over the same database."""
    del loopback  # Who fills it.
    opened = OpenedDatabase(shared_database.app_url, committers=1, readers=2)
    opened.open()
    ledgers = Ledgers(opened, committers=1, ahead_from=1, waiting_max=8)
    ledgers.start()
    yield InProcess(ledgers)
    ledgers.stop()
    opened.close()


@pytest.fixture(params=["in process", "over loopback"])
def call(request: pytest.FixtureRequest, in_process: InProcess, loopback: OverLoopback) -> Any:
    """Both ways of calling."""
    return in_process if request.param == "in process" else loopback


def fill(call: Callable[[str, Any], Any]) -> None:
    """The ledger BOOK: USD, three accounts, a post, another one and its reversal, two more accounts.

    One of those is frozen, the other closed. Again changes nothing.
    """
    call("LedgerAdminService.CreateLedger", admin_pb.CreateLedgerRequest(name=BOOK, description="ours"))
    call("LedgerAdminService.CreateAsset", admin_pb.CreateAssetRequest(ledger=BOOK, code="USD", scale=2))
    for name, kind in (("cash", nouns.ACCOUNT_TYPE_ASSET), ("sales", nouns.ACCOUNT_TYPE_REVENUE)):
        call("AccountService.CreateAccount", _account(name, kind))
    bounded = _account("wallet", nouns.ACCOUNT_TYPE_LIABILITY)
    bounded.account.limits.add(asset="USD", balance_min="0")
    call("AccountService.CreateAccount", bounded)
    call("LedgerService.Post", _post("sale", 1250))
    call("LedgerService.Post", _post("mistake", 5))
    call("LedgerService.Reverse", _reverse("mistake", key="correction"))
    for name in ("frozen", "closed"):
        call("AccountService.CreateAccount", _account(name, nouns.ACCOUNT_TYPE_ASSET))
    call("AccountService.FreezeAccount", accounts_pb.FreezeAccountRequest(ledger=BOOK, name="frozen"))
    call("AccountService.CloseAccount", accounts_pb.CloseAccountRequest(ledger=BOOK, name="closed"))


def fill_credits(server: Serving) -> None:
    """The ledger CREDITS: the example's chart, and a top-up, a charge, a bonus and the charge's reversal."""
    server.admin.CreateLedger(admin_pb.CreateLedgerRequest(name=CREDITS))
    credits = Loyalty(server, CREDITS)
    credits.user = ANN
    credits.apply_chart(loyalty_chart())
    credits.top_up(1000, "top-up")
    credits.charge(400, "charge")
    credits.bonus(50, "welcome", "bonus")
    credits.reversal("charge", "charge-off")


def _account(name: str, kind: int) -> accounts_pb.CreateAccountRequest:
    draft = accounts_pb.AccountDraft(name=name, type=kind)  # type: ignore[arg-type]
    return accounts_pb.CreateAccountRequest(ledger=BOOK, account=draft)


def _post(key: str, amount: int, debit: str = "cash") -> pb.PostRequest:
    return pb.PostRequest(ledger=BOOK, idempotency_key=key, entries=lines(debit, "sales", amount))


def _post_where(account: str, version: int) -> pb.PostRequest:
    request = _post("", 1)
    request.preconditions.add().account_version.CopyFrom(
        pb.AccountVersionCondition(account=account, version=version)
    )
    return request


def _reverse(name: int | str, key: str = "") -> pb.ReverseRequest:
    return pb.ReverseRequest(ledger=BOOK, transaction=transaction_name(name), idempotency_key=key)


def _credits(kind: type[Any], amount: int, key: str, **more: str) -> Any:
    return kind(ledger=CREDITS, user_id=ANN, amount=str(amount), idempotency_key=key, **more)


def _reversal(name: int | str, key: str = "") -> dev_pb.ReversalRequest:
    return dev_pb.ReversalRequest(ledger=CREDITS, transaction=transaction_name(name), idempotency_key=key)


def _update(version: int, **parts: Any) -> accounts_pb.UpdateAccountRequest:
    mask = FieldMask(paths=sorted(parts))
    return accounts_pb.UpdateAccountRequest(
        ledger=BOOK, name="wallet", version=version, update_mask=mask, **parts
    )


# The method, a request, and what is true of its answer. Every call is one that changes nothing
# when it comes again, so that the tests may run in any order.
Check = Callable[[Any], bool]
ANSWERS: list[tuple[str, Any, Check]] = [
    (
        "LedgerService.Post",
        _post("sale", 1250),
        lambda answer: answer.replayed and answer.transaction.entries[0].balance_after == "1250",
    ),
    (
        "LedgerService.PostBatch",
        pb.PostBatchRequest(
            ledger=BOOK,
            operations=[
                pb.Operation(
                    post=pb.PostOperation(idempotency_key="sale", entries=lines("cash", "sales", 1250))
                )
            ],
        ),
        lambda answer: [(one.sequence, one.replayed) for one in answer.results] == [(6, True)],
    ),
    (
        "LedgerService.Reverse",
        _reverse(7, key="correction"),
        lambda answer: answer.replayed and answer.transaction.reverses == 7,
    ),
    (
        "LedgerService.GetTransaction",
        pb.GetTransactionRequest(ledger=BOOK, transaction=transaction_name("mistake")),
        lambda answer: answer.transaction.reversed_by == 8 and answer.sequence == 12,
    ),
    (
        "LedgerService.ListTransactions",
        pb.ListTransactionsRequest(ledger=BOOK),
        lambda answer: [one.sequence for one in answer.transactions] == [8, 7, 6],
    ),
    (
        "LedgerService.ListEntries",
        pb.ListEntriesRequest(ledger=BOOK, account="cash"),
        lambda answer: [one.entry.balance_after for one in answer.entries] == ["1250", "1255", "1250"],
    ),
    (
        "LedgerService.GetBalance",
        pb.GetBalanceRequest(ledger=BOOK, account="sales", asset="USD"),
        lambda answer: [(one.posted, one.last_sequence) for one in answer.balances] == [("1250", 8)],
    ),
    (
        "LedgerService.BatchGetBalances",
        pb.BatchGetBalancesRequest(
            ledger=BOOK, names=[pb.BalanceName(account="cash"), pb.BalanceName(account="wallet", asset="USD")]
        ),
        lambda answer: [one.balances[0].posted for one in answer.accounts] == ["1250", "0"],
    ),
    (
        "LedgerService.GetAggregateBalance",
        pb.GetAggregateBalanceRequest(ledger=BOOK, account_prefix="sales"),
        lambda answer: [(one.posted, one.account_count) for one in answer.balances] == [("-1250", 1)],
    ),
    (
        "LedgerService.TrialBalance",
        pb.TrialBalanceRequest(ledger=BOOK, rows=pb.TRIAL_BALANCE_ROWS_BY_ACCOUNT, digest=True),
        lambda answer: (
            answer.status == pb.TRIAL_BALANCE_STATUS_OK
            and [(one.account, one.net) for one in answer.rows] == [("cash", "1250"), ("sales", "-1250")]
            and len(answer.digest) == 32
        ),
    ),
    (
        "LedgerService.RunTrialBalance",
        pb.RunTrialBalanceRequest(ledger=BOOK),
        lambda answer: (
            (answer.run.status, answer.run.sequence) == (pb.TRIAL_BALANCE_STATUS_OK, 12)
            and [(one.asset, one.total_debits) for one in answer.run.totals] == [("USD", "1260")]
            and answer.run.basis == pb.TRIAL_BALANCE_BASIS_RECOMPUTED
        ),
    ),
    (
        "LedgerService.ListTrialBalanceRuns",
        pb.ListTrialBalanceRunsRequest(ledger=BOOK),
        lambda answer: all(one.status == pb.TRIAL_BALANCE_STATUS_OK for one in answer.runs),
    ),
    (
        "ReportService.ListOverdueBalances",
        report_pb.ListOverdueBalancesRequest(
            ledger=BOOK, account="cash", asset="USD", days=0, as_of={"seconds": 253_402_300_799}
        ),
        lambda answer: (
            [(one.account, one.overdue, one.balance) for one in answer.balances] == [("cash", "1250", "1250")]
            and answer.sequence == 12
        ),
    ),
    (
        "ReportService.ListCharges",
        report_pb.ListChargesRequest(ledger=BOOK, account="sales", asset="USD"),
        lambda answer: (
            [(one.sequence, one.amount, one.remaining) for one in answer.charges] == [(6, "1250", "1250")]
        ),
    ),
    (
        "AccountService.CreateAccount",
        _account("cash", nouns.ACCOUNT_TYPE_ASSET),
        lambda answer: answer.replayed and answer.account.normal_side == nouns.SIDE_DEBIT,
    ),
    (
        "AccountService.BatchCreateAccounts",
        accounts_pb.BatchCreateAccountsRequest(
            ledger=BOOK, accounts=[_account("sales", nouns.ACCOUNT_TYPE_REVENUE).account]
        ),
        lambda answer: [(one.replayed, one.account.version) for one in answer.accounts] == [(True, 1)],
    ),
    (
        "AccountService.UpdateAccount",
        _update(1, limits=[nouns.BalanceLimit(asset="USD", balance_min="0")], metadata={}),
        lambda answer: answer.replayed and (answer.account.version, len(answer.hash)) == (1, 32),
    ),
    (
        "AccountService.FreezeAccount",
        accounts_pb.FreezeAccountRequest(ledger=BOOK, name="frozen"),
        lambda answer: answer.replayed and answer.account.status == nouns.ACCOUNT_STATUS_FROZEN,
    ),
    (
        "AccountService.UnfreezeAccount",
        accounts_pb.UnfreezeAccountRequest(ledger=BOOK, name="wallet"),
        lambda answer: answer.replayed and answer.account.status == nouns.ACCOUNT_STATUS_OPEN,
    ),
    (
        "AccountService.CloseAccount",
        accounts_pb.CloseAccountRequest(ledger=BOOK, name="closed"),
        lambda answer: answer.replayed and answer.account.status == nouns.ACCOUNT_STATUS_CLOSED,
    ),
    (
        "AccountService.GetAccount",
        accounts_pb.GetAccountRequest(ledger=BOOK, name="wallet"),
        lambda answer: (
            answer.account.limits[0].balance_min == "0"
            and not answer.account.limits[0].HasField("balance_max")
        ),
    ),
    (
        "AccountService.ListAccounts",
        accounts_pb.ListAccountsRequest(ledger=BOOK),
        lambda answer: (
            [one.name for one in answer.accounts] == ["cash", "closed", "frozen", "sales", "wallet"]
        ),
    ),
    (
        "LedgerAdminService.CreateLedger",
        admin_pb.CreateLedgerRequest(name=BOOK, description="ours"),
        lambda answer: answer.replayed and answer.ledger.sequence == 1,
    ),
    (
        "LedgerAdminService.GetLedger",
        admin_pb.GetLedgerRequest(name=BOOK),
        lambda answer: (answer.ledger.sequence, len(answer.ledger.hash), answer.ledger.epoch) == (12, 32, 1),
    ),
    (
        "LedgerAdminService.ListLedgers",
        admin_pb.ListLedgersRequest(),
        lambda answer: [one.name for one in answer.ledgers] == [BOOK, CREDITS],
    ),
    (
        "LedgerAdminService.CreateAsset",
        admin_pb.CreateAssetRequest(ledger=BOOK, code="USD", scale=2),
        lambda answer: answer.replayed and answer.asset.sequence == 2,
    ),
    (
        "LedgerAdminService.ListAssets",
        admin_pb.ListAssetsRequest(ledger=BOOK),
        lambda answer: [(one.code, one.scale) for one in answer.assets] == [("USD", 2)],
    ),
    (
        "LedgerAdminService.GetServerInfo",
        admin_pb.GetServerInfoRequest(),
        lambda answer: (
            answer.version.count(".") == 2
            and answer.schema_version > 0
            and answer.flags["reflection"]
            and answer.limits["entries_per_transaction_max"] == 1000
            and answer.limits["calls_in_flight_max"] > 0
            and answer.database_version.startswith("PostgreSQL")
            and len(answer.contract_digest) == 64
        ),
    ),
    (
        "DevService.TopUp",
        _credits(dev_pb.TopUpRequest, 1000, "top-up"),
        lambda answer: answer.replayed and answer.transaction.sequence == 4,
    ),
    (
        "DevService.Charge",
        _credits(dev_pb.ChargeRequest, 400, "charge"),
        lambda answer: answer.replayed and answer.transaction.entries[0].balance_after == "600",
    ),
    (
        "DevService.Bonus",
        _credits(dev_pb.BonusRequest, 50, "bonus", reason="welcome"),
        lambda answer: answer.replayed and answer.transaction.entries[1].balance_after == "650",
    ),
    (
        "DevService.Reversal",
        _reversal(5, "charge-off"),
        lambda answer: answer.replayed and answer.transaction.reverses == 5,
    ),
]

# The method, a request, and the reason with which it is refused.
REFUSALS: list[tuple[str, Any, str]] = [
    ("LedgerService.Post", _post("sale", 1), "IDEMPOTENCY_KEY_REUSED"),
    ("LedgerService.Post", _post("", 1, debit="nowhere"), "ACCOUNT_NOT_FOUND"),
    ("LedgerService.Post", _post("", 1, debit="wallet"), "INSUFFICIENT_FUNDS"),
    ("LedgerService.Post", _post("", 1, debit="frozen"), "ACCOUNT_FROZEN"),
    ("LedgerService.Post", _post("", 1, debit="closed"), "ACCOUNT_CLOSED"),
    ("LedgerService.Post", _post_where("cash", 2), "PRECONDITION_FAILED"),
    ("LedgerService.Post", _post("", 0), "AMOUNT_INVALID"),
    ("LedgerService.Post", pb.PostRequest(), "VALIDATION_FAILED"),
    ("LedgerService.PostBatch", pb.PostBatchRequest(ledger=BOOK), "VALIDATION_FAILED"),
    (
        "LedgerService.PostBatch",
        pb.PostBatchRequest(ledger=BOOK, operations=[pb.Operation()] * 8193),
        "BATCH_TOO_LARGE",
    ),
    ("LedgerService.Reverse", _reverse(7), "REVERSAL_ALREADY_EXISTS"),
    ("LedgerService.Reverse", _reverse(8), "REVERSAL_FORBIDDEN_TYPE"),
    ("LedgerService.Reverse", _reverse("never"), "TRANSACTION_NOT_FOUND"),
    # 2 is the number of a record of another kind.
    (
        "LedgerService.GetTransaction",
        pb.GetTransactionRequest(ledger=BOOK, transaction=transaction_name(2)),
        "TRANSACTION_NOT_FOUND",
    ),
    (
        "LedgerService.ListTransactions",
        pb.ListTransactionsRequest(ledger=BOOK, filter=pb.TransactionFilter(account="nowhere")),
        "ACCOUNT_NOT_FOUND",
    ),
    ("LedgerService.ListEntries", pb.ListEntriesRequest(ledger=BOOK, account="nowhere"), "ACCOUNT_NOT_FOUND"),
    (
        "LedgerService.ListEntries",
        pb.ListEntriesRequest(ledger=BOOK, account="cash", asset="XXX"),
        "ASSET_NOT_FOUND",
    ),
    ("LedgerService.GetBalance", pb.GetBalanceRequest(ledger=BOOK, account="nowhere"), "ACCOUNT_NOT_FOUND"),
    (
        "LedgerService.GetBalance",
        pb.GetBalanceRequest(ledger=BOOK, account="cash", at_sequence=13),
        "SEQUENCE_NOT_REACHED",
    ),
    (
        "LedgerService.BatchGetBalances",
        pb.BatchGetBalancesRequest(ledger=BOOK, names=[pb.BalanceName(account="cash", asset="XXX")]),
        "ASSET_NOT_FOUND",
    ),
    (
        "LedgerService.GetAggregateBalance",
        pb.GetAggregateBalanceRequest(ledger=BOOK, account_set="none"),
        "ACCOUNT_SET_NOT_FOUND",
    ),
    ("LedgerService.GetAggregateBalance", pb.GetAggregateBalanceRequest(ledger=BOOK), "VALIDATION_FAILED"),
    (
        "LedgerService.TrialBalance",
        pb.TrialBalanceRequest(ledger=BOOK, at_sequence=13),
        "SEQUENCE_NOT_REACHED",
    ),
    (
        "LedgerService.TrialBalance",
        pb.TrialBalanceRequest(ledger=BOOK, page_token="garbage"),
        "PAGE_TOKEN_INVALID",
    ),
    ("LedgerService.RunTrialBalance", pb.RunTrialBalanceRequest(ledger=UNKNOWN), "LEDGER_NOT_FOUND"),
    (
        "LedgerService.RunTrialBalance",
        pb.RunTrialBalanceRequest(ledger=BOOK, min_sequence=13),
        "SEQUENCE_NOT_REACHED",
    ),
    (
        "LedgerService.ListTrialBalanceRuns",
        pb.ListTrialBalanceRunsRequest(ledger=BOOK, day="21.11.2026"),
        "VALIDATION_FAILED",
    ),
    (
        "AccountService.CreateAccount",
        _account("cash", nouns.ACCOUNT_TYPE_EQUITY),
        "ACCOUNT_ALREADY_EXISTS",
    ),
    (
        "AccountService.BatchCreateAccounts",
        accounts_pb.BatchCreateAccountsRequest(
            ledger=BOOK,
            accounts=[
                _account("fresh", nouns.ACCOUNT_TYPE_ASSET).account,
                _account("cash", nouns.ACCOUNT_TYPE_EQUITY).account,
            ],
        ),
        "ACCOUNT_ALREADY_EXISTS",
    ),
    ("AccountService.UpdateAccount", _update(2, metadata={"a": "1"}), "VERSION_MISMATCH"),
    ("AccountService.UpdateAccount", _update(0, metadata={"a": "1"}), "VALIDATION_FAILED"),
    (
        "AccountService.FreezeAccount",
        accounts_pb.FreezeAccountRequest(ledger=BOOK, name="closed"),
        "ACCOUNT_CLOSED",
    ),
    (
        "AccountService.UnfreezeAccount",
        accounts_pb.UnfreezeAccountRequest(ledger=BOOK, name="fresh"),
        "ACCOUNT_NOT_FOUND",
    ),
    (
        "AccountService.CloseAccount",
        accounts_pb.CloseAccountRequest(ledger=BOOK, name="cash"),
        "ACCOUNT_NOT_EMPTY",
    ),
    (
        "AccountService.GetAccount",
        accounts_pb.GetAccountRequest(ledger=BOOK, name="fresh"),
        "ACCOUNT_NOT_FOUND",
    ),
    (
        "ReportService.ListOverdueBalances",
        report_pb.ListOverdueBalancesRequest(ledger=BOOK, asset="USD", days=-1),
        "VALIDATION_FAILED",
    ),
    (
        "ReportService.ListCharges",
        report_pb.ListChargesRequest(ledger=BOOK, account="fresh", asset="USD"),
        "ACCOUNT_NOT_FOUND",
    ),
    (
        "AccountService.ListAccounts",
        accounts_pb.ListAccountsRequest(ledger=BOOK, page_size=-1),
        "VALIDATION_FAILED",
    ),
    ("LedgerAdminService.CreateLedger", admin_pb.CreateLedgerRequest(name=BOOK), "LEDGER_ALREADY_EXISTS"),
    ("LedgerAdminService.GetLedger", admin_pb.GetLedgerRequest(name=UNKNOWN), "LEDGER_NOT_FOUND"),
    (
        "LedgerAdminService.ListLedgers",
        admin_pb.ListLedgersRequest(page_token="garbage"),
        "PAGE_TOKEN_INVALID",
    ),
    (
        "LedgerAdminService.CreateAsset",
        admin_pb.CreateAssetRequest(ledger=BOOK, code="USD", scale=3),
        "ASSET_ALREADY_EXISTS",
    ),
    ("LedgerAdminService.ListAssets", admin_pb.ListAssetsRequest(ledger=UNKNOWN), "LEDGER_NOT_FOUND"),
    ("DevService.TopUp", dev_pb.TopUpRequest(), "VALIDATION_FAILED"),
    (
        "DevService.TopUp",
        dev_pb.TopUpRequest(ledger=BOOK, user_id=ANN, amount="1"),
        "TEMPLATE_NOT_FOUND",
    ),
    ("DevService.TopUp", _credits(dev_pb.TopUpRequest, 1001, "top-up"), "IDEMPOTENCY_KEY_REUSED"),
    ("DevService.Charge", _credits(dev_pb.ChargeRequest, 1051, ""), "INSUFFICIENT_FUNDS"),
    ("DevService.Bonus", _credits(dev_pb.BonusRequest, 0, "", reason="none"), "AMOUNT_INVALID"),
    ("DevService.Bonus", _credits(dev_pb.BonusRequest, 1, ""), "VALIDATION_FAILED"),
    ("DevService.Reversal", _reversal(5), "REVERSAL_ALREADY_EXISTS"),
    ("DevService.Reversal", _reversal(7), "REVERSAL_FORBIDDEN_TYPE"),
    ("DevService.Reversal", _reversal(3), "TRANSACTION_NOT_FOUND"),
]
METHODS = [f"{service.name}.{method.name}" for service in SERVICES.values() for method in service.methods]


@pytest.mark.criterion("CARD-3")
@pytest.mark.parametrize(("method", "request_", "is_right"), ANSWERS, ids=[row[0] for row in ANSWERS])
def test_a_method_answers(call: Any, method: str, request_: Any, is_right: Check) -> None:
    answer = call(method, request_)

    assert not isinstance(answer, Refused), answer
    assert is_right(answer), answer


@pytest.mark.parametrize(
    ("method", "request_", "reason"), REFUSALS, ids=[f"{row[0]}-{row[2]}" for row in REFUSALS]
)
def test_a_method_refuses_with_a_code_and_a_sentence(
    call: Any, method: str, request_: Any, reason: str
) -> None:
    refused = call(method, request_)

    assert isinstance(refused, Refused), refused
    assert refused.code is CODES[reason]
    assert refused.message


@pytest.mark.criterion("S003-13", "S003-24", "S003-33")
@pytest.mark.parametrize(
    ("method", "request_", "reason"), REFUSALS, ids=[f"{row[0]}-{row[2]}" for row in REFUSALS]
)
def test_a_refusal_carries_its_reason_and_its_violations(
    loopback: OverLoopback, method: str, request_: Any, reason: str
) -> None:
    refusal = told(lambda: loopback.ask(method, request_))

    assert refusal.reason == reason
    assert bool(refusal.violations) == (reason in ("VALIDATION_FAILED", "AMOUNT_INVALID"))


def test_every_method_is_in_both_tables() -> None:
    # GetServerInfo has nothing to refuse: its request is empty.
    assert {row[0] for row in ANSWERS} == set(METHODS)
    assert {row[0] for row in REFUSALS} == set(METHODS) - {"LedgerAdminService.GetServerInfo"}


@pytest.mark.criterion("S003-33")
@pytest.mark.parametrize("method", METHODS)
def test_a_bug_is_answered_without_its_text(method: str, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("password=hunter2")

    requests = {row[0]: row[1] for row in ANSWERS}

    refused = InProcess(Broken())(method, requests[method])

    assert refused == Refused(grpc.StatusCode.INTERNAL, "internal error")
    assert "hunter2" in caplog.text


@pytest.mark.parametrize("method", METHODS)
def test_a_field_of_a_newer_contract_is_refused_and_never_dropped(
    loopback: OverLoopback, method: str
) -> None:
    given = {row[0]: row[1] for row in ANSWERS}[method]
    # Field 999 as a varint: no message of ours has it.
    newer = type(given).FromString(given.SerializeToString() + b"\xb8\x3e\x01")

    refusal = told(lambda: loopback.ask(method, newer))

    assert refusal.reason == "VALIDATION_FAILED"
    assert "does not know" in refusal.message
