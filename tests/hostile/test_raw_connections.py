"""Attacks below gRPC, with a normal client at work beside: it is served, and no connection stays."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random

import pytest
from callers import Teller
from clusters import Database
from hostile.garbage import ATTACKS, PREFACE, attack, connected, is_closed
from hostile.judging import spellings
from hostile.process import Hostage, Look, hostage
from psycopg import conninfo

SEED = 20
PATIENCE_S = 30.0
# The server gives a connection 5 s to shake hands.
HANDSHAKE_MAX_S = 5.0
# On two cores that the attackers share.
NORMAL_CALL_MAX_S = 2.0
# Sessions of committers that had no turn yet.
FILES_GROWTH_MAX = 6
QUICK, CI = 2, 60
SILENT, SLOW = 300, 60


@pytest.fixture
def server(database: Database, tmp_path: Path) -> Iterator[Hostage]:
    """A server in a process of its own."""
    with hostage(database, tmp_path) as server:
        yield server


@contextmanager
def working_beside(server: Hostage) -> Iterator[list[float]]:
    """A normal client that posts all the while: the seconds of each post. An error ends the test."""
    teller = Teller.open(server)
    took_s: list[float] = []
    ended = threading.Event()

    def work() -> None:
        while not ended.is_set():
            start = time.monotonic()
            teller.post("cash", "sales", 1)
            took_s.append(time.monotonic() - start)

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        try:
            yield took_s
        finally:
            ended.set()
        working.result(PATIENCE_S)
    assert teller.balance("cash") == len(took_s)


def until(is_so: Callable[[], bool]) -> bool:
    """Whether it comes to be so in time."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _at_work(server: Hostage, took_s: list[float]) -> Look:
    """What the server holds while it serves the normal client."""
    assert until(lambda: len(took_s) > 10)
    return server.look()


def _attacked(server: Hostage, database: Database, rounds: int) -> None:
    secret = conninfo.conninfo_to_dict(database.app_url)["password"]
    draw = Random(SEED)
    attacks = [
        (name, make(draw), is_rude)
        for number in range(rounds)
        for name, make in ATTACKS.items()
        for is_rude in (False, True)
    ]

    with working_beside(server) as took_s, ThreadPoolExecutor(8) as pool:
        before = _at_work(server, took_s)
        heard = list(pool.map(lambda one: attack(server.target, one[1], is_rude=one[2]), attacks))

    assert not [needle for needle in spellings(str(secret)) if any(needle in data for data in heard)]
    assert len(took_s) > 10
    assert max(took_s) < NORMAL_CALL_MAX_S
    assert until(lambda: server.look().files <= before.files + FILES_GROWTH_MAX), (before, server.look())
    # A header that is no text is logged by gRPC itself, with its own traceback; none is ours.
    assert "ledger_server" not in server.log(), server.log()[-3_000:]
    assert str(secret) not in server.log()


def test_garbage_on_the_wire_disturbs_nobody(server: Hostage, database: Database) -> None:
    _attacked(server, database, QUICK)


@pytest.mark.slow
def test_garbage_on_the_wire_disturbs_nobody_at_length(server: Hostage, database: Database) -> None:
    _attacked(server, database, CI)


@pytest.mark.slow
def test_the_silent_and_the_slow_are_put_out_after_five_seconds(server: Hostage) -> None:
    with working_beside(server) as took_s, ExitStack() as ends:
        before = _at_work(server, took_s)
        silent = [ends.enter_context(connected(server.target)) for _ in range(SILENT)]
        slow = [ends.enter_context(connected(server.target)) for _ in range(SLOW)]
        start = time.monotonic()
        for byte in PREFACE[:-1]:
            # A byte of the preface every third of a second: it would take eight.
            for connection in slow:
                try:
                    connection.sendall(bytes([byte]))
                except OSError:
                    continue
            time.sleep(0.33)
            if time.monotonic() - start > HANDSHAKE_MAX_S + 2:
                break
        closed = [is_closed(connection, 1.0) for connection in (*silent, *slow)]

    assert all(closed)
    assert len(took_s) > 100
    assert sorted(took_s)[len(took_s) * 99 // 100] < NORMAL_CALL_MAX_S
    assert until(lambda: server.look().files <= before.files + FILES_GROWTH_MAX)
