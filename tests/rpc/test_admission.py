"""Admission: what is too much is refused at once, and health answers all the while."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import psycopg
import pytest
from callers import Teller, lines
from clusters import Database
from grpc_health.v1 import health_pb2, health_pb2_grpc
from ledger.v1 import ledger_service_pb2 as pb
from serving import Serving
from statuses import told, told_error

from ledger_server.rpc.limits import CALLS_PER_CONNECTION_MAX
from ledger_server.rpc.server import IN_FLIGHT_MAX, WAITING_PER_LEDGER_MAX
from ledger_server.store.books import lane_lock

# A refusal takes 1-2 ms on an idle machine; the tests share two cores.
REFUSED_WITHIN_S = 0.1
DEADLINE_S = 60.0


@contextmanager
def held_lanes(database: Database, tellers: list[Teller]) -> Iterator[None]:
    """Holds the lane locks of ledgers, as another server at work would: their posts wait."""
    names = [teller.ledger for teller in tellers]
    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        found = connection.execute("select ledger_id from ledger.directory where name = any(%s)", (names,))
        lanes = [lane_lock(row[0]) for row in found.fetchall()]
        for lane in lanes:
            connection.execute("select pg_advisory_lock(%s)", (lane,))
        yield


def _send(teller: Teller, count: int) -> list[Any]:
    return [
        teller.server.ledgers.Post.future(
            pb.PostRequest(ledger=teller.ledger, entries=lines("cash", "sales", 1)), timeout=DEADLINE_S
        )
        for _ in range(count)
    ]


def _until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def _outcomes(calls: list[Any]) -> list[str]:
    """OK or the reason, of calls that have ended."""
    return ["OK" if call.exception() is None else told_error(call.exception()).reason for call in calls]


@pytest.fixture
def tellers(shared_server: Serving) -> list[Teller]:
    """Three ledgers."""
    return [Teller.open(shared_server) for _ in range(3)]


@pytest.mark.criterion("S000-31")
def test_a_full_server_refuses_in_milliseconds_and_health_still_answers(
    tellers: list[Teller], shared_database: Database, shared_server: Serving
) -> None:
    health = health_pb2_grpc.HealthStub(shared_server.channel)
    health.Check(health_pb2.HealthCheckRequest(), timeout=DEADLINE_S)

    with held_lanes(shared_database, tellers[:2]):
        # Each ledger may hold half of the places; the calls that wait in a turn come on top.
        calls = [call for teller in tellers[:2] for call in _send(teller, IN_FLIGHT_MAX)]
        refused_max = len(calls) - IN_FLIGHT_MAX
        _until(lambda: sum(call.done() for call in calls) >= refused_max)

        third = tellers[2]
        refusals, waits_s, health_s = [], [], []
        for _ in range(20):
            start = time.perf_counter()
            refusals.append(told(lambda: third.post("cash", "sales", 1)))
            waits_s.append(time.perf_counter() - start)
            start = time.perf_counter()
            answer = health.Check(health_pb2.HealthCheckRequest(), timeout=DEADLINE_S)
            health_s.append(time.perf_counter() - start)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        assert not all(call.done() for call in calls)

    outcomes = _outcomes(calls)
    for refusal in refusals:
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert refusal.facts == {"in_flight_max": str(IN_FLIGHT_MAX)}
        assert refusal.retry_after_s == 0.25
    assert statistics.median(waits_s) < REFUSED_WITHIN_S
    assert statistics.median(health_s) < REFUSED_WITHIN_S
    # Who was admitted was served, and only who was answered OK stands in the books.
    assert set(outcomes) == {"OK", "OVERLOADED"}
    assert outcomes.count("OK") <= IN_FLIGHT_MAX
    assert sum(teller.balance("cash") for teller in tellers) == outcomes.count("OK")


def test_everyone_in_a_crowd_on_one_connection_is_told_why_he_is_not_served(
    tellers: list[Teller], shared_database: Database
) -> None:
    # More than a connection has at once: as one is refused, the next begins, before gRPC let go of the first.
    with held_lanes(shared_database, tellers[:1]):
        calls = _send(tellers[0], 6 * CALLS_PER_CONNECTION_MAX)
        waiting_max = WAITING_PER_LEDGER_MAX + IN_FLIGHT_MAX
        _until(lambda: sum(call.done() for call in calls) >= len(calls) - waiting_max)

    assert set(_outcomes(calls)) == {"OK", "OVERLOADED"}


def test_one_ledger_cannot_take_the_others_places(tellers: list[Teller], shared_database: Database) -> None:
    busy, other, _ = tellers

    with held_lanes(shared_database, [busy]):
        calls = _send(busy, IN_FLIGHT_MAX)
        _until(lambda: sum(call.done() for call in calls) > 0)

        assert other.post("cash", "sales", 7).transaction.sequence
        assert busy.balance("cash") == 0
        refusal = told(lambda: busy.post("cash", "sales", 1))

    outcomes = _outcomes(calls)
    assert (refusal.reason, refusal.facts) == (
        "OVERLOADED",
        {"ledger": busy.ledger, "waiting_max": str(WAITING_PER_LEDGER_MAX)},
    )
    assert outcomes.count("OK") >= WAITING_PER_LEDGER_MAX
    assert busy.balance("cash") == outcomes.count("OK")


def test_a_caller_who_leaves_changes_nothing(tellers: list[Teller], shared_database: Database) -> None:
    left, other, _ = tellers

    with held_lanes(shared_database, [left]):
        calls = _send(left, 5)
        gone = left.server.ledgers.Post.future(
            pb.PostRequest(ledger=left.ledger, idempotency_key="k", entries=lines("cash", "sales", 100)),
            timeout=DEADLINE_S,
        )
        # Calls of one connection arrive in order: these are answered after they came.
        for _ in range(3):
            other.post("cash", "sales", 1)
        gone.cancel()

    assert _outcomes(calls) == ["OK"] * 5
    _until(lambda: left.balance("cash") == 105)
    assert left.post("cash", "sales", 100, "k").replayed
