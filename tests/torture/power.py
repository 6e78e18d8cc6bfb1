"""The power is cut under load: file system, server and PostgreSQL are gone at once, and start again."""

from __future__ import annotations

import time

import psycopg
from torture.checker import check
from torture.disks import Disk, loop_disk
from torture.processes import Callers, Server
from torture.rows import Row
from torture.run import Run, in_flight
from torture.stage import Stage, embedded_stage

# Of the controls, how many must lose.
LOSING_MIN = 0.9


def cut(run: Run, row: Row) -> None:
    """The power is cut, again and again, on one ledger; then everything acknowledged is looked for."""
    spans = []
    with (
        loop_disk() as disk,
        embedded_stage(disk.path / "books") as stage,
        run.calling(stage) as callers,
    ):

        def strike() -> Server:
            began = time.monotonic_ns()
            _cut_and_start(disk, stage, row)
            spans.append((began, time.monotonic_ns()))
            return stage.servers[0]

        for _ in range(row.n):
            _work_a_while(run, callers)
            run.recover(stage, row, strike)
        run.let_work(callers)
        callers.finish()
        history = stage.history()
        for number, (began, ended) in enumerate(spans):
            if not in_flight(history, began, ended):
                row.violations.append(f"cut {number}: no call was in flight")
        run.judge(stage, row, history)


def control(run: Run, row: Row) -> None:
    """The same where PostgreSQL confirms before it has flushed: acknowledged writes must be missing."""
    row.is_control = True
    for _ in range(row.n):
        with loop_disk() as disk, embedded_stage(disk.path / "books") as stage:
            _confirm_too_early(stage)
            with run.calling(stage) as callers:
                _work_a_while(run, callers)
                _cut_and_start(disk, stage, row)
                stage.serves_again(stage.servers[0])
                callers.finish()
            verdict = check(stage.history())
            row.struck += verdict.lost > 0
            row.lost += verdict.lost
            row.acknowledged += verdict.acknowledged
    if row.struck < LOSING_MIN * row.n:
        row.violations.append(f"only {row.struck} of {row.n} controls lost anything: the cut has no power")


def _work_a_while(run: Run, callers: Callers) -> None:
    run.let_work(callers)
    run.wait(0.5, 1.5)


def _cut_and_start(disk: Disk, stage: Stage, row: Row) -> None:
    server = stage.servers[0]
    disk.cut_power()
    server.kill()
    if not disk.come_back():
        row.violations.append("bytes that nobody had flushed survived: that was no power cut")
    server.start()


def _confirm_too_early(stage: Stage) -> None:
    """Asynchronous commits, behind the back of the start-up interlock, which refuses such a setting."""
    with psycopg.connect(stage.owner_url(), autocommit=True) as connection:
        connection.execute(
            "create function public.confirm_too_early() returns trigger language plpgsql as"
            " $$begin perform set_config('synchronous_commit', 'off', true); return null; end$$"
        )
        connection.execute(
            "create trigger confirm_too_early after update on ledger.heads"
            " for each statement execute function public.confirm_too_early()"
        )
        connection.execute("alter system set wal_writer_delay = '10s'")
        connection.execute("alter system set wal_writer_flush_after = '1GB'")
        connection.execute("select pg_reload_conf()")
