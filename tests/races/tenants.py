"""Tenants who carry a word of their own in every string, and what each of them asks.

A word found where another tenant is answered, or in a log, has crossed over: from a
session that still named the ledger before, from rows of a neighbour, from a cache or
an error kept for somebody else.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from callers import Teller, lines, post_operation, reverse_operation, transaction_name
from ledger.v1 import account_service_pb2 as accounts_pb
from ledger.v1 import ledger_admin_service_pb2 as admin_pb
from ledger.v1 import ledger_pb2 as nouns
from ledger.v1 import ledger_service_pb2 as pb
from ledger.v1 import report_service_pb2 as report_pb
from serving import Serving

# What is in a tenant's records, and what its ledger is called: logs may name a ledger.
_WORD, _LEDGER = "zqcanary", "zqledger"
_WORDS = re.compile(rb"zq(?:canary|ledger)(\d{3})")
_IN_RECORDS = re.compile(r"zqcanary\d{3}")
_ENCODED = re.compile(rb"[A-Za-z0-9_-]{16,}")
_SERVICES = {
    "ledgers": "LedgerService",
    "accounts": "AccountService",
    "admin": "LedgerAdminService",
    "reports": "ReportService",
}
_TOKENS_KEPT = 20


@dataclass(frozen=True, slots=True)
class Call:
    """A call as bytes; `keeps` is told the answer's bytes."""

    path: str
    request: bytes
    keeps: Callable[[bytes], None] | None = None


def _call(service: str, method: str, request: Any, keeps: Callable[[bytes], None] | None = None) -> Call:
    return Call(f"/ledger.v1.{_SERVICES[service]}/{method}", request.SerializeToString(), keeps)


def strangers(number: int, data: bytes) -> list[str]:
    """The words of other tenants in what the tenant of this number was told, also where base64 hides them."""
    hidden = [_decoded(text) for text in _ENCODED.findall(data)]
    return [
        found.decode() for text in (data, *hidden) for found in _WORDS.findall(text) if int(found) != number
    ]


def _decoded(text: bytes) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    except binascii.Error:
        return b""


def words_in(log: str) -> list[str]:
    """What a log tells of records: any tenant's word is one too many."""
    return _IN_RECORDS.findall(log)


