"""Posts of many tasks in few calls: lanes, driven by one event loop."""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import grpc.aio
from ledger.v1.ledger_service_pb2 import PostBatchResponse

from ledger_client.credentials import own_metadata
from ledger_client.lane import TIMER_SLACK_S, Batch, Lane, Place, Posted
from ledger_client.lifetimes import Lifetime
from ledger_client.posting import POST_BATCH
from ledger_client.refusals import Refused
from ledger_client.refused import refused_from_rpc_error
from ledger_client.retries import Chance, never_sent
from ledger_client.version import Metadata


class Promise(Place):
    """A place that a task waits at."""

    __slots__ = ("future",)

    def __init__(
        self, operation: bytes, entries: int, key: str, ends_at: float, future: asyncio.Future[Posted]
    ) -> None:
        super().__init__(operation, entries, key, ends_at)
        self.future = future

    def settle(self, answer: Posted | Refused) -> None:
        """Gives the task its answer."""
        if isinstance(answer, Refused):
            self.future.set_exception(answer)
        else:
            self.future.set_result(answer)

    @property
    def is_settled(self) -> bool:
        """Whether the task has its answer, or was cancelled."""
        return self.future.done()


class _Lane(Lane[Promise]):
    """A lane and what the loop has planned for it."""

    def __init__(self, ledger: str, *, outstanding_max: int, chance: Chance) -> None:
        super().__init__(ledger, outstanding_max=outstanding_max, chance=chance)
        self.is_flush_due = False
        self.looks_at = float("inf")
        self.look: asyncio.TimerHandle | None = None
        # Who waits for room, first come first served.
        self.outside: deque[asyncio.Future[None]] = deque()


