"""SIGTERM to a real `serve`: who is in flight is answered, who is new is told, and the books are whole."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import grpc
import psycopg
from callers import Refused, Teller, answer_of, refusal_of, unsound
from clusters import Database
from grpc_health.v1 import health_pb2, health_pb2_grpc
from ledger.v1 import account_service_pb2_grpc, ledger_admin_service_pb2_grpc, ledger_service_pb2_grpc
from serving import Serving

from ledger_server.store.books import lane_lock

TREE = Path(__file__).parents[2]
PATIENCE_S = 30.0
# Of a server whose callers do not stop calling; its grace for calls in flight is 20 s.
INSISTENT_MAX_S = 10.0


@contextmanager
def serve(database: Database) -> Iterator[tuple[subprocess.Popen[str], Serving]]:
    """A `serve` of its own process, and stubs that speak to it."""
    command = [sys.executable, "-m", "ledger_server.cli", "serve", "--listen", "127.0.0.1:0"]
    environment = {
        **os.environ,
        "PYTHONPATH": f"{TREE}{os.pathsep}{TREE / 'generated'}",
        "LEDGER_DATABASE_URL": database.app_url,
    }
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=TREE
    )
    try:
        assert process.stdout is not None
        target = None
        for line in process.stdout:
            found = re.search(r"address\s+(127\.0\.0\.1:\d+)", line)
            if found:
                target = found[1]
                break
        assert target is not None, process.communicate(timeout=PATIENCE_S)
        with grpc.insecure_channel(target, options=(("grpc.use_local_subchannel_pool", 1),)) as channel:
            yield (
                process,
                Serving(
                    None,  # type: ignore[arg-type]
                    target,
                    channel,
                    ledger_service_pb2_grpc.LedgerServiceStub(channel),
                    account_service_pb2_grpc.AccountServiceStub(channel),
                    ledger_admin_service_pb2_grpc.LedgerAdminServiceStub(channel),
                    database.app_url,
                ),
            )
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=PATIENCE_S)


def test_sigterm_answers_who_is_in_flight_refuses_who_is_new_and_leaves_whole_books(
    database: Database,
) -> None:
    """The lane is held from outside while the signal comes, so that calls are surely in flight."""
    with (
        serve(database) as (process, server),
        psycopg.connect(database.owner_url, autocommit=True) as holder,
        ThreadPoolExecutor(20) as pool,
    ):
        teller = Teller.open(server)
        row = holder.execute("select ledger_id from ledger.directory").fetchone()
        assert row is not None
        watch = health_pb2_grpc.HealthStub(server.channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        holder.execute("select pg_advisory_lock(%s)", [lane_lock(row[0])])
        in_flight = [
            pool.submit(answer_of, lambda number=number: teller.post("cash", "wallet", 1, f"k{number}"))  # type: ignore[misc]
            for number in range(20)
        ]
        arrived = threading.Event()
        while not arrived.wait(0.01):
            waiting = holder.execute(
                "select count(*) from pg_locks where locktype = 'advisory' and not granted"
            ).fetchone()
            assert waiting is not None
            if waiting[0] == 1:
                arrived.set()
        # Nobody outside sees the others, who wait for the first one: they have time to come.
        time.sleep(1.0)

        process.send_signal(signal.SIGTERM)
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        # Health tells a moment before calls are refused; a read is not held up by the lane.
        late = answer_of(teller.head)
        while not isinstance(late, Refused):
            late = answer_of(teller.head)
        late_post = refusal_of(lambda: teller.post("cash", "wallet", 1, "late"))
        holder.execute("select pg_advisory_unlock(%s)", [lane_lock(row[0])])
        answers = [one.result(PATIENCE_S) for one in in_flight]
        # An open health watch held the process for its whole grace of 20 seconds.
        _, errors = process.communicate(timeout=15)

    for one in (late, late_post):
        assert (one.code, one.reason, one.is_retryable) == (
            grpc.StatusCode.UNAVAILABLE,
            "SHUTTING_DOWN",
            True,
        )
    # On a busy machine some of them may come after the signal even so, and are new then.
    refused = [one for one in answers if isinstance(one, Refused)]
    assert {one.reason for one in refused} <= {"SHUTTING_DOWN"}
    assert len(refused) < 10
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    with psycopg.connect(database.owner_url) as connection:
        keys = connection.execute(
            "select idempotency_key from ledger.transactions order by idempotency_key"
        ).fetchall()
        sessions = connection.execute(
            "select count(*) from pg_stat_activity where application_name = 'ledger' and datname = %s",
            [database.name],
        ).fetchone()
    answered = [f"k{number}" for number, one in enumerate(answers) if not isinstance(one, Refused)]
    assert sorted(key for (key,) in keys) == sorted(answered)
    assert sessions == (0,)
    assert unsound(database.owner_url, teller.ledger) == []


def test_sigterm_under_load_loses_and_doubles_nothing(database: Database) -> None:
    acknowledged: list[str] = []
    refusals: list[Refused] = []

    with serve(database) as (process, server), ThreadPoolExecutor(8) as pool:
        teller = Teller.open(server)
        busy = threading.Event()

        def load(caller: int) -> None:
            for number in range(100_000):
                key = f"{caller}/{number}"
                answer = answer_of(lambda key=key: teller.post("cash", "wallet", 1, key))  # type: ignore[misc]
                if isinstance(answer, Refused):
                    refusals.append(answer)
                    return
                acknowledged.append(key)
                if len(acknowledged) > 200:
                    busy.set()

        loads = [pool.submit(load, caller) for caller in range(8)]
        assert busy.wait(PATIENCE_S)
        process.send_signal(signal.SIGTERM)
        for future in loads:
            future.result(PATIENCE_S)
        process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 0
    assert {one.code for one in refusals} == {grpc.StatusCode.UNAVAILABLE}
    assert {one.reason for one in refusals} <= {"SHUTTING_DOWN", ""}
    with psycopg.connect(database.owner_url) as connection:
        keys = {key for (key,) in connection.execute("select idempotency_key from ledger.transactions")}
    assert keys == set(acknowledged)
    assert unsound(database.owner_url, teller.ledger) == []


def test_callers_who_go_on_calling_do_not_hold_a_server_that_stops(database: Database) -> None:
    """Each call that was refused put the end off, until the grace for calls in flight was over."""
    acknowledged: list[str] = []
    unknown: list[str] = []
    refusals: list[Refused] = []

    with serve(database) as (process, server), ThreadPoolExecutor(4) as pool:
        teller = Teller.open(server)
        busy, over = threading.Event(), threading.Event()

        def insist(caller: int) -> None:
            number = 0
            while not over.is_set():
                number += 1
                key = f"{caller}/{number}"
                answer = answer_of(partial(teller.post, "cash", "wallet", 1, key))
                if not isinstance(answer, Refused):
                    acknowledged.append(key)
                    busy.set()
                    continue
                refusals.append(answer)
                if answer.reason != "SHUTTING_DOWN":
                    unknown.append(key)
                    time.sleep(0.01)

        callers = [pool.submit(insist, caller) for caller in range(4)]
        try:
            assert busy.wait(PATIENCE_S)
            started = time.monotonic()
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE_S)
            took_s = time.monotonic() - started
        finally:
            over.set()
        for caller in callers:
            caller.result(PATIENCE_S)

    assert process.returncode == 0
    assert took_s < INSISTENT_MAX_S
    assert "SHUTTING_DOWN" in {one.reason for one in refusals}
    with psycopg.connect(database.owner_url) as connection:
        keys = {key for (key,) in connection.execute("select idempotency_key from ledger.transactions")}
    assert set(acknowledged) <= keys <= {*acknowledged, *unknown}
    assert unsound(database.owner_url, teller.ledger) == []
