"""What other servers, operators and failovers do while a server holds books, or waits for a lane."""

from __future__ import annotations

import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import psycopg
from callers import Refused, Teller, answer_of, unsound
from clusters import Database
from faults import PATIENCE_S, Failpoints, until
from ledger.v1 import ledger_admin_service_pb2 as admin_pb
from serving import Serving, serving

from ledger_server.rpc.server import IN_FLIGHT_MAX
from ledger_server.store.books import lane_lock
from ledger_server.store.database import Database as StoreDatabase

_LANE_HOLDER = "select pid from pg_locks where locktype = 'advisory' and granted"


def in_flight(server: Serving) -> int:
    """The calls that the server is busy with."""
    assert server.app._server is not None
    return server.app._server._pool.in_flight


def test_a_record_that_a_failover_lost_is_not_built_upon(database: Database) -> None:
    """Books were caught up over a record of their own that no longer stood: 1,000 too much for good."""
    with serving(database.app_url) as one, serving(database.app_url) as two:
        teller = Teller.open(one)
        teller.post("cash", "wallet", 100)
        head = teller.head()
        teller.post("other", "sales", 1000)
        rival = teller.at(two)
        with psycopg.connect(database.owner_url) as owner:
            owner.execute("set session_replication_role = replica")
            owner.execute("delete from ledger.entries where sequence > %s", [head])
            owner.execute("delete from ledger.transactions where sequence > %s", [head])
            owner.execute(
                "update ledger.heads set sequence = %(head)s, filled = %(head)s, moved_from = %(head)s - 1,"
                " hash = (select hash from ledger.transactions where sequence = %(head)s)",
                {"head": head},
            )
        rival.post("cash", "wallet", 1)
        rival.post("cash", "wallet", 1)

        teller.post("other", "sales", 5)

        assert teller.balance("other") == 5
        assert unsound(database.owner_url, teller.ledger) == []


def test_an_outcome_is_looked_for_by_the_last_record(database: Database) -> None:
    """An asset has no salt: where another server created the same one, ours was taken for recorded."""
    points = Failpoints()
    with ExitStack() as ends:
        # Both clocks stand behind the head's time, so that the same record has the same hash.
        other = ends.enter_context(serving(database.app_url, clock=lambda _: 0))
        one = ends.enter_context(
            serving(database.app_url, clock=lambda _: 0, failpoint=points, committers=2, ahead_from=10**6)
        )
        admin = ends.enter_context(psycopg.connect(database.owner_url, autocommit=True))
        pool = ends.enter_context(ThreadPoolExecutor(4))
        teller = Teller.open(one)
        rival = teller.at(other)
        arrived, may_go_on = threading.Event(), threading.Event()

        def hold() -> None:
            arrived.set()
            assert may_go_on.wait(PATIENCE_S)

        def lose_it_to_a_rival() -> None:
            row = admin.execute(_LANE_HOLDER).fetchone()
            assert row is not None
            admin.execute("select pg_terminate_backend(%s, 10000)", [row[0]])
            rival.create_asset("EUR", 2)

        points.once("after_commit", hold)
        calls = [pool.submit(lambda: teller.post("cash", "wallet", 1, "first"))]
        assert arrived.wait(PATIENCE_S)
        calls.append(pool.submit(lambda: teller.create_asset("EUR", 2)))
        until(lambda: in_flight(one) == 2, "waiting behind it")
        calls.append(pool.submit(lambda: teller.post("cash", "wallet", 50, "second")))
        until(lambda: in_flight(one) == 3, "waiting behind both")
        time.sleep(0.1)
        points.once("before_commit", lose_it_to_a_rival)
        may_go_on.set()
        for call in calls:
            call.result(PATIENCE_S)

        assert teller.balance("wallet") == 51
        assert unsound(database.owner_url, teller.ledger) == []


def test_names_that_nobody_knows_keep_no_lane_waiting(database: Database) -> None:
    """Committers looked unknown names up over the readers' connections, which were all busy."""
    with serving(database.app_url) as server, ThreadPoolExecutor(8) as pool, ExitStack() as readers:
        teller = Teller.open(server)
        teller.post("cash", "wallet", 1)
        store = next(
            one for one in gc.get_objects() if isinstance(one, StoreDatabase) and not one._reads.closed
        )
        for _ in range(store._reads.max_size):
            readers.enter_context(store.reading())
        for number in range(8):
            unknown = Teller(server, f"nobody's {number}")
            pool.submit(lambda unknown=unknown: answer_of(lambda: unknown.post("cash", "wallet", 1)))
        until(lambda: in_flight(server) == 8 < IN_FLIGHT_MAX, "waiting for a reader")
        began = time.monotonic()

        teller.post("cash", "wallet", 1)

        # A reader is waited for five seconds.
        assert time.monotonic() - began < 3
        readers.close()


def test_a_cancel_before_anything_was_tried_is_no_fault_of_the_batch(database: Database) -> None:
    """A statement cancelled while it waited for the lane lock was told as INTERNAL."""
    with (
        serving(database.app_url) as server,
        psycopg.connect(database.owner_url, autocommit=True) as admin,
        ThreadPoolExecutor(1) as pool,
    ):
        teller = Teller.open(server)
        row = admin.execute("select ledger_id from ledger.directory").fetchone()
        assert row is not None
        admin.execute("select pg_advisory_lock(%s)", [lane_lock(row[0])])
        call = pool.submit(lambda: answer_of(lambda: teller.post("cash", "wallet", 1)))
        waiting = "select pid from pg_locks where locktype = 'advisory' and not granted"
        until(lambda: admin.execute(waiting).fetchall(), "waiting for the lane")

        admin.execute(f"select pg_cancel_backend(pid) from ({waiting}) as waiting".encode())
        admin.execute("select pg_advisory_unlock(%s)", [lane_lock(row[0])])
        answer = call.result(PATIENCE_S)

        assert not isinstance(answer, Refused)
        assert teller.balance("wallet") == 1


def test_a_ledger_whose_creation_was_cancelled_is_created_by_the_next_call(database: Database) -> None:
    """It was told as INTERNAL, which nobody asks again after."""
    with (
        serving(database.app_url) as server,
        psycopg.connect(database.owner_url) as owner,
        psycopg.connect(database.owner_url, autocommit=True) as admin,
        ThreadPoolExecutor(1) as pool,
    ):
        # Whether the name is taken is not known before this ends.
        owner.execute("insert into ledger.directory (name) values ('shop')")
        request = admin_pb.CreateLedgerRequest(name="shop")
        call = pool.submit(lambda: answer_of(lambda: server.admin.CreateLedger(request)))
        waiting = "select pid from pg_locks where locktype = 'transactionid' and not granted"
        until(lambda: admin.execute(waiting).fetchall(), "waiting for the name")

        admin.execute(f"select pg_cancel_backend(pid) from ({waiting}) as waiting".encode())
        refused = call.result(PATIENCE_S)
        owner.rollback()

        assert isinstance(refused, Refused)
        assert (refused.reason, refused.is_retryable) == ("DATABASE_UNAVAILABLE", True)
        assert not server.admin.CreateLedger(request).replayed
