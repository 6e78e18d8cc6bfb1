"""Posts of many threads in few calls: lanes, driven by gRPC's callbacks."""

import os
import random
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import grpc
from ledger.v1.ledger_service_pb2 import PostBatchResponse

from ledger_client.lane import TIMER_SLACK_S, Batch, Lane, Place, Posted
from ledger_client.refusals import Refused
from ledger_client.refused import refused_from_rpc_error
from ledger_client.retries import Chance, never_sent

POST_BATCH = "/ledger.v1.LedgerService/PostBatch"


class Gate(Place):
    """A place that a thread waits at."""

    __slots__ = ("_answer", "_gate")

    def __init__(self, operation: bytes, entries: int, key: str, ends_at: float) -> None:
        super().__init__(operation, entries, key, ends_at)
        self._answer: Posted | Refused | None = None
        # A lock is the cheapest event there is for one waiter and one settler.
        self._gate = threading.Lock()
        self._gate.acquire()

    def settle(self, answer: Posted | Refused) -> None:
        """Gives the thread its answer."""
        self._answer = answer
        self._gate.release()

    @property
    def is_settled(self) -> bool:
        """Whether the thread has its answer, or has left."""
        return self._answer is not None

    def give_up(self) -> Refused:
        """Marks that the thread has left, and answers what it is told."""
        self._answer = told = self.out_of_time()
        return told

    def wait(self, timeout_s: float) -> Posted | Refused | None:
        """The answer, or None where it takes longer."""
        self._gate.acquire(timeout=max(0.0, timeout_s))
        return self._answer


def call_later(function: Callable[[], None], delay_s: float) -> None:
    """Calls the function on a thread of its own after a while."""
    timer = threading.Timer(delay_s, function)
    timer.daemon = True
    timer.name = "ledger-client-pause"
    timer.start()


def refuse_other_process(process: int) -> None:
    """Raises RuntimeError in another process than this one: connections do not live through a fork."""
    if os.getpid() != process:
        raise RuntimeError("this client was made before a fork; make one in each process")


class Posting:
    """The lanes of one client; any thread may post.

    `clock` and `later` have seconds of one time.
    """

    def __init__(
        self,
        channels: Sequence[grpc.Channel],
        *,
        outstanding_max: int,
        clock: Callable[[], float] = time.monotonic,
        later: Callable[[Callable[[], None], float], object] = call_later,
        chance: Chance = random.random,
    ) -> None:
        self._methods: list[Any] = [
            # The request is bytes already: its operations were encoded where they were given.
            channel.unary_unary(POST_BATCH, None, PostBatchResponse.FromString)
            for channel in channels
        ]
        self._outstanding_max = outstanding_max
        self._clock = clock
        self._later = later
        self._chance = chance
        self._lanes: dict[str, Lane[Gate]] = {}
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._waiting_for_change = 0
        self._calls = 0
        self._is_closed = False
        self._process = os.getpid()

    def post(self, ledger: str, operation: bytes, entries: int, key: str, deadline_s: float) -> Posted:
        """Sends one operation with whatever else waits, and answers its record; raises Refused."""
        refuse_other_process(self._process)
        gate = Gate(operation, entries, key, self._clock() + deadline_s)
        with self._lock:
            lane = self._lane(ledger)
            if lane.is_full:
                self._wait_for_room(lane, gate)
            if self._is_closed:
                raise RuntimeError("this client is closed")
            lane.join(gate)
            batch = lane.take(self._clock())
        if batch:
            self._send(lane, batch)
        answer = gate.wait(gate.ends_at - self._clock())
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
        """Takes nothing new, and waits until what was taken has its answer or its deadline."""
        with self._lock:
            self._is_closed = True
            self._wait_until(lambda: not any(lane.outstanding for lane in self._lanes.values()), None)

    def _lane(self, ledger: str) -> Lane[Gate]:
        lane = self._lanes.get(ledger)
        if lane is None:
            lane = Lane(ledger, outstanding_max=self._outstanding_max, chance=self._chance)
            self._lanes[ledger] = lane
        return lane

    def _wait_for_room(self, lane: Lane[Gate], gate: Gate) -> None:
        has_room = self._wait_until(lambda: self._is_closed or not lane.is_full, gate.ends_at)
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
            if (answer := gate.wait(0.0)) is not None:
                return answer
            told = gate.give_up()
            lane.leave()
            self._tell_of_change()
            return told

    def _send(self, lane: Lane[Gate], batch: Batch[Gate]) -> None:
        method = self._methods[self._calls % len(self._methods)]
        self._calls += 1
        call = method.future(lane.request(batch), timeout=max(0.0, batch.ends_at - self._clock()))
        call.add_done_callback(partial(self._done, lane, batch))

    def _done(self, lane: Lane[Gate], batch: Batch[Gate], call: Any) -> None:
        """A call has ended; its results are settled on gRPC's thread."""
        lost: Refused | None = None
        results: Sequence[Any] = ()
        try:
            results = call.result().results
        except grpc.RpcError as error:
            lost = refused_from_rpc_error(error)
        except grpc.FutureCancelledError:
            lost = Refused("CANCELLED", "the call was cancelled")
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
