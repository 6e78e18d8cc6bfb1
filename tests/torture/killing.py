"""kill -9 of the server, of PostgreSQL's processes, of the server by its own hand, and of all in turn."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from torture.backends import a_backend, crash, postmaster_pid
from torture.processes import Server
from torture.rows import Row
from torture.run import Run
from torture.stage import shared_stage

# The commit path's places, in its order.
FAILPOINTS = (
    "books_read",
    "decided",
    "before_begin",
    "after_head",
    "before_commit",
    "commit_sent",
    "after_commit",
    "before_settle",
    "after_first_settle",
)


def server(run: Run, row: Row) -> None:
    """The server is killed, its PostgreSQL ends with it, and both are started again."""
    alone = run.stage.servers[0]

    def kill() -> Server:
        alone.kill()
        alone.start()
        return alone

    _kills(run, row, kill)


def backend(run: Run, row: Row) -> None:
    """One of PostgreSQL's backends is killed, so PostgreSQL ends all of them and recovers."""

    def kill() -> Server:
        crash(run.stage, lambda: a_backend(run.stage, run.random, of_the_first=3))
        return run.stage.servers[0]

    _kills(run, row, kill)


def postmaster(run: Run, row: Row) -> None:
    """PostgreSQL itself is killed; its supervisor starts it again."""

    def kill() -> Server:
        crash(run.stage, lambda: postmaster_pid(run.stage))
        return run.stage.servers[0]

    _kills(run, row, kill)


def _kills(run: Run, row: Row, kill: Callable[[], Server]) -> None:
    with run.calling(run.stage) as callers:
        for _ in range(row.n):
            run.let_work(callers)
            run.recover(run.stage, row, kill)
        run.let_work(callers)
        callers.finish()
    run.judge(run.stage, row)


def two_servers(run: Run, row: Row) -> None:
    """Two servers on one ledger; servers, backends and PostgreSQL are killed in turn."""
    with shared_stage(run.postgres, 2) as stage:
        turn = 0

        def kill() -> Server:
            nonlocal turn
            turn += 1
            server = stage.servers[turn % 2]
            if turn % 4 == 3:
                crash(stage, lambda: a_backend(stage, run.random))
            elif turn % 8 == 4:
                crash(stage, lambda: run.postgres.pid)
            else:
                server.kill()
                server.start()
            return server

        with run.calling(stage, row.n) as callers:
            while True:
                run.let_work(callers)
                if callers.are_done():
                    break
                run.recover(stage, row, kill)
            callers.finish(early=False)
        run.judge(stage, row)


def failpoints(run: Run, row: Row) -> None:
    """The server dies at each place of the commit path, by its own hand."""
    with shared_stage(run.postgres, 1) as stage:
        server = stage.servers[0]
        with run.calling(stage) as callers:
            server.end()
            for name in FAILPOINTS * (row.n // len(FAILPOINTS)):
                mark = stage.folder / "mark"
                mark.unlink(missing_ok=True)
                # Big batches are rare, and only they pass after_head.
                hit = run.random.randint(1, 3 if name == "after_head" else 12)
                server.start(name, str(hit), str(mark))
                ended_by = server.died()
                if ended_by != signal.SIGKILL or mark.read_text() != name:
                    row.violations.append(f"{name} was not hit; the server ended by {ended_by}")
                else:
                    row.struck += 1
            server.start()
            started = time.monotonic()
            row.recovery_max_s = stage.serves_again(server) - started
            callers.finish()
        run.judge(stage, row)
