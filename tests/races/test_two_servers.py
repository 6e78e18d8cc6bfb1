"""Two servers on one ledger: nobody starves, and next to nothing is done twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import count
from statistics import median

import psycopg
import pytest
from callers import Teller, post_operation, unsound
from clusters import Database
from faults import until
from serving import serving

from ledger_server.service import tenures
from ledger_server.store.outcomes import NotCommitted

_numbers = count()


@contextmanager
def loaded(tellers: list[Teller], size: int, callers: int) -> Iterator[Callable[[], int]]:
    """Batches of so many from so many callers of each teller until the block ends; answers how many stand."""
    stopping = threading.Event()
    recorded: list[int] = []

    def post_on(teller: Teller) -> None:
        while not stopping.is_set():
            operations = [post_operation("cash", "wallet", 1, f"k{next(_numbers)}") for _ in range(size)]
            assert not [one.status for one in teller.batch(operations) if one.HasField("status")]
            recorded.append(size)

    with ThreadPoolExecutor(len(tellers) * callers) as pool:
        running = [pool.submit(post_on, teller) for teller in tellers for _ in range(callers)]
        try:
            yield lambda: sum(recorded)
        finally:
            stopping.set()
        for one in running:
            one.result(60)


def held_lanes(database: Database) -> int:
    """How many lane locks are held or waited for."""
    with psycopg.connect(database.owner_url) as connection:
        row = connection.execute(
            "select count(*) from pg_locks join pg_database on pg_database.oid = database"
            " where locktype = 'advisory' and datname = %s",
            [database.name],
        ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture
def refused_states(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """The SQLSTATE of every batch that the database refuses from here on, retried or not."""
    states: list[str | None] = []
    remember = NotCommitted.__init__

    def remember_too(refused: NotCommitted, error: psycopg.Error) -> None:
        remember(refused, error)
        states.append(error.sqlstate)

    monkeypatch.setattr(NotCommitted, "__init__", remember_too)
    return states


def test_two_busy_servers_decide_next_to_nothing_twice_and_abort_nothing(
    database: Database, refused_states: list[str | None]
) -> None:
    """Each decided its next batch ahead, lost the lane to the other one, and decided it again."""
    passed: list[list[str]] = [[], []]
    with (
        serving(database.app_url, failpoint=passed[0].append) as one,
        serving(database.app_url, failpoint=passed[1].append) as two,
    ):
        teller = Teller.open(one)
        ratios = []
        with loaded([teller, teller.at(two)], 20, 4) as recorded:
            until(lambda: recorded() > 400, "warm")
            refused_states.clear()
            for _ in range(3):
                for names in passed:
                    names.clear()
                before = recorded()
                until(lambda before=before: recorded() > before + 3_000, "busy for a while")  # type: ignore[misc]
                written = [names.count("after_commit") for names in passed]
                decided = [names.count("books_read") for names in passed]
                assert min(written) > 10
                ratios.append(sum(decided) / sum(written))

        assert refused_states == []
        # Nearly two where each decides ahead all the time; a lane is met by chance now and then.
        assert median(ratios) < 1.5
        assert unsound(database.owner_url, teller.ledger) == []


@pytest.mark.parametrize(("tenure_s", "is_kept_on"), [(0.0, False), (60.0, True)])
def test_a_lane_is_kept_for_as_long_as_a_tenure_and_another_server_is_answered(
    tenure_s: float, is_kept_on: bool, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed_on: list[float] = []
    pass_on = tenures.Tenures.pass_on

    def notice(self: tenures.Tenures, ledger: str, session: tenures.LaneSession) -> None:
        passed_on.append(session.locked_at)
        pass_on(self, ledger, session)

    monkeypatch.setattr(tenures.Tenures, "pass_on", notice)
    monkeypatch.setattr(tenures, "TENURE_S", tenure_s)
    with serving(database.app_url) as busy, serving(database.app_url) as quiet:
        teller = Teller.open(busy)
        with loaded([teller], 20, 12) as recorded:
            until(lambda: recorded() > 2_000, "busy")
            teller.at(quiet).post("cash", "wallet", 1)

        # By the time that the lock was taken: once to the next turn, or on and on.
        assert passed_on
        assert (max(map(passed_on.count, passed_on)) > 1) == is_kept_on
        assert teller.balance("wallet") == recorded() + 1
        assert unsound(database.owner_url, teller.ledger) == []


def test_a_lane_that_nobody_follows_is_held_by_nobody(database: Database) -> None:
    with serving(database.app_url) as server:
        teller = Teller.open(server)
        with loaded([teller], 20, 4) as recorded:
            until(lambda: recorded() > 500, "busy")

        left = time.monotonic()
        until(lambda: held_lanes(database) == 0, "free")
        # PostgreSQL would free it too, when the session has been idle for 15 s.
        assert time.monotonic() - left < 10


def test_many_busy_ledgers_hold_no_more_lanes_than_there_are_committers(database: Database) -> None:
    """A lane is kept for a turn that is at work, never for one that waits for a committer."""
    with serving(database.app_url, committers=2) as server, ExitStack() as ends:
        tellers = [Teller.open(server) for _ in range(6)]
        recorded = ends.enter_context(loaded(tellers, 20, 2))
        most = 0
        while recorded() < 4_000:
            most = max(most, held_lanes(database))

    # One may be on its way from committer to committer.
    assert 0 < most <= 3


def test_a_session_lost_with_a_kept_lane_costs_nobody_anything(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session that one committer leaves to the next is ended in between."""
    ended: list[int] = []
    pass_on = tenures.Tenures.pass_on

    with psycopg.connect(database.owner_url, autocommit=True) as admin:

        def end_now_and_then(self: tenures.Tenures, ledger: str, session: tenures.LaneSession) -> None:
            if len(ended) < 3:
                ended.append(session.backend_pid)
                admin.execute("select pg_terminate_backend(%s, 10000)", [session.backend_pid])
            pass_on(self, ledger, session)

        monkeypatch.setattr(tenures.Tenures, "pass_on", end_now_and_then)
        with serving(database.app_url) as server:
            teller = Teller.open(server)
            with loaded([teller], 20, 4) as recorded:
                until(lambda: len(ended) == 3, "ended three times")
                before = recorded()
                until(lambda: recorded() > before + 200, "going on")
            count_recorded = recorded()

            assert teller.balance("wallet") == count_recorded
            assert unsound(database.owner_url, teller.ledger) == []
