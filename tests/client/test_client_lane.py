"""Which posts go together and what each is answered: the rules of a lane, without any I/O."""

from __future__ import annotations

import pytest
from google.rpc import code_pb2
from ledger.v1.ledger_service_pb2 import OperationResult, OperationStatus, PostBatchRequest

from ledger_client import lane as lanes
from ledger_client.drafts import ReversalDraft, credit, debit, post_bytes, reversal_bytes
from ledger_client.lane import AHEAD_FROM, IN_FLIGHT_MAX, Batch, Lane, Place, Posted
from ledger_client.refusals import (
    AccountNotFound,
    Contention,
    DatabaseUnavailable,
    DeadlineExceeded,
    InvariantBroken,
    LedgerNotFound,
    NotPermitted,
    OutcomeUnknown,
    Overloaded,
    Refused,
    Unavailable,
)
from ledger_client.retries import PAUSE_FIRST_S, PAUSE_MAX_S, pause_s

LOST = Unavailable("UNAVAILABLE", "lost")
OVERLOADED = Overloaded("RESOURCE_EXHAUSTED", "full", reason="OVERLOADED", retry_after_s=0.25)


class Kept(Place):
    """A place that keeps its answer."""

    __slots__ = ("answer",)

    def __init__(self, key: str, ends_at: float = 10.0, entries: int = 2, operation: bytes = b"") -> None:
        super().__init__(operation, entries, key, ends_at)
        self.answer: Posted | Refused | None = None

    def settle(self, answer: Posted | Refused) -> None:
        assert self.answer is None, "settled twice"
        self.answer = answer

    @property
    def is_settled(self) -> bool:
        return self.answer is not None


def lane(*places: Kept) -> Lane[Kept]:
    made: Lane[Kept] = Lane("books", outstanding_max=1_000, chance=lambda: 0.5)
    for place in places:
        made.join(place)
    return made


def kept(count: int) -> list[Kept]:
    return [Kept(f"k{number}") for number in range(count)]


def taken(of: Lane[Kept], now: float = 0.0) -> Batch[Kept]:
    batch = of.take(now)
    assert batch is not None
    return batch


def keys(batch: Batch[Kept]) -> list[str]:
    return [place.key for place in batch.places]


def recorded(*sequences: int) -> list[OperationResult]:
    return [OperationResult(sequence=sequence, hash=b"#") for sequence in sequences]


def test_what_waits_goes_together_in_order() -> None:
    books = lane(*kept(5))

    assert keys(taken(books)) == ["k0", "k1", "k2", "k3", "k4"]
    assert books.take(0.0) is None


def test_a_second_call_goes_beside_the_first_only_for_a_crowd_and_a_third_never() -> None:
    books = lane(Kept("first"))
    taken(books)

    for place in kept(AHEAD_FROM - 1):
        books.join(place)
    assert books.take(0.0) is None
    books.join(Kept("last"))
    assert len(taken(books).places) == AHEAD_FROM
    for place in kept(1_000):
        books.join(place)
    assert IN_FLIGHT_MAX == 2
    assert books.take(0.0) is None


def test_the_bytes_of_a_call_are_one_request_with_every_operation() -> None:
    lines = [debit("cash", 1250, "USD"), credit("sales", 1250, "USD")]
    post = post_bytes(lines, "a", "sale", None, "", {"order": "7"}, "")
    reversal = reversal_bytes(ReversalDraft("a"), "b")
    books = lane(Kept("a", operation=post), Kept("b", operation=reversal))

    request = PostBatchRequest.FromString(books.request(taken(books)))

    assert request.ledger == "books"
    assert not request.atomic
    first, second = request.operations
    assert [entry.amount for entry in first.post.entries] == ["1250", "1250"]
    assert (first.post.kind, first.post.metadata["order"]) == ("sale", "7")
    assert (second.reverse.transaction.idempotency_key, second.reverse.idempotency_key) == ("a", "b")


@pytest.mark.parametrize(
    ("bound", "value"), [("OPERATIONS_MAX", 3), ("BATCH_ENTRIES_MAX", 6), ("MESSAGE_BYTES_MAX", 7 + 30)]
)
def test_a_call_keeps_each_limit_and_one_place_always_goes(
    monkeypatch: pytest.MonkeyPatch, bound: str, value: int
) -> None:
    monkeypatch.setattr(lanes, bound, value)
    monkeypatch.setattr(lanes, "AHEAD_FROM", 1)
    large = Kept("large", entries=1_000, operation=b"x" * 1_000)
    books = lane(*[Kept(f"k{number}", operation=b"x" * 10) for number in range(5)], large)

    first = taken(books)
    second = taken(books)
    books.answered(first, recorded(1, 2, 3), 0.0)
    third = books.take(0.0)

    assert keys(first) == ["k0", "k1", "k2"]
    if bound == "OPERATIONS_MAX":
        assert keys(second) == ["k3", "k4", "large"]
    else:
        assert third is not None
        assert (keys(second), keys(third)) == (["k3", "k4"], ["large"])