@dataclass(slots=True)
class Tenant:
    """One tenant. For the thread that holds it."""

    number: int
    random: Random
    # Page tokens that anybody was given: a tenant tries those of the others too.
    tokens: list[str]
    keys: int = 0
    word: str = field(init=False)
    ledger: str = field(init=False)

    def __post_init__(self) -> None:
        self.word = f"{_WORD}{self.number:03d}"
        self.ledger = f"{_LEDGER}{self.number:03d}"

    def account(self, name: str) -> str:
        """The tenant's account of this name; of one name all tenants have one."""
        return f"{self.word}:{name}"

    def open(self, server: Serving) -> None:
        """Makes the ledger, two accounts without bounds and one with."""
        server.admin.CreateLedger(
            admin_pb.CreateLedgerRequest(name=self.ledger, description=self.word), timeout=60
        )
        teller = Teller(server, self.ledger)
        teller.create_asset("USD", 2)
        for name, kind, bounds in (
            ("cash", nouns.ACCOUNT_TYPE_ASSET, {}),
            ("sales", nouns.ACCOUNT_TYPE_REVENUE, {}),
            ("wallet", nouns.ACCOUNT_TYPE_LIABILITY, {"balance_min": "0", "balance_max": "500"}),
        ):
            teller.open_account(self.account(name), kind, **bounds)

    def calls(self) -> Iterator[Call]:
        """Calls without end: most are good, some are refused, some cannot be read."""
        kinds = [
            *[self._post] * 30,
            *[self._post_beyond_a_bound] * 6,
            *[self._post_badly] * 4,
            *[self._post_again] * 6,
            *[self._reverse] * 6,
            *[self._batch] * 8,
            *[self._open_account] * 2,
            *[self._open_the_ledger_again] * 1,
            *[self._balance] * 12,
            *[self._transaction] * 8,
            *[self._transactions] * 8,
            *[self._entries] * 6,
            *[self._accounts] * 4,
            *[self._trial_balance] * 3,
            *[self._run_trial_balance] * 1,
            *[self._trial_balance_runs] * 1,
            *[self._overdue] * 3,
            *[self._charges] * 2,
            *[self._garbage] * 2,
        ]
        while True:
            yield self.random.choice(kinds)()

    def _key(self) -> str:
        self.keys += 1
        return f"{self.word}-key-{self.keys}"

    def _old_key(self) -> str:
        return f"{self.word}-key-{self.random.randint(1, self.keys + 2)}"

    def _told(self) -> dict[str, Any]:
        return {
            "description": f"{self.word} tells",
            "metadata": {f"{self.word}-name": f"{self.word}-value"},
        }

    def _posting(self, debit: str, credit: str, amount: int, key: str, **more: Any) -> Call:
        request = pb.PostRequest(
            ledger=self.ledger,
            idempotency_key=key,
            entries=lines(self.account(debit), self.account(credit), amount),
            external_ref=f"{self.word}-reference",
            kind=f"{self.word}-kind",
            **(self._told() | more),
        )
        return _call("ledgers", "Post", request)

    def _post(self) -> Call:
        debit, credit = self.random.choice([("cash", "sales"), ("cash", "wallet"), ("wallet", "sales")])
        return self._posting(debit, credit, self.random.randint(1, 20), self._key())

    def _post_beyond_a_bound(self) -> Call:
        debit, credit = self.random.choice([("wallet", "sales"), ("cash", "wallet")])
        return self._posting(debit, credit, self.random.randint(501, 9_999), self._key())

    def _post_badly(self) -> Call:
        missing = self.random.choice(["nowhere", "cash"])
        return self._posting("cash", missing, 5, self._key())

    def _post_again(self) -> Call:
        return self._posting("cash", "sales", self.random.randint(1, 2), self._old_key())

    def _reverse(self) -> Call:
        request = pb.ReverseRequest(
            ledger=self.ledger,
            transaction=self._some_transaction(),
            idempotency_key=self._key(),
            **self._told(),
        )
        return _call("ledgers", "Reverse", request)

    def _some_transaction(self) -> nouns.TransactionName:
        # The same numbers are other tenants' transactions.
        return transaction_name(
            self._old_key() if self.random.random() < 0.5 else self.random.randint(1, self.keys + 20)
        )

    def _batch(self) -> Call:
        cash, sales, wallet = map(self.account, ("cash", "sales", "wallet"))
        operations = [
            self.random.choice(
                [
                    post_operation(cash, sales, 3, self._key(), **self._told()),
                    post_operation(cash, wallet, 40, self._key(), **self._told()),
                    post_operation(wallet, sales, 40, self._key(), **self._told()),
                    reverse_operation(self._old_key(), self._key()),
                ]
            )
            for _ in range(self.random.choice([2, 5, 40]))
        ]
        request = pb.PostBatchRequest(
            ledger=self.ledger,
            operations=operations,
            atomic=self.random.random() < 0.3,
            view=pb.BATCH_VIEW_FULL,
        )
        return _call("ledgers", "PostBatch", request)

    def _open_account(self) -> Call:
        name = self.account(f"more:{self.random.randint(1, 40)}")
        draft = _revenue_account(name, {f"{self.word}-a": self.word})
        return _call(
            "accounts", "CreateAccount", accounts_pb.CreateAccountRequest(ledger=self.ledger, account=draft)
        )

    def _open_the_ledger_again(self) -> Call:
        """The ledger is there already: the answer says so, and nothing of what is in it."""
        request = admin_pb.CreateLedgerRequest(name=self.ledger, description="another")
        return _call("admin", "CreateLedger", request)

    def _balance(self) -> Call:
        name = self.account(self.random.choice(["cash", "sales", "wallet", "more:7", "nowhere"]))
        request = pb.GetBalanceRequest(
            ledger=self.ledger, account=name, asset="USD", recompute=self.random.random() < 0.1
        )
        return _call("ledgers", "GetBalance", request)

    def _transaction(self) -> Call:
        request = pb.GetTransactionRequest(ledger=self.ledger, transaction=self._some_transaction())
        return _call("ledgers", "GetTransaction", request)

    def _transactions(self) -> Call:
        filter = self.random.choice(
            [
                pb.TransactionFilter(),
                pb.TransactionFilter(external_ref=f"{self.word}-reference"),
                pb.TransactionFilter(metadata={f"{self.word}-name": f"{self.word}-value"}),
            ]
        )
        request = pb.ListTransactionsRequest(
            ledger=self.ledger, filter=filter, page_size=5, page_token=self._token()
        )
        return _call("ledgers", "ListTransactions", request, self._keep(pb.ListTransactionsResponse))

    def _entries(self) -> Call:
        request = pb.ListEntriesRequest(
            ledger=self.ledger, account=self.account("cash"), page_size=5, page_token=self._token()
        )
        return _call("ledgers", "ListEntries", request, self._keep(pb.ListEntriesResponse))

    def _accounts(self) -> Call:
        request = accounts_pb.ListAccountsRequest(ledger=self.ledger, page_size=2, page_token=self._token())
        return _call("accounts", "ListAccounts", request, self._keep(accounts_pb.ListAccountsResponse))

    def _trial_balance(self) -> Call:
        return _call("ledgers", "TrialBalance", pb.TrialBalanceRequest(ledger=self.ledger, rows=1))

    def _run_trial_balance(self) -> Call:
        return _call("ledgers", "RunTrialBalance", pb.RunTrialBalanceRequest(ledger=self.ledger))

    def _trial_balance_runs(self) -> Call:
        request = pb.ListTrialBalanceRunsRequest(ledger=self.ledger, page_size=2, page_token=self._token())
        return _call("ledgers", "ListTrialBalanceRuns", request, self._keep(pb.ListTrialBalanceRunsResponse))

    def _overdue(self) -> Call:
        request = report_pb.ListOverdueBalancesRequest(
            ledger=self.ledger,
            account_prefix=self.word,
            asset="USD",
            days=0,
            page_size=1,
            page_token=self._token(),
        )
        return _call(
            "reports", "ListOverdueBalances", request, self._keep(report_pb.ListOverdueBalancesResponse)
        )

    def _charges(self) -> Call:
        request = report_pb.ListChargesRequest(
            ledger=self.ledger, account=self.account("cash"), asset="USD", page_size=5
        )
        return _call("reports", "ListCharges", request)

    def _garbage(self) -> Call:
        request = pb.GetBalanceRequest(ledger=self.ledger, account=self.word).SerializeToString()
        return Call("/ledger.v1.LedgerService/GetBalance", request[: -self.random.randint(1, 8)] + b"\xff")

    def _token(self) -> str:
        # Read without a lock: a list that only grows and is cut.
        tokens = self.tokens
        return self.random.choice(tokens) if tokens and self.random.random() < 0.5 else ""

    def _keep(self, kind: Any) -> Callable[[bytes], None]:
        def keep(answer: bytes) -> None:
            token = kind.FromString(answer).next_page_token
            if token:
                self.tokens.append(token)
                del self.tokens[:-_TOKENS_KEPT]

        return keep


def _revenue_account(name: str, metadata: dict[str, str]) -> accounts_pb.AccountDraft:
    """A revenue account to open."""
    return accounts_pb.AccountDraft(name=name, type=nouns.ACCOUNT_TYPE_REVENUE, metadata=metadata)
