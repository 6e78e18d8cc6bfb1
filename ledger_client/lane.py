"""One ledger's queue in the client: which posts go together into a call, and what each is answered.

What waits while calls are under way goes with the next one; there is no timer. Pure:
no I/O, no clock and no lock of its own; whoever holds a lane calls it from one
thread at a time. The rules:

- A post is a place in the queue until it is settled, once: recorded or refused.
- A call that was lost or refused for now puts its places back in front, under the
  same keys, and the lane pauses; places whose deadline comes first are settled.
- A call refused as a whole for what one operation in it may have done is halved
  until the culprit stands alone; what is about the ledger or the caller is told to all.
- A place that left while it waited is not sent; one that left while it was under
  way changes nothing on the server.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

from ledger.v1.ledger_service_pb2 import OperationResult, PostBatchRequest

from ledger_client.limits import BATCH_ENTRIES_MAX, MESSAGE_BYTES_MAX, OPERATIONS_MAX
from ledger_client.refusals import Refused
from ledger_client.refused import refused_from_operation
from ledger_client.retries import Chance, never_sent, outcome_unknown, pause_s

# Two keep the server at work while answers are read; more would only make smaller batches.
IN_FLIGHT_MAX = 2
# A call costs the server as much as some 60 posts in it, so a second one beside the first pays only for
# a crowd; fewer wait for the first one's answer.
AHEAD_FROM = 200
# A timer that rings a little early would find the lane still pausing, and would not ring again.
TIMER_SLACK_S = 0.001
# Said of the ledger or of the caller, so to every post of a call.
_ABOUT_ALL = frozenset(
    {"NOT_FOUND", "FAILED_PRECONDITION", "PERMISSION_DENIED", "UNAUTHENTICATED", "UNIMPLEMENTED"}
)


class Posted(NamedTuple):
    """A recorded transaction's place in the journal.

    `replayed` is True where the same content had been recorded under this key before.
    """

    sequence: int
    hash: bytes
    replayed: bool
    idempotency_key: str


class Place(ABC):
    """One operation on its way: its bytes as a batch of one, its key, and until when its caller waits."""

    __slots__ = ("ends_at", "entries", "is_sent", "is_unknown", "key", "last", "operation")

    def __init__(self, operation: bytes, entries: int, key: str, ends_at: float) -> None:
        self.operation = operation
        self.entries = entries
        self.key = key
        self.ends_at = ends_at
        # Under way now.
        self.is_sent = False
        # An earlier attempt ended without a word on what became of it.
        self.is_unknown = False
        self.last: Refused | None = None

    @abstractmethod
    def settle(self, answer: Posted | Refused) -> None:
        """Gives the caller its answer."""

    @property
    @abstractmethod
    def is_settled(self) -> bool:
        """Whether the caller has its answer, or has left."""

    def refusal(self, refused: Refused) -> Refused:
        """What the caller is told of a no that is for good."""
        if self.is_unknown and refused.tells_nothing_of_earlier:
            return outcome_unknown(self.key, last=refused)
        return refused.of_key(self.key)

    def out_of_time(self) -> Refused:
        """What the caller is told when it can wait no longer."""
        if self.is_sent or self.is_unknown:
            return outcome_unknown(self.key, last=self.last)
        return never_sent(self.key, self.last)


PlaceT = TypeVar("PlaceT", bound=Place)


class Batch(Generic[PlaceT]):
    """The places of one call; `ends_at` is the latest deadline among them."""

    __slots__ = ("ends_at", "places")

    def __init__(self, places: list[PlaceT]) -> None:
        self.places = places
        self.ends_at = max(place.ends_at for place in places)


class Lane(Generic[PlaceT]):
    """Who waits to post to one ledger, and which calls are under way."""

    def __init__(self, ledger: str, *, outstanding_max: int, chance: Chance) -> None:
        self._head = PostBatchRequest(ledger=ledger).SerializeToString()
        self._outstanding_max = outstanding_max
        self._chance = chance
        self._waiting: deque[PlaceT] = deque()
        self._halves: list[list[PlaceT]] = []
        self._in_flight: set[Batch[PlaceT]] = set()
        self._failures = 0
        self._left = 0
        self.outstanding = 0
        self.resumes_at = 0.0
        # The highest sequence that this lane's answers named.
        self.sequence = 0

    @property
    def is_full(self) -> bool:
        """Whether the next post has to wait for room."""
        return self.outstanding >= self._outstanding_max

    @property
    def room(self) -> int:
        """How many more may join."""
        return self._outstanding_max - self.outstanding

    def join(self, place: PlaceT) -> None:
        """Puts a place behind the others."""
        self._waiting.append(place)
        self.outstanding += 1

    def take(self, now: float) -> Batch[PlaceT] | None:
        """The next call to make, if one should be made now."""
        if now < self.resumes_at or len(self._in_flight) >= IN_FLIGHT_MAX:
            return None
        places: list[PlaceT] = []
        while self._halves and not places:
            places = [place for place in self._halves.pop() if not place.is_settled]
        if not places:
            if self._in_flight and len(self._waiting) < AHEAD_FROM:
                return None
            places = self._next_waiting()
        if not places:
            return None
        for place in places:
            place.is_sent = True
        batch = Batch(places)
        self._in_flight.add(batch)
        return batch

    def request(self, batch: Batch[PlaceT]) -> bytes:
        """The call's PostBatchRequest: messages that are joined as bytes are merged, their lists joined."""
        return b"".join([self._head, *[place.operation for place in batch.places]])

    def answered(self, batch: Batch[PlaceT], results: Sequence[OperationResult], now: float) -> None:
        """Settles each place of an answered call; what was refused only for now goes back in front."""
        if len(results) != len(batch.places):
            self.refused(
                batch, Refused("UNKNOWN", f"{len(results)} results for {len(batch.places)} posts"), now
            )
            return
        self._in_flight.discard(batch)
        again: list[PlaceT] = []
        last: Refused | None = None
        sequence = self.sequence
        settled = 0
        for place, result in zip(batch.places, results, strict=True):
            if recorded := result.sequence:
                sequence = max(sequence, recorded)
                if not place.is_settled:
                    settled += 1
                    place.settle(Posted(recorded, result.hash, result.replayed, place.key))
                continue
            refused = refused_from_operation(result.status)
            if refused.is_transient:
                last = refused
                self._note(place, refused)
                again.append(place)
            else:
                self._settle(place, place.refusal(refused))
        self.outstanding -= settled
        self.sequence = sequence
        if last is None:
            self._failures = 0
        else:
            self._send_again(again, last, now)

    def refused(self, batch: Batch[PlaceT], refused: Refused, now: float) -> None:
        """A call was refused as a whole, or lost."""
        self._in_flight.discard(batch)
        places = batch.places
        if refused.is_transient or refused.is_unknown:
            for place in places:
                self._note(place, refused)
            self._send_again(places, refused, now)
        elif len(places) > 1 and refused.status not in _ABOUT_ALL:
            middle = len(places) // 2
            self._halves += [places[middle:], places[:middle]]
        else:
            for place in places:
                self._settle(place, place.refusal(refused))

    def leave(self) -> None:
        """The caller of a place has gone before it was settled; it is sent no more."""
        self.outstanding -= 1
        self._left += 1
        # Whoever left holds no memory for long, however often callers leave a queue that stands still.
        if self._left * 2 > len(self._waiting):
            self._drop_settled()

    def expire(self, now: float) -> float:
        """Settles every place whose time is over, and answers the earliest deadline of the others."""
        earliest = float("inf")
        for place in self._unsettled():
            if place.ends_at <= now:
                self._settle(place, place.out_of_time())
            else:
                earliest = min(earliest, place.ends_at)
        self._drop_settled()
        return earliest

    def _unsettled(self) -> list[PlaceT]:
        groups = [self._waiting, *self._halves, *(batch.places for batch in self._in_flight)]
        return [place for group in groups for place in group if not place.is_settled]

    def _drop_settled(self) -> None:
        self._waiting = deque(place for place in self._waiting if not place.is_settled)
        self._left = 0

    def _next_waiting(self) -> list[PlaceT]:
        """From the front, as many as one call may hold; who has left is passed over."""
        waiting = self._waiting
        places: list[PlaceT] = []
        entries = 0
        size_bytes = len(self._head)
        while waiting and len(places) < OPERATIONS_MAX:
            place = waiting[0]
            if not place.is_settled:
                entries += place.entries
                size_bytes += len(place.operation)
                if places and (entries > BATCH_ENTRIES_MAX or size_bytes > MESSAGE_BYTES_MAX):
                    break
                places.append(place)
            waiting.popleft()
        return places

    def _note(self, place: PlaceT, refused: Refused) -> None:
        place.is_sent = False
        place.is_unknown = place.is_unknown or refused.is_unknown
        place.last = refused

    def _send_again(self, places: list[PlaceT], refused: Refused, now: float) -> None:
        self._failures += 1
        self.resumes_at = max(self.resumes_at, now + pause_s(self._failures, refused, self._chance()))
        for place in reversed(places):
            if place.ends_at > self.resumes_at:
                self._waiting.appendleft(place)
            else:
                self._settle(place, place.out_of_time())

    def _settle(self, place: PlaceT, answer: Posted | Refused) -> None:
        if not place.is_settled:
            self.outstanding -= 1
            place.settle(answer)
