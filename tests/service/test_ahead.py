"""A batch decided while the one before it is being written: on its books, and only if they come true."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager

import pytest
from callers import Teller, answer_of, post_operation, refusal_of, refused_operation, unsound
from clusters import Database
from faults import PATIENCE_S, Faulty, faulty_server, until
from serving import serving


@pytest.fixture
def faulty(database: Database) -> Iterator[Faulty]:
    """A server that decides every turn ahead that it can."""
    with faulty_server(database) as faulty:
        yield faulty


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Callers."""
    with ThreadPoolExecutor(8) as pool:
        yield pool


@contextmanager
def held(faulty: Faulty, place: str, first: Callable[[], object], then: Callable[[], None]) -> Iterator[None]:
    """Holds the first call's batch at a failpoint while the body calls; `then` before it goes on."""
    arrived, may_go_on = threading.Event(), threading.Event()

    def wait() -> None:
        arrived.set()
        assert may_go_on.wait(PATIENCE_S)

    faulty.failpoints.once(place, wait)
    with ThreadPoolExecutor(1) as caller:
        called = caller.submit(first)
        try:
            assert arrived.wait(PATIENCE_S)
            read = faulty.failpoints.passed.count("books_read")
            yield
            until(lambda: faulty.failpoints.passed.count("books_read") > read, "the next batch decided")
            then()
        finally:
            may_go_on.set()
        called.result(PATIENCE_S)


def nothing() -> None:
    """Nothing happens to the first."""


@pytest.mark.parametrize("is_lost", [False, True], ids=["it stands", "it is lost and written again"])
def test_the_next_batch_sees_the_one_before_it(
    faulty: Faulty, pool: ThreadPoolExecutor, is_lost: bool
) -> None:
    teller = Teller.open(faulty.server)
    teller.post("cash", "wallet", 100)
    first = [post_operation("wallet", "cash", 80, "spent"), post_operation("cash", "wallet", 7, "paid in")]
    calls: list[Future[object]] = []
    before = faulty.failpoints.passed.count("before_begin")

    def lose() -> None:
        if is_lost:
            faulty.end(faulty.lane_holder())

    with held(faulty, "before_commit", lambda: teller.batch(first), lose):
        calls.append(pool.submit(lambda: teller.batch([post_operation("wallet", "cash", 80, "again")])))
    results = calls[0].result(PATIENCE_S)
    writes = faulty.failpoints.passed.count("before_begin")
    replayed = teller.batch(first)

    assert refused_operation(results[0]).reason == "INSUFFICIENT_FUNDS"  # type: ignore[index]
    assert writes - before == (2 if is_lost else 1)
    assert [one.replayed for one in replayed] == [True, True]
    assert teller.balance("wallet") == 27
    assert unsound(faulty.database.owner_url, teller.ledger) == []


@pytest.mark.parametrize("is_lost", [False, True], ids=["it stands", "it is lost and written again"])
def test_a_key_that_is_still_being_written_is_known_to_the_next_batch(
    faulty: Faulty, pool: ThreadPoolExecutor, is_lost: bool
) -> None:
    teller = Teller.open(faulty.server)
    head = teller.head()
    before = faulty.failpoints.passed.count("before_begin")
    first: list[Future[object]] = []
    calls: list[Future[object]] = []

    def lose() -> None:
        if is_lost:
            faulty.end(faulty.lane_holder())

    def post() -> object:
        return answer_of(lambda: teller.post("cash", "wallet", 5, "k"))

    with held(faulty, "before_commit", lambda: first.append(pool.submit(post)) or first[0].result(), lose):
        calls.append(pool.submit(post))
        calls.append(pool.submit(lambda: refusal_of(lambda: teller.post("cash", "wallet", 6, "k"))))
        calls.append(pool.submit(lambda: answer_of(lambda: teller.reverse("k", "r"))))

    answers = [call.result(PATIENCE_S) for call in (*first, *calls)]
    assert answers[0].transaction == answers[1].transaction  # type: ignore[attr-defined]
    assert answers[1].replayed  # type: ignore[attr-defined]
    assert answers[2].reason == "IDEMPOTENCY_KEY_REUSED"  # type: ignore[attr-defined]
    assert answers[3].transaction.reverses == answers[0].transaction.sequence  # type: ignore[attr-defined]
    assert teller.head() == head + 2
    # Replays and conflicts write nothing, and what was decided ahead is written once.
    assert faulty.failpoints.passed.count("before_begin") - before == (3 if is_lost else 2)
    assert unsound(faulty.database.owner_url, teller.ledger) == []


