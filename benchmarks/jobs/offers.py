"""The open loop: calls are made by the clock, whether or not the ones before are answered.

Latencies count from the moment a call was due, so that a service, or a load
process, that falls behind cannot hide it (no coordinated omission).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from itertools import cycle
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2
from ledger.v1.ledger_service_pb2_grpc import LedgerServiceStub

from benchmarks.drafts import Drafts, Shape
from benchmarks.jobs.channels import CALL_TIMEOUT_S, OPTIONS

_DETAILS_KEY = "grpc-status-details-bin"


def prepare(job: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """Posts through the `phases`, each of so many whole seconds at so many calls a second.

    Answers `seconds_of`: for each second the microseconds of the calls due in it that
    were accepted, and of those that were refused as they should be (OVERLOADED with
    RetryInfo), how many ended otherwise, and how late the latest one was made.
    """
    return lambda: asyncio.run(_offer(job))


async def _offer(job: dict[str, Any]) -> dict[str, Any]:
    drafts, ledgers = Drafts(Shape(**job["shape"])), cycle(job["ledgers"])
    async with grpc.aio.insecure_channel(job["targets"][0], options=OPTIONS) as channel:
        stub = LedgerServiceStub(channel)
        await stub.Post(drafts.post(next(ledgers)), timeout=CALL_TIMEOUT_S)
        seconds: list[dict[str, Any]] = []
        under_way: set[asyncio.Task[None]] = set()

        async def call(due: float, second: dict[str, Any]) -> None:
            request = drafts.post(next(ledgers))
            try:
                await stub.Post(request, timeout=CALL_TIMEOUT_S)
            except grpc.aio.AioRpcError as error:
                if _is_overloaded(error):
                    second["refused_us"].append(_micros_since(due))
                else:
                    second["failed"] += 1
            else:
                second["accepted_us"].append(_micros_since(due))

        start = time.perf_counter()
        for length, rate in job["phases"]:
            for _ in range(length):
                second: dict[str, Any] = {"accepted_us": [], "refused_us": [], "failed": 0, "late_us": 0.0}
                begins = start + len(seconds)
                seconds.append(second)
                number, count = 0, round(rate)
                while number < count:
                    due = begins + number / count
                    ahead = due - time.perf_counter()
                    if ahead > 0:
                        await asyncio.sleep(ahead)
                        continue
                    second["late_us"] = max(second["late_us"], round(-ahead * 1e6, 1))
                    task = asyncio.ensure_future(call(due, second))
                    under_way.add(task)
                    task.add_done_callback(under_way.discard)
                    number += 1
                    if number % 16 == 0:
                        await asyncio.sleep(0)
        if under_way:
            await asyncio.wait(under_way)
    return {
        "count": sum(len(second["accepted_us"]) for second in seconds),
        "seconds": len(seconds),
        "seconds_of": seconds,
    }


def _micros_since(due: float) -> float:
    return round((time.perf_counter() - due) * 1e6, 1)


def _is_overloaded(error: grpc.aio.AioRpcError) -> bool:
    """Whether a call was refused as the contract says: the reason, and when to try again."""
    if error.code() != grpc.StatusCode.RESOURCE_EXHAUSTED:
        return False
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY:
            information, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
            details = status_pb2.Status.FromString(value).details
            return (
                any(detail.Unpack(information) for detail in details)
                and any(detail.Unpack(retry) for detail in details)
                and information.reason == "OVERLOADED"
            )
    return False
