"""The Python client: ordinary posts of many tasks, beside an echo called by as many threads."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.bench import Bench, Side, rates
from benchmarks.measured import Bar, Measured
from benchmarks.suites.calls import echo_of


def client_post(bench: Bench) -> Iterator[Measured]:
    """`client.post` from many tasks of one process, which share calls by themselves."""
    stage, server, callers = bench.stage, bench.server, bench.size.callers
    one, crowd = stage.workers(1), stage.workers(bench.size.client_processes)
    echo, as_large = echo_of(bench, "post")
    posts, echoes = bench.alternate(
        Side(
            one,
            bench.calls("post", server, [bench.ledger], kind="client_posts", callers=callers),
            stage.meter(server, one),
        ),
        Side(crowd, bench.calls("echo", echo, []) | as_large),
    )
    echo.end()
    yield rates(
        "client_post",
        "transactions/s",
        posts,
        f"echo from {callers} callers",
        echoes,
        bar=Bar(value_min=6_800),
    )
