"""A connection to one ledger service: the channel, the stubs, deadlines, and retries that cannot post twice.

A call is repeated only where repeating it is safe: it reads, or it creates
something that is its own key, or every write in it carries an idempotency key
(the server then answers the recorded transaction), or the server said that it did
nothing. Everything else is the caller's to decide. All attempts of a call share
one deadline, so a caller who gives ten seconds has an answer in ten seconds.
"""

import random
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Protocol, Self, TypeVar

import grpc
from google.protobuf.message import Message
from ledger.v1 import ledger_service_pb2
from ledger.v1.account_service_pb2_grpc import AccountServiceStub
from ledger.v1.ledger_admin_service_pb2_grpc import LedgerAdminServiceStub
from ledger.v1.ledger_service_pb2_grpc import LedgerServiceStub

from ledger_client.refused import NOTHING_DONE_REASONS, Refused, refused_from_rpc_error

DEADLINE_S = 10.0
# Five attempts at these pauses outlast a server's restart, not an outage: those are the caller's business.
ATTEMPTS_MAX = 5
_PAUSE_FIRST_S = 0.1
_PAUSE_MAX_S = 2.0
# The service's own limit for a message; a plain channel would stop at 4 MiB.
_MESSAGE_BYTES_MAX = 8 * 1024 * 1024

_CHANNEL_OPTIONS = (
    ("grpc.max_send_message_length", _MESSAGE_BYTES_MAX),
    ("grpc.max_receive_message_length", _MESSAGE_BYTES_MAX),
    # A silent peer is noticed while a call waits, and never pinged while none does.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # A proxy for the web is never the way to an internal service.
    ("grpc.enable_http_proxy", 0),
)


RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)
RequestT_contra = TypeVar("RequestT_contra", contravariant=True)
ResponseT_co = TypeVar("ResponseT_co", covariant=True)


class Method(Protocol[RequestT_contra, ResponseT_co]):
    """A method of a generated stub."""

    def __call__(self, request: RequestT_contra, /, timeout: float | None = None) -> ResponseT_co: ...


class _PageRequest(Protocol):
    page_token: str


class _PageResponse(Protocol):
    @property
    def next_page_token(self) -> str: ...


PageRequestT = TypeVar("PageRequestT", bound=_PageRequest)
PageResponseT = TypeVar("PageResponseT", bound=_PageResponse)


class Client:
    """The three services behind one channel; safe to share between threads, closed by `close` or `with`.

    `ledger`, `accounts` and `admin` are the generated stubs: give one of their
    methods to `call` or `pages`.
    """

    def __init__(self, channel: grpc.Channel, *, deadline_s: float = DEADLINE_S) -> None:
        self._channel = channel
        self._deadline_s = deadline_s
        self.ledger = LedgerServiceStub(channel)
        self.accounts = AccountServiceStub(channel)
        self.admin = LedgerAdminServiceStub(channel)

    def call(
        self,
        method: Method[RequestT, ResponseT],
        request: RequestT,
        *,
        deadline_s: float | None = None,
    ) -> ResponseT:
        """Answers the response, or raises Refused; within `deadline_s` seconds, all attempts included."""
        ends_at = time.monotonic() + (self._deadline_s if deadline_s is None else deadline_s)
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                return method(request, timeout=max(0.0, ends_at - time.monotonic()))
            except grpc.RpcError as error:
                refused = refused_from_rpc_error(error)
                pause_s = _pause_s(attempt, refused)
                if (
                    attempt == ATTEMPTS_MAX
                    or not _may_repeat(request, refused)
                    or time.monotonic() + pause_s >= ends_at
                ):
                    raise refused from error
            time.sleep(pause_s)
        raise AssertionError("the last attempt answers or raises")

    def pages(
        self,
        method: Method[PageRequestT, PageResponseT],
        request: PageRequestT,
        *,
        deadline_s: float | None = None,
    ) -> Iterator[PageResponseT]:
        """Yields every page of a list in order; each page is one `call`, with its own deadline.

        The request's page_token moves along. All pages reflect the sequence of the
        first.
        """
        while True:
            page = self.call(method, request, deadline_s=deadline_s)  # type: ignore[type-var]
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def health(self, service: str = "", *, deadline_s: float | None = None) -> str:
        """Answers grpc.health.v1's word for the service, or for the whole server: SERVING or NOT_SERVING."""
        from grpc_health.v1 import health_pb2, health_pb2_grpc

        stub = health_pb2_grpc.HealthStub(self._channel)
        answer = self.call(stub.Check, health_pb2.HealthCheckRequest(service=service), deadline_s=deadline_s)
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))

    def close(self) -> None:
        """Closes the channel; calls still under way end as CANCELLED."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def connect(target: str, *, deadline_s: float = DEADLINE_S) -> Client:
    """Answers a client for the service at HOST:PORT, without TLS.

    Nothing is sent until the first call, which also is the first to notice that
    nobody listens. `deadline_s` is every call's unless the call gives its own.
    """
    return Client(grpc.insecure_channel(target, options=_CHANNEL_OPTIONS), deadline_s=deadline_s)


def _pause_s(attempt: int, refused: Refused) -> float:
    """The server's wish, never less than the doubling pause; jittered, lest all callers return as one."""
    doubled_s: float = min(_PAUSE_MAX_S, _PAUSE_FIRST_S * float(2 ** (attempt - 1)))
    return max(refused.retry_after_s or 0.0, doubled_s) * random.uniform(1.0, 1.5)


def _may_repeat(request: Message, refused: Refused) -> bool:
    if not refused.is_transient:
        return False
    return refused.reason in NOTHING_DONE_REASONS or _is_repeatable(request)


def _is_repeatable(request: Message) -> bool:
    """True where the request sent twice has the effect of the request sent once."""
    if isinstance(request, ledger_service_pb2.PostBatchRequest):
        return all(
            (operation.post if operation.HasField("post") else operation.reverse).idempotency_key.strip()
            for operation in request.operations
        )
    if isinstance(request, ledger_service_pb2.PostRequest | ledger_service_pb2.ReverseRequest):
        return bool(request.idempotency_key.strip())
    return True
