"""The half of the commit path that speaks to PostgreSQL, without the lanes above it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg
import pytest
from clusters import Database
from ledger.v1 import account_service_pb2, ledger_admin_service_pb2, ledger_service_pb2
from psycopg_pool import ConnectionPool

from ledger_server.domain.accounts import AccountDraft, AccountType, AssetDraft, Head, LedgerDraft, Limit
from ledger_server.domain.books import Books
from ledger_server.domain.decisions import Draft, Moment, Record, Recorded
from ledger_server.domain.posting import decide
from ledger_server.domain.transactions import EntryDraft, PostDraft, Transaction
from ledger_server.store.books import lane_lock
from ledger_server.store.database import Database as StoreDatabase
from ledger_server.store.opening import open_ledger
from ledger_server.store.outcomes import CommitUnknown, DatabaseLost, HeadMoved, NotCommitted
from ledger_server.store.posting import LaneSession
from ledger_server.store.wanted import Wanted

LEDGER = "books"
WANTED = {"accounts": {"cash", "wallet"}, "assets": {"USD"}, "places": {("cash", "USD"), ("wallet", "USD")}}


def post(debit: str, credit: str, amount: int, key: str = "") -> PostDraft:
    """A draft of two entries."""
    lines = (EntryDraft(debit, True, amount, "USD"), EntryDraft(credit, False, amount, "USD"))
    return PostDraft(lines, key, "", None, "", {}, "", "tester")


def wanted(*, keys: frozenset[str] = frozenset()) -> Wanted:
    """What the posts here name."""
    return Wanted(set(WANTED["accounts"]), set(WANTED["assets"]), set(keys), set(), set(WANTED["places"]))  # type: ignore[arg-type]


@dataclass
class Desk:
    """A database with one ledger, and sessions of it."""

    database: Database
    store: StoreDatabase
    ledger_id: int
    failpoints: dict[str, Callable[[], None]]

    def session(self) -> LaneSession:
        """A session of its own."""
        return self.store.lane_session()

    def open(self, session: LaneSession, cached: Books | None = None) -> tuple[Books, int]:
        """Takes the lane lock and reads the books."""
        opened = session.open_books(LEDGER, self.ledger_id, wanted(), cached)
        return opened.books, opened.clock

    def decided(self, session: LaneSession, drafts: list[Draft]) -> tuple[Head, Books, list[Record]]:
        """The head before, the books after, and the records to write."""
        books, clock = self.open(session)
        before = books.head
        decisions = decide(drafts, books, Moment(max(clock, before.record_time), lambda: bytes(16)))
        return before, books, [one.record for one in decisions if isinstance(one, Recorded)]

    def write(self, session: LaneSession, before: Head, books: Books, records: list[Record]) -> None:
        """Writes them."""
        asset_ids = {code: asset.asset_id for code, asset in books.assets.items() if asset is not None}
        wallets = [(2, 1)] if any(isinstance(record, Transaction) for record in records) else []
        batch = session.batch(before, books.head, records, asset_ids, wallets)
        session.write(self.ledger_id, batch)

    def commit(self, session: LaneSession, drafts: list[Draft]) -> list[Record]:
        """Reads, decides and writes."""
        before, books, records = self.decided(session, drafts)
        self.write(session, before, books, records)
        return records

    def look(self, statement: str) -> list[tuple[object, ...]]:
        """What a superuser sees."""
        with psycopg.connect(self.database.owner_url) as connection:
            return connection.execute(statement).fetchall()


@pytest.fixture
def desk(database: Database) -> Iterator[Desk]:
    """A desk with USD, cash, and a wallet that stays at 0 or above."""
    failpoints: dict[str, Callable[[], None]] = {}

    def failpoint(name: str) -> None:
        action = failpoints.pop(name, None)
        if action is not None:
            action()

    store = StoreDatabase(database.app_url, committers=2, readers=2, failpoint=failpoint)
    store.open()
    try:
        open_ledger(store, LedgerDraft(LEDGER, "", "tester"))
        ledger_id = store.ledger_id(LEDGER)
        assert ledger_id is not None
        desk = Desk(database, store, ledger_id, failpoints)
        session = desk.session()
        opening = Wanted({"cash", "wallet"}, {"USD"}, opened={"cash", "wallet"}, creates_assets=True)
        opened = session.open_books(LEDGER, ledger_id, opening, None)
        drafts: list[Draft] = [
            AssetDraft("USD", 2, "tester"),
            AccountDraft("cash", AccountType.ASSET, {}, {}, "tester"),
            AccountDraft("wallet", AccountType.LIABILITY, {"USD": Limit(0, None)}, {}, "tester"),
        ]
        before = opened.books.head
        decisions = decide(drafts, opened.books, Moment(opened.clock, lambda: bytes(16)))
        desk.write(
            session, before, opened.books, [one.record for one in decisions if isinstance(one, Recorded)]
        )
        store.give_back(session, broken=False)
        yield desk
    finally:
        store.close()


@pytest.mark.criterion("CARD-4")
def test_sessions_of_lanes_come_from_a_psycopg_pool(desk: Desk) -> None:
    session = desk.session()

    desk.commit(session, [post("cash", "wallet", 5)])

    pools = [value for value in vars(desk.store).values() if isinstance(value, ConnectionPool)]
    assert {pool.name for pool in pools} == {"reads", "lanes"}
    assert session.connection.pgconn.status == psycopg.pq.ConnStatus.OK
    assert session.connection._pool in pools
    desk.store.give_back(session, broken=False)


@pytest.mark.parametrize("count", [1, 31, 32, 200])
def test_a_write_is_there_when_it_returns_and_the_lane_is_free(desk: Desk, count: int) -> None:
    session, other = desk.session(), desk.session()

    records = desk.commit(session, [post("cash", "wallet", 1)] * count)

    (head,) = desk.look("select sequence, hash from ledger.heads")
    assert head == (records[-1].sequence, records[-1].hash)
    assert desk.look("select count(*) from ledger.entries") == [(2 * count,)]
    assert desk.look("select count(*) from pg_locks where locktype = 'advisory'") == [(0,)]
    assert desk.open(other)[0].balances
    for one in (session, other):
        desk.store.give_back(one, broken=True)


@pytest.mark.parametrize("count", [1, 100], ids=["few", "many"])
def test_a_head_that_moved_since_the_books_were_read_writes_nothing_and_says_so(
    desk: Desk, count: int
) -> None:
    """Somebody takes no lane lock. Of few drafts it was said that their rows are wrong, for good."""
    session, intruder = desk.session(), desk.session()
    theirs = desk.decided(intruder, [post("cash", "wallet", 7)])
    intruder.abandon(desk.ledger_id)
    ours = desk.decided(session, [post("cash", "wallet", 1)] * count)
    intruder._is_locked = True  # It believes so.
    desk.failpoints["before_begin"] = lambda: desk.write(intruder, *theirs)

    with pytest.raises(HeadMoved):
        desk.write(session, *ours)
    session.abandon(desk.ledger_id)

    assert desk.look("select count(*), sum(balance_after) from ledger.entries") == [(2, 0)]
    assert len(desk.commit(session, [post("cash", "wallet", 1)] * count)) == count
    for one in (session, intruder):
        desk.store.give_back(one, broken=False)


@pytest.mark.criterion("S001-19")
@pytest.mark.parametrize("count", [1, 100], ids=["few", "many"])
def test_the_database_itself_refuses_what_would_pass_a_bound(desk: Desk, count: int) -> None:
    """The books are told that the wallet has no bounds, as a bug would."""
    session = desk.session()
    desk.commit(session, [post("cash", "wallet", 5)])
    books, clock = desk.open(session)
    wallet = books.accounts["wallet"]
    assert wallet is not None
    books.accounts["wallet"] = type(wallet)(
        wallet.account, 1, {}, wallet.metadata, wallet.sequence, wallet.record_time, wallet.created_by
    )
    before = books.head
    drafts = [post("wallet", "cash", 6), *([post("cash", "wallet", 9)] * (count - 1))]
    decisions = decide(drafts, books, Moment(clock, lambda: bytes(16)))
    records = [one.record for one in decisions if isinstance(one, Recorded)]

    with pytest.raises(NotCommitted) as refused:
        desk.write(session, before, books, records)
    session.abandon(desk.ledger_id)

    assert len(records) == count
    assert (refused.value.sqlstate, refused.value.constraint) == ("23514", "entries_within_bounds")
    assert not refused.value.retryable
    assert desk.look("select count(*) from ledger.transactions") == [(1,)]
    desk.store.give_back(session, broken=False)


def test_what_is_not_vouched_for_is_not_written(desk: Desk) -> None:
    """It is said in the trip of the write, whose other statements do not wait to hear of it."""
    session = desk.session()
    decided = desk.decided(session, [post("cash", "wallet", 1)])
    with psycopg.connect(desk.database.owner_url, autocommit=True) as owner:
        owner.execute("revoke execute on function ledger.vouch from ledger_app")
        try:
            with pytest.raises(NotCommitted) as refused:
                desk.write(session, *decided)
        finally:
            owner.execute("grant execute on function ledger.vouch to ledger_app")
    session.abandon(desk.ledger_id)

    assert isinstance(refused.value.__cause__, psycopg.errors.InsufficientPrivilege)
    assert desk.look("select count(*) from ledger.entries") == [(0,)]
    assert len(desk.commit(session, [post("cash", "wallet", 1)])) == 1
    desk.store.give_back(session, broken=False)


@pytest.mark.parametrize("count", [2, 100], ids=["few", "many"])
def test_a_session_serves_on_after_a_refused_write(desk: Desk, count: int) -> None:
    session = desk.session()
    before, books, records = desk.decided(session, [post("cash", "wallet", 1)] * count)

    with pytest.raises(NotCommitted) as refused:
        # The span that the head opened is not filled.
        desk.write(session, before, books, records[:-1])
    session.abandon(desk.ledger_id)

    assert refused.value.constraint == "head_span_full"
    assert len(desk.commit(session, [post("cash", "wallet", 1)] * count)) == count
    desk.store.give_back(session, broken=False)


@pytest.mark.parametrize("count", [1, 100], ids=["few", "many"])
@pytest.mark.parametrize("place", ["before_begin", "before_commit"])
def test_a_session_that_dies_while_it_writes_leaves_the_outcome_unknown_until_looked_for(
    desk: Desk, count: int, place: str
) -> None:
    session, resolver = desk.session(), desk.session()
    before, books, records = desk.decided(session, [post("cash", "wallet", 1)] * count)
    desk.failpoints[place] = lambda: resolver.end_backend(session.backend_pid)

    with pytest.raises(CommitUnknown) as unknown:
        desk.write(session, before, books, records)

    found = resolver.was_committed(desk.ledger_id, unknown.value.sequence, unknown.value.record_hash)
    assert (unknown.value.sequence, unknown.value.record_hash) == (records[-1].sequence, records[-1].hash)
    assert found is False
    assert desk.look("select count(*) from ledger.transactions") == [(0,)]
    assert desk.look("select count(*) from pg_locks where locktype = 'advisory'") == [(0,)]
    desk.store.give_back(session, broken=True)
    desk.store.give_back(resolver, broken=False)


def test_an_unknown_outcome_is_looked_for_by_sequence_and_hash(desk: Desk) -> None:
    session = desk.session()
    (record,) = desk.commit(session, [post("cash", "wallet", 1)])

    assert session.was_committed(desk.ledger_id, record.sequence, record.hash)
    assert not session.was_committed(desk.ledger_id, record.sequence, bytes(32))
    assert not session.was_committed(desk.ledger_id, record.sequence + 1, record.hash)
    (opened,) = desk.look("select sequence, hash from ledger.accounts where name = 'cash'")
    assert session.was_committed(desk.ledger_id, *opened)  # type: ignore[arg-type]
    desk.store.give_back(session, broken=False)


def test_an_unknown_outcome_is_not_judged_while_the_old_session_holds_the_lane(desk: Desk) -> None:
    old, resolver = desk.session(), desk.session()
    before, books, records = desk.decided(old, [post("cash", "wallet", 1)])
    resolver.connection.execute("set lock_timeout = '100ms'")

    with pytest.raises(NotCommitted) as refused:
        resolver.was_committed(desk.ledger_id, records[0].sequence, records[0].hash)
    resolver.abandon(desk.ledger_id)
    desk.write(old, before, books, records)

    assert refused.value.sqlstate == "55P03"
    assert resolver.was_committed(desk.ledger_id, records[0].sequence, records[0].hash)
    for one in (old, resolver):
        desk.store.give_back(one, broken=True)


def test_a_session_that_is_gone_before_it_reads_is_a_lost_database_and_nothing_more(desk: Desk) -> None:
    session, other = desk.session(), desk.session()
    other.end_backend(session.backend_pid)

    def read_until_it_is_noticed() -> None:
        for _ in range(1000):
            desk.open(session)
            session.abandon(desk.ledger_id)

    with pytest.raises(DatabaseLost):
        read_until_it_is_noticed()

    desk.store.give_back(session, broken=True)
    desk.store.give_back(other, broken=False)


def test_a_lane_lock_held_elsewhere_is_waited_for_no_longer_than_lock_timeout(desk: Desk) -> None:
    session = desk.session()
    session.connection.execute("set lock_timeout = '100ms'")

    with psycopg.connect(desk.database.owner_url, autocommit=True) as holder:
        holder.execute("select pg_advisory_lock(%s)", [lane_lock(desk.ledger_id)])
        with pytest.raises(NotCommitted) as refused:
            desk.open(session)
        session.abandon(desk.ledger_id)

    assert (refused.value.sqlstate, refused.value.retryable) == ("55P03", True)
    assert desk.open(session)[0].head.sequence == 4
    desk.store.give_back(session, broken=True)


@pytest.mark.criterion("S000-2")
@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("directory", "name"),
        ("ledgers", "description"),
        ("assets", "scale"),
        ("accounts", "limits"),
        ("transactions", "metadata"),
        ("entries", "amount"),
    ],
)
def test_the_service_role_can_neither_change_nor_remove_a_record(desk: Desk, table: str, column: str) -> None:
    session = desk.session()
    desk.commit(session, [post("cash", "wallet", 1)])
    for statement in (
        f"update ledger.{table} set {column} = {column}",
        f"delete from ledger.{table}",
        f"truncate ledger.{table} cascade",
    ):
        with psycopg.connect(desk.database.app_url) as connection:
            connection.execute("select set_config('ledger.id', %s, false)", [str(desk.ledger_id)])
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
    desk.store.give_back(session, broken=False)


@pytest.mark.criterion("S000-2")
def test_no_method_of_the_contract_changes_or_removes_a_record() -> None:
    methods = {
        method.name
        for module in (account_service_pb2, ledger_admin_service_pb2, ledger_service_pb2)
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }

    writing = {name for name in methods if not name.startswith(("Get", "List", "BatchGet", "Trial"))}
    assert writing == {
        "Post",
        "PostBatch",
        "Reverse",
        "CreateLedger",
        "CreateAsset",
        "CreateAccount",
        "BatchCreateAccounts",
        # Each by one more record.
        "UpdateAccount",
        "FreezeAccount",
        "UnfreezeAccount",
        "CloseAccount",
        # A row that tells of the records.
        "RunTrialBalance",
    }
