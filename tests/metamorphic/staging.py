"""A service whose records are stamped by the test, so that the same calls make the same bytes.

A record's hash covers its content, its time, its salt and everything before it.
Times and salts come from `Stamps`, a ledger's own record from `begin_ledger`: what
is left to differ is what the service makes of the calls.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from itertools import count
from typing import Any

import grpc
import psycopg
from builders import NOON
from callers import DEADLINE_S, Teller
from clusters import Database
from google.protobuf.message import Message
from ledger.v1 import account_service_pb2 as accounts_pb
from ledger.v1 import chart_service_pb2 as charts_pb
from ledger.v1 import ledger_admin_service_pb2 as admin_pb
from ledger.v1 import ledger_pb2 as nouns
from ledger.v1 import ledger_service_pb2 as pb
from metamorphic.stories import ACCOUNTS, ASSETS, TYPES
from metamorphic.walking import walked
from serving import serving
from statuses import Told, told_error, told_operation

from ledger_server.domain import chain

BY = "anonymous"

# How a draft was answered: the refusal, or the transaction and whether it is a replay.
Outcome = tuple[Told | None, nouns.Transaction | nouns.Account | None, bool]


class Stamps:
    """What records are stamped with besides their content, the same in every run."""

    def __init__(self) -> None:
        self.start_over()

    def start_over(self) -> None:
        """The next record is stamped as the first."""
        self._now = NOON
        self._salts = count(1)

    def pass_time(self, microseconds: int) -> None:
        """The clock goes on."""
        self._now += microseconds

    def time(self, _: int) -> int:
        """In place of the database's clock."""
        return self._now

    def salts(self) -> Callable[[], bytes]:
        """In place of the system's randomness."""
        return lambda: next(self._salts).to_bytes(16, "big")


class Stage:
    """One database, and the service over it."""

    def __init__(self, database: Database, stamps: Stamps) -> None:
        self._database = database
        self._stamps = stamps
        self._ends = ExitStack()
        self.serve()

    def serve(self) -> None:
        """Starts a server, in place of the one that runs."""
        self.close()
        self.server = self._ends.enter_context(serving(self._database.app_url, clock=self._stamps.time))

    def close(self) -> None:
        """Ends the server."""
        self._ends.close()

    def open_book(self, name: str, *, chart: charts_pb.Chart | None = None) -> Book:
        """A new ledger with every asset and account of the stories, and a chart; the stamps start over."""
        self._stamps.start_over()
        begin_ledger(self._database.app_url, name)
        book = self.book(name)
        for code, scale in ASSETS.items():
            book.create_asset(code, scale)
        book.open_accounts()
        if chart is not None:
            book.apply_chart(chart)
        return book

    def book(self, name: str) -> Book:
        """A ledger, seen by the server that runs now."""
        return Book(self.server, name)


class Book(Teller):
    """One ledger, and everything that it shows."""

    def open_accounts(self) -> list[accounts_pb.CreateAccountResponse]:
        """Every account of the stories."""
        request = accounts_pb.BatchCreateAccountsRequest(ledger=self.ledger, accounts=ACCOUNTS)
        return list(self.server.accounts.BatchCreateAccounts(request, timeout=DEADLINE_S).accounts)

    def tell(self, draft: pb.Operation) -> Outcome:
        """A draft by a call of its own, where it has a verb."""
        verb = draft.WhichOneof("operation")
        if verb is None:
            return self.tell_all([draft])[0]
        if verb == "open_account":
            return self._tell_account(draft.open_account)
        kind = {"post": pb.PostRequest, "reverse": pb.ReverseRequest}[verb]
        call = {"post": self.server.ledgers.Post, "reverse": self.server.ledgers.Reverse}[verb]
        fields = {field.name: value for field, value in getattr(draft, verb).ListFields()}
        try:
            answer = call(kind(ledger=self.ledger, **fields), timeout=DEADLINE_S)
        except grpc.RpcError as error:
            return told_error(error), None, False
        return None, answer.transaction, answer.replayed

    def _tell_account(self, draft: accounts_pb.AccountDraft) -> Outcome:
        request = accounts_pb.CreateAccountRequest(ledger=self.ledger, account=draft)
        try:
            answer = self.server.accounts.CreateAccount(request, timeout=DEADLINE_S)
        except grpc.RpcError as error:
            return told_error(error), None, False
        return None, answer.account, answer.replayed

    def tell_all(self, drafts: list[pb.Operation], *, atomic: bool = False) -> list[Outcome]:
        """Drafts in one batch."""
        return [
            (told_operation(one), None, False)
            if one.HasField("status")
            else (None, one.account if one.HasField("account") else one.transaction, one.replayed)
            for one in self.batch(drafts, atomic=atomic, is_full=True)
        ]

    def all_balances(self, at_sequence: int = 0) -> list[Message]:
        """Every balance, and the trial balance with its digest; now, or right after a record."""
        names = [pb.BalanceName(account=name) for name in TYPES]
        request = pb.BatchGetBalancesRequest(ledger=self.ledger, names=names, at_sequence=at_sequence)
        by_account = pb.TRIAL_BALANCE_ROWS_BY_ACCOUNT
        return [
            self.server.ledgers.BatchGetBalances(request, timeout=DEADLINE_S),
            self.trial_balance(rows=by_account, digest=True, at_sequence=at_sequence, page_size=1_000),
        ]

    def everything(self) -> list[Message]:
        """All that the ledger shows of itself, hashes and times with it."""
        server, name = self.server, self.ledger
        asked = accounts_pb.ListAccountsRequest(ledger=name)
        accounts = walked(server.accounts.ListAccounts, asked, "accounts")
        lists: list[tuple[Any, Message, str]] = [
            (server.admin.ListAssets, admin_pb.ListAssetsRequest(ledger=name), "assets"),
            (server.ledgers.ListTransactions, pb.ListTransactionsRequest(ledger=name), "transactions"),
            *[
                (server.ledgers.ListEntries, pb.ListEntriesRequest(ledger=name, account=one.name), "entries")
                for one in accounts
                if isinstance(one, nouns.Account)
            ],
        ]
        return [
            server.admin.GetLedger(admin_pb.GetLedgerRequest(name=name), timeout=DEADLINE_S),
            *self.all_balances(),
            *accounts,
            *[row for call, request, rows in lists for row in walked(call, request, rows)],
        ]


def begin_ledger(app_url: str, name: str) -> None:
    """A ledger as the service creates one, at a time and with a salt of the test's."""
    salt = bytes(16)
    digest = chain.details_digest(salt, "", {}, "")
    canonical = chain.ledger_canonical(NOON, BY, digest)
    stamped = {
        "hash": chain.record_hash(chain.framed(name), 1, chain.GENESIS, canonical),
        "time": NOON / 10**6,
        "salt": salt,
        "by": BY,
    }
    with psycopg.connect(app_url) as connection:
        row = connection.execute(
            "insert into ledger.directory (name) values (%s) returning ledger_id", [name]
        ).fetchone()
        assert row is not None
        connection.execute("select set_config('ledger.id', %s::text, true)", row)
        connection.execute(
            "insert into ledger.heads (ledger_id, sequence, hash, record_time)"
            " values (current_setting('ledger.id')::bigint, 1, %(hash)s, to_timestamp(%(time)s))",
            stamped,
        )
        connection.execute(
            "insert into ledger.ledgers"
            " (ledger_id, sequence, record_time, created_by, description, salt, hash)"
            " select ledger_id, 1, record_time, %(by)s, '', %(salt)s, hash from ledger.heads"
            " where ledger_id = current_setting('ledger.id')::bigint",
            stamped,
        )