def test_every_place_gets_its_own_answer() -> None:
    first, second, third = places = kept(3)
    books = lane(*places)
    status = OperationStatus(code=code_pb2.FAILED_PRECONDITION, message="no")

    books.answered(
        taken(books),
        [*recorded(7), OperationResult(status=status), OperationResult(sequence=8, replayed=True)],
        0.0,
    )

    assert first.answer == Posted(7, b"#", False, "k0")
    assert isinstance(second.answer, Refused)
    assert (second.answer.status, second.answer.idempotency_key) == ("FAILED_PRECONDITION", "k1")
    assert third.answer == Posted(8, b"", True, "k2")
    assert (books.outstanding, books.sequence) == (0, 8)


def test_a_lost_call_goes_again_in_front_under_the_same_keys_after_a_pause() -> None:
    books = lane(*kept(2))
    lost = taken(books)
    books.join(Kept("later"))

    books.refused(lost, LOST, 1.0)

    assert books.resumes_at == 1.0 + PAUSE_FIRST_S / 2
    assert books.take(1.0) is None
    assert keys(taken(books, books.resumes_at)) == ["k0", "k1", "later"]


def test_only_those_go_again_whose_refusal_is_for_now() -> None:
    books = lane(*kept(3))
    status = OperationStatus(code=code_pb2.UNAVAILABLE, message="for now")

    books.answered(taken(books), [*recorded(7), OperationResult(status=status), *recorded(8)], 0.0)

    assert keys(taken(books, books.resumes_at)) == ["k1"]
    assert books.outstanding == 1


def test_pauses_double_up_to_a_bound_and_an_answer_ends_them() -> None:
    books = lane(Kept("k", ends_at=1e9))
    pauses = []
    now = 0.0
    for _ in range(6):
        books.refused(taken(books, now), LOST, now)
        pauses.append(books.resumes_at - now)
        now = books.resumes_at

    books.answered(taken(books, now), recorded(1), now)
    books.join(Kept("other", ends_at=1e9))
    books.refused(taken(books, now), LOST, now)

    assert pauses == pytest.approx([0.125, 0.25, 0.5, 1.0, 1.0, 1.0])
    assert books.resumes_at - now == pytest.approx(0.125)


def test_a_pause_is_never_shorter_than_the_server_s_wish_and_drawn_from_all_of_the_rest() -> None:
    assert pause_s(1, OVERLOADED, 0.0) == 0.25
    assert pause_s(1, OVERLOADED, 1.0) == 0.25 + PAUSE_FIRST_S
    assert pause_s(1, LOST, 0.0) == 0.0
    assert pause_s(10_000, LOST, 1.0) == PAUSE_MAX_S


def test_who_cannot_wait_for_the_next_attempt_is_told_at_once() -> None:
    hurried, patient = Kept("hurried", ends_at=1.05), Kept("patient")
    books = lane(hurried, patient)

    books.refused(taken(books), LOST, 1.0)

    assert isinstance(hurried.answer, OutcomeUnknown)
    assert hurried.answer.idempotency_key == "hurried"
    assert patient.answer is None
    assert books.outstanding == 1


@pytest.mark.parametrize(
    "nothing_done",
    [OVERLOADED, DatabaseUnavailable("UNAVAILABLE", "down", reason="DATABASE_UNAVAILABLE")],
    ids=["overloaded", "database"],
)
def test_who_was_only_ever_told_that_nothing_was_done_learns_that(nothing_done: Refused) -> None:
    place = Kept("k", ends_at=1.05)
    books = lane(place)

    books.refused(taken(books), nothing_done, 1.0)

    assert isinstance(place.answer, type(nothing_done))
    assert place.answer.idempotency_key == "k"


def test_an_answer_lost_once_stays_unknown_whatever_later_attempts_say() -> None:
    place = Kept("k", ends_at=2.0)
    books = lane(place)

    books.refused(taken(books), LOST, 0.0)
    books.refused(taken(books, 1.0), OVERLOADED, 1.9)

    assert isinstance(place.answer, OutcomeUnknown)