def test_what_another_server_wrote_in_between_makes_the_next_batch_decide_again(
    faulty: Faulty, pool: ThreadPoolExecutor
) -> None:
    teller = Teller.open(faulty.server)
    teller.post("cash", "wallet", 100)
    calls: list[Future[object]] = []
    with serving(faulty.database.app_url) as other:
        rival = Teller(other, teller.ledger)

        def spend_all() -> None:
            rival.post("wallet", "cash", 99, "rival")

        # The first has committed and let its lane lock go, and has not left yet.
        with held(faulty, "after_commit", lambda: teller.post("cash", "wallet", 1, "first"), spend_all):
            calls.append(pool.submit(lambda: refusal_of(lambda: teller.post("wallet", "cash", 3, "next"))))

    assert calls[0].result(PATIENCE_S).reason == "INSUFFICIENT_FUNDS"  # type: ignore[attr-defined]
    assert teller.balance("wallet") == 2
    assert unsound(faulty.database.owner_url, teller.ledger) == []


@pytest.mark.parametrize("asked", ["refused", "replayed"])
def test_what_writes_nothing_is_answered_at_the_head_too(
    faulty: Faulty, pool: ThreadPoolExecutor, asked: str
) -> None:
    """Nobody looked at the head then: a refusal was told of books that others had left behind."""
    teller = Teller.open(faulty.server)
    teller.post("cash", "wallet", 100, "known")
    calls: list[Future[object]] = []
    with serving(faulty.database.app_url) as other:
        rival = Teller(other, teller.ledger)

        def call() -> object:
            if asked == "refused":
                return answer_of(lambda: teller.post("wallet", "cash", 150))
            return answer_of(lambda: teller.post("cash", "wallet", 100, "known"))

        before = faulty.failpoints.passed.count("books_read")
        with held(
            faulty,
            "after_commit",
            lambda: teller.post("cash", "wallet", 1, "first"),
            lambda: rival.post("cash", "wallet", 99, "rival"),
        ):
            calls.append(pool.submit(call))
        answer = calls[0].result(PATIENCE_S)

    assert answer.transaction.sequence  # type: ignore[attr-defined]
    # The first, the second, and the second once more.
    assert faulty.failpoints.passed.count("books_read") - before == 3
    assert unsound(faulty.database.owner_url, teller.ledger) == []


def test_a_refusal_on_books_that_did_not_come_true_is_not_told(
    faulty: Faulty, pool: ThreadPoolExecutor
) -> None:
    teller = Teller.open(faulty.server)
    teller.post("cash", "wallet", 100)
    calls: list[Future[object]] = []
    first: list[Future[object]] = []
    with serving(faulty.database.app_url) as other:
        rival = Teller(other, teller.ledger)

        def lose_it_to_a_rival() -> None:
            faulty.end(faulty.lane_holder())
            rival.post("wallet", "cash", 25, "rival")

        def spend(amount: int) -> object:
            return answer_of(lambda: teller.post("wallet", "cash", amount))

        # 80 of 100 are being spent, and 30 more would be too much; then the 80 are refused themselves.
        with held(
            faulty,
            "before_commit",
            lambda: first.append(pool.submit(spend, 80)) or first[0].result(),
            lose_it_to_a_rival,
        ):
            calls.append(pool.submit(spend, 30))

    assert first[0].result().reason == "INSUFFICIENT_FUNDS"  # type: ignore[attr-defined]
    assert calls[0].result(PATIENCE_S).transaction.sequence  # type: ignore[attr-defined]
    assert teller.balance("wallet") == 45
    assert unsound(faulty.database.owner_url, teller.ledger) == []


def test_accounts_and_assets_still_being_written_are_known_to_the_next_batch(
    faulty: Faulty, pool: ThreadPoolExecutor
) -> None:
    """The next account had the number of one just opened, and an asset just created had no record."""
    teller = Teller.open(faulty.server)
    calls: list[Future[object]] = []

    with held(faulty, "before_commit", lambda: teller.open_account("first"), nothing):
        calls.append(pool.submit(lambda: teller.open_account("second")))
        calls.append(pool.submit(lambda: teller.open_account("first")))
    wait(calls, PATIENCE_S)
    with held(faulty, "before_commit", lambda: teller.create_asset("EUR", 2), nothing):
        calls.append(pool.submit(lambda: teller.create_asset("EUR", 2)))
        calls.append(pool.submit(lambda: teller.create_asset("JPY", 0)))

    assert [call.result(PATIENCE_S).replayed for call in calls] == [False, True, True, False]  # type: ignore[attr-defined]
    teller.post("second", "first", 1)
    assert unsound(faulty.database.owner_url, teller.ledger) == []
