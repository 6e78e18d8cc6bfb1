"""PostgreSQL's processes, and what is done to them: killed, or stopped for a while."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from torture.processes import until
from torture.replaying import LEDGER
from torture.stage import Stage

# Those who write and flush for the sessions.
_WRITERS = ("walwriter", "checkpointer", "background writer")


def _eyes(stage: Stage) -> psycopg.Connection[tuple[Any, ...]]:
    """A session that looks; PostgreSQL may only now have noticed the strike before, and recover from it."""
    found: list[psycopg.Connection[tuple[Any, ...]]] = []

    def connects() -> bool:
        with suppress(psycopg.OperationalError):
            found.append(psycopg.connect(stage.owner_url(), connect_timeout=5))
        return bool(found)

    until(connects, "connected to PostgreSQL")
    return found[0]


def postmaster_pid(stage: Stage) -> int:
    """The process to kill for the whole PostgreSQL."""
    with _eyes(stage) as connection:
        row = connection.execute("select setting from pg_settings where name = 'data_directory'").fetchone()
    assert row is not None
    return int((Path(row[0]) / "postmaster.pid").read_text().split()[0])


def backend_pids(stage: Stage) -> list[int]:
    """The backends that serve the ledger, those at work first."""
    with _eyes(stage) as connection:
        rows = connection.execute(
            "select pid from pg_stat_activity where application_name = 'ledger'"
            " and datname = current_database() order by state = 'active' desc, query_start desc"
        ).fetchall()
    return [pid for (pid,) in rows]


def writer_pids(stage: Stage) -> list[int]:
    """PostgreSQL's own processes that make writes durable."""
    with _eyes(stage) as connection:
        rows = connection.execute(
            "select pid from pg_stat_activity where backend_type = any (%s)", [list(_WRITERS)]
        ).fetchall()
    return [pid for (pid,) in rows]


def lane_holder(stage: Stage) -> int | None:
    """The backend that holds the lane lock of the callers' ledger, if one does at this moment."""
    with _eyes(stage) as connection:
        row = connection.execute(
            "select pid from pg_locks"
            " join pg_database on pg_database.oid = pg_locks.database and datname = current_database()"
            " join ledger.directory on ledger_id = objid::bigint"
            " where locktype = 'advisory' and granted and name = %s",
            [LEDGER],
        ).fetchone()
    return None if row is None else int(row[0])


def end_sessions(connection: psycopg.Connection[tuple[int]]) -> None:
    """Ends every session of the service."""
    connection.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where application_name = 'ledger' and datname = current_database()"
    )


def kill_9(pid: int) -> None:
    """SIGKILL, of a process of the torture's own PostgreSQL."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def crash(stage: Stage, choose: Callable[[], int]) -> None:
    """Kills one of PostgreSQL's processes, and waits until all of its sessions have ended for it.

    A postmaster that has not noticed yet still answers, and looks as if it were back.
    """
    with _eyes(stage) as eyes:
        eyes.autocommit = True
        kill_9(choose())

        def are_shut() -> bool:
            with suppress(psycopg.Error):
                eyes.execute("select 1")
            return eyes.closed

        until(are_shut, "noticed by PostgreSQL")


def a_backend(stage: Stage, chance: random.Random, of_the_first: int | None = None) -> int:
    """One of the backends that serve the ledger, as soon as there are any; of the first so many."""
    return chance.choice(until(lambda: backend_pids(stage), "served by a backend")[:of_the_first])


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """SIGSTOP, and SIGCONT at the end."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