class AsyncPosting:
    """The lanes of one client, all on one event loop."""

    def __init__(
        self,
        channels: Sequence[grpc.aio.Channel],
        lifetime: Lifetime,
        *,
        outstanding_max: int,
        metadata: Callable[[], Metadata] = own_metadata,
        chance: Chance = random.random,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._methods: list[Any] = [
            # The request is bytes already: its operations were encoded where they were given.
            channel.unary_unary(POST_BATCH, None, PostBatchResponse.FromString)
            for channel in channels
        ]
        self._lifetime = lifetime
        self._outstanding_max = outstanding_max
        self._metadata = metadata
        self._chance = chance
        self._lanes: dict[str, _Lane] = {}
        self._sending: set[asyncio.Task[None]] = set()
        self._calls = 0
        self._idle = asyncio.Event()

    async def post(self, ledger: str, operation: bytes, entries: int, key: str, deadline_s: float) -> Posted:
        """Sends one operation with whatever else waits, and answers its record; raises Refused."""
        self._lifetime.check()
        loop = self._loop
        ends_at = loop.time() + deadline_s
        lane = self._lanes.get(ledger) or self._open(ledger)
        if lane.is_full or lane.outside:
            await self._wait_for_room(lane, ends_at, key)
            self._lifetime.check()
        future: asyncio.Future[Posted] = loop.create_future()
        lane.join(Promise(operation, entries, key, ends_at, future))
        if ends_at < lane.looks_at:
            self._look_at(lane, ends_at)
        self._flush_soon(lane)
        try:
            return await future
        except asyncio.CancelledError:
            if future.cancelled():
                lane.leave()
                self._let_in(lane)
            raise

    def seen(self, ledger: str) -> int:
        """The highest sequence of the ledger that this client was told of."""
        lane = self._lanes.get(ledger)
        return lane.sequence if lane else 0

    def saw(self, ledger: str, sequence: int) -> None:
        """Notes that the ledger has reached a sequence."""
        lane = self._lanes.get(ledger) or self._open(ledger)
        lane.sequence = max(lane.sequence, sequence)

    async def close(self) -> None:
        """Of a client that is closed: waits until what was taken has its answer or its deadline."""
        for lane in self._lanes.values():
            self._let_in(lane)
        while any(lane.outstanding for lane in self._lanes.values()):
            self._idle.clear()
            await self._idle.wait()
        for lane in self._lanes.values():
            if lane.look:
                lane.look.cancel()
        for task in tuple(self._sending):
            # Nobody waits for its answer any more.
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)

    def _open(self, ledger: str) -> _Lane:
        lane = _Lane(ledger, outstanding_max=self._outstanding_max, chance=self._chance)
        self._lanes[ledger] = lane
        return lane

    async def _wait_for_room(self, lane: _Lane, ends_at: float, key: str) -> None:
        turn: asyncio.Future[None] = self._loop.create_future()
        lane.outside.append(turn)
        try:
            async with asyncio.timeout_at(ends_at):
                await turn
                while lane.is_full and not self._lifetime.is_closed:
                    # Somebody came in between; the turn stays the first one.
                    turn = self._loop.create_future()
                    lane.outside.appendleft(turn)
                    await turn
        except (TimeoutError, asyncio.CancelledError) as error:
            # The turn may have been given already; it goes to the next one.
            self._loop.call_soon(self._let_in, lane)
            if isinstance(error, TimeoutError):
                raise never_sent(key) from None
            raise
        finally:
            with suppress(ValueError):
                lane.outside.remove(turn)

    def _let_in(self, lane: _Lane) -> None:
        """Wakes as many as there is room for; all of them once the client is closed."""
        room = len(lane.outside) if self._lifetime.is_closed else lane.room
        while lane.outside and room > 0:
            turn = lane.outside.popleft()
            if not turn.done():
                turn.set_result(None)
                room -= 1
        if self._lifetime.is_closed and not lane.outstanding:
            self._idle.set()

    def _flush_soon(self, lane: _Lane) -> None:
        """What the tasks of this round of the loop post goes together."""
        if not lane.is_flush_due:
            lane.is_flush_due = True
            self._loop.call_soon(self._flush, lane)

    def _flush(self, lane: _Lane) -> None:
        lane.is_flush_due = False
        while batch := lane.take(self._loop.time()):
            task = self._loop.create_task(self._send(lane, batch))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _send(self, lane: _Lane, batch: Batch[Promise]) -> None:
        loop = self._loop
        method = self._methods[self._calls % len(self._methods)]
        self._calls += 1
        try:
            timeout_s = max(0.0, batch.ends_at - loop.time())
            results = (
                await method(lane.request(batch), timeout=timeout_s, metadata=self._metadata())
            ).results
        except grpc.aio.AioRpcError as error:
            lane.refused(batch, refused_from_rpc_error(error), loop.time())
        except BaseException as error:
            # Nobody else will hear of this call, so its posts go again, under their keys.
            lane.refused(batch, Refused("UNKNOWN", repr(error)), loop.time())
            if not isinstance(error, Exception):
                self._go_on(lane)
                raise
        else:
            lane.answered(batch, results, loop.time())
        self._go_on(lane)

    def _go_on(self, lane: _Lane) -> None:
        loop = self._loop
        if (pause_s := lane.resumes_at - loop.time()) > 0:
            loop.call_later(pause_s + TIMER_SLACK_S, self._flush, lane)
        else:
            # After the tasks that were just answered had their turn: they may post again.
            self._flush_soon(lane)
        self._let_in(lane)

    def _look_at(self, lane: _Lane, moment: float) -> None:
        """One timer a lane, for the earliest deadline; one for each post would cost as much as the post."""
        if lane.look:
            lane.look.cancel()
        lane.looks_at = moment
        lane.look = self._loop.call_at(moment, self._expire, lane)

    def _expire(self, lane: _Lane) -> None:
        lane.look = None
        lane.looks_at = float("inf")
        earliest = lane.expire(self._loop.time())
        if earliest < float("inf"):
            self._look_at(lane, earliest)
        self._let_in(lane)
