"""Single calls: many callers beside an echo, one caller beside echo and bare SQL, and calls by the clock."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
from ledger.v1.ledger_service_pb2_grpc import LedgerServiceStub

from benchmarks.bench import Bench, Side, cpu_us, cpu_us_of, latency_us, rates
from benchmarks.drafts import Drafts
from benchmarks.measured import Bar, Measured, paired, percentile, percentiles
from benchmarks.processes import Server

# A message's payload is this much shorter than the message: tag and length.
_FRAMING_BYTES = 3
_SQL_SHARE = 1.5
_OPEN_SHARE = 0.5
_ECHO_BAR = Bar(ratio_min=0.5)


def post(bench: Bench) -> Iterator[Measured]:
    """Post from many callers, plain stubs, beside an echo of the same sizes."""
    calls = bench.calls("post", bench.server, [bench.ledger])
    cpu_bar = Bar(ratio_max=2.2, is_stretch=True)
    yield from beside_echo(bench, "post", "post", bench.server, calls, _ECHO_BAR, cpu_bar)


def get_balance(bench: Bench) -> Iterator[Measured]:
    """GetBalance from many callers, beside an echo of the same sizes."""
    calls = bench.calls("balance", bench.server, [bench.ledger])
    yield from beside_echo(bench, "get_balance", "balance", bench.server, calls, _ECHO_BAR)


def beside_echo(
    bench: Bench,
    name: str,
    verb: str,
    server: Server,
    calls: dict[str, Any],
    bar: Bar,
    cpu_bar: Bar | None = None,
) -> Iterator[Measured]:
    """A job of calls of one verb beside an echo of the same sizes, and beside one that stays on one core."""
    stage = bench.stage
    workers = stage.workers(bench.size.client_processes)
    echo, as_large = echo_of(bench, verb)
    on_one_core = stage.echo(on_one_core=True)
    ours, theirs, at_best = bench.alternate(
        Side(workers, calls, stage.meter(server, workers)),
        Side(workers, bench.calls("echo", echo, []) | as_large, stage.meter(echo, workers)),
        Side(workers, bench.calls("echo", on_one_core, []) | as_large, stage.meter(on_one_core, workers)),
    )
    echo.end()
    on_one_core.end()
    beside = f"echo from {bench.size.callers} callers"
    yield rates(name, "calls/s", ours, beside, theirs, bar=bar)
    yield rates(name, "calls/s", ours, "echo on one core", at_best)
    # The clock of a process's CPU has steps, which a run of a moment may fall between.
    costs = [
        (cpu_us_of(one, "server"), cpu_us_of(other, "server"))
        for one, other in zip(ours, theirs, strict=True)
    ]
    if all(other > 0 for _, other in costs):
        yield paired(f"{name}, server CPU", "us/call", costs, "echo's server", bar=cpu_bar)


def one_caller(bench: Bench) -> Iterator[Measured]:
    """One Post at a time: microseconds, beside the echo's and the bare SQL transaction's."""
    stage, server = bench.stage, bench.server
    workers = stage.workers(1)
    echo, as_large = echo_of(bench, "post")
    alone = {"callers": 1, "seconds": bench.size.seconds_per_run / 2}
    posts, echoes, bare = bench.alternate(
        Side(workers, bench.calls("post", server, [bench.ledger]) | alone, stage.meter(server, workers)),
        Side(workers, bench.calls("echo", echo, []) | as_large | alone),
        Side(
            workers,
            bench.calls("sql", server, []) | alone | {"database": stage.owner_url},
        ),
    )
    echo.end()
    halves = [
        [percentile(sorted(run["latencies_us"]), 0.5) for run in runs] for runs in (posts, echoes, bare)
    ]
    for beside, others, bar in (
        (
            f"echo + {_SQL_SHARE} x bare SQL",
            [one + _SQL_SHARE * other for one, other in zip(*halves[1:], strict=True)],
            Bar(ratio_max=1.0),
        ),
        ("echo", halves[1], Bar()),
        ("bare SQL transaction", halves[2], Bar()),
    ):
        yield paired(
            "one_caller, p50",
            "us",
            list(zip(halves[0], others, strict=True)),
            beside,
            bar=bar,
            cpu_us=cpu_us(posts),
            latency_us=latency_us(posts),
        )


def open_loop(bench: Bench) -> Iterator[Measured]:
    """Posts by the clock at half of what as many callers reach in a closed loop."""
    stage, server = bench.stage, bench.server
    callers = stage.workers(bench.size.client_processes)
    reached = callers.run(bench.calls("post", server, [bench.ledger]))["rate"]
    workers = stage.workers(1)
    length = max(1, round(bench.size.seconds_per_run * bench.size.pairs / 3))
    offer = bench.calls("post", server, [bench.ledger], kind="offers")
    rate = max(1.0, reached * _OPEN_SHARE)
    done = workers.run(offer | {"phases": [(length, rate)]}, stage.meter(server, workers))
    seconds = done["seconds_of"]
    bench.say(f"  latest call made {max(each['late_us'] for each in seconds) / 1e3:,.1f} ms after it was due")
    accepted = [value for each in seconds for value in each["accepted_us"]]
    offered = round(rate) * length
    yield Measured(
        "open_loop, accepted",
        "calls/s",
        len(accepted) / length,
        beside="offered by the clock",
        denominator=offered / length,
        ratio=len(accepted) / offered,
        ratio_low=len(accepted) / offered,
        ratio_high=len(accepted) / offered,
        cpu_us=cpu_us([done]),
        latency_us=percentiles(accepted),
    )


def echo_of(bench: Bench, verb: str) -> tuple[Server, dict[str, Any]]:
    """An echo server, and the sizes of its messages: those of the verb's."""
    drafts = Drafts(bench.shape)
    with grpc.insecure_channel(bench.server.targets[0]) as channel:
        stub = LedgerServiceStub(channel)
        request: Any = drafts.post(bench.ledger) if verb == "post" else drafts.balance(bench.ledger)
        response = (stub.Post if verb == "post" else stub.GetBalance)(request)
    return bench.stage.echo(), {
        "request_bytes": request.ByteSize() - _FRAMING_BYTES,
        "response_bytes": response.ByteSize() - _FRAMING_BYTES,
    }
