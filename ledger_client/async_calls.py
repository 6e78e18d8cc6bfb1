"""Calls of a task: one request, one answer, with a deadline and with retries that cannot post twice."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc.aio
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
from ledger_client.async_posting import AsyncPosting
from ledger_client.calls import DEADLINE_S, HEALTH_LOOK_S, OUTSTANDING_MAX
from ledger_client.credentials import own_metadata
from ledger_client.deadlines import bounded
from ledger_client.keys import Keys
from ledger_client.lifetimes import TasksLifetime
from ledger_client.refusals import Refused, Unavailable
from ledger_client.refused import refused_from_rpc_error
from ledger_client.retries import Attempts, Chance
from ledger_client.version import Metadata

AnswerT = TypeVar("AnswerT")


class AsyncCalls:
    """The services behind one or several asyncio channels, on the event loop it is made in.

    `ledger`, `accounts`, `admin`, `charts`, `reports`, `api_keys`, `members`, `audits` and `dev` are
    the generated stubs: give one of their methods to `call`. Posts are spread over all channels, other
    calls take the first.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        *more_channels: grpc.aio.Channel,
        deadline_s: float = DEADLINE_S,
        outstanding_max: int = OUTSTANDING_MAX,
        metadata: Callable[[], Metadata] = own_metadata,
        chance: Chance = random.random,
    ) -> None:
        self._channels = (channel, *more_channels)
        self._deadline_s = bounded(deadline_s)
        self._lifetime = TasksLifetime()
        self._metadata = metadata
        self._chance = chance
        self._loop = asyncio.get_running_loop()
        self._keys = Keys()
        self._posting = AsyncPosting(
            self._channels, self._lifetime, outstanding_max=outstanding_max, metadata=metadata, chance=chance
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

    async def call(
        self, method: Callable[..., Awaitable[Any]], request: Message, *, deadline_s: float | None = None
    ) -> Any:
        """The response; raises Refused. All attempts end within `deadline_s`."""
        attempts = Attempts(request, self._loop.time() + self._within(deadline_s), self._chance)
        with self._lifetime.call():
            while True:
                try:
                    left_s = attempts.left_s(self._loop.time())
                    return await method(request, timeout=left_s, metadata=self._metadata())
                except grpc.aio.AioRpcError as error:
                    refused = refused_from_rpc_error(error)
                except asyncio.CancelledError:
                    if _is_cancelled():
                        raise
                    refused = Refused("CANCELLED", "the connection was closed under the call")
                await asyncio.sleep(attempts.pause_s(refused, self._loop.time()))

    async def ask(self, ask: Ask[AnswerT], deadline_s: float | None = None) -> AnswerT:
        """The answer as a value; a read sees what this client has seen of the ledger."""
        response = await self.call(self._method(ask), ask.request, deadline_s=deadline_s)
        if ask.ledger:
            self._posting.saw(ask.ledger, ask.sequence(response))
        return ask.read(response)

    async def each(
        self, ask: Ask[Iterable[AnswerT]], deadline_s: float | None = None
    ) -> AsyncIterator[AnswerT]:
        """Every item of a list, page by page as they are wanted; all reflect one sequence."""
        method, request = self._method(ask), ask.request
        while True:
            page = await self.call(method, request, deadline_s=deadline_s)
            if ask.ledger:
                self._posting.saw(ask.ledger, ask.sequence(page))
            for item in ask.read(page):
                yield item
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token  # type: ignore[attr-defined]

    async def health(self, service: str = "", *, deadline_s: float | None = None) -> str:
        """grpc.health.v1's word for the service, or for the whole server: SERVING or NOT_SERVING."""
        request = health_pb2.HealthCheckRequest(service=service)
        answer = await self.call(self._health.Check, request, deadline_s=deadline_s)
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))

    async def wait_until_serving(self, deadline_s: float) -> None:
        """Waits until the server says SERVING; raises Unavailable where it takes longer."""
        ends_at = self._loop.time() + bounded(deadline_s)
        while True:
            left_s = ends_at - self._loop.time()
            try:
                word = await self.health(deadline_s=max(0.0, min(left_s, self._deadline_s)))
            except Refused as refused:
                word = str(refused)
            if word == "SERVING":
                return
            if left_s <= HEALTH_LOOK_S:
                raise Unavailable("UNAVAILABLE", f"not serving within {deadline_s:g} s: {word}")
            await asyncio.sleep(HEALTH_LOOK_S)

    async def aclose(self) -> None:
        """Finishes what is on its way, each call within its deadline, and closes the channels.

        In a process that was forked off it does nothing: what is on its way is the other one's.
        """
        if self._lifetime.is_carried_over_a_fork:
            return
        self._lifetime.close()
        await self._posting.close()
        await self._lifetime.wait_for_calls()
        for channel in self._channels:
            await channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def _within(self, deadline_s: float | None) -> float:
        return self._deadline_s if deadline_s is None else bounded(deadline_s)

    def _method(self, ask: Ask[AnswerT]) -> Callable[..., Awaitable[Any]]:
        if "min_sequence" in ask.request.DESCRIPTOR.fields_by_name:
            ask.request.min_sequence = self._posting.seen(ask.ledger)  # type: ignore[attr-defined]
        method: Callable[..., Awaitable[Any]] = getattr(getattr(self, ask.service), ask.method)
        return method


def _is_cancelled() -> bool:
    """Whether somebody cancelled the task; gRPC raises the same where only a call was."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
