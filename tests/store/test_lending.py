"""Who borrows a connection is not told of, and does not wait for, those that PostgreSQL has ended."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from clusters import Database

from ledger_server.store.database import LANES_SPARE
from ledger_server.store.database import Database as StoreDatabase

READERS = 6
COMMITTERS = READERS - LANES_SPARE
# A new connection takes some hundredths; who waited between two dead ones waited for 1 s, then 2, then 4,
# and was refused after 5.
AT_ONCE_S = 2.5


@pytest.fixture
def store(database: Database) -> Iterator[StoreDatabase]:
    """As many readers as sessions of lanes, and every one of them open and idle."""
    store = StoreDatabase(database.app_url, committers=COMMITTERS, readers=READERS)
    store.open()
    with ExitStack() as lent:
        for _ in range(READERS):
            lent.enter_context(store.reading())
        sessions = [store.lane_session() for _ in range(COMMITTERS + LANES_SPARE)]
    for session in sessions:
        store.give_back(session, broken=False)
    yield store
    store.close()


def test_a_reader_does_not_wait_between_sessions_that_were_ended(
    store: StoreDatabase, database: Database
) -> None:
    assert database.end_sessions() >= READERS + COMMITTERS + LANES_SPARE

    began = time.monotonic()
    with store.reading() as connection:
        answer = connection.execute("select 1").fetchone()

    assert answer == (1,)
    assert time.monotonic() - began < AT_ONCE_S


def test_a_committer_does_not_wait_between_sessions_that_were_ended(
    store: StoreDatabase, database: Database
) -> None:
    assert database.end_sessions() >= READERS + COMMITTERS + LANES_SPARE

    began = time.monotonic()
    session = store.lane_session()
    session.keep_alive()
    took = time.monotonic() - began
    store.give_back(session, broken=False)

    assert took < AT_ONCE_S
