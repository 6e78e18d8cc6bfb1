"""Channels that live as long as the load process, so that both sides of a pair are warm."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import grpc
from ledger.v1.ledger_service_pb2_grpc import LedgerServiceStub

CALL_TIMEOUT_S = 60.0
OPTIONS = (
    ("grpc.max_send_message_length", 8 << 20),
    ("grpc.enable_http_proxy", 0),
    # Each channel a connection of its own: workers that share a port are found by connecting again.
    ("grpc.use_local_subchannel_pool", 1),
)
_open: dict[tuple[str, int], grpc.Channel] = {}


def channels(job: dict[str, Any]) -> list[grpc.Channel]:
    """The job's channels: `channels` of them to each of its targets, one where nothing is said."""
    found = []
    for number in range(job.get("channels", 1)):
        for target in job["targets"]:
            place = (target, number)
            if place not in _open:
                _open[place] = grpc.insecure_channel(target, options=OPTIONS)
                grpc.channel_ready_future(_open[place]).result(CALL_TIMEOUT_S)
            found.append(_open[place])
    return found


def stubs(job: dict[str, Any]) -> list[LedgerServiceStub]:
    """A stub on each of the job's channels."""
    return [LedgerServiceStub(channel) for channel in channels(job)]


def credentials(job: dict[str, Any]) -> tuple[tuple[str, str], ...] | None:
    """What the job's calls carry to say who calls: its API key, if it has one."""
    return (("authorization", f"Bearer {job['key']}"),) if "key" in job else None


def together(calls: list[Callable[[], None]]) -> None:
    """Every call on a thread of its own; raises the first failure when all have ended."""
    failures: list[BaseException] = []

    def run(call: Callable[[], None]) -> None:
        try:
            call()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
