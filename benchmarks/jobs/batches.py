"""Transactions by PostBatch, several batches in flight."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import cycle, islice
from typing import Any

from ledger.v1.ledger_service_pb2 import PostBatchRequest
from ledger.v1.ledger_service_pb2_grpc import LedgerServiceStub

from benchmarks.drafts import Drafts, Shape
from benchmarks.jobs.channels import CALL_TIMEOUT_S, credentials, stubs, together


def prepare(job: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """`count` transactions in batches of `size`, `in_flight` at a time, over the ledgers in turn.

    With `prepared` all batches are made before the clock starts; else each when its
    turn comes, as an import does.
    """
    drafts, ledgers = Drafts(Shape(**job["shape"])), cycle(job["ledgers"])
    count = job["count"] // job["size"]

    def make() -> PostBatchRequest:
        return drafts.batch(next(ledgers), job["size"])

    made = [make() for _ in range(count)] if job["prepared"] else None
    ways, shown = cycle(stubs(job)), credentials(job)

    def run() -> dict[str, Any]:
        latencies: list[float] = []
        waiting = iter(range(count))

        def post_on(stub: LedgerServiceStub) -> None:
            # One step of the iterator is one step of the interpreter: no two callers take the same.
            for number in waiting:
                request = make() if made is None else made[number]
                before = time.perf_counter()
                results = stub.PostBatch(request, timeout=CALL_TIMEOUT_S, metadata=shown).results
                latencies.append((time.perf_counter() - before) * 1e6)
                for result in results:
                    if result.status.code or not result.sequence:
                        raise RuntimeError(f"a post of the bench was refused: {result.status.message}")

        start = time.perf_counter()
        together([lambda stub=stub: post_on(stub) for stub in islice(ways, job["in_flight"])])  # type: ignore[misc]
        return {
            "count": count * job["size"],
            "seconds": time.perf_counter() - start,
            "latencies_us": [round(value, 1) for value in latencies],
        }

    return run
