"""The commit path while its connection fails: callers hear what became of it, nothing is doubled or lost."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import psycopg
import pytest
from callers import Refused, Teller, answer_of, post_operation, refusal_of, unsound
from clusters import external_cluster, fast_directory
from faults import PATIENCE_S, Faulty, until
from grpc_health.v1 import health_pb2, health_pb2_grpc
from serving import serving

from ledger_server.service import resolving
from ledger_server.store.books import lane_lock
from ledger_server.store.embedded import EmbeddedPostgres, make_ephemeral_data_dir


def post_some(teller: Teller, count: int) -> list[bool]:
    """Posts a batch under fixed keys; which of them were replays."""
    results = teller.batch([post_operation("cash", "wallet", 1, f"k{number}") for number in range(count)])
    assert not [one.status for one in results if one.HasField("status")]
    return [one.replayed for one in results]


PLACES = [
    (1, "before_begin"),
    (1, "before_commit"),
    (1, "commit_sent"),
    (1, "after_commit"),
    (100, "before_begin"),
    (100, "after_head"),
    (100, "before_commit"),
    (100, "commit_sent"),
    (100, "after_commit"),
]


def test_a_session_that_is_ended_anywhere_on_the_path_costs_the_caller_nothing(faulty: Faulty) -> None:
    for count, place in PLACES:
        teller = Teller.open(faulty.server)
        post_some(teller, count)
        before = faulty.transactions()
        faulty.end_the_next_lane_holder_at(place)

        results = teller.batch([post_operation("cash", "wallet", 2, f"m{number}") for number in range(count)])

        assert not [one.status for one in results if one.HasField("status")], place
        assert not any(one.replayed for one in results), place
        assert faulty.transactions() == before + count, place
        assert teller.balance("wallet") == 3 * count
        assert unsound(faulty.database.owner_url, teller.ledger) == [], place


@pytest.mark.parametrize("count", [1, 100], ids=["few", "many"])
def test_a_commit_whose_answer_is_lost_is_found_and_answered(faulty: Faulty, count: int) -> None:
    teller = Teller.open(faulty.server)
    head = teller.head()
    cut: list[int] = []
    faulty.lose_the_answer_of_the_next_commit(
        count, lambda holder: (cut.append(holder), faulty.proxy.cut(holder))[0]
    )

    replayed = post_some(teller, count)

    assert len(cut) == 1
    assert replayed == [False] * count
    assert teller.head() == head + count
    assert post_some(teller, count) == [True] * count
    assert unsound(faulty.database.owner_url, teller.ledger) == []


def test_a_stranded_backend_that_keeps_the_lane_lock_is_ended_and_the_batch_recorded_once(
    faulty: Faulty,
) -> None:
    teller = Teller.open(faulty.server)
    holders: list[int] = []

    def strand() -> None:
        holders.append(faulty.lane_holder())
        faulty.proxy.strand(holders[0])

    faulty.failpoints.once("before_commit", strand)

    replayed = post_some(teller, 100)

    assert replayed == [False] * 100
    assert faulty.transactions() == 100
    (alive,) = faulty.admin.execute(
        "select count(*) from pg_stat_activity where pid = %s", [holders[0]]
    ).fetchone() or (None,)
    assert alive == 0
    assert unsound(faulty.database.owner_url, teller.ledger) == []


@pytest.mark.parametrize("is_committed", [True, False])
def test_an_outcome_that_cannot_be_found_out_is_told_as_unknown_and_the_key_settles_it(
    faulty: Faulty, is_committed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolving, "RESOLVE_ATTEMPTS_MAX", 1)
    teller = Teller.open(faulty.server)
    if is_committed:
        faulty.lose_the_answer_of_the_next_commit(1, lambda holder: faulty.proxy.cut_all())
    else:
        faulty.failpoints.once("before_commit", faulty.proxy.cut_all)

    refusal = refusal_of(lambda: teller.post("cash", "wallet", 5, "k"))
    faulty.proxy.is_refusing = False

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "OUTCOME_UNKNOWN")
    assert refusal.facts["same_key_retry"] == "true"
    assert refusal.is_retryable
    again: list[object] = []
    until(
        lambda: (
            again.append(answer_of(lambda: teller.post("cash", "wallet", 5, "k")))
            or not isinstance(again[-1], Refused)
        ),
        "recovered",
    )
    assert {one.reason for one in again[:-1] if isinstance(one, Refused)} <= {"DATABASE_UNAVAILABLE"}
    assert again[-1].replayed is is_committed  # type: ignore[attr-defined]
    assert faulty.transactions() == 1
    assert teller.balance("wallet") == 5


def test_health_and_calls_follow_the_database_away_and_back(faulty: Faulty) -> None:
    teller = Teller.open(faulty.server)
    health = health_pb2_grpc.HealthStub(faulty.server.channel)
    watch = health.Watch(health_pb2.HealthCheckRequest())
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING

    faulty.proxy.cut_all()
    refusal = refusal_of(lambda: teller.post("cash", "wallet", 5, "k"))
    assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
    faulty.proxy.is_refusing = False
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    watch.cancel()

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")
    assert refusal.is_retryable
    until(
        lambda: not isinstance(answer_of(lambda: teller.post("cash", "wallet", 5, "k")), Refused), "recovered"
    )
    assert faulty.transactions() == 1


def test_reads_go_on_after_every_idle_session_was_ended(faulty: Faulty) -> None:
    """A restarted database had each pooled session answer one read with DATABASE_UNAVAILABLE."""
    teller = Teller.open(faulty.server)
    teller.post("cash", "wallet", 5)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: teller.trial_balance(), range(40)))
    assert faulty.database.end_sessions() >= 2

    answers = [answer_of(teller.trial_balance) for _ in range(10)]

    assert not [one for one in answers if isinstance(one, Refused)]
    assert teller.balance("wallet") == 5


@pytest.mark.criterion("S003-19")
def test_nobody_hears_of_a_post_before_it_is_durable_nor_of_one_that_was_rolled_back(faulty: Faulty) -> None:
    teller = Teller.open(faulty.server)
    arrived, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        arrived.set()
        assert go_on.wait(PATIENCE_S)
        faulty.end(faulty.lane_holder())

    faulty.failpoints.once("before_commit", hold)
    with ThreadPoolExecutor(1) as pool:
        posting = pool.submit(teller.post, "cash", "wallet", 5, "k")
        assert arrived.wait(PATIENCE_S)
        seen = (posting.done(), teller.balance("wallet"), len(teller.walk()))
        go_on.set()
        posted = posting.result()

    assert seen == (False, 0, 0)
    # The first try was rolled back, and the one that stands took its number.
    assert faulty.failpoints.passed.count("before_commit") >= 2
    assert [one.sequence for one in teller.walk()] == [posted.transaction.sequence]
    assert teller.head() == posted.transaction.sequence


def test_a_caller_whose_deadline_passes_changes_nothing_about_its_post(faulty: Faulty) -> None:
    teller = Teller.open(faulty.server)
    arrived, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        arrived.set()
        assert go_on.wait(PATIENCE_S)

    faulty.failpoints.once("before_commit", hold)
    refusal = refusal_of(lambda: teller.post("cash", "wallet", 5, "k", timeout=0.3))
    assert arrived.wait(PATIENCE_S)
    go_on.set()
    again = teller.post("cash", "wallet", 5, "k")

    assert refusal.code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert again.replayed
    assert teller.balance("wallet") == 5


def test_callers_who_leave_while_the_lane_is_held_elsewhere_are_still_recorded_once(faulty: Faulty) -> None:
    teller = Teller.open(faulty.server)
    elsewhere = teller.at(faulty.server)
    row = faulty.admin.execute(
        "select ledger_id from ledger.directory where name = %s", [teller.ledger]
    ).fetchone()
    assert row is not None
    with psycopg.connect(faulty.database.owner_url, autocommit=True) as holder:
        holder.execute("select pg_advisory_lock(%s)", [lane_lock(row[0])])
        with ThreadPoolExecutor(6) as pool:
            left = list(
                pool.map(
                    lambda number: refusal_of(
                        lambda: elsewhere.post("cash", "wallet", number, f"k{number}", timeout=0.3)
                    ),
                    range(1, 7),
                )
            )

    answers = [teller.post("cash", "wallet", number, f"k{number}") for number in range(1, 7)]

    assert {one.code for one in left} == {grpc.StatusCode.DEADLINE_EXCEEDED}
    assert [one.replayed for one in answers] == [True] * 6
    assert teller.balance("wallet") == 21
    assert faulty.transactions() == 6


def test_a_database_that_crashes_under_load_loses_and_doubles_nothing() -> None:
    """Posted under one key until answered; what was answered stands once, and nothing else does."""
    data_dir = make_ephemeral_data_dir(fast_directory())
    settings = {"shared_buffers": "64MB", "max_connections": "60"}
    try:
        with (
            EmbeddedPostgres.start(data_dir, ephemeral=True, settings=settings) as postgres,
            external_cluster(postgres.owner_url) as cluster,
            cluster.database() as database,
            serving(database.app_url) as server,
        ):
            teller = Teller.open(server)
            crashed, recovered = threading.Event(), threading.Event()
            acknowledged: list[int] = []
            refusals: list[Refused] = []

            def load(caller: int) -> None:
                number = 0
                while not recovered.is_set():
                    number += 1
                    while True:
                        answer = answer_of(
                            lambda number=number: teller.post("cash", "wallet", 1, f"{caller}/{number}")  # type: ignore[misc]
                        )
                        if not isinstance(answer, Refused):
                            break
                        refusals.append(answer)
                    acknowledged.append(answer.transaction.sequence)

            with ThreadPoolExecutor(6) as pool:
                loads = [pool.submit(load, caller) for caller in range(6)]
                try:
                    until(lambda: len(acknowledged) > 100, "under load")
                    before = len(acknowledged)
                    os.kill(postgres.pid, signal.SIGQUIT)
                    crashed.set()
                    until(lambda: len(acknowledged) > before + 200, "recovered")
                finally:
                    recovered.set()
                for future in loads:
                    future.result()

            assert {(one.code, one.is_retryable) for one in refusals} <= {(grpc.StatusCode.UNAVAILABLE, True)}
            assert len(set(acknowledged)) == len(acknowledged)
            assert sorted(acknowledged) == [one.sequence for one in teller.walk(page_size=1000)][::-1]
            assert teller.balance("wallet") == len(acknowledged)
            assert unsound(database.owner_url, teller.ledger) == []
    finally:
        shutil.rmtree(data_dir, ignore_errors=True)
