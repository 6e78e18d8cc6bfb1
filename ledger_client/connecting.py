"""Ways to the service: a target, how many connections to it, and what they show."""

import grpc
import grpc.aio

from ledger_client import channels as setup
from ledger_client.async_client import AsyncClient
from ledger_client.calls import DEADLINE_S, OUTSTANDING_MAX
from ledger_client.client import Client
from ledger_client.credentials import Credentials


def connect(
    target: str,
    *,
    deadline_s: float = DEADLINE_S,
    channels: int = 1,
    outstanding_max: int = OUTSTANDING_MAX,
    credentials: Credentials | grpc.ChannelCredentials | None = None,
) -> Client:
    """Answers a client for the service at HOST:PORT, without TLS unless credentials ask for it.

    Nothing is sent until the first call, which also is the first to notice that
    nobody listens. `deadline_s` is every call's unless the call gives its own.
    Several channels are as many connections, for a server of several processes.
    At most `outstanding_max` posts of a ledger are on their way; who comes later waits.
    Raises ValueError for a token that would be sent in the clear; see `Credentials`.
    """
    shown, of_channel = _shown(credentials)
    metadata = shown.of_calls(target)
    options = [*setup.options(channels), *shown.options()]
    made = [
        grpc.secure_channel(target, of_channel, options)
        if of_channel
        else grpc.insecure_channel(target, options)
        for _ in range(channels)
    ]
    return Client(*made, deadline_s=deadline_s, outstanding_max=outstanding_max, metadata=metadata)


def connect_async(
    target: str,
    *,
    deadline_s: float = DEADLINE_S,
    channels: int = 1,
    outstanding_max: int = OUTSTANDING_MAX,
    credentials: Credentials | grpc.ChannelCredentials | None = None,
) -> AsyncClient:
    """Answers a client for the event loop that runs; see `connect`."""
    shown, of_channel = _shown(credentials)
    metadata = shown.of_calls(target)
    options = [*setup.options(channels), *shown.options()]
    made = [
        grpc.aio.secure_channel(target, of_channel, options)
        if of_channel
        else grpc.aio.insecure_channel(target, options)
        for _ in range(channels)
    ]
    return AsyncClient(*made, deadline_s=deadline_s, outstanding_max=outstanding_max, metadata=metadata)


def _shown(
    credentials: Credentials | grpc.ChannelCredentials | None,
) -> tuple[Credentials, grpc.ChannelCredentials | None]:
    """What calls show, and what channels do."""
    if isinstance(credentials, Credentials):
        return credentials, credentials.of_channel()
    return Credentials(), credentials
