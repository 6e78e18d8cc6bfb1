"""When a call is made again, and after which pause. Pure: time and chance come in as arguments.

A call is repeated only where repeating it is safe: it reads, or it creates
something that is its own key, or every write in it carries an idempotency key
(the server then answers the recorded transaction), or the server said that it did
nothing. Everything else is the caller's to decide. All attempts of a call share
one deadline, so a caller who gives ten seconds has an answer in ten seconds. Where
every write has a key the attempts go on until then; all else ends after ATTEMPTS_MAX.
"""

from collections.abc import Callable

from google.protobuf.message import Message
from ledger.v1 import ledger_service_pb2
from ledger.v1.api_key_service_pb2 import CreateAPIKeyRequest
from ledger.v1.dev_service_pb2 import BonusRequest, ChargeRequest, ReversalRequest, TopUpRequest

from ledger_client.refusals import NOTHING_DONE_REASONS, DeadlineExceeded, OutcomeUnknown, Refused

# Five attempts at these pauses outlast a server's restart, not an outage: those are the caller's business.
ATTEMPTS_MAX = 5
PAUSE_FIRST_S = 0.25
PAUSE_MAX_S = 2.0

# Requests of one write, with its key.
_WITH_ONE_KEY = (
    ledger_service_pb2.PostRequest,
    ledger_service_pb2.ReverseRequest,
    TopUpRequest,
    ChargeRequest,
    BonusRequest,
    ReversalRequest,
)

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
        self._keys = write_keys(request)
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
            (self._failures >= ATTEMPTS_MAX and not self._has_every_key)
            or not self._may_repeat(refused)
            or now + pause >= self._ends_at
        ):
            raise self._last_word(refused)
        return pause

    @property
    def _has_every_key(self) -> bool:
        return bool(self._keys) and all(self._keys)

    def _may_repeat(self, refused: Refused) -> bool:
        if not refused.is_transient:
            return False
        # Sent twice without a key, a write would be made twice.
        return refused.reason in NOTHING_DONE_REASONS or all(self._keys)

    def _last_word(self, refused: Refused) -> Refused:
        """A write that lost an answer on its way is unknown, unless a later no proves that it is not made."""
        if not self._has_every_key:
            return refused
        if self._may_be_recorded and (refused.is_transient or refused.tells_nothing_of_earlier):
            return outcome_unknown(*self._keys, last=refused)
        return refused.of_key(*self._keys)


def outcome_unknown(*keys: str, last: Refused | None = None) -> OutcomeUnknown:
    """What a caller is told whose write, or writes, may stand or not."""
    cause = f" (last: {last})" if last else ""
    key = keys[0] if len(keys) == 1 else f"{keys[0]} and {len(keys) - 1} more"
    return OutcomeUnknown(
        last.status if last else "DEADLINE_EXCEEDED",
        f"no answer said whether it was recorded{cause}; send the same again under {key}",
        reason="OUTCOME_UNKNOWN",
        facts={"same_key_retry": "true"},
        retry_after_s=last.retry_after_s if last else None,
    ).of_key(*keys)


def never_sent(key: str, last: Refused | None = None) -> Refused:
    """What a caller is told whose write was not recorded when his time was over."""
    if last is not None:
        return last.of_key(key)
    return DeadlineExceeded(
        "DEADLINE_EXCEEDED",
        "the deadline passed before it was sent; nothing was recorded",
        idempotency_key=key,
    )


def write_keys(request: Message) -> tuple[str, ...]:
    """The key of each of a request's writes, empty where one has none; no keys where it writes nothing."""
    if getattr(request, "validate_only", False):
        return ()
    if isinstance(request, ledger_service_pb2.PostBatchRequest):
        return tuple(_key(operation) for operation in request.operations)
    if isinstance(request, _WITH_ONE_KEY):
        return (request.idempotency_key.strip(),)
    # Sent twice, two API keys would be made, and one of them known to nobody.
    return ("",) if isinstance(request, CreateAPIKeyRequest) else ()


def _key(operation: ledger_service_pb2.Operation) -> str:
    verb = operation.post if operation.HasField("post") else operation.reverse
    return verb.idempotency_key.strip()
