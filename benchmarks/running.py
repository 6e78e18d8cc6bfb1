"""Runs suites one after the other and gathers what they measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from benchmarks import machine
from benchmarks.measured import Measured
from benchmarks.report import Report
from benchmarks.stage import stage
from benchmarks.suites import FULL, QUICK, Say, Size, Suites

SIZES = {"quick": QUICK, "full": FULL}
NAMES = ("post_batch", "post_batch_bounded", "post", "get_balance", "one_caller", "memory")


def run(size_name: str, only: tuple[str, ...], say: Say, *, size: Size | None = None) -> Report:
    """Measures the named suites, all where none is named."""
    chosen = size or SIZES[size_name]
    started = time.monotonic()
    with stage() as on:
        say("the machine")
        facts = machine.facts(on.data_dir, on.database_version())
        suites = Suites(on, chosen, say)
        run_suite: dict[str, Callable[[], Iterator[Measured]]] = {
            "post_batch": suites.post_batch,
            "post_batch_bounded": lambda: suites.post_batch(bounded=True),
            "post": suites.post,
            "get_balance": suites.get_balance,
            "one_caller": suites.one_caller,
            "memory": suites.memory,
        }
        measured: list[Measured] = []
        for name in only or NAMES:
            say(name)
            measured += run_suite[name]()
    return Report(
        size=size_name,
        taken=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - started, 1),
        machine=facts,
        measured=measured,
    )
