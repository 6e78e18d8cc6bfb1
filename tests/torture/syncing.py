"""A disk that is slow to make durable, and one that fails at it: strace changes what fdatasync does."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torture.backends import backend_pids, postmaster_pid, writer_pids
from torture.history import History
from torture.processes import Server, until
from torture.rows import Missing, Row
from torture.run import Run, recorded
from torture.stage import shared_stage

from ledger_server.store.child import User, command

SLOW_S = 0.1
_SLOWLY = f"fdatasync:delay_enter={int(SLOW_S * 1e6)}"
_FAILING = "fdatasync:error=EIO:when=1"
Span = tuple[int, int]


def slow(run: Run, row: Row) -> None:
    """Every fdatasync of PostgreSQL takes 100 ms longer, for two seconds at a time."""
    spans: list[Span] = []
    with shared_stage(run.postgres, 1) as stage, run.calling(stage) as callers:
        for _ in range(row.n):
            run.let_work(callers)
            pids = [postmaster_pid(stage), *writer_pids(stage), *backend_pids(stage)]
            with traced(stage.folder, pids, _SLOWLY, with_new_ones=True):
                began = time.monotonic_ns()
                run.wait(1.5, 2.5)
                spans.append((began, time.monotonic_ns()))
            ended = time.monotonic()
            row.recovery_max_s = max(row.recovery_max_s, stage.serves_again(stage.servers[0]) - ended)
        callers.finish()
        history = stage.history()
        for span in spans:
            _prove_slow(row, history, span)
        run.judge(stage, row, history)


def failing(run: Run, row: Row) -> None:
    """The next fdatasync of each process fails with EIO; PostgreSQL panics and recovers."""
    with shared_stage(run.postgres, 1) as stage, run.calling(stage) as callers:

        def fail() -> Server:
            pids = [*writer_pids(stage), *backend_pids(stage)]
            with traced(stage.folder, pids, _FAILING) as trace:
                # With a panic all of them end, and strace with them.
                until(lambda: not trace.is_at_work(), "a panic of PostgreSQL")
            if trace.strikes() == 0:
                row.violations.append("PostgreSQL ended, but no fdatasync of it had failed")
            return stage.servers[0]

        for _ in range(row.n):
            run.let_work(callers)
            run.recover(stage, row, fail)
        run.let_work(callers)
        callers.finish()
        run.judge(stage, row)


def _prove_slow(row: Row, history: History, span: Span) -> None:
    """No write within the span was acknowledged before its fdatasync can have been done."""
    began, ended = span
    latencies = [
        (call.completed - call.invoked) / 1e9
        for call in recorded(history)
        if began <= call.invoked and call.completed <= ended
    ]
    if latencies and min(latencies) >= SLOW_S:
        row.struck += 1
    else:
        row.violations.append(
            f"{len(latencies)} writes within a slow span; the quickest took {min(latencies, default=0):.3f} s"
        )


@dataclass(slots=True)
class Trace:
    """An strace at work."""

    strace: subprocess.Popen[bytes]
    calls: Path

    def is_at_work(self) -> bool:
        """Whether it traces anything still."""
        return self.strace.poll() is None

    def strikes(self) -> int:
        """How many system calls it changed."""
        return self.calls.read_text().count("INJECTED)") if self.calls.exists() else 0


@contextmanager
def traced(
    folder: Path, pids: Sequence[int], injection: str, *, with_new_ones: bool = False
) -> Iterator[Trace]:
    """Changes what fdatasync does in these processes; `with_new_ones` also in those they start."""
    program = shutil.which("strace")
    if program is None:
        raise Missing("strace is missing: apt-get install strace", fails_ci=True)
    calls, complaints = folder / "strace.calls", folder / "strace.log"
    calls.unlink(missing_ok=True)
    options = [*(["-f"] if with_new_ones else []), "-e", "trace=fdatasync", "-e", f"inject={injection}"]
    chosen = [word for pid in pids for word in ("-p", str(pid))]
    ourselves = User("", os.geteuid(), os.getegid())
    with complaints.open("wb") as errors:
        strace = subprocess.Popen(
            command(ourselves, folder, program, "-qq", "-o", calls, *options, *chosen),
            stdin=subprocess.DEVNULL,
            stderr=errors,
        )
    try:
        until(lambda: strace.poll() is not None or all(_is_traced(pid) for pid in pids), "traced")
        if strace.poll() is not None and "not permitted" in complaints.read_text():
            raise Missing("strace may not attach here: allow ptrace (CAP_SYS_PTRACE)", fails_ci=True)
        yield Trace(strace, calls)
    finally:
        strace.send_signal(signal.SIGINT)
        strace.wait(10)


def _is_traced(pid: int) -> bool:
    """Whether it is, or has ended."""
    try:
        return "TracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True
