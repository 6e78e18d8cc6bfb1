"""Batches decided on the books at hand and written in one round trip: never on less than the truth."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import psycopg
import pytest
from callers import Refused, Teller, answer_of, post_operation, refusal_of, together, unsound
from clusters import Database
from faults import PATIENCE_S, Faulty, faulty_server, until
from serving import AT_ONCE, serving

from ledger_server.service import at_once, tenures
from ledger_server.store import heard_clock
from ledger_server.store.books import lane_lock
from ledger_server.store.posting import LaneSession
from ledger_server.store.roundtrip import RoundTrip
from ledger_server.store.writing import Batch

WRITTEN = "written"


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What became of each batch that was written at once: WRITTEN, or the name of what was raised."""
    outcomes: list[str] = []
    write_at_once = LaneSession.write_at_once

    def remember(session: LaneSession, ledger_id: int, batch: Batch) -> None:
        try:
            write_at_once(session, ledger_id, batch)
        except Exception as error:
            outcomes.append(type(error).__name__)
            raise
        outcomes.append(WRITTEN)

    monkeypatch.setattr(LaneSession, "write_at_once", remember)
    # A busy machine is slower than the shop is: what was heard of the clock stays good.
    monkeypatch.setattr(heard_clock, "HEARD_WITHIN_S", 60.0)
    return outcomes


@pytest.fixture
def never_doubts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every batch is tried at once, whatever became of the one before."""
    monkeypatch.setattr(at_once, "DOUBTED_S", 0.0)
    monkeypatch.setattr(tenures, "CONTESTED_S", 0.0)


@pytest.fixture
def faulty(database: Database) -> Iterator[Faulty]:
    """A server that writes at once what it can."""
    with faulty_server(database, ahead_from=AT_ONCE) as faulty:
        yield faulty


@pytest.fixture
def teller(faulty: Faulty, tried: list[str]) -> Teller:
    """A ledger whose books are at hand: 100 in the wallet."""
    teller = Teller.open(faulty.server)
    teller.post("cash", "wallet", 100, "opening")
    tried.clear()
    return teller


def trips_of(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many statements each round trip of a lane has, from here on."""
    made: list[int] = []
    go = RoundTrip.go

    def count(trip: RoundTrip) -> None:
        if trip._awaited:
            made.append(len(trip._awaited))
        go(trip)

    monkeypatch.setattr(RoundTrip, "go", count)
    return made


