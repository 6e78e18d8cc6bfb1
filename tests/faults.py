"""A server with failpoints behind a severable way to its database, for tests of what failures leave."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from clusters import Database
from serving import Serving, serving
from severable import SeverableProxy

PATIENCE_S = 30.0


def until(is_so: Callable[[], object], what: str) -> None:
    """Waits for it to become so."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, f"still not: {what}"
        time.sleep(0.005)


class Failpoints:
    """Does what a test asks when the commit path next comes to a named place."""

    def __init__(self) -> None:
        self._actions: dict[str, Callable[[], None]] = {}
        self.passed: list[str] = []

    def __call__(self, name: str) -> None:
        self.passed.append(name)
        action = self._actions.pop(name, None)
        if action is not None:
            action()

    def once(self, name: str, action: Callable[[], None]) -> None:
        """Does the action at the next passing, on the committer's thread."""
        self._actions[name] = action


def transactions(connection: psycopg.Connection[tuple[int]]) -> int:
    """How many transactions stand in the whole database."""
    row = connection.execute("select count(*) from ledger.transactions").fetchone()
    assert row is not None
    return row[0]


@dataclass
class Faulty:
    """A server behind a proxy, with failpoints, and somebody who may look at its database."""

    database: Database
    proxy: SeverableProxy
    failpoints: Failpoints
    server: Serving
    admin: psycopg.Connection[tuple[int]]

    def lane_holder(self) -> int:
        """The backend that holds a lane lock, or has been told to take one."""
        rows: list[tuple[int]] = []

        def look() -> bool:
            rows[:] = self.admin.execute(
                "select pid from pg_locks join pg_database on pg_database.oid = database"
                " where locktype = 'advisory' and granted and datname = %s",
                [self.database.name],
            ).fetchall()
            return bool(rows)

        until(look, "a lane held")
        return rows[0][0]

    def transactions(self) -> int:
        """How many transactions stand in the whole database."""
        return transactions(self.admin)

    def end(self, backend: int) -> None:
        """Ends a backend and waits until it is gone."""
        self.admin.execute("select pg_terminate_backend(%s, 10000)", [backend])

    def end_the_next_lane_holder_at(self, place: str) -> None:
        """The backend that commits next ends at a failpoint; behind the commit it holds no lock any more."""
        holders: list[int] = []

        def remember() -> None:
            holders.append(self.lane_holder())
            if place == "before_begin":
                self.end(holders[0])

        self.failpoints.once("before_begin", remember)
        if place != "before_begin":
            self.failpoints.once(place, lambda: self.end(holders[0]))

    def lose_the_answer_of_the_next_commit(self, count: int, then: Callable[[int], None]) -> None:
        """The next commit's answer never arrives; `then` is called with its backend once `count` stand."""

        def deafen() -> None:
            holder = self.lane_holder()
            self.proxy.deafen(holder)
            threading.Thread(target=wait_and_cut, args=[holder], name="cutting").start()

        def wait_and_cut(holder: int) -> None:
            with psycopg.connect(self.database.owner_url, autocommit=True) as eyes:
                until(lambda: transactions(eyes) == count, "committed")
            then(holder)

        self.failpoints.once("before_commit", deafen)


@contextmanager
def faulty_server(database: Database, **settings: Any) -> Iterator[Faulty]:
    """A server whose way to the database can be cut."""
    failpoints = Failpoints()
    with (
        SeverableProxy(database.app_url) as proxy,
        psycopg.connect(database.owner_url, autocommit=True) as admin,
        serving(proxy.url, failpoint=failpoints, committers=2, **settings) as server,
    ):
        yield Faulty(database, proxy, failpoints, server, admin)
