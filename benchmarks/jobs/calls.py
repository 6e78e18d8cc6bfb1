"""The closed loop: each caller has one call under way, and makes the next when it is answered."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import cycle
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import BytesValue
from ledger.v1.ledger_service_pb2_grpc import LedgerServiceStub

from benchmarks import plain_tables
from benchmarks.drafts import Drafts, Shape
from benchmarks.jobs.channels import CALL_TIMEOUT_S, channels, credentials, together


def prepare(job: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """`callers` threads call for `seconds`; latencies in microseconds."""
    calls = _calls(job)

    def run() -> dict[str, Any]:
        latencies: list[float] = []
        start = time.perf_counter()
        end = start + job["seconds"]

        def call_on(call_once: Callable[[], object]) -> None:
            while (before := time.perf_counter()) < end:
                call_once()
                latencies.append((time.perf_counter() - before) * 1e6)

        if len(calls) == 1:
            call_on(calls[0])
        else:
            together([lambda call=call: call_on(call) for call in calls])  # type: ignore[misc]
        return {
            "count": len(latencies),
            "seconds": time.perf_counter() - start,
            "latencies_us": [round(value, 1) for value in latencies],
        }

    return run


def _calls(job: dict[str, Any]) -> list[Callable[[], object]]:
    """A call of the job's verb for each caller, over its channels and ledgers in turn; sql has one caller."""
    if job["verb"] == "sql":
        calls: list[Callable[[], object]] = [plain_tables.one_transaction(job["database"])]
        # A connection of its own: it learns its statements before the clock starts.
        calls[0]()
        return calls
    ways = cycle(channels(job))
    if job["verb"] == "echo":
        return [_echo(next(ways), job) for _ in range(job["callers"])]
    drafts, ledgers = Drafts(Shape(**job["shape"])), cycle(job["ledgers"])
    return [_verb(LedgerServiceStub(next(ways)), job, drafts, next(ledgers)) for _ in range(job["callers"])]


def _echo(channel: grpc.Channel, job: dict[str, Any]) -> Callable[[], object]:
    request = BytesValue(value=bytes(job["request_bytes"]))
    echo = channel.unary_unary(
        f"/bench.Echo/{job['response_bytes']}",
        request_serializer=BytesValue.SerializeToString,
        response_deserializer=BytesValue.FromString,
    )
    return lambda: echo(request, timeout=CALL_TIMEOUT_S)


def _verb(stub: LedgerServiceStub, job: dict[str, Any], drafts: Drafts, ledger: str) -> Callable[[], object]:
    verb, more = job["verb"], {"timeout": CALL_TIMEOUT_S, "metadata": credentials(job)}
    if verb == "post":
        return lambda: stub.Post(drafts.post(ledger), **more)
    if verb == "page":
        return lambda: stub.ListEntries(drafts.page(ledger), **more)
    assert verb == "balance", verb
    return lambda: stub.GetBalance(drafts.balance(ledger), **more)
