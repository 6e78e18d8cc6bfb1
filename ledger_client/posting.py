"""Posts of many threads in few calls: lanes, driven by gRPC's callbacks."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import grpc
from ledger.v1.ledger_service_pb2 import PostBatchResponse

from ledger_client.credentials import own_metadata
from ledger_client.lane import TIMER_SLACK_S, Batch, Lane, Place, Posted
from ledger_client.lifetimes import Lifetime
from ledger_client.refusals import Refused
from ledger_client.refused import refused_from_rpc_error
from ledger_client.retries import Chance, never_sent
from ledger_client.version import Metadata

POST_BATCH = "/ledger.v1.LedgerService/PostBatch"


class Gate(Place):
    """A place that a thread waits at."""

    __slots__ = ("_gate", "answer")

    def __init__(self, operation: bytes, entries: int, key: str, ends_at: float) -> None:
        super().__init__(operation, entries, key, ends_at)
        self.answer: Posted | Refused | None = None
        # A lock is the cheapest event there is for one waiter and one settler.
        self._gate = threading.Lock()
        self._gate.acquire()

    def settle(self, answer: Posted | Refused) -> None:
        """Gives the thread its answer."""
        self.answer = answer
        self._gate.release()

    @property
    def is_settled(self) -> bool:
        """Whether the thread has its answer, or has left."""
        return self.answer is not None

    def give_up(self) -> Refused:
        """Marks that the thread has left, and answers what it is told."""
        self.answer = told = self.out_of_time()
        return told

    def wait(self, timeout_s: float) -> Posted | Refused | None:
        """The answer, or None where it takes longer."""
        self._gate.acquire(timeout=max(0.0, timeout_s))
        return self.answer


def call_later(function: Callable[[], None], delay_s: float) -> None:
    """Calls the function on a thread of its own after a while."""
    timer = threading.Timer(delay_s, function)
    timer.daemon = True
    timer.name = "ledger-client-pause"
    timer.start()


class Posting:
    """The lanes of one client; any thread may post while the client lives.

    `clock` and `later` have seconds of one time.
    """

    def __init__(
        self,
        channels: Sequence[grpc.Channel],
        lifetime: Lifetime,
        *,
        outstanding_max: int,
        metadata: Callable[[], Metadata] = own_metadata,
        clock: Callable[[], float] = time.monotonic,
        later: Callable[[Callable[[], None], float], object] = call_later,
        chance: Chance = random.random,
    ) -> None:
        self._methods: list[Any] = [
            # The request is bytes already: its operations were encoded where they were given.
            channel.unary_unary(POST_BATCH, None, PostBatchResponse.FromString)
            for channel in channels
        ]
        self._lifetime = lifetime
        self._outstanding_max = outstanding_max
        self._metadata = metadata
        self._clock = clock
        self._later = later
        self._chance = chance
        self._lanes: dict[str, Lane[Gate]] = {}
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._waiting_for_change = 0
        self._calls = 0

    def post(self, ledger: str, operation: bytes, entries: int, key: str, deadline_s: float) -> Posted:
        """Sends one operation with whatever else waits, and answers its record; raises Refused."""
        self._lifetime.check()
        gate = Gate(operation, entries, key, self._clock() + deadline_s)
        with self._lock:
            lane = self._lane(ledger)
            if lane.is_full:
                self._wait_for_room(lane, gate)
            self._lifetime.check()
            lane.join(gate)
            batch = lane.take(self._clock())
        try:
            if batch:
                self._send(lane, batch)
            answer = gate.wait(gate.ends_at - self._clock())
        except BaseException:
            # The thread was interrupted: what it left in the queue is not sent later.
            self._give_up(lane, gate)
            raise
        if answer is None:
            answer = self._give_up(lane, gate)
        if isinstance(answer, Refused):
            raise answer
        return answer

    def seen(self, ledger: str) -> int:
        """The highest sequence of the ledger that this client was told of."""
        lane = self._lanes.get(ledger)
        return lane.sequence if lane else 0

    def saw(self, ledger: str, sequence: int) -> None:
        """Notes that the ledger has reached a sequence."""
        with self._lock:
            lane = self._lane(ledger)
            lane.sequence = max(lane.sequence, sequence)

    def close(self) -> None:
        """Of a client that is closed: waits until what was taken has its answer or its deadline."""
        with self._lock:
            self._tell_of_change()
            self._wait_until(lambda: not any(lane.outstanding for lane in self._lanes.values()), None)

    def _lane(self, ledger: str) -> Lane[Gate]:
        lane = self._lanes.get(ledger)
        if lane is None:
            lane = Lane(ledger, outstanding_max=self._outstanding_max, chance=self._chance)
            self._lanes[ledger] = lane
        return lane

    def _wait_for_room(self, lane: Lane[Gate], gate: Gate) -> None:
        has_room = self._wait_until(lambda: self._lifetime.is_closed or not lane.is_full, gate.ends_at)
        if not has_room:
            raise never_sent(gate.key)

    def _wait_until(self, is_so: Callable[[], bool], ends_at: float | None) -> bool:
        self._waiting_for_change += 1
        try:
            return self._changed.wait_for(is_so, None if ends_at is None else ends_at - self._clock())
        finally:
            self._waiting_for_change -= 1

    def _give_up(self, lane: Lane[Gate], gate: Gate) -> Posted | Refused:
        with self._lock:
            # The answer may have come while the lock was waited for.
            if gate.answer is not None:
                return gate.answer
            told = gate.give_up()
            lane.leave()
            self._tell_of_change()
            return told

    def _send(self, lane: Lane[Gate], batch: Batch[Gate]) -> None:
        method = self._methods[self._calls % len(self._methods)]
        self._calls += 1
        try:
            timeout_s = max(0.0, batch.ends_at - self._clock())
            call = method.future(lane.request(batch), timeout=timeout_s, metadata=self._metadata())
            call.add_done_callback(partial(self._done, lane, batch))
        except BaseException as error:
            # No callback will come, so its posts go again, under their keys.
            self._lost(lane, batch, error)
            if not isinstance(error, Exception):
                raise

    def _lost(self, lane: Lane[Gate], batch: Batch[Gate], error: BaseException) -> None:
        with self._lock:
            now = self._clock()
            lane.refused(batch, Refused("UNKNOWN", repr(error)), now)
            pause_s = lane.resumes_at - now
            self._tell_of_change()
        self._later(partial(self._go_on, lane), max(0.0, pause_s) + TIMER_SLACK_S)

    def _done(self, lane: Lane[Gate], batch: Batch[Gate], call: Any) -> None:
        """A call has ended; its results are settled on gRPC's thread."""
        lost: Refused | None = None
        results: Sequence[Any] = ()
        try:
            results = call.result().results
        except grpc.RpcError as error:
            lost = refused_from_rpc_error(error)
        except Exception as error:
            # Also grpc.FutureCancelledError: whatever ended the call, no answer says what became of it.
            lost = Refused("UNKNOWN", repr(error))
        # Critical section: a few microseconds for each place; settling wakes threads and calls nobody.
        with self._lock:
            now = self._clock()
            if lost is None:
                lane.answered(batch, results, now)
            else:
                lane.refused(batch, lost, now)
            pause_s = lane.resumes_at - now
            self._tell_of_change()
        if pause_s > 0:
            self._later(partial(self._go_on, lane), pause_s + TIMER_SLACK_S)
        else:
            self._go_on(lane)

    def _go_on(self, lane: Lane[Gate]) -> None:
        while True:
            with self._lock:
                batch = lane.take(self._clock())
            if batch is None:
                return
            self._send(lane, batch)

    def _tell_of_change(self) -> None:
        if self._waiting_for_change:
            self._changed.notify_all()
