"""Ways to the service: a target, and how many connections to it."""

import grpc
import grpc.aio

from ledger_client import channels as setup
from ledger_client.async_client import AsyncClient
from ledger_client.calls import DEADLINE_S, OUTSTANDING_MAX
from ledger_client.client import Client


def connect(
    target: str,
    *,
    deadline_s: float = DEADLINE_S,
    channels: int = 1,
    outstanding_max: int = OUTSTANDING_MAX,
    credentials: grpc.ChannelCredentials | None = None,
) -> Client:
    """Answers a client for the service at HOST:PORT, without TLS unless credentials are given.

    Nothing is sent until the first call, which also is the first to notice that
    nobody listens. `deadline_s` is every call's unless the call gives its own.
    Several channels are as many connections, for a server of several processes.
    At most `outstanding_max` posts of a ledger are on their way; who comes later waits.
    """
    options = setup.options(channels)
    made = [
        grpc.secure_channel(target, credentials, options)
        if credentials
        else grpc.insecure_channel(target, options)
        for _ in range(channels)
    ]
    return Client(*made, deadline_s=deadline_s, outstanding_max=outstanding_max)


def connect_async(
    target: str,
    *,
    deadline_s: float = DEADLINE_S,
    channels: int = 1,
    outstanding_max: int = OUTSTANDING_MAX,
    credentials: grpc.ChannelCredentials | None = None,
) -> AsyncClient:
    """Answers a client for the event loop that runs; see `connect`."""
    options = setup.options(channels)
    made = [
        grpc.aio.secure_channel(target, credentials, options)
        if credentials
        else grpc.aio.insecure_channel(target, options)
        for _ in range(channels)
    ]
    return AsyncClient(*made, deadline_s=deadline_s, outstanding_max=outstanding_max)
