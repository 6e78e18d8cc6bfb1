"""Ordinary single posts through the Python client, of tasks that each have one under way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from benchmarks.drafts import KIND, Drafts, Shape
from ledger_client import connect_async, credit, debit


def prepare(job: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """`callers` tasks of one event loop post for `seconds`; latencies in microseconds."""
    return lambda: asyncio.run(_post(job))


async def _post(job: dict[str, Any]) -> dict[str, Any]:
    shape = Shape(**job["shape"])
    drafts, ledger, asset = Drafts(shape), job["ledgers"][0], shape.asset
    latencies: list[float] = []
    async with connect_async(job["targets"][0]) as client:

        async def post_once() -> None:
            debited, credited, amount = drafts.pair()
            await client.post(
                ledger,
                [debit(debited, amount, asset), credit(credited, amount, asset)],
                kind=KIND,
                metadata=drafts.metadata,
            )

        async def post_on(end: float) -> None:
            while (before := time.perf_counter()) < end:
                await post_once()
                latencies.append((time.perf_counter() - before) * 1e6)

        await post_once()
        start = time.perf_counter()
        await asyncio.gather(*(post_on(start + job["seconds"]) for _ in range(job["callers"])))
        taken = time.perf_counter() - start
    return {
        "count": len(latencies),
        "seconds": taken,
        "latencies_us": [round(value, 1) for value in latencies],
    }
