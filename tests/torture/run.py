"""What the rounds of a run have in common: chance, load, how a strike is timed, how a history is judged."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import Self

from torture.checker import check
from torture.history import NEVER_NS, Call, History
from torture.processes import Callers, Server, until
from torture.rows import Row
from torture.stage import Stage, cluster_on_disk, embedded_stage

from ledger_server.store.embedded import EmbeddedPostgres

_ENDLESS = 10**9


class Run:
    """One run; what it starts once, for many rounds, ends with the with block."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self._ends = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._ends.close()

    @cached_property
    def stage(self) -> Stage:
        """A server with its embedded PostgreSQL."""
        return self._ends.enter_context(embedded_stage())

    @cached_property
    def postgres(self) -> EmbeddedPostgres:
        """A PostgreSQL that outlives its servers."""
        return self._ends.enter_context(cluster_on_disk())

    # load ----------------------------------------------------------------------------------

    @contextmanager
    def calling(self, stage: Stage, operations: int = _ENDLESS) -> Iterator[Callers]:
        """16 callers at work."""
        targets = [server.target for server in stage.servers]
        seed = self.random.getrandbits(32)
        with Callers(stage.folder, targets, seed=seed, operations=operations) as callers:
            yield callers

    def let_work(self, callers: Callers) -> None:
        """50 to 500 ms into the load, counted from the next answer."""
        before = callers.answered()
        until(lambda: callers.answered() > before or callers.are_done(), "answered")
        self.wait(0.05, 0.5)

    def work_through(self, callers: Callers) -> None:
        """Until all operations are made."""
        while not callers.are_done():
            self.let_work(callers)
        callers.finish(early=False)

    def wait(self, least_s: float, most_s: float) -> None:
        """A time drawn between the two."""
        time.sleep(self.random.uniform(least_s, most_s))

    # strikes -------------------------------------------------------------------------------

    def recover(self, stage: Stage, row: Row, strike: Callable[[], Server]) -> None:
        """Strikes, waits for the database, then for the service; notes how long that took."""
        struck = time.monotonic()
        server = strike()
        row.struck += 1
        back = max(struck, stage.database_is_back())
        row.recovery_max_s = max(row.recovery_max_s, stage.serves_again(server) - back)

    # judgement -----------------------------------------------------------------------------

    def judge(self, stage: Stage, row: Row, history: History | None = None) -> None:
        """Judges the stage's whole history, and counts what this fault added to it."""
        history = history or stage.history()
        before, verdict = stage.verdict, check(history)
        new = history.calls[stage.judged :]
        stage.verdict, stage.judged = verdict, len(history.calls)
        row.operations = sum(len(call.operations) if call.is_write else 1 for call in new)
        reasons = Counter(reason for call in new for reason in _refusals(call))
        row.refused, row.reasons = reasons.total(), dict(reasons.most_common())
        row.acknowledged = verdict.acknowledged - before.acknowledged
        row.unknown_committed = verdict.unknown_committed - before.unknown_committed
        row.unknown_not_committed = verdict.unknown_not_committed - before.unknown_not_committed
        row.lost, row.doubled = verdict.lost - before.lost, verdict.doubled - before.doubled
        known = set(before.violations)
        row.violations += [f"{one.rule}: {one.where}" for one in verdict.violations if one not in known]
        row.violations += [f"verify: {one}" for one in stage.unproven()]


def in_flight(history: History, since_ns: int, until_ns: int) -> int:
    """How many calls were made before and answered after, or never."""
    return sum(call.invoked < since_ns and call.completed > until_ns for call in history.calls)


def recorded(history: History) -> Iterator[Call]:
    """The answered calls that recorded something first."""
    for call in history.calls:
        if call.completed < NEVER_NS and any(one.get("replayed") is False for one in call.results):
            yield call


def next_record(history: History, since_ns: int) -> float:
    """Seconds until a call that was made after this had its record; 0 where none was."""
    answered = [
        call.completed
        for call in history.calls
        if call.invoked > since_ns and any("sequence" in result for result in call.results)
    ]
    return (min(answered) - since_ns) / 1e9 if answered else 0.0


def _refusals(call: Call) -> Iterator[str]:
    """The reasons with which its operations were refused; an unknown outcome is no refusal."""
    for result in call.results:
        if result.get("reason", "OUTCOME_UNKNOWN") != "OUTCOME_UNKNOWN":
            yield result["reason"]
