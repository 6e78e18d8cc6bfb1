"""One kind of fault after another, under load, each ending in a judged history."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from torture.checker import check
from torture.cutting import CommitProxy
from torture.history import History
from torture.stage import (
    Callers,
    Server,
    Stage,
    Stuck,
    backend_pids,
    cluster_on_disk,
    embedded_stage,
    kill_9,
    postmaster_pid,
    shared_stage,
    until,
)

from ledger_server.store.embedded import EmbeddedPostgres

RECOVERY_MAX_S = 5.0
HALF_OPEN_MAX_S = 10.0
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
HALF_OPEN = "half-open at COMMIT"
NAMES = (
    "kill -9 server",
    "kill -9 backend",
    "kill -9 postmaster",
    "failpoints",
    "COMMIT never sent",
    "answer to COMMIT lost",
    HALF_OPEN,
    "two servers",
)
_ENDLESS = 10**9
Say = Callable[[str], None]


@dataclass(slots=True)
class Counts:
    """How often each fault is tried. `only` names rows; empty means all."""

    server: int
    backend: int
    postmaster: int
    failpoint: int
    commit: int
    half_open: int
    operations: int
    only: tuple[str, ...] = ()


QUICK = Counts(server=1, backend=1, postmaster=1, failpoint=1, commit=2, half_open=0, operations=400)
CI = Counts(server=15, backend=5, postmaster=5, failpoint=3, commit=20, half_open=2, operations=5_000)
FULL = Counts(
    server=300, backend=100, postmaster=50, failpoint=20, commit=500, half_open=20, operations=300_000
)


@dataclass(slots=True)
class Row:
    """What became of one kind of fault."""

    fault: str
    n: int
    acknowledged: int = 0
    unknown_committed: int = 0
    unknown_not_committed: int = 0
    lost: int = 0
    doubled: int = 0
    violations: list[str] = field(default_factory=list)
    recovery_max_s: float = 0.0
    recovery_bound_s: float = RECOVERY_MAX_S

    @property
    def is_ok(self) -> bool:
        """Whether nothing is wrong, and it was quick enough."""
        return not self.violations and self.recovery_max_s <= self.recovery_bound_s


class Rounds:
    """All kinds of faults, with the numbers of `counts`."""

    def __init__(self, counts: Counts, seed: int, say: Say = lambda line: None) -> None:
        self._counts = counts
        self._seed = seed
        self._random = random.Random(seed)
        self._say = say

    def run(self) -> Iterator[Row]:
        """One row after the other."""
        counts = self._counts
        alone: dict[str, Callable[[Stage], Row]] = {
            "kill -9 server": lambda stage: self.server(stage, counts.server),
            "kill -9 backend": lambda stage: self.backend(stage, counts.backend),
            "kill -9 postmaster": lambda stage: self.postmaster(stage, counts.postmaster),
        }
        shared: dict[str, Callable[[EmbeddedPostgres], Row]] = {
            "failpoints": lambda postgres: self.failpoints(postgres, counts.failpoint),
            "COMMIT never sent": lambda postgres: self.commits(postgres, "before", counts.commit),
            "answer to COMMIT lost": lambda postgres: self.commits(postgres, "after", counts.commit),
            HALF_OPEN: lambda postgres: self.commits(postgres, "swallow", counts.half_open),
            "two servers": lambda postgres: self.two_servers(postgres, counts.operations),
        }
        chosen = [name for name in counts.only or NAMES if counts.half_open or name != HALF_OPEN]
        if any(name in alone for name in chosen):
            with embedded_stage() as stage:
                for name in chosen:
                    if name in alone:
                        self._say(name)
                        yield alone[name](stage)
        if any(name in shared for name in chosen):
            with cluster_on_disk() as postgres:
                for name in chosen:
                    if name in shared:
                        self._say(name)
                        yield shared[name](postgres)

    # kills ---------------------------------------------------------------------------------

    def server(self, stage: Stage, n: int) -> Row:
        """The server is killed, its PostgreSQL ends with it, and both are started again."""

        def kill() -> Server:
            stage.servers[0].kill()
            stage.servers[0].start()
            return stage.servers[0]

        return self._kills("kill -9 server", stage, n, kill)

    def backend(self, stage: Stage, n: int) -> Row:
        """One of PostgreSQL's backends is killed, so PostgreSQL ends all of them and recovers."""

        def kill() -> Server:
            kill_9(self._random.choice(backend_pids(stage)[:3]))
            return stage.servers[0]

        return self._kills("kill -9 backend", stage, n, kill)

    def postmaster(self, stage: Stage, n: int) -> Row:
        """PostgreSQL itself is killed; its supervisor starts it again."""

        def kill() -> Server:
            kill_9(postmaster_pid(stage))
            return stage.servers[0]

        return self._kills("kill -9 postmaster", stage, n, kill)

    def _kills(self, fault: str, stage: Stage, n: int, kill: Callable[[], Server]) -> Row:
        row = Row(fault, n)
        with self._calling(stage) as callers:
            for _ in range(n):
                self._let_work(callers)
                self._recover(stage, row, kill)
            self._let_work(callers)
            callers.finish()
        return self._judged(stage, row)

    def two_servers(self, postgres: EmbeddedPostgres, operations: int) -> Row:
        """Two servers on one ledger; servers, backends and PostgreSQL are killed in turn."""
        row = Row("two servers", operations)
        with shared_stage(postgres, 2) as stage:
            turn = 0

            def kill() -> Server:
                nonlocal turn
                turn += 1
                server = stage.servers[turn % 2]
                if turn % 4 == 3:
                    kill_9(self._random.choice(backend_pids(stage)))
                elif turn % 8 == 4:
                    kill_9(postgres.pid)
                else:
                    server.kill()
                    server.start()
                return server

            with self._calling(stage, operations) as callers:
                while True:
                    self._let_work(callers)
                    if callers.are_done():
                        break
                    self._recover(stage, row, kill)
                callers.finish(early=False)
            return self._judged(stage, row)

    def _recover(self, stage: Stage, row: Row, kill: Callable[[], Server]) -> None:
        """Kills, waits for the database, then for the service; notes how long that took."""
        killed = time.monotonic()
        server = kill()
        back = max(killed, stage.database_is_back())
        row.recovery_max_s = max(row.recovery_max_s, stage.serves_again(server) - back)

    # places of the commit path -------------------------------------------------------------

    def failpoints(self, postgres: EmbeddedPostgres, times: int) -> Row:
        """The server dies at each place of the commit path, by its own hand."""
        row = Row("failpoints", times * len(FAILPOINTS))
        with shared_stage(postgres, 1) as stage:
            server = stage.servers[0]
            with self._calling(stage) as callers:
                server.end()
                for name in FAILPOINTS * times:
                    mark = stage.folder / "mark"
                    mark.unlink(missing_ok=True)
                    # Big batches are rare, and only they pass after_head.
                    hit = self._random.randint(1, 3 if name == "after_head" else 12)
                    server.start(name, str(hit), str(mark))
                    ended_by = server.died()
                    if ended_by != signal.SIGKILL or mark.read_text() != name:
                        row.violations.append(f"{name} was not hit; the server ended by {ended_by}")
                server.start()
                started = time.monotonic()
                row.recovery_max_s = stage.serves_again(server) - started
                callers.finish()
            return self._judged(stage, row)

    # answers lost --------------------------------------------------------------------------

    def commits(self, postgres: EmbeddedPostgres, how: str, n: int) -> Row:
        """The way to PostgreSQL ends at a COMMIT: `before` it is sent, `after` it is done, or in silence."""
        names = {"before": "COMMIT never sent", "after": "answer to COMMIT lost"}
        row = Row(names.get(how, HALF_OPEN), n)
        if how == "swallow":
            row.recovery_bound_s = HALF_OPEN_MAX_S
        with (
            CommitProxy(postgres.url("ledger", "ledger_app")) as proxy,
            shared_stage(postgres, 1, proxy=proxy) as stage,
            self._calling(stage) as callers,
        ):
            struck_at = []
            try:
                for _ in range(n):
                    self._let_work(callers)
                    proxy.arm(how)
                    until(proxy.has_struck, "at a COMMIT")
                    struck_at.append(time.monotonic_ns())
                    # Else the next strike would hit the same batch again.
                    stood = proxy.commits
                    until(lambda: proxy.commits > stood, "going on")  # noqa: B023
                self._let_work(callers)
                callers.finish()
            except Stuck as stuck:
                row.violations.append(f"after {len(struck_at)} strikes: {stuck}")
            proxy.let_go()
            history = stage.history()
            row.recovery_max_s = max((_next_record(history, struck) for struck in struck_at), default=0.0)
            return self._judged(stage, row, history)

    # what all have in common ---------------------------------------------------------------

    @contextmanager
    def _calling(self, stage: Stage, operations: int = _ENDLESS) -> Iterator[Callers]:
        targets = [server.target for server in stage.servers]
        seed = self._random.getrandbits(32)
        with Callers(stage.folder, targets, seed=seed, operations=operations) as callers:
            yield callers

    def _let_work(self, callers: Callers) -> None:
        """50 to 500 ms into the load, counted from the next answer."""
        before = callers.answered()
        until(lambda: callers.answered() > before or callers.are_done(), "answered")
        time.sleep(self._random.uniform(0.05, 0.5))

    def _judged(self, stage: Stage, row: Row, history: History | None = None) -> Row:
        """Judges the stage's whole history, and counts what this fault added to it."""
        before, verdict = stage.verdict, check(history or stage.history())
        stage.verdict = verdict
        row.acknowledged = verdict.acknowledged - before.acknowledged
        row.unknown_committed = verdict.unknown_committed - before.unknown_committed
        row.unknown_not_committed = verdict.unknown_not_committed - before.unknown_not_committed
        row.lost, row.doubled = verdict.lost - before.lost, verdict.doubled - before.doubled
        known = set(before.violations)
        row.violations += [f"{one.rule}: {one.where}" for one in verdict.violations if one not in known]
        row.violations += [f"verify: {one}" for one in stage.unproven()]
        return row


def _next_record(history: History, struck: int) -> float:
    """Seconds until a call that was made after the strike had its record."""
    answered = [
        call.completed
        for call in history.calls
        if call.invoked > struck and any("sequence" in result for result in call.results)
    ]
    return (min(answered) - struck) / 1e9 if answered else 0.0
