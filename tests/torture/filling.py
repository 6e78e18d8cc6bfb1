"""PostgreSQL's disk is full under load, and then has room again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import psycopg
from torture.disks import filled_up, small_disk_over
from torture.processes import Server, until
from torture.rows import Row
from torture.run import Run
from torture.stage import Stage, folder_on_disk, shared_stage

from ledger_server.store.embedded import EmbeddedPostgres

# Longer than a caller waits for a connection.
_LONG_S = 7.0
_FULL = "No space left on device"
# Some ten thousand operations, and one segment of the log more than PostgreSQL keeps ready.
_TABLES_MIB, _LOG_MIB = 256, 192
_SETTINGS = {"max_wal_size": "64MB", "min_wal_size": "32MB", "shared_buffers": "64MB"}


def tables(run: Run, row: Row) -> None:
    """No table can grow."""
    _fill(run, row, "base", _TABLES_MIB)


def write_ahead_log(run: Run, row: Row) -> None:
    """The write-ahead log cannot grow: PostgreSQL panics, and cannot come back before there is room."""
    _fill(run, row, "pg_wal", _LOG_MIB)


def _fill(run: Run, row: Row, name: str, size_mib: int) -> None:
    with (
        _cluster_with_little_room(name, size_mib) as (postgres, disk),
        shared_stage(postgres, 1) as stage,
        run.calling(stage) as callers,
    ):
        log = postgres.data_dir / "postgres.log"

        def fill(is_long: bool) -> Server:
            met = log.read_text(errors="replace").count(_FULL)

            def is_met() -> bool:
                if name == "pg_wal":
                    _begin_a_segment(stage)
                return log.read_text(errors="replace").count(_FULL) > met

            with filled_up(disk):
                until(is_met, "out of room")
                run.wait(_LONG_S, _LONG_S) if is_long else run.wait(0.5, 2.0)
            return stage.servers[0]

        for turn in range(row.n):
            run.let_work(callers)
            run.recover(stage, row, partial(fill, turn % 2 == 1))
        run.let_work(callers)
        callers.finish()
        run.judge(stage, row)
    if others := row.reasons.get("CONTENTION"):
        # There is one server, so there are no other writers who could win.
        row.violations.append(f"a full disk was called CONTENTION {others} times")


@contextmanager
def _cluster_with_little_room(name: str, size_mib: int) -> Iterator[tuple[EmbeddedPostgres, Path]]:
    """A PostgreSQL with one of its folders on a small disk."""
    with folder_on_disk() as folder:
        data_dir = folder / "books"
        with EmbeddedPostgres.start(data_dir, settings=_SETTINGS) as made:
            place = data_dir / f"pg{made.version_major}" / name
        with (
            small_disk_over(place, size_mib) as disk,
            EmbeddedPostgres.start(data_dir, settings=_SETTINGS) as postgres,
        ):
            yield postgres, disk


def _begin_a_segment(stage: Stage) -> None:
    """Soon the log needs a new one."""
    with suppress(psycopg.Error), psycopg.connect(stage.owner_url(), connect_timeout=2) as connection:
        connection.execute("select pg_switch_wal()")
