"""The way to PostgreSQL ends at a COMMIT: before it is sent, after it is done, or in silence."""

from __future__ import annotations

import time

from torture.cutting import CommitProxy
from torture.processes import Stuck, until
from torture.rows import Row
from torture.run import Run, next_record
from torture.stage import shared_stage

HALF_OPEN_MAX_S = 10.0


def never_sent(run: Run, row: Row) -> None:
    """The connection is cut before COMMIT."""
    _cut(run, row, "before")


def answer_lost(run: Run, row: Row) -> None:
    """The connection is cut after COMMIT, before anybody hears of it."""
    _cut(run, row, "after")


def half_open(run: Run, row: Row) -> None:
    """COMMIT is swallowed, and the connection stays open."""
    row.recovery_bound_s = HALF_OPEN_MAX_S
    _cut(run, row, "swallow")


def _cut(run: Run, row: Row, how: str) -> None:
    with (
        CommitProxy(run.postgres.url("ledger", "ledger_app")) as proxy,
        shared_stage(run.postgres, 1, proxy=proxy) as stage,
        run.calling(stage) as callers,
    ):
        struck_at = []
        try:
            for _ in range(row.n):
                run.let_work(callers)
                proxy.arm(how)
                until(proxy.has_struck, "at a COMMIT")
                struck_at.append(time.monotonic_ns())
                # The batch itself, the one decided ahead of it, and one of calls made since: else the
                # next strike would hit these again.
                stood = proxy.commits
                until(lambda: proxy.commits >= stood + 3, "going on")  # noqa: B023
            run.let_work(callers)
            callers.finish()
        except Stuck as stuck:
            row.violations.append(f"after {len(struck_at)} strikes: {stuck}")
            proxy.let_go()
            # Or the history would be that of calls which are still made.
            callers.finish()
        proxy.let_go()
        history = stage.history()
        row.struck = len(struck_at)
        row.recovery_max_s = max((next_record(history, struck) for struck in struck_at), default=0.0)
        run.judge(stage, row, history)
