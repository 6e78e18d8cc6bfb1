"""Calls of a thread: one request, one answer, with a deadline and with retries that cannot post twice."""

import random
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Protocol, Self, TypeVar

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc
from ledger.v1.account_service_pb2_grpc import AccountServiceStub
from ledger.v1.api_key_service_pb2_grpc import APIKeyServiceStub
from ledger.v1.audit_service_pb2_grpc import AuditServiceStub
from ledger.v1.chart_service_pb2_grpc import ChartServiceStub
from ledger.v1.dev_service_pb2_grpc import DevServiceStub
from ledger.v1.ledger_admin_service_pb2_grpc import LedgerAdminServiceStub
from ledger.v1.ledger_service_pb2_grpc import LedgerServiceStub
from ledger.v1.member_service_pb2_grpc import MemberServiceStub
from ledger.v1.report_service_pb2_grpc import ReportServiceStub

from ledger_client.asks import Ask
from ledger_client.credentials import own_metadata
from ledger_client.deadlines import bounded
from ledger_client.keys import Keys
from ledger_client.lifetimes import ThreadsLifetime
from ledger_client.posting import Posting, call_later
from ledger_client.refusals import Refused, Unavailable
from ledger_client.refused import refused_from_rpc_error
from ledger_client.retries import Attempts, Chance
from ledger_client.version import Metadata

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)
RequestT_contra = TypeVar("RequestT_contra", contravariant=True)
ResponseT_co = TypeVar("ResponseT_co", covariant=True)
AnswerT = TypeVar("AnswerT")

DEADLINE_S = 10.0
# Posts of one ledger that may be on their way, some 5 MB of two-line ones; who comes later waits for room.
OUTSTANDING_MAX = 16_384
HEALTH_LOOK_S = 0.1


class Method(Protocol[RequestT_contra, ResponseT_co]):
    """A method of a generated stub."""

    def __call__(
        self, request: RequestT_contra, /, timeout: float | None = None, metadata: Metadata | None = None
    ) -> ResponseT_co: ...


class _PageRequest(Protocol):
    page_token: str


class _PageResponse(Protocol):
    @property
    def next_page_token(self) -> str: ...


PageRequestT = TypeVar("PageRequestT", bound=_PageRequest)
PageResponseT = TypeVar("PageResponseT", bound=_PageResponse)


class Calls:
    """The services behind one or several channels; safe to share between threads.

    `ledger`, `accounts`, `admin`, `charts`, `reports`, `api_keys`, `members`, `audits` and `dev` are
    the generated stubs: give one of their methods to `call` or `pages`. Posts are spread over all
    channels, other calls take the first. `metadata` goes with every call. `clock`, `sleep` and
    `later` have seconds of one time.
    """

    def __init__(
        self,
        channel: grpc.Channel,
        *more_channels: grpc.Channel,
        deadline_s: float = DEADLINE_S,
        outstanding_max: int = OUTSTANDING_MAX,
        metadata: Callable[[], Metadata] = own_metadata,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        later: Callable[[Callable[[], None], float], object] = call_later,
        chance: Chance = random.random,
    ) -> None:
        self._channels = (channel, *more_channels)
        self._deadline_s = bounded(deadline_s)
        self._lifetime = ThreadsLifetime()
        self._metadata = metadata
        self._clock = clock
        self._sleep = sleep
        self._chance = chance
        self._keys = Keys()
        self._posting = Posting(
            self._channels,
            self._lifetime,
            outstanding_max=outstanding_max,
            metadata=metadata,
            clock=clock,
            later=later,
            chance=chance,
        )
        self._health = health_pb2_grpc.HealthStub(channel)
        self.ledger = LedgerServiceStub(channel)
        self.accounts = AccountServiceStub(channel)
        self.admin = LedgerAdminServiceStub(channel)
        self.api_keys = APIKeyServiceStub(channel)
        self.members = MemberServiceStub(channel)
        self.charts = ChartServiceStub(channel)
        self.reports = ReportServiceStub(channel)
        self.dev = DevServiceStub(channel)
        self.audits = AuditServiceStub(channel)

    def call(
        self, method: Method[RequestT, ResponseT], request: RequestT, *, deadline_s: float | None = None
    ) -> ResponseT:
        """The response; raises Refused. All attempts end within `deadline_s`."""
        attempts = Attempts(request, self._clock() + self._within(deadline_s), self._chance)
        with self._lifetime.call():
            while True:
                try:
                    return method(request, timeout=attempts.left_s(self._clock()), metadata=self._metadata())
                except grpc.RpcError as error:
                    pause_s = attempts.pause_s(refused_from_rpc_error(error), self._clock())
                self._sleep(pause_s)

    def pages(
        self,
        method: Method[PageRequestT, PageResponseT],
        request: PageRequestT,
        *,
        deadline_s: float | None = None,
    ) -> Iterator[PageResponseT]:
        """Every page of a list, each of them one call; the request's page_token moves along."""
        while True:
            page = self.call(method, request, deadline_s=deadline_s)  # type: ignore[type-var]
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def ask(self, ask: Ask[AnswerT], deadline_s: float | None = None) -> AnswerT:
        """The answer as a value; a read sees what this client has seen of the ledger."""
        response = self.call(self._method(ask), ask.request, deadline_s=deadline_s)
        if ask.ledger:
            self._posting.saw(ask.ledger, ask.sequence(response))
        return ask.read(response)

    def each(self, ask: Ask[Iterable[AnswerT]], deadline_s: float | None = None) -> Iterator[AnswerT]:
        """Every item of a list, page by page as they are wanted; all reflect one sequence."""
        for page in self.pages(self._method(ask), ask.request, deadline_s=deadline_s):  # type: ignore[type-var]
            if ask.ledger:
                self._posting.saw(ask.ledger, ask.sequence(page))
            yield from ask.read(page)

    def health(self, service: str = "", *, deadline_s: float | None = None) -> str:
        """grpc.health.v1's word for the service, or for the whole server: SERVING or NOT_SERVING."""
        request = health_pb2.HealthCheckRequest(service=service)
        answer = self.call(self._health.Check, request, deadline_s=deadline_s)
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))

    def wait_until_serving(self, deadline_s: float) -> None:
        """Waits until the server says SERVING; raises Unavailable where it takes longer."""
        ends_at = self._clock() + bounded(deadline_s)
        while True:
            left_s = ends_at - self._clock()
            try:
                word = self.health(deadline_s=max(0.0, min(left_s, self._deadline_s)))
            except Refused as refused:
                word = str(refused)
            if word == "SERVING":
                return
            if left_s <= HEALTH_LOOK_S:
                raise Unavailable("UNAVAILABLE", f"not serving within {deadline_s:g} s: {word}")
            self._sleep(HEALTH_LOOK_S)

    def close(self) -> None:
        """Finishes what is on its way, each call within its deadline, and closes the channels.

        In a process that was forked off it does nothing: what is on its way is the other one's.
        """
        if self._lifetime.is_carried_over_a_fork:
            return
        self._lifetime.close()
        self._posting.close()
        self._lifetime.wait_for_calls()
        for channel in self._channels:
            channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _within(self, deadline_s: float | None) -> float:
        return self._deadline_s if deadline_s is None else bounded(deadline_s)

    def _method(self, ask: Ask[AnswerT]) -> Method[Message, Message]:
        if "min_sequence" in ask.request.DESCRIPTOR.fields_by_name:
            ask.request.min_sequence = self._posting.seen(ask.ledger)  # type: ignore[attr-defined]
        method: Method[Message, Message] = getattr(getattr(self, ask.service), ask.method)
        return method
