"""SIGSTOP: a process stands still, with every lock it holds, and goes on later as if nothing had been."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from torture.backends import end_sessions, lane_holder, postmaster_pid, stopped
from torture.history import History
from torture.processes import Callers, Stuck, until
from torture.rows import RECOVERY_MAX_S, Row
from torture.run import Run, in_flight, next_record
from torture.stage import Stage, shared_stage

# A stopped server may hold the lane lock until idle_session_timeout, 15 s, ends its session.
OTHER_GOES_ON_MAX_S = 17.0
BACKEND_MAX_S = 10.0
# Without a line from any of 16 callers for so long, they all wait.
_SILENCE_S = 0.3
# Every third stop outlasts the lanes' patience of 6 s, and a reader's of 5 s.
_LONG_S = 8.0
_GOES_ON = "recorded by the other server while one is stopped"
Span = tuple[int, int]


def server(run: Run, row: Row) -> None:
    """One of two servers on a ledger is stopped, until the other has recorded for a while, and goes on."""
    row.recovery_bound_s = OTHER_GOES_ON_MAX_S
    spans: list[Span] = []
    with shared_stage(run.postgres, 2) as stage, run.calling(stage) as callers:
        for turn in range(row.n):
            run.let_work(callers)
            server = stage.servers[turn % 2]
            with _timed(spans), stopped(server.pid):
                try:
                    took = _other_goes_on(stage)
                    row.recovery_max_s = max(row.recovery_max_s, took)
                except Stuck as stuck:
                    row.violations.append(f"stop {turn}: {stuck}")
                run.wait(0.1, 2.0)
            took = stage.serves_again(server) - spans[-1][1] / 1e9
            if took > RECOVERY_MAX_S:
                row.violations.append(f"the stopped server took {took:.1f} s to serve again")
        run.let_work(callers)
        callers.finish()
        history = stage.history()
        _prove(row, history, spans)
        run.judge(stage, row, history)


def backend(run: Run, row: Row) -> None:
    """The backend that holds the lane lock is stopped, and nobody else can have it."""
    row.recovery_bound_s = BACKEND_MAX_S
    spans: list[Span] = []
    with shared_stage(run.postgres, 1) as stage, run.calling(stage) as callers:
        for turn in range(row.n):
            run.let_work(callers)
            _stop_the_lane(run, stage, callers, spans, is_long=turn % 3 == 2)
        run.let_work(callers)
        callers.finish()
        # In a long stop callers may be told what is not known, and ask again.
        _prove_and_judge(run, stage, row, spans, may_miss=True)


def postmaster(run: Run, row: Row) -> None:
    """The postmaster is stopped and the service's sessions are ended: it cannot have new ones."""
    row.recovery_bound_s = BACKEND_MAX_S
    spans: list[Span] = []
    with (
        shared_stage(run.postgres, 1) as stage,
        psycopg.connect(stage.owner_url(), autocommit=True) as admin,
        run.calling(stage) as callers,
    ):
        for turn in range(row.n):
            run.let_work(callers)
            with stopped(postmaster_pid(stage)), _timed(spans):
                end_sessions(admin)
                run.wait(1.0, 4.0) if turn % 3 < 2 else run.wait(_LONG_S, _LONG_S)
        run.let_work(callers)
        callers.finish()
        # Every caller may have been told in the very moment that the stop began.
        _prove_and_judge(run, stage, row, spans, may_miss=True)


def _other_goes_on(stage: Stage) -> float:
    """Seconds until the server that was not stopped records. Raises Stuck."""
    began = time.monotonic()
    # One commit may have been under way; the next ones are of the other server.
    for _ in range(3):
        stood = stage.head()
        until(lambda: stage.head() > stood, _GOES_ON, OTHER_GOES_ON_MAX_S)  # noqa: B023
    return time.monotonic() - began


def _stop_the_lane(run: Run, stage: Stage, callers: Callers, spans: list[Span], *, is_long: bool) -> None:
    """Stops the lane's backend at work, which a look that finds its holder may come too late for."""
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline:
        holder = until(lambda: lane_holder(stage), "a holder of the lane lock")
        with stopped(holder):
            # No question to PostgreSQL here: what stands still may hold any of its locks.
            if not _fall_silent(callers):
                continue
            began = time.monotonic_ns()
            run.wait(_LONG_S, _LONG_S) if is_long else run.wait(0.5, 3.0)
        spans.append((began, time.monotonic_ns()))
        return
    raise Stuck("after 60 s still no lane was caught at work")


def _fall_silent(callers: Callers) -> bool:
    """Whether all callers come to wait within a second."""
    deadline = time.monotonic() + 1.0
    heard, size = time.monotonic(), callers.answered()
    while time.monotonic() < deadline:
        time.sleep(0.02)
        now = callers.answered()
        if now != size:
            heard, size = time.monotonic(), now
        elif time.monotonic() - heard > _SILENCE_S:
            return True
    return False


@contextmanager
def _timed(spans: list[Span]) -> Iterator[None]:
    began = time.monotonic_ns()
    yield
    spans.append((began, time.monotonic_ns()))


def _prove(row: Row, history: History, spans: list[Span], *, may_miss: bool = False) -> None:
    """Calls were in flight all through a stop, else it stopped nothing; a row that never struck fails."""
    for number, (began, ended) in enumerate(spans):
        if in_flight(history, began, ended):
            row.struck += 1
        elif not may_miss:
            row.violations.append(f"stop {number}: no call was in flight all through it")


def _prove_and_judge(run: Run, stage: Stage, row: Row, spans: list[Span], *, may_miss: bool = False) -> None:
    history = stage.history()
    _prove(row, history, spans, may_miss=may_miss)
    row.recovery_max_s = max((next_record(history, ended) for _, ended in spans), default=0.0)
    run.judge(stage, row, history)
