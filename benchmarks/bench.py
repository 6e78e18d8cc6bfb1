"""One run of the bench: the stage, the sizes, and the service that most suites share."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from benchmarks.drafts import Shape
from benchmarks.measured import Bar, Measured, paired, percentiles
from benchmarks.opening import open_ledger
from benchmarks.processes import Server, Workers
from benchmarks.sizes import Size
from benchmarks.stage import Stage
from benchmarks.usage import CpuMeter

Say = Callable[[str], None]
Run = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a pair: a job, who does it, and whose CPU is read meanwhile."""

    workers: Workers
    job: dict[str, Any]
    meter: CpuMeter | None = None

    def run(self) -> Run:
        """Does the job once."""
        return self.workers.run(self.job, self.meter)


class Bench:
    """What every suite is given."""

    def __init__(self, stage: Stage, size: Size, say: Say) -> None:
        self.stage = stage
        self.size = size
        self.say = say

    @cached_property
    def server(self) -> Server:
        """The service that suites share, on the stage's first database."""
        return self.stage.serve()

    @cached_property
    def ledger(self) -> str:
        """Its ledger."""
        return open_ledger(self.server.targets[0], self.size.accounts)

    @property
    def shape(self) -> Shape:
        """What drafts are like where nothing else is said."""
        return Shape(self.size.accounts)

    def batches(self, server: Server, ledgers: Sequence[str], **but: Any) -> dict[str, Any]:
        """A job of PostBatches made beforehand, four in flight."""
        return {
            "kind": "batches",
            "targets": server.targets,
            "ledgers": ledgers,
            "shape": asdict(self.shape),
            "count": self.size.transactions_per_run,
            "size": self.size.batch,
            "in_flight": 4,
            "prepared": True,
        } | but

    def calls(self, verb: str, server: Server, ledgers: Sequence[str], **but: Any) -> dict[str, Any]:
        """A job of single calls, its callers spread over the client's processes."""
        return {
            "kind": "calls",
            "verb": verb,
            "targets": server.targets,
            "ledgers": ledgers,
            "shape": asdict(self.shape),
            "callers": self.size.callers // self.size.client_processes,
            "seconds": self.size.seconds_per_run,
        } | but

    def alternate(self, *sides: Side) -> list[list[Run]]:
        """Runs the sides in turn, once to warm up and then for each pair; answers the runs of each side."""
        for side in sides:
            side.run()
        taken: list[list[Run]] = [[] for _ in sides]
        for _ in range(self.size.pairs):
            for runs, side in zip(taken, sides, strict=True):
                runs.append(side.run())
        return taken


def rates(
    suite: str, unit: str, runs: Sequence[Run], beside: str, others: Sequence[Run], *, bar: Bar | None = None
) -> Measured:
    """One side's rates beside the other's, with CPU and latencies of the first."""
    return paired(
        suite,
        unit,
        [(ours["rate"], theirs["rate"]) for ours, theirs in zip(runs, others, strict=True)],
        beside,
        bar=bar,
        cpu_us=cpu_us(runs),
        latency_us=latency_us(runs),
    )


def cpu_us(runs: Sequence[Run]) -> dict[str, float]:
    """The median CPU of one unit of work by process, in microseconds."""
    return {name: statistics.median(cpu_us_of(run, name) for run in runs) for name in runs[0]["cpu"]}


def cpu_us_of(run: Run, name: str) -> float:
    """One process's CPU for one unit of work of the run, in microseconds."""
    return float(run["cpu"][name]) / max(int(run["count"]), 1) * 1e6


def latency_us(runs: Sequence[Run]) -> dict[str, float]:
    """Percentiles over the latencies of all runs, in microseconds."""
    return percentiles(value for run in runs for value in run["latencies_us"])
