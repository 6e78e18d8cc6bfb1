"""Fifty tenants over four pooled connections: nobody is told a word of another, and no log any.

Calls fail, are cancelled and cut off, callers hang up, and the database ends or
interrupts sessions in the middle of what they do: a session that is lent next must
not remember whom it worked for. LEDGER_TENANTS=full makes 200,000 calls.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from random import Random
from typing import Any

import grpc
import psycopg
import pytest
from callers import Teller, unsound
from clusters import Cluster
from google.protobuf.message import DecodeError
from ledger.v1 import ledger_service_pb2 as pb
from logs import logged
from races.tenants import Call, Tenant, strangers, words_in
from serving import serving

from ledger_server.cli.log_lines import LogLines

TENANTS = 50
QUICK, FULL = 4_000, 200_000
CALLERS = 16
READERS, COMMITTERS = 4, 2
_CANCELLED, _HURRIED = 0.04, 0.04
_CALLS_PER_CHANNEL = 150
_STRIKE_S = 0.25
# What a call may be answered while sessions are struck; anything else is a bug of ours.
_STATUSES = {
    "OK",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "FAILED_PRECONDITION",
    "ABORTED",
    "RESOURCE_EXHAUSTED",
    "UNAVAILABLE",
    "CANCELLED",
    "DEADLINE_EXCEEDED",
}
_OPTIONS = (("grpc.use_local_subchannel_pool", 1),)


@pytest.mark.criterion("S000-10", "S001-3")
@pytest.mark.timeout(120)
def test_tenants_who_share_sessions_are_told_nothing_of_each_other(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    _crowd(cluster, capsys, QUICK)


@pytest.mark.slow
@pytest.mark.criterion("S000-10", "S001-3")
@pytest.mark.timeout(0)
def test_tenants_who_share_sessions_at_length(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    _crowd(cluster, capsys, FULL if os.environ.get("LEDGER_TENANTS") == "full" else 5 * QUICK)


def _crowd(cluster: Cluster, capsys: pytest.CaptureFixture[str], calls: int) -> None:
    with cluster.database() as database, logged(LogLines()) as (log,):
        with serving(database.app_url, committers=COMMITTERS, readers=READERS) as server:
            tokens: list[str] = []
            tenants = [Tenant(number, Random(number), tokens) for number in range(TENANTS)]
            for tenant in tenants:
                tenant.open(server)
            crowd = Crowd(server.target, tenants, calls)
            with _striking(database.owner_url) as strikes:
                started = time.monotonic()
                crowd.run()
                took_s = time.monotonic() - started
            with capsys.disabled():
                print(f"\n{calls:,} calls of {TENANTS} tenants in {took_s:.0f} s: {dict(crowd.statuses)}")
                print(f"{dict(strikes)}, {crowd.hung_up} hung up, {len(log.getvalue()):,} characters of log")
            assert crowd.crossed == []
            assert set(crowd.statuses) <= _STATUSES
            # What was not met was not tried.
            assert set(crowd.statuses) >= _STATUSES - {"RESOURCE_EXHAUSTED", "ABORTED", "UNAVAILABLE"}
            assert all(strikes.values())
            assert crowd.hung_up
            for tenant in tenants:
                trial = Teller(server, tenant.ledger).trial_balance()
                assert trial.status == pb.TRIAL_BALANCE_STATUS_OK
                assert [total.difference for total in trial.totals] == ["0"]
                assert unsound(database.owner_url, tenant.ledger) == []
        assert words_in(log.getvalue()) == []
        assert "psycopg.pool" in log.getvalue(), "a log that nobody wrote proves nothing"


@contextmanager
def _striking(owner_url: str) -> Iterator[Counter[str]]:
    """Interrupts or ends one of the service's sessions, at whatever it does, again and again."""
    ended, strikes, random = threading.Event(), Counter[str](), Random(1)

    def strike() -> None:
        with psycopg.connect(owner_url, autocommit=True) as connection:
            while not ended.wait(_STRIKE_S):
                # Statements under way are struck rather than idle sessions, where there are any.
                function = random.choice(["pg_cancel_backend", "pg_terminate_backend"])
                struck = connection.execute(
                    f"select {function}(pid) from pg_stat_activity where application_name = 'ledger'"
                    " and datname = current_database()"
                    " order by state = 'active' desc, random() limit 1".encode()
                ).fetchone()
                strikes[function] += struck == (True,)

    with ThreadPoolExecutor(1, thread_name_prefix="strike") as pool:
        striking = pool.submit(strike)
        try:
            yield strikes
        finally:
            ended.set()
            striking.result(30)


class Crowd:
    """Callers who take tenants in turn, so that neighbours on a session are of different ones."""

    def __init__(self, target: str, tenants: list[Tenant], calls: int) -> None:
        self._target = target
        self._free: SimpleQueue[tuple[Tenant, Iterator[Call]]] = SimpleQueue()
        for tenant in tenants:
            self._free.put((tenant, tenant.calls()))
        self._left = itertools.repeat(None, calls)
        self._lock = threading.Lock()
        self.statuses: Counter[str] = Counter()
        self.crossed: list[str] = []
        self.hung_up = 0

    def run(self) -> None:
        """Makes every call."""
        with ThreadPoolExecutor(CALLERS, thread_name_prefix="caller") as pool:
            for done in [pool.submit(self._work, number) for number in range(CALLERS)]:
                done.result()

    def _work(self, number: int) -> None:
        random = Random(number)
        while True:
            with grpc.insecure_channel(self._target, options=_OPTIONS) as channel:
                for _ in range(random.randint(1, 2 * _CALLS_PER_CHANNEL)):
                    with self._lock:
                        if next(self._left, self) is self:
                            return
                    tenant, calls = self._free.get()
                    self._make(channel, tenant, next(calls), random)
                    self._free.put((tenant, calls))
                # Hangs up on a call that is under way.
                tenant, calls = self._free.get()
                call = next(calls)
                left = channel.unary_unary(call.path).future(call.request, timeout=30)
                time.sleep(random.random() / 500)
            self._heard(tenant, call, left)
            self._free.put((tenant, calls))
            with self._lock:
                self.hung_up += 1

    def _make(self, channel: grpc.Channel, tenant: Tenant, call: Call, random: Random) -> None:
        draw = random.random()
        is_hurried = draw > 1 - _HURRIED
        answer = channel.unary_unary(call.path).future(
            call.request, timeout=random.random() / 100 if is_hurried else 30
        )
        if draw < _CANCELLED:
            time.sleep(random.random() / 200)
            answer.cancel()
        self._heard(tenant, call, answer)

    def _heard(self, tenant: Tenant, call: Call, answer: Any) -> None:
        """Looks for strangers in all that was answered."""
        told = []
        with suppress(grpc.RpcError, grpc.FutureCancelledError):
            told.append(answer.result())
            if call.keeps is not None:
                with suppress(DecodeError):
                    call.keeps(told[0])
        told.append((answer.details() or "").encode())
        for key, value in (*(answer.initial_metadata() or ()), *(answer.trailing_metadata() or ())):
            told += [key.encode(), value if isinstance(value, bytes) else value.encode()]
        found = [word for data in told for word in strangers(tenant.number, data)]
        with self._lock:
            self.statuses[answer.code().name] += 1
            self.crossed += [f"{call.path} of {tenant.word} was told of {word}" for word in found]
