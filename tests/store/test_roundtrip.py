"""Round trips: whatever their size, in order, and a connection that goes on after errors."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psycopg
import pytest
from clusters import Database

from ledger_server.store.connection import ServiceConnection
from ledger_server.store.roundtrip import RoundTrip
from ledger_server.store.sql import Statement

ECHO = Statement.of("test.echo", "select %(value)s::text")
LENGTH = Statement.of("test.length", "select octet_length(%(value)s::bytea)")
DIVIDE = Statement.of("test.divide", "select 1 / %(by)s::integer")
CAST = Statement.of("test.cast", "select %(value)s::text::integer")
SLEEP = Statement.of("test.sleep", "select pg_sleep(%(seconds)s::integer)")
MEBIBYTE = 1 << 20


@pytest.fixture
def connection(database: Database) -> Iterator[ServiceConnection]:
    """A connection that nothing was prepared on."""
    with ServiceConnection.connect(database.app_url, autocommit=True, prepare_threshold=None) as connection:
        yield connection


@pytest.mark.timeout(60)
@pytest.mark.parametrize("size_bytes", [1, MEBIBYTE, 8 * MEBIBYTE])
def test_statements_and_answers_may_be_of_any_size(connection: ServiceConnection, size_bytes: int) -> None:
    """More than both sockets hold, both ways at once: neither side may wait for the other to read."""
    connection.silence_max_s = 5.0
    trip = RoundTrip(connection)

    lengths = [trip.ask(LENGTH, value=bytes(size_bytes)) for _ in range(4)]
    echoes = [trip.ask(ECHO, value="v" * size_bytes) for _ in range(4)]
    trip.go()

    assert [answer.rows() for answer in lengths] == [[(size_bytes,)]] * 4
    assert [len(answer.rows()[0][0]) for answer in echoes] == [size_bytes] * 4


def test_a_statement_that_was_first_met_behind_an_error_is_prepared_the_next_time(
    connection: ServiceConnection,
) -> None:
    trip = RoundTrip(connection)
    trip.ask(DIVIDE, by=0)
    skipped = trip.ask(ECHO, value="skipped")
    with pytest.raises(psycopg.errors.DivisionByZero):
        trip.go()

    answered = trip.ask(ECHO, value="answered")
    trip.go()

    assert not skipped.is_there
    assert answered.row() == ("answered",)


def test_the_first_error_is_the_one_that_is_raised_and_what_is_behind_a_sync_is_answered(
    connection: ServiceConnection,
) -> None:
    trip = RoundTrip(connection)
    trip.ask(DIVIDE, by=0)
    trip.sync()
    between = trip.ask(ECHO, value="between")
    trip.sync()
    trip.ask(CAST, value="no number")

    with pytest.raises(psycopg.errors.DivisionByZero):
        trip.go()

    assert between.row() == ("between",)
    assert connection.execute("select 1").fetchone() == (1,)


@pytest.mark.timeout(30)
def test_a_silent_database_is_given_up(connection: ServiceConnection) -> None:
    connection.silence_max_s = 0.3
    trip = RoundTrip(connection)
    trip.ask(SLEEP, seconds=20)
    began = time.monotonic()

    with pytest.raises(psycopg.OperationalError, match="silent"):
        trip.go()

    assert time.monotonic() - began < 10
    assert connection.closed