@pytest.mark.parametrize(
    "later",
    [
        Refused("INTERNAL", "boom"),
        InvariantBroken("INTERNAL", "broken", reason="LEDGER_INVARIANT_BROKEN"),
        NotPermitted("UNAUTHENTICATED", "expired"),
        NotPermitted("UNAUTHENTICATED", "expired", reason="CREDENTIALS_INVALID"),
    ],
)
def test_an_answer_lost_once_stays_unknown_after_a_no_that_proves_nothing(later: Refused) -> None:
    lost, other = Kept("lost"), Kept("other")
    books = lane(lost)
    books.refused(taken(books), LOST, 0.0)
    books.refused(taken(books, 1.0), later, 1.0)
    books.join(other)
    books.refused(taken(books, 1.0), later, 1.0)

    assert isinstance(lost.answer, OutcomeUnknown)
    assert lost.answer.idempotency_key == "lost"
    assert type(other.answer) is type(later)


def test_an_answer_lost_once_is_settled_by_a_no_of_the_ledger() -> None:
    place = Kept("k")
    books = lane(place)
    books.refused(taken(books), LOST, 0.0)
    books.refused(taken(books, 1.0), AccountNotFound("NOT_FOUND", "no", reason="ACCOUNT_NOT_FOUND"), 1.0)

    assert isinstance(place.answer, AccountNotFound)


def test_a_ledger_that_is_found_no_more_does_not_settle_an_answer_that_was_lost() -> None:
    # The membership may have ended in between; the post stands if it was recorded before.
    place = Kept("k")
    books = lane(place)
    books.refused(taken(books), LOST, 0.0)
    books.refused(taken(books, 1.0), LedgerNotFound("NOT_FOUND", "no", reason="LEDGER_NOT_FOUND"), 1.0)

    assert isinstance(place.answer, OutcomeUnknown)


def test_deadlines_are_told_apart_by_whether_the_post_was_sent() -> None:
    sent, waiting, patient = Kept("sent", 1.0), Kept("waiting", 1.0), Kept("patient", 5.0)
    books = lane(sent)
    taken(books)
    books.join(waiting)
    books.join(patient)

    assert books.expire(0.5) == 1.0
    assert books.expire(1.0) == 5.0

    assert isinstance(sent.answer, OutcomeUnknown)
    assert isinstance(waiting.answer, DeadlineExceeded)
    assert patient.answer is None
    assert books.outstanding == 1


def test_who_has_left_is_not_sent_and_a_late_answer_changes_nothing() -> None:
    sent, waiting = kept(2)
    books = lane(sent)
    batch = taken(books)
    books.join(waiting)
    books.expire(100.0)

    books.answered(batch, recorded(7), 101.0)

    assert isinstance(sent.answer, OutcomeUnknown)
    assert books.take(101.0) is None
    assert books.outstanding == 0
    assert books.sequence == 7


def test_a_queue_that_stands_still_forgets_who_left() -> None:
    books = lane(Kept("under way", ends_at=1e9))
    batch = taken(books)
    for number in range(10_000):
        place = Kept(f"k{number}")
        books.join(place)
        place.settle(place.out_of_time())
        books.leave()
        assert len(books._waiting) <= 2

    books.join(Kept("patient"))
    books.answered(batch, recorded(1), 0.0)

    assert keys(taken(books)) == ["patient"]
    assert books.outstanding == 1


def test_a_refusal_of_the_ledger_is_told_to_all() -> None:
    places = kept(3)
    books = lane(*places)

    books.refused(taken(books), LedgerNotFound("NOT_FOUND", "none", reason="LEDGER_NOT_FOUND"), 0.0)

    assert [type(place.answer) for place in places] == [LedgerNotFound] * 3
    assert books.take(0.0) is None


def test_a_call_that_one_operation_spoils_is_halved_until_it_stands_alone() -> None:
    places = kept(8)
    books = lane(*places)
    sequence = 0

    while batch := books.take(0.0):
        if "k5" in keys(batch):
            books.refused(batch, Refused("INTERNAL", "broken"), 0.0)
        else:
            books.answered(batch, recorded(*range(sequence + 1, sequence + 1 + len(batch.places))), 0.0)
            sequence += len(batch.places)

    assert isinstance(places[5].answer, Refused)
    assert sequence == 7
    assert all(isinstance(place.answer, Posted) for place in places if place.key != "k5")
    assert books.outstanding == 0


def test_an_answer_of_another_length_is_no_answer() -> None:
    places = kept(2)
    books = lane(*places)

    books.answered(taken(books), recorded(1), 0.0)

    assert [place.answer for place in places] == [None, None]
    assert keys(taken(books, books.resumes_at)) == ["k0", "k1"]


def test_contention_in_a_batch_goes_again() -> None:
    place = Kept("k", ends_at=0.01)
    books = lane(place)

    books.refused(taken(books), Contention("ABORTED", "busy", reason="CONTENTION", retry_after_s=0.1), 0.0)

    assert isinstance(place.answer, Contention)
