"""What is measured, and beside what."""

from __future__ import annotations

import secrets
import statistics
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
from ledger.v1.ledger_service_pb2_grpc import LedgerServiceStub

from benchmarks import plain_tables
from benchmarks.drafts import Drafts
from benchmarks.measured import Bar, Measured, paired, percentile
from benchmarks.stage import Process, Stage, open_ledger
from benchmarks.usage import resident_mib

# A message's payload is this much shorter than the message: tag and length.
_FRAMING_BYTES = 3
_WATCH_S = 0.05

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    pairs: int
    accounts: int
    batch: int
    transactions_per_run: int
    seconds_per_run: float
    callers: int
    client_processes: int
    imported: int


QUICK = Size(
    pairs=5,
    accounts=10_000,
    batch=1_000,
    transactions_per_run=20_000,
    seconds_per_run=1.5,
    callers=64,
    client_processes=2,
    imported=300_000,
)
FULL = Size(
    pairs=15,
    accounts=10_000,
    batch=1_000,
    transactions_per_run=40_000,
    seconds_per_run=4.0,
    callers=64,
    client_processes=2,
    imported=300_000,
)


class Suites:
    """The suites on one stage, one server and one echo."""

    def __init__(self, stage: Stage, size: Size, say: Say) -> None:
        self._stage = stage
        self._size = size
        self._say = say
        self._server, self._target = stage.serve()
        self._ledger = _fresh_name()
        open_ledger(self._target, self._ledger, size.accounts)

    def post_batch(self, *, bounded: bool = False) -> Iterator[Measured]:
        """PostBatch of independent posts, two batches in flight, beside COPY BINARY of the rows it wrote."""
        size, stage = self._size, self._stage
        ledger = self._ledger
        if bounded:
            ledger = _fresh_name()
            open_ledger(self._target, ledger, size.accounts, bounded=True)
        workers = stage.workers(1)
        meter = stage.meter(self._server, workers)
        post = self._batch_job(self._target, ledger, size.transactions_per_run, prepared=True)
        workers.run(post)
        copy = {"kind": "copies", "database": stage.owner_url, "ledger": ledger, "size": size.batch}
        pairs, ceilings, costs = [], [], []
        for _ in range(size.pairs):
            after = plain_tables.head(stage.owner_url, ledger)
            posted = workers.run(post, meter)
            copied = workers.run(copy | {"after": after, "encoded": False})
            ceiling = workers.run(copy | {"after": after, "encoded": True})
            assert copied["count"] == posted["count"]
            pairs.append((posted["rate"], copied["rate"]))
            ceilings.append((posted["rate"], ceiling["rate"]))
            costs.append(posted)
        bar = Bar() if bounded else Bar(ratio_min=0.35, rate_min=12_000)
        name = "post_batch, bounded" if bounded else "post_batch"
        yield paired(name, "transactions/s", pairs, "COPY BINARY", bar=bar, cpu_us=_cpu_us(costs))
        yield paired(name, "transactions/s", ceilings, "COPY of encoded rows", cpu_us=_cpu_us(costs))

    def post(self) -> Iterator[Measured]:
        """Post from many callers, beside an echo of the same sizes."""
        yield self._beside_echo("post", "Post")

    def get_balance(self) -> Iterator[Measured]:
        """GetBalance from many callers, beside an echo of the same sizes."""
        yield self._beside_echo("get_balance", "GetBalance")

    def _beside_echo(self, verb: str, method: str) -> Measured:
        size, stage = self._size, self._stage
        workers = stage.workers(size.client_processes)
        meter = stage.meter(self._server, workers)
        callers = size.callers // size.client_processes
        echo_server, echo_job = self._echo_job(method, callers)
        job = self._call_job(verb, callers)
        for warming in (job, echo_job):
            workers.run(warming | {"seconds": size.seconds_per_run / 2})
        pairs, costs = [], []
        for _ in range(size.pairs):
            measured = workers.run(job, meter)
            pairs.append((measured["rate"], workers.run(echo_job)["rate"]))
            costs.append(measured)
        echo_server.end()
        return paired(
            verb,
            "calls/s",
            pairs,
            f"echo from {size.callers} callers",
            bar=Bar(ratio_min=0.4),
            cpu_us=_cpu_us(costs),
        )

    def one_caller(self) -> Iterator[Measured]:
        """One caller, one Post at a time: microseconds, beside echo's and the bare SQL transaction's."""
        workers = self._stage.workers(1)
        meter = self._stage.meter(self._server, workers)
        echo_server, echo_job = self._echo_job("Post", 1)
        jobs = {
            "post": self._call_job("post", 1),
            "echo": echo_job,
            "bare SQL transaction": self._call_job("sql", 1) | {"database": self._stage.owner_url},
        }
        for job in jobs.values():
            workers.run(job | {"seconds": 0.3})
        taken: dict[str, list[list[float]]] = {name: [] for name in jobs}
        costs = []
        for _ in range(self._size.pairs):
            for name, job in jobs.items():
                measured = workers.run(job | {"seconds": self._size.seconds_per_run / 2}, meter)
                taken[name].append(measured["latencies_us"])
                if name == "post":
                    costs.append(measured)
        echo_server.end()
        for beside in ("echo", "bare SQL transaction"):
            for name, share in (("p50", 0.5), ("p99", 0.99)):
                pairs = [
                    (percentile(ours, share), percentile(theirs, share))
                    for ours, theirs in zip(taken["post"], taken[beside], strict=True)
                ]
                yield paired(f"one_caller {name}", "microseconds", pairs, beside, cpu_us=_cpu_us(costs))

    def memory(self) -> Iterator[Measured]:
        """The most resident memory of a server of its own in an import through PostBatch, and after it."""
        server, target = self._stage.serve()
        ledger = _fresh_name()
        open_ledger(target, ledger, self._size.accounts)
        workers = self._stage.workers(1)
        watch = _MemoryWatch(server.pid)
        imported = workers.run(self._batch_job(target, ledger, self._size.imported, prepared=False))
        most, after = watch.end(), resident_mib(server.pid) or 0.0
        server.end()
        self._say(f"  {imported['count']:,} transactions at {imported['rate']:,.0f}/s")
        yield Measured(f"memory, import of {self._size.imported:,}", "MB", most, bar=Bar(value_max=250))
        yield Measured("memory, after it", "MB", after)

    def _batch_job(self, target: str, ledger: str, count: int, *, prepared: bool) -> dict[str, Any]:
        return {
            "kind": "batches",
            "target": target,
            "ledger": ledger,
            "accounts": self._size.accounts,
            "count": count,
            "size": self._size.batch,
            "in_flight": 2,
            "prepared": prepared,
        }

    def _call_job(self, verb: str, callers: int) -> dict[str, Any]:
        return {
            "kind": "calls",
            "verb": verb,
            "target": self._target,
            "ledger": self._ledger,
            "accounts": self._size.accounts,
            "callers": callers,
            "seconds": self._size.seconds_per_run,
        }

    def _echo_job(self, method: str, callers: int) -> tuple[Process, dict[str, Any]]:
        """An echo server, and the job that sends and receives as many bytes as the method does."""
        drafts = Drafts(self._ledger, self._size.accounts)
        request: Any = drafts.post() if method == "Post" else drafts.balance()
        with grpc.insecure_channel(self._target) as channel:
            response = getattr(LedgerServiceStub(channel), method)(request)
        server, target = self._stage.echo()
        return server, self._call_job("echo", callers) | {
            "target": target,
            "request_bytes": request.ByteSize() - _FRAMING_BYTES,
            "response_bytes": response.ByteSize() - _FRAMING_BYTES,
        }


class _MemoryWatch:
    """Looks at a process's resident memory until it is ended."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._most = 0.0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._look, name="memory-watch", daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._ending.wait(_WATCH_S):
            self._most = max(self._most, resident_mib(self._pid) or 0.0)

    def end(self) -> float:
        """The most it was, in MiB; what the system remembers where it does."""
        self._ending.set()
        self._thread.join()
        return max(self._most, resident_mib(self._pid, "VmHWM") or 0.0)


def _cpu_us(runs: list[dict[str, Any]]) -> dict[str, float]:
    """The median CPU of one unit of work by process, in microseconds."""
    return {
        name: statistics.median(run["cpu"][name] / max(run["count"], 1) for run in runs) * 1e6
        for name in runs[0]["cpu"]
    }


def _fresh_name() -> str:
    return f"bench-{secrets.token_hex(4)}"
