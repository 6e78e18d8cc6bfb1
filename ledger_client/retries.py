"""When a call is made again, and after which pause. Pure: time and chance come in as arguments.

A call is repeated only where repeating it is safe: it reads, or it creates
something that is its own key, or every write in it carries an idempotency key
(the server then answers the recorded transaction), or the server said that it did
nothing. Everything else is the caller's to decide. All attempts of a call share
one deadline, so a caller who gives ten seconds has an answer in ten seconds.
"""

from collections.abc import Callable

from google.protobuf.message import Message
from ledger.v1 import ledger_service_pb2

from ledger_client.refusals import NOTHING_DONE_REASONS, DeadlineExceeded, OutcomeUnknown, Refused

# Five attempts at these pauses outlast a server's restart, not an outage: those are the caller's business.
ATTEMPTS_MAX = 5
PAUSE_FIRST_S = 0.25
PAUSE_MAX_S = 2.0

# A number between 0 and 1, as random.random gives it.
Chance = Callable[[], float]


def pause_s(failures: int, refused: Refused, chance: float) -> float:
    """The pause after so many failures in a row: the server's wish, and a part of a doubling pause.

    The part is drawn from all of it, lest callers that failed as one return as one.
    """
    doubled_s = min(PAUSE_MAX_S, PAUSE_FIRST_S * 2.0 ** min(failures - 1, 30))
    return (refused.retry_after_s or 0.0) + doubled_s * chance


class Attempts:
    """The attempts of one call that share one deadline."""

    def __init__(self, request: Message, ends_at: float, chance: Chance) -> None:
        self._request = request
        self._ends_at = ends_at
        self._chance = chance
        self._failures = 0
        self._may_be_recorded = False

    def left_s(self, now: float) -> float:
        """How long the next attempt may take."""
        return max(0.0, self._ends_at - now)

    def pause_s(self, refused: Refused, now: float) -> float:
        """How long to wait before the next attempt; raises what is to be told where there is none."""
        self._failures += 1
        self._may_be_recorded = self._may_be_recorded or refused.is_unknown
        pause = pause_s(self._failures, refused, self._chance())
        if (
            self._failures >= ATTEMPTS_MAX
            or not _may_repeat(self._request, refused)
            or now + pause >= self._ends_at
        ):
            raise self._last_word(refused)
        return pause

    def _last_word(self, refused: Refused) -> Refused:
        """A write that lost an answer on its way is unknown, whatever a later attempt was refused for now."""
        key = first_key(self._request)
        if not key:
            return refused
        if self._may_be_recorded and (refused.is_transient or refused.is_unknown):
            return outcome_unknown(key, refused)
        return refused.of_key(key)


def outcome_unknown(key: str, last: Refused | None = None) -> OutcomeUnknown:
    """What a caller is told whose write may stand, or not."""
    cause = f" (last: {last})" if last else ""
    return OutcomeUnknown(
        last.status if last else "DEADLINE_EXCEEDED",
        f"no answer said whether it was recorded{cause}; ask for {key}, or send the same again under it",
        reason="OUTCOME_UNKNOWN",
        facts={"same_key_retry": "true"},
        retry_after_s=last.retry_after_s if last else None,
        idempotency_key=key,
    )


def never_sent(key: str, last: Refused | None = None) -> Refused:
    """What a caller is told whose write was not recorded when his time was over."""
    if last is not None:
        return last.of_key(key)
    return DeadlineExceeded(
        "DEADLINE_EXCEEDED",
        "the deadline passed before it was sent; nothing was recorded",
        idempotency_key=key,
    )


def first_key(request: Message) -> str:
    """The key of a request's first write; empty where it writes nothing, or without a key."""
    if isinstance(request, ledger_service_pb2.PostBatchRequest):
        operations = request.operations
        return _key(operations[0]) if operations else ""
    if isinstance(request, ledger_service_pb2.PostRequest | ledger_service_pb2.ReverseRequest):
        return request.idempotency_key.strip()
    return ""


def _key(operation: ledger_service_pb2.Operation) -> str:
    verb = operation.post if operation.HasField("post") else operation.reverse
    return verb.idempotency_key.strip()


def _may_repeat(request: Message, refused: Refused) -> bool:
    if not refused.is_transient:
        return False
    return refused.reason in NOTHING_DONE_REASONS or _is_repeatable(request)


def _is_repeatable(request: Message) -> bool:
    """True where the request sent twice has the effect of the request sent once."""
    if isinstance(request, ledger_service_pb2.PostBatchRequest):
        return all(_key(operation) for operation in request.operations)
    if isinstance(request, ledger_service_pb2.PostRequest | ledger_service_pb2.ReverseRequest):
        return bool(request.idempotency_key.strip())
    return True
