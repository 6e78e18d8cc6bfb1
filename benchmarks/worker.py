"""A load process: reads jobs from stdin, a JSON line each, and answers each with one line.

It lives through a whole suite, so that channels and connections are warm on both
sides of a pair. Jobs that are prepared first (batches, rows to copy) say READY
before they start the clock.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import BytesValue
from ledger.v1.ledger_service_pb2 import PostBatchRequest
from ledger.v1.ledger_service_pb2_grpc import LedgerServiceStub

from benchmarks import copying, plain_tables
from benchmarks.drafts import Drafts

_CALL_TIMEOUT_S = 60.0
_channels: dict[str, grpc.Channel] = {}


def _channel(target: str) -> grpc.Channel:
    if target not in _channels:
        _channels[target] = grpc.insecure_channel(
            target, options=(("grpc.max_send_message_length", 8 << 20), ("grpc.enable_http_proxy", 0))
        )
        grpc.channel_ready_future(_channels[target]).result(_CALL_TIMEOUT_S)
    return _channels[target]


def _unary(job: dict[str, Any]) -> Callable[[], object]:
    """One call of the job's verb."""
    if job["verb"] == "sql":
        return plain_tables.one_transaction(job["database"])
    channel = _channel(job["target"])
    if job["verb"] == "echo":
        request = BytesValue(value=bytes(job["request_bytes"]))
        echo = channel.unary_unary(
            f"/bench.Echo/{job['response_bytes']}",
            request_serializer=BytesValue.SerializeToString,
            response_deserializer=BytesValue.FromString,
        )
        return lambda: echo(request, timeout=_CALL_TIMEOUT_S)
    stub = LedgerServiceStub(channel)
    drafts = Drafts(job["ledger"], job["accounts"])
    if job["verb"] == "post":
        return lambda: stub.Post(drafts.post(), timeout=_CALL_TIMEOUT_S)
    return lambda: stub.GetBalance(drafts.balance(), timeout=_CALL_TIMEOUT_S)


def calls(job: dict[str, Any]) -> dict[str, Any]:
    """`callers` threads call for `seconds`, each one call at a time; latencies in microseconds."""
    call_once = _unary(job)
    latencies: list[float] = []
    failures: list[BaseException] = []
    start = time.perf_counter()
    end = start + job["seconds"]

    def call_on() -> None:
        try:
            while (before := time.perf_counter()) < end:
                call_once()
                latencies.append((time.perf_counter() - before) * 1e6)
        except BaseException as error:
            failures.append(error)

    if job["callers"] == 1:
        call_on()
    else:
        _together([threading.Thread(target=call_on) for _ in range(job["callers"])])
    if failures:
        raise failures[0]
    return {
        "count": len(latencies),
        "seconds": time.perf_counter() - start,
        "latencies_us": [round(value, 1) for value in sorted(latencies)] if job["callers"] == 1 else [],
    }


def batches(job: dict[str, Any]) -> dict[str, Any]:
    """`count` transactions by PostBatch, `in_flight` batches at a time."""
    stub = LedgerServiceStub(_channel(job["target"]))
    drafts = Drafts(job["ledger"], job["accounts"])
    made = job["prepared"]
    count = job["count"] // job["size"]
    waiting: list[PostBatchRequest] = [drafts.batch(job["size"]) for _ in range(count if made else 0)]
    left = threading.Semaphore(count)
    failures: list[BaseException] = []

    def post_on() -> None:
        try:
            while left.acquire(blocking=False):
                request = waiting.pop() if made else drafts.batch(job["size"])
                for result in stub.PostBatch(request, timeout=_CALL_TIMEOUT_S).results:
                    if result.status.code or not result.sequence:
                        raise RuntimeError(f"a post of the bench was refused: {result.status.message}")
        except BaseException as error:
            failures.append(error)

    _say_ready()
    start = time.perf_counter()
    _together([threading.Thread(target=post_on) for _ in range(job["in_flight"])])
    if failures:
        raise failures[0]
    return {"count": count * job["size"], "seconds": time.perf_counter() - start}


def copies(job: dict[str, Any]) -> dict[str, Any]:
    """The rows after a sequence, as they lie in the journal, by COPY BINARY into the plain tables."""
    copy_all = copying.prepare(
        job["database"], job["ledger"], job["after"], job["size"], encoded=job["encoded"]
    )
    _say_ready()
    start = time.perf_counter()
    count = copy_all()
    return {"count": count, "seconds": time.perf_counter() - start}


def _together(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _say_ready() -> None:
    print("READY", flush=True)
    sys.stdin.readline()


def main() -> None:
    """Works until stdin closes."""
    kinds = {"calls": calls, "batches": batches, "copies": copies}
    while line := sys.stdin.readline():
        job = json.loads(line)
        print(json.dumps(kinds[job["kind"]](job)), flush=True)


if __name__ == "__main__":
    main()