@pytest.mark.parametrize(("debit", "credit"), [("cash", "other"), ("cash", "wallet"), ("wallet", "cash")])
def test_a_post_whose_books_are_at_hand_takes_one_round_trip(
    faulty: Faulty, teller: Teller, tried: list[str], debit: str, credit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With bounds, too: they are vouched for in the same one."""
    made = trips_of(monkeypatch)

    posted = teller.post(debit, credit, 7, "k")

    assert tried == [WRITTEN]
    assert len(made) == 1
    assert not posted.replayed
    assert teller.transaction("k").sequence == posted.transaction.sequence == teller.head()
    assert unsound(faulty.database.owner_url, teller.ledger) == []


def test_what_the_books_do_not_hold_is_read_before(
    faulty: Faulty, teller: Teller, tried: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that nobody knows, an asset that there is not, a balance that was never asked for."""
    with serving(faulty.database.app_url) as other:
        teller.at(other).create_asset("EUR", 2)
    # Other records than transactions came: the books start afresh with what this one names.
    teller.post("cash", "wallet", 1)
    monkeypatch.setattr(tenures.RecentLedgers, "holds", lambda recent, ledger: False)
    tried.clear()

    unknown = [
        refusal_of(lambda: teller.post("cash", "nobody", 1)),
        refusal_of(lambda: teller.post("cash", "wallet", 1, asset="XAU")),
    ]
    teller.post("cash", "wallet", 1, asset="EUR")
    read = list(tried)
    teller.post("cash", "wallet", 1, asset="EUR")

    assert [one.reason for one in unknown] == ["ACCOUNT_NOT_FOUND", "ASSET_NOT_FOUND"]
    assert read == []
    assert tried == [WRITTEN]
    assert teller.balance("wallet", "EUR") == 2
    assert unsound(faulty.database.owner_url, teller.ledger) == []


def test_a_key_that_was_used_is_answered_and_writes_nothing(
    faulty: Faulty, teller: Teller, tried: list[str]
) -> None:
    """After everything is spent, too: the key comes before the balance."""
    spent = teller.post("wallet", "cash", 100, "spent")
    head = teller.head()

    again = teller.post("wallet", "cash", 100, "spent")
    other = refusal_of(lambda: teller.post("wallet", "cash", 99, "opening"))
    later = teller.post("cash", "wallet", 5, "later")

    # The first has no money to be tried with; with the second one there is a conflict to be read.
    assert tried[0] == WRITTEN
    assert again.replayed
    assert again.transaction == spent.transaction
    assert other.reason == "IDEMPOTENCY_KEY_REUSED"
    assert later.transaction.sequence == head + 1
    assert teller.balance("wallet") == 5
    assert unsound(faulty.database.owner_url, teller.ledger) == []


def test_a_replay_that_was_tried_leaves_the_books_as_they_were_and_others_are_read_for_a_while(
    faulty: Faulty, teller: Teller, tried: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = teller.post("cash", "wallet", 7, "k")
    head = teller.head()

    again = teller.post("cash", "wallet", 7, "k")
    made = trips_of(monkeypatch)
    teller.post("cash", "other", 1, "next")

    assert tried == [WRITTEN, "NotCommitted"]
    assert again.replayed
    assert again.transaction == first.transaction
    # One that reads the keys, one that writes: accounts and balances were still known.
    assert len(made) == 2
    assert teller.head() == head + 1
    assert teller.balance("wallet") == 107
    assert unsound(faulty.database.owner_url, teller.ledger) == []


def test_what_the_books_at_hand_refuse_is_told_by_nobody_before_its_key_is_looked_for(
    faulty: Faulty, teller: Teller
) -> None:
    """Beside a post that could be written at once stands a retry of one that has spent everything."""
    teller.post("wallet", "cash", 100, "spent")

    results = teller.batch(
        [post_operation("cash", "other", 1, "new"), post_operation("wallet", "cash", 100, "spent")]
    )

    assert [(one.replayed, one.HasField("status")) for one in results] == [(False, False), (True, False)]
    assert unsound(faulty.database.owner_url, teller.ledger) == []


def test_a_batch_of_which_one_key_was_used_is_recorded_but_for_that_one(
    faulty: Faulty, teller: Teller, tried: list[str]
) -> None:
    operations = [post_operation("cash", "wallet", 1, f"k{number}") for number in range(20)]
    operations[7] = post_operation("cash", "wallet", 100, "opening")
    operations[9] = post_operation("wallet", "cash", 119, "too much")

    results = teller.batch(operations)
    teller.batch([post_operation("cash", "other", 1, f"n{number}") for number in range(20)])

    assert [index for index, one in enumerate(results) if one.replayed] == [7]
    assert [index for index, one in enumerate(results) if one.HasField("status")] == [9]
    assert teller.balance("wallet") == 118
    assert unsound(faulty.database.owner_url, teller.ledger) == []


def test_a_batch_that_is_refused_in_part_is_told_what_the_books_say_when_they_are_read(
    database: Database, tried: list[str]
) -> None:
    """Another server pays in: what the books at hand would refuse is recorded."""
    with (
        serving(database.app_url, ahead_from=AT_ONCE) as one,
        serving(database.app_url, ahead_from=AT_ONCE) as two,
    ):
        teller = Teller.open(one)
        teller.post("cash", "wallet", 10)
        teller.at(two).post("cash", "wallet", 90)
        tried.clear()

        teller.post("wallet", "cash", 100, "spent")

        assert tried == []
        assert teller.balance("wallet") == 0
        assert unsound(database.owner_url, teller.ledger) == []


@pytest.mark.parametrize("is_emptied", [False, True], ids=["moved", "emptied"])
def test_a_head_that_another_server_moved_is_noticed(
    database: Database, tried: list[str], is_emptied: bool
) -> None:
    """What the books at hand would let pass is refused where the money is gone."""
    with (
        serving(database.app_url, ahead_from=AT_ONCE) as one,
        serving(database.app_url, ahead_from=AT_ONCE) as two,
    ):
        teller = Teller.open(one)
        teller.post("cash", "wallet", 100)
        teller.at(two).post("wallet", "cash", 100 if is_emptied else 30)
        tried.clear()

        answer = answer_of(lambda: teller.post("wallet", "cash", 70, "spent"))

        assert tried == ["HeadMoved"]
        assert isinstance(answer, Refused) == is_emptied
        if isinstance(answer, Refused):
            assert (answer.reason, answer.facts["balance"]) == ("INSUFFICIENT_FUNDS", "0")
        assert teller.balance("wallet") == 0
        # A server that has met another one reads first from there on.
        teller.post("cash", "wallet", 1)
        assert tried == ["HeadMoved"]
        assert unsound(database.owner_url, teller.ledger) == []


def test_where_another_server_was_met_the_books_are_read_first(database: Database, tried: list[str]) -> None:
    with (
        serving(database.app_url, ahead_from=AT_ONCE) as one,
        serving(database.app_url, ahead_from=AT_ONCE) as two,
    ):
        teller = Teller.open(one)
        teller.post("cash", "wallet", 100, "k")
        teller.at(two).post("cash", "wallet", 1)
        tried.clear()

        teller.reverse("k", "r")
        teller.post("cash", "wallet", 5)

        assert tried == []
        assert teller.balance("wallet") == 6
        assert unsound(database.owner_url, teller.ledger) == []


def test_a_lane_that_somebody_holds_is_waited_for_and_not_written_through(
    faulty: Faulty, teller: Teller, tried: list[str]
) -> None:
    row = faulty.admin.execute("select ledger_id from ledger.directory").fetchone()
    assert row is not None
    waiting = "select from pg_locks where locktype = 'advisory' and not granted"
    with psycopg.connect(faulty.database.owner_url, autocommit=True) as holder, ThreadPoolExecutor(1) as pool:
        holder.execute("select pg_advisory_lock(%s)", [lane_lock(row[0])])
        call = pool.submit(teller.post, "cash", "wallet", 7, "k")
        until(lambda: faulty.admin.execute(waiting).fetchall(), "waiting for the lane")
        held_from_elsewhere = teller.balance("wallet")
        holder.execute("select pg_advisory_unlock(%s)", [lane_lock(row[0])])
        answer = call.result(PATIENCE_S)

    assert tried == ["HeadMoved"]
    assert held_from_elsewhere == 100
    assert not answer.replayed
    assert teller.balance("wallet") == 107
    assert unsound(faulty.database.owner_url, teller.ledger) == []


def test_a_head_that_moves_behind_the_snapshot_aborts_the_write(
    faulty: Faulty, teller: Teller, tried: list[str]
) -> None:
    """Somebody who asks for no lane moves it when ours has begun; theirs stands, and ours comes behind it."""
    moved: list[int] = []

    def move() -> None:
        faulty.lane_holder()
        cursor = faulty.admin.execute("update ledger.heads set epoch = epoch + 1")
        moved.append(cursor.rowcount)

    faulty.failpoints.once("before_begin", move)

    posted = teller.post("cash", "wallet", 7, "k")

    assert moved == [1]
    # 40001: the row that ours would move is newer than what it sees.
    assert tried == ["NotCommitted"]
    assert posted.transaction.sequence == teller.head()
    assert teller.balance("wallet") == 107
    assert unsound(faulty.database.owner_url, teller.ledger) == []


@pytest.mark.usefixtures("never_doubts")
def test_one_key_from_two_servers_at_once_is_recorded_once(database: Database, tried: list[str]) -> None:
    """Each takes it for new; whoever comes second finds out while it writes."""
    with (
        serving(database.app_url, ahead_from=AT_ONCE) as one,
        serving(database.app_url, ahead_from=AT_ONCE) as two,
    ):
        teller = Teller.open(one)
        rival = teller.at(two)
        for each in (teller, rival):
            each.post("cash", "wallet", 1)
        tried.clear()
        for number in range(60):
            answers = together(
                [
                    lambda each=each, number=number: each.post("cash", "wallet", 1, f"k{number}")
                    for each in (teller, rival)
                ]
            )

            assert not [answer for answer in answers if isinstance(answer, Refused)]
            assert sorted(answer.replayed for answer in answers) == [False, True]  # type: ignore[union-attr]
            assert len({answer.transaction.sequence for answer in answers}) == 1  # type: ignore[union-attr]

        assert teller.balance("wallet") == 62
        # Both ways were gone: written at once, and found out.
        assert WRITTEN in tried
        assert {"HeadMoved", "NotCommitted"} & set(tried)
        assert unsound(database.owner_url, teller.ledger) == []


PLACES = [
    (1, "before_begin"),
    (1, "after_head"),
    (1, "before_commit"),
    (1, "commit_sent"),
    (1, "after_commit"),
    (60, "before_begin"),
    (60, "commit_sent"),
]


@pytest.mark.parametrize(("count", "place"), PLACES)
def test_a_session_that_is_ended_on_the_way_costs_the_caller_nothing(
    faulty: Faulty, teller: Teller, tried: list[str], count: int, place: str
) -> None:
    faulty.end_the_next_lane_holder_at(place)
    before = faulty.transactions()

    results = teller.batch([post_operation("cash", "wallet", 2, f"m{number}") for number in range(count)])

    assert tried
    assert not [one.status for one in results if one.HasField("status")]
    assert not any(one.replayed for one in results)
    assert faulty.transactions() == before + count
    assert teller.balance("wallet") == 100 + 2 * count
    assert unsound(faulty.database.owner_url, teller.ledger) == []


@pytest.mark.parametrize("count", [1, 60], ids=["one", "several"])
def test_a_commit_whose_answer_is_lost_is_found_and_answered(
    faulty: Faulty, teller: Teller, tried: list[str], count: int
) -> None:
    head = teller.head()
    cut: list[int] = []
    faulty.lose_the_answer_of_the_next_commit(
        count + 1, lambda holder: (cut.append(holder), faulty.proxy.cut(holder))[0]
    )
    operations = [post_operation("cash", "wallet", 1, f"k{number}") for number in range(count)]

    results = teller.batch(operations)

    assert tried == ["CommitUnknown"]
    assert len(cut) == 1
    assert not any(one.replayed or one.HasField("status") for one in results)
    assert teller.head() == head + count
    assert all(one.replayed for one in teller.batch(operations))
    assert unsound(faulty.database.owner_url, teller.ledger) == []


def test_record_times_are_the_databases_and_never_ahead_of_it(
    faulty: Faulty, teller: Teller, tried: list[str]
) -> None:
    for number in range(20):
        teller.post("cash", "wallet", 1, f"k{number}")
        row = faulty.admin.execute("select clock_timestamp()").fetchone()
        assert row is not None
        now: datetime = row[0]  # type: ignore[assignment]
        recorded = teller.transaction(f"k{number}").record_time.ToDatetime(now.tzinfo)

        assert timedelta(0) <= now - recorded < timedelta(seconds=2)
        time.sleep(0.002)

    assert tried == [WRITTEN] * 20


def test_a_clock_that_was_not_heard_for_long_is_asked_again(
    teller: Teller, tried: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heard_clock, "HEARD_WITHIN_S", 0.0)

    teller.post("cash", "wallet", 1)

    assert tried == []


def test_turns_that_are_decided_ahead_are_not_written_at_once(database: Database, tried: list[str]) -> None:
    with serving(database.app_url, ahead_from=20) as server:
        teller = Teller.open(server)
        teller.post("cash", "wallet", 100)
        tried.clear()
        for count in (19, 20):
            teller.batch([post_operation("cash", "wallet", 1) for _ in range(count)])

        assert tried == [WRITTEN]
        assert teller.balance("wallet") == 139
