"""Charts, first postings and numbers through the lane: races have one outcome, lost commits are resolved."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from callers import Refused, Teller, post_operation, together, unsound
from charts import SALE, TILLS, USERS, chart, kind
from clusters import Database
from faults import Faulty
from serving import serving

PLACES = ["before_begin", "after_head", "before_commit", "commit_sent", "after_commit"]
WILD = kind("*")


def test_a_chart_and_its_assets_are_applied_once_wherever_the_session_ends(faulty: Faulty) -> None:
    asked = chart(USERS, kinds=(WILD,))
    asked.assets.add(code="EUR", scale=2)
    for place in PLACES:
        teller = Teller.open(faulty.server)
        head = teller.head()
        faulty.end_the_next_lane_holder_at(place)

        applied = teller.apply_chart(asked)

        assert (applied.chart.sequence, applied.replayed) == (head + 1, False), place
        assert teller.head() == head + 2, place
        assert teller.apply_chart(asked).replayed, place
        assert unsound(faulty.database.owner_url, teller.ledger) == [], place


def test_a_number_is_given_once_wherever_the_session_ends(faulty: Faulty) -> None:
    for place in PLACES:
        teller = Teller.open(faulty.server)
        teller.apply_chart(chart(TILLS, kinds=(SALE,)))
        teller.post("shops:a:till", "sales", 1, "first", kind="sale")
        faulty.end_the_next_lane_holder_at(place)

        second = teller.post("shops:a:till", "sales", 1, "second", kind="sale").transaction
        opened = teller.post("shops:b:till", "sales", 1, "third", kind="sale").transaction

        assert (second.series, second.number) == ("receipts:shops:a", 2), place
        assert (opened.series, opened.number) == ("receipts:shops:b", 1), place
        assert unsound(faulty.database.owner_url, teller.ledger) == [], place


def test_an_account_that_many_post_to_first_is_opened_once(teller: Teller, shared_database: Database) -> None:
    teller.apply_chart(chart(USERS, kinds=(WILD,)))

    answers = together([lambda: teller.post("cash", "users:7", 3) for _ in range(20)])

    assert not any(isinstance(answer, Refused) for answer in answers)
    assert teller.balance("users:7") == 60
    assert unsound(shared_database.owner_url, teller.ledger) == []


@pytest.mark.criterion("S000-30")
def test_many_who_sell_at_once_on_two_servers_get_numbers_without_a_gap(
    teller: Teller, shared_database: Database
) -> None:
    teller.apply_chart(chart(TILLS, kinds=(SALE,)))
    with serving(shared_database.app_url) as other:
        both = [teller, teller.at(other)]

        def sell(number: int) -> Callable[[], object]:
            shop = "ab"[number % 4 // 2]
            if number % 5 == 4:
                # Refused: the wallet has nothing.
                return lambda: both[number % 2].post("wallet", f"shops:{shop}:till", 1, kind="sale")
            if number % 5 == 3:
                operations = [post_operation(f"shops:{shop}:till", "sales", 1, kind="sale")] * 3
                return lambda: both[number % 2].batch(operations)
            return lambda: both[number % 2].post(f"shops:{shop}:till", "sales", 1, kind="sale")

        together([sell(number) for number in range(40)])

    numbers: dict[str, list[int]] = {}
    for recorded in teller.walk(page_size=1_000):
        numbers.setdefault(recorded.series, []).append(recorded.number)
    assert {name: sorted(given) for name, given in numbers.items()} == {
        name: list(range(1, len(given) + 1)) for name, given in numbers.items()
    }
    assert set(numbers) == {"receipts:shops:a", "receipts:shops:b"}
    assert sum(map(len, numbers.values())) == 48
    assert unsound(shared_database.owner_url, teller.ledger) == []


def test_what_is_posted_while_charts_change_is_judged_by_one_or_the_other(
    teller: Teller, shared_database: Database
) -> None:
    strict, open_ = chart(USERS, kinds=(kind("a"),)), chart(USERS, kinds=(kind("a"), kind("b")))
    teller.apply_chart(strict)

    def apply(version: int) -> Callable[[], object]:
        return lambda: teller.apply_chart(open_ if version % 2 else strict, version)

    def post(number: int) -> Callable[[], object]:
        return lambda: teller.post("cash", f"users:{number % 9}", 1, kind="ab"[number % 2])

    answers = together([call(number) for number in range(1, 25) for call in (apply, post)])

    refused = [answer.reason for answer in answers if isinstance(answer, Refused)]
    assert set(refused) <= {"VERSION_MISMATCH", "UNHANDLED_KIND"}
    assert refused.count("VERSION_MISMATCH") < 24
    assert unsound(shared_database.owner_url, teller.ledger) == []


def test_of_many_who_change_the_chart_at_once_one_wins(teller: Teller) -> None:
    teller.apply_chart(chart())
    charts = [chart(kinds=(kind(f"k{number}"),)) for number in range(8)]

    answers = together([lambda one=one: teller.apply_chart(one, 1) for one in charts])

    won = [answer for answer in answers if not isinstance(answer, Refused)]
    assert len(won) == 1
    assert won[0].chart.version == 2
    assert {answer.reason for answer in answers if isinstance(answer, Refused)} == {"VERSION_MISMATCH"}


def test_accounts_opened_in_one_batch_are_known_to_the_rest_of_it(
    teller: Teller, shared_database: Database
) -> None:
    teller.apply_chart(chart(USERS, kinds=(WILD,)))
    operations = [post_operation("cash", f"users:{number % 50}", 1) for number in range(400)]
    operations += [post_operation(f"users:{number}", "sales", 8) for number in range(50)]
    operations.append(post_operation("users:1", "sales", 1))

    results = teller.batch(operations)

    assert [bool(result.sequence) for result in results] == [True] * 450 + [False]
    assert {teller.balance(f"users:{number}") for number in range(50)} == {0}
    assert unsound(shared_database.owner_url, teller.ledger) == []


def test_an_atomic_batch_with_a_fault_leaves_no_account_and_burns_no_number(teller: Teller) -> None:
    teller.apply_chart(chart(USERS, TILLS, kinds=(SALE, WILD)))
    head = teller.head()
    good = [
        post_operation("cash", "users:1", 5),
        post_operation("shops:a:till", "users:2", 5, kind="sale"),
    ]

    teller.batch([*good, post_operation("wallet", "cash", 1)], atomic=True)

    assert teller.head() == head
    results = teller.batch(good, atomic=True)
    assert all(result.sequence for result in results)
    assert teller.transaction(results[1].sequence).number == 1


def test_a_server_that_starts_again_goes_on_with_the_chart_and_its_numbers(
    teller: Teller, shared_database: Database
) -> None:
    teller.apply_chart(chart(USERS, TILLS, kinds=(SALE,)))
    teller.post("shops:a:till", "users:1", 1, kind="sale")
    with serving(shared_database.app_url) as again:
        other = teller.at(again)

        recorded = other.post("shops:a:till", "users:1", 1, kind="sale").transaction

        assert recorded.number == 2
    # The first server learns what the other one did, by the entries in between alone.
    assert teller.post("shops:a:till", "users:1", 1, kind="sale").transaction.number == 3
    assert teller.balance("users:1") == 3
