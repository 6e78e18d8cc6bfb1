"""Runs suites one after the other and gathers what they measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from benchmarks import machine
from benchmarks.bench import Bench, Say
from benchmarks.measured import Measured
from benchmarks.report import Report
from benchmarks.sizes import FULL, QUICK, Size
from benchmarks.stage import stage
from benchmarks.suites import batches, big_books, calls, charts, client, footprint, keyed, overload, spreading

SIZES = {"quick": QUICK, "full": FULL}
SUITES: dict[str, Callable[[Bench], Iterator[Measured]]] = {
    "post_batch": batches.post_batch,
    "post_batch_bounded": batches.post_batch_bounded,
    "hot_account": batches.hot_account,
    "post": calls.post,
    "client_post": client.client_post,
    "get_balance": calls.get_balance,
    "one_caller": calls.one_caller,
    "open_loop": calls.open_loop,
    "with_key": keyed.with_key,
    "charts": charts.charts,
    "two_workers": spreading.two_workers,
    "hundred_ledgers": spreading.hundred_ledgers,
    "disk": footprint.disk,
    "memory": footprint.memory,
    "big_books": big_books.big_books,
    "overload": overload.overload,
}
NAMES = tuple(SUITES)


def run(size_name: str, only: tuple[str, ...], say: Say, *, size: Size | None = None) -> Report:
    """Measures the named suites, all where none is named."""
    started = time.monotonic()
    with stage() as on:
        say("the machine")
        facts = machine.facts(on.data_dir, on.database_version())
        bench = Bench(on, size or SIZES[size_name], say)
        measured: list[Measured] = []
        for name in only or NAMES:
            say(f"{time.monotonic() - started:4.0f} s  {name}")
            measured += SUITES[name](bench)
    return Report(
        size=size_name,
        taken=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - started, 1),
        machine=facts,
        measured=measured,
    )
