"""Committers pass a lane's session on, and leave their own to each other: nothing is asked for twice."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import psycopg
import pytest
from callers import Teller, post_operation, unsound
from clusters import Database as Served
from faults import Faulty, faulty_server

from ledger_server.service.tenures import Seat, Tenures
from ledger_server.store.database import SEND_BUFFER_BYTES, Database
from ledger_server.store.posting import LaneSession
from ledger_server.store.roundtrip import Answer, RoundTrip
from ledger_server.store.sql import Statement, statements

COMMITTERS, CALLERS, BATCHES = 2, 6, 60


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often what was done that is needed once a session."""
    counts: Counter[str] = Counter()
    ask, borrow, take_back = RoundTrip.ask, Database.lane_session, Database.give_back
    row_types = statements("lane").row_types

    def count_asked(trip: RoundTrip, statement: Statement, **parameters: object) -> Answer:
        counts["row types"] += statement is row_types
        return ask(trip, statement, **parameters)

    def count_borrowed(database: Database, *arguments: float) -> LaneSession:
        counts["borrowed"] += 1
        return borrow(database, *arguments)

    def count_returned(database: Database, session: LaneSession, *, broken: bool) -> None:
        counts["returned"] += 1
        take_back(database, session, broken=broken)

    monkeypatch.setattr(RoundTrip, "ask", count_asked)
    monkeypatch.setattr(Database, "lane_session", count_borrowed)
    monkeypatch.setattr(Database, "give_back", count_returned)
    return counts


@pytest.fixture
def faulty(database: Served, counted: Counter[str]) -> Iterator[Faulty]:
    """A server whose committers follow each other in one lane."""
    with faulty_server(database) as faulty:
        yield faulty


def test_what_a_session_knows_is_asked_once_however_often_it_is_passed_on(
    faulty: Faulty, counted: Counter[str]
) -> None:
    teller = Teller.open(faulty.server)
    teller.post("cash", "wallet", 1)
    counted.clear()

    with ThreadPoolExecutor(CALLERS) as pool:
        batches = [
            [post_operation("cash", "wallet", 1, f"{n}-{i}") for i in range(20)] for n in range(BATCHES)
        ]
        results = [one for batch in pool.map(teller.batch, batches) for one in batch]

    assert all(one.sequence for one in results)
    # Each committer has one session, and those that were there are used again.
    assert counted["row types"] <= COMMITTERS
    assert counted["borrowed"] <= COMMITTERS
    assert counted["returned"] == 0
    assert unsound(faulty.database.owner_url, teller.ledger) == []


def test_a_local_socket_takes_a_batch_at_once(database: Served) -> None:
    """As far as the system allows; the kernel doubles what it is asked for (socket(7))."""
    served = Database(database.app_url, committers=1, readers=1)
    served.open()
    try:
        session = served.lane_session()
        with socket.socket(fileno=os.dup(session.connection.fileno())) as ours:
            family, room = ours.family, ours.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        served.give_back(session, broken=False)
    finally:
        served.close()

    most = int(Path("/proc/sys/net/core/wmem_max").read_text(encoding="utf-8"))
    assert family == socket.AF_UNIX
    assert room == 2 * min(SEND_BUFFER_BYTES, most)


def test_who_is_idle_takes_a_session_that_was_left_or_gives_it_back(database: Served) -> None:
    """Nobody would keep it alive: PostgreSQL would end it, and who finds it then has lost a batch's time."""
    served = Database(database.app_url, committers=2, readers=1)
    served.open()
    try:
        tenures = Tenures()
        seat, with_none = Seat(served, tenures), Seat(served, tenures)
        own, left = seat.session(), served.lane_session()
        tenures.leave(left)

        seat.keep_alive()
        given_back = tenures.find()
        again = served.lane_session()
        tenures.leave(again)
        with_none.keep_alive()

        assert given_back is None
        assert again.connection is left.connection
        assert seat.session() is own
        assert with_none.session() is again
        assert tenures.find() is None
        seat.close()
        with_none.close()
    finally:
        served.close()


def test_a_session_that_was_ended_while_it_was_left_is_not_used(database: Served) -> None:
    served = Database(database.app_url, committers=2, readers=1)
    served.open()
    try:
        tenures, left = Tenures(), served.lane_session()
        tenures.leave(left)
        seat = Seat(served, tenures)
        with psycopg.connect(database.owner_url, autocommit=True) as connection:
            connection.execute("select pg_terminate_backend(%s, 5000)", [left.backend_pid])

        session = seat.session()
        session.keep_alive()

        assert session.backend_pid != left.backend_pid
        seat.close()
    finally:
        served.close()


def test_of_two_sessions_that_were_left_the_pool_gets_one_back() -> None:
    """So that whoever waits for one is not kept waiting by those that nobody uses."""
    tenures, first, second = Tenures(), cast(LaneSession, object()), cast(LaneSession, object())

    assert tenures.leave(first) is None
    assert tenures.leave(second) is first
    assert tenures.find() is second
    assert tenures.find() is None
