"""Sums of balances over the wire: of a prefix and of account sets, now and at past sequences."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from random import Random
from typing import Any

import grpc
import pytest
from account_sets import random_sets, reached
from callers import Teller, lines, refusal_of
from charts import ASSET, LIABILITY, USD
from clusters import Database
from ledger.v1 import account_service_pb2 as accounts_pb
from ledger.v1 import chart_service_pb2 as charts_pb
from ledger.v1 import ledger_pb2 as nouns
from ledger.v1 import ledger_service_pb2 as pb
from society import Society, society
from statuses import told

from ledger_server.domain.members import Role

# 'a' and 'ab' share letters and no path; '!' and '~' sort around ':'.
NAMES = [":".join(parts) for depth in (1, 2) for parts in product(("a", "ab", "a!", "a~"), repeat=depth)]
ASSETS = ("EUR", "USD", "XAU")


def aggregate(teller: Teller, **asked: Any) -> pb.GetAggregateBalanceResponse:
    """A GetAggregateBalance."""
    request = pb.GetAggregateBalanceRequest(ledger=teller.ledger, **asked)
    return teller.server.ledgers.GetAggregateBalance(request, timeout=60)


def sums(answer: pb.GetAggregateBalanceResponse) -> dict[str, tuple[int, int]]:
    """By asset: what was added up, of how many accounts."""
    return {one.asset: (int(one.posted), one.account_count) for one in answer.balances}


def chart(*sets: charts_pb.AccountSet) -> charts_pb.Chart:
    """A chart of sets alone."""
    return charts_pb.Chart(sets=sets)


def a_set(name: str, *accounts: str, **more: Any) -> charts_pb.AccountSet:
    """A set."""
    return charts_pb.AccountSet(name=name, accounts=accounts, **more)


@pytest.fixture
def book(teller: Teller) -> Teller:
    """A ledger with every name of NAMES as an account, assets and liabilities in turn, and three assets."""
    for code in ASSETS:
        if code != "USD":
            teller.create_asset(code, 2)
    drafts = [
        accounts_pb.AccountDraft(name=name, type=(ASSET, LIABILITY)[number % 2])  # type: ignore[arg-type]
        for number, name in enumerate(NAMES)
    ]
    teller.server.accounts.BatchCreateAccounts(
        accounts_pb.BatchCreateAccountsRequest(ledger=teller.ledger, accounts=drafts)
    )
    return teller


# what is added up -----------------------------------------------------------------------------------


def test_the_balances_at_or_below_a_prefix_are_added_up_debit_positive(book: Teller) -> None:
    book.post("a", "a:ab", 7)
    last = book.post("a:a", "cash", 5).transaction
    book.post("cash", "ab", 100)
    book.post("cash", "a!:a", 100)

    answer = aggregate(book, account_prefix="a")

    assert sums(answer) == {"USD": (5, 3)}
    assert answer.balances[0].last_sequence == last.sequence
    assert answer.balances[0].last_record_time == last.record_time
    # Of the name itself and the four below it.
    assert (answer.account_count, answer.chart_version, answer.sequence) == (5, 0, book.head())


def test_a_named_asset_without_entries_is_zero_and_others_are_left_out(book: Teller) -> None:
    book.post("a", "cash", 5, asset="EUR")

    assert sums(aggregate(book, account_prefix="a")) == {"EUR": (5, 1)}
    assert sums(aggregate(book, account_prefix="a", asset="EUR")) == {"EUR": (5, 1)}
    named = aggregate(book, account_prefix="a", asset="XAU")
    assert named.balances == [pb.AggregateBalance(asset="XAU", posted="0")]
    nobody = aggregate(book, account_prefix="nobody")
    assert (nobody.account_count, list(nobody.balances)) == (0, [])


def test_an_account_on_two_ways_counts_once(book: Teller) -> None:
    book.post("a:a", "cash", 5)
    book.apply_chart(
        chart(
            a_set("top", "a:a", prefixes=["a", "a:a"], sets=["left", "right"]),
            a_set("left", "a:a", sets=["base"]),
            a_set("right", sets=["base"]),
            a_set("base", "a:a", "cash"),
        )
    )

    answer = aggregate(book, account_set="top")

    assert sums(answer) == {"USD": (0, 2)}
    assert answer.account_count == 6
    assert sums(aggregate(book, account_set="left")) == {"USD": (0, 2)}


def test_a_set_is_the_charts_of_the_sequence_that_is_asked_for(book: Teller) -> None:
    book.post("a", "cash", 5)
    before = book.head()
    first = book.apply_chart(chart(a_set("s", "a"))).chart.sequence
    book.post("ab", "cash", 7)
    second = book.apply_chart(chart(a_set("s", "ab"), a_set("t", "a")), 1).chart.sequence
    without = book.apply_chart(charts_pb.Chart(assets=[USD]), 2).chart.sequence

    assert refusal_of(lambda: aggregate(book, account_set="s", at_sequence=before)).reason == (
        "ACCOUNT_SET_NOT_FOUND"
    )
    for at, expected in ((first, {"USD": (5, 1)}), (second - 1, {"USD": (5, 1)}), (second, {"USD": (7, 1)})):
        answer = aggregate(book, account_set="s", at_sequence=at)
        assert (sums(answer), answer.sequence) == (expected, at)
        assert answer.chart_version == (1 if at < second else 2)
    refusal = refusal_of(lambda: aggregate(book, account_set="t", at_sequence=without))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "ACCOUNT_SET_NOT_FOUND")
    assert refusal.facts == {"account_set": "t"}


def test_a_sum_at_a_past_sequence_is_what_it_was_then(book: Teller) -> None:
    """Some changed since, some did not, and the answer says which record was the last by then."""
    book.post("a", "cash", 5)
    then = book.post("a:a", "cash", 7).transaction
    book.post("cash", "a", 100)
    book.post("a:ab", "cash", 1_000)

    answer = aggregate(book, account_prefix="a", at_sequence=then.sequence)

    assert sums(answer) == {"USD": (12, 2)}
    (balance,) = answer.balances
    assert (balance.last_sequence, balance.last_record_time) == (then.sequence, then.record_time)
    assert sums(aggregate(book, account_prefix="a")) == {"USD": (912, 3)}


def test_accounts_of_later_are_not_there_at_a_past_sequence(book: Teller) -> None:
    head = book.head()
    book.open_account("a:late", ASSET)
    book.post("a:late", "cash", 5)

    assert aggregate(book, account_prefix="a").account_count == 6
    past = aggregate(book, account_prefix="a", at_sequence=head)
    assert (past.account_count, list(past.balances)) == (5, [])


@pytest.mark.parametrize("seed", range(6))
def test_a_sum_is_that_of_the_balances_of_all_it_reaches_at_any_sequence(book: Teller, seed: int) -> None:
    random = Random(seed)
    everybody = [*NAMES, "cash", "other", "sales", "wallet"]
    sets = random_sets(random, everybody, 7)
    version = book.apply_chart(chart(*sets)).chart
    types = {name: book.account(name).normal_side for name in everybody}
    for _ in range(40):
        debit, credit = random.sample([*NAMES, "cash", "other"], 2)
        book.post(debit, credit, random.randint(1, 99), asset=random.choice(ASSETS))
    assert len({name for name in everybody if book.balances(name, "").balances}) > 10

    for _ in range(8):
        at = random.randint(version.sequence, book.head())
        named = random.choice(sets).name
        prefix = random.choice(["a", "ab", "a!", "a:a~", "cash", "a:a:a"])
        asset = random.choice(["", *ASSETS])
        for asked, names in (
            ({"account_set": named}, reached(sets, named, everybody)),
            ({"account_prefix": prefix}, {one for one in everybody if f"{one}:".startswith(f"{prefix}:")}),
        ):
            expected: dict[str, tuple[int, int]] = {asset: (0, 0)} if asset else {}
            for name in names:
                sign = 1 if types[name] == nouns.SIDE_DEBIT else -1
                for one in book.balances(name, asset, at_sequence=at).balances:
                    if one.last_sequence:
                        total, count = expected.get(one.asset, (0, 0))
                        expected[one.asset] = total + sign * int(one.posted), count + 1
            answer = aggregate(book, asset=asset, at_sequence=at, **asked)
            assert (sums(answer), answer.account_count) == (expected, len(names)), (asked, asset, at)
            assert [one.asset for one in answer.balances] == sorted(expected)
            assert answer.sequence == at


def test_a_sum_may_have_more_digits_than_a_balance(book: Teller) -> None:
    most = "9" * 38
    book.post_entries([*lines("a", "cash", most), *lines("a:a", "other", most)])

    assert sums(aggregate(book, account_prefix="a")) == {"USD": (2 * int(most), 2)}
    assert sums(aggregate(book, account_prefix="cash")) == {"USD": (-int(most), 1)}


# form and bounds ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "fields"),
    [
        ({}, ["account_prefix"]),
        ({"account_prefix": ""}, ["account_prefix"]),
        ({"account_prefix": "a::b"}, ["account_prefix"]),
        ({"account_set": ""}, ["account_set"]),
        ({"account_set": "a:b"}, ["account_set"]),
        ({"account_set": "s" * 65}, ["account_set"]),
        (
            {"account_prefix": "a", "asset": "U D", "at_sequence": -1, "min_sequence": -1},
            ["asset", "at_sequence", "min_sequence"],
        ),
    ],
)
def test_every_fault_of_a_request_is_told_with_its_field(
    teller: Teller, asked: dict[str, Any], fields: list[str]
) -> None:
    refusal = told(lambda: aggregate(teller, **asked))

    assert (refusal.reason, refusal.fields) == ("VALIDATION_FAILED", fields)


def test_what_is_not_there_is_not_found(teller: Teller) -> None:
    head = teller.head()

    for asked, reason, facts in (
        ({"account_set": "s"}, "ACCOUNT_SET_NOT_FOUND", {"account_set": "s"}),
        ({"account_prefix": "a", "asset": "XXX"}, "ASSET_NOT_FOUND", {"asset": "XXX"}),
        (
            {"account_set": "s", "at_sequence": head + 1},
            "SEQUENCE_NOT_REACHED",
            {"ledger": teller.ledger, "head": str(head), "at_sequence": str(head + 1)},
        ),
    ):
        refusal = refusal_of(lambda asked=asked: aggregate(teller, **asked))
        assert (refusal.reason, refusal.facts) == (reason, facts)


def test_so_many_balances_are_added_up_and_no_more(book: Teller, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five accounts, three assets: what is counted is each account once for each asset."""
    book.post("a", "cash", 5)
    book.apply_chart(chart(a_set("s", "cash", prefixes=["a"])))
    for most, asked, is_too_large in (
        (15, {"account_prefix": "a"}, False),
        (14, {"account_prefix": "a"}, True),
        (5, {"account_prefix": "a", "asset": "USD"}, False),
        (4, {"account_prefix": "a", "asset": "USD"}, True),
        (6, {"account_set": "s", "asset": "USD"}, False),
        (5, {"account_set": "s", "asset": "USD"}, True),
    ):
        monkeypatch.setattr("ledger_server.service.aggregates.AGGREGATED_MAX", most)
        if not is_too_large:
            assert sums(aggregate(book, **asked))["USD"][1] >= 1
            continue
        refusal = refusal_of(lambda asked=asked: aggregate(book, **asked))
        assert (refusal.code, refusal.reason) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "BATCH_TOO_LARGE",
        )
        assert not refusal.is_retryable
        assert refusal.facts["balances_max"] == str(most)


# charts with sets -----------------------------------------------------------------------------------


def test_sets_come_back_in_order_and_their_differences_are_named(teller: Teller) -> None:
    asked = [
        a_set("b", "z", "a", prefixes=["y", "x"], sets=["c", "a"], description="d ✓"),
        a_set("c", "q"),
        a_set("a", "q"),
    ]

    applied = teller.apply_chart(chart(*asked))

    assert list(applied.chart.chart.sets) == [
        a_set("a", "q"),
        a_set("b", "a", "z", prefixes=["x", "y"], sets=["a", "c"], description="d ✓"),
        a_set("c", "q"),
    ]
    assert list(applied.changes.sets.added) == ["a", "b", "c"]
    assert teller.apply_chart(chart(*asked[::-1])).replayed
    changed = teller.apply_chart(chart(a_set("a", "p"), a_set("c", "q"), a_set("d", "q")), 1).changes.sets
    assert changed == charts_pb.Difference(added=["d"], changed=["a"], removed=["b"])
    got = teller.charts.GetChart(charts_pb.GetChartRequest(ledger=teller.ledger, version=1))
    assert got.chart == applied.chart


def test_a_chart_with_a_cycle_is_refused_and_the_cycle_named(teller: Teller) -> None:
    head = teller.head()
    ring = chart(a_set("a", sets=["b"]), a_set("b", sets=["c"]), a_set("c", "x", sets=["a"]))

    refusal = told(lambda: teller.apply_chart(ring))

    assert refusal.reason == "VALIDATION_FAILED"
    ((field, description),) = refusal.violations
    names = description.removeprefix("hold themselves: ").split(" > ")
    assert field == f"chart.sets[{'abc'.index(names[0])}].sets"
    assert "".join(names) in ("abca", "bcab", "cabc")
    assert teller.head() == head


EDGES = {
    "sets": lambda count: chart(*(a_set(f"s{number}", "a") for number in range(count))),
    "accounts": lambda count: chart(a_set("s", *(f"a{number}" for number in range(count)))),
    "prefixes": lambda count: chart(a_set("s", prefixes=[f"a{number}" for number in range(count)])),
}


@pytest.mark.parametrize("what", EDGES)
def test_there_are_so_many_sets_and_members_and_no_more(teller: Teller, what: str) -> None:
    refusal = told(lambda: teller.apply_chart(EDGES[what](257)))
    teller.apply_chart(EDGES[what](256))

    assert refusal.reason == "VALIDATION_FAILED"
    assert refusal.fields == (["chart.sets"] if what == "sets" else ["chart.sets[0]"])


# narrowed callers -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def people(shared_database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Society]:
    """A server that asks who calls."""
    with society(shared_database.app_url, tmp_path_factory.mktemp("jwks")) as people:
        yield people


def test_who_is_narrowed_adds_up_what_is_his(people: Society) -> None:
    ledger, admin = people.ledger()
    clerk = Teller(people.member(ledger, admin, Role.READER, Role.POSTER, Role.ACCOUNTANT), ledger)
    clerk.create_asset("USD", 2)
    for name in ("shops:1", "shops:1:till", "shops:2:till", "shops:12:till", "bank"):
        clerk.open_account(name, ASSET)
    clerk.post("shops:1:till", "bank", 5)
    clerk.post("shops:12:till", "bank", 7)
    clerk.apply_chart(
        chart(
            a_set("mine", "shops:1", prefixes=["shops:1:till"], sets=["also"]),
            a_set("also", "shops:2:till"),
            a_set("beside", sets=["mine"], prefixes=["shops:12"]),
            a_set("wider", prefixes=["shops"]),
            a_set("named", "shops:1:till", "bank"),
        )
    )
    narrowed = Teller(people.member(ledger, admin, Role.READER, prefixes=["shops:1", "shops:2"]), ledger)

    assert sums(aggregate(narrowed, account_prefix="shops:1")) == {"USD": (5, 1)}
    assert sums(aggregate(narrowed, account_prefix="shops:1:till")) == {"USD": (5, 1)}
    assert sums(aggregate(narrowed, account_set="mine")) == {"USD": (5, 1)}
    assert sums(aggregate(clerk, account_set="wider")) == {"USD": (12, 2)}
    for prefix in ("shops", "shops:12", "bank", "nobody"):
        refusal = refusal_of(lambda prefix=prefix: aggregate(narrowed, account_prefix=prefix))
        assert (refusal.code, refusal.reason) == (
            grpc.StatusCode.PERMISSION_DENIED,
            "MEMBERSHIP_NARROWED",
        )
    # In the same words as of a set that is not there.
    missing = refusal_of(lambda: aggregate(narrowed, account_set="none"))
    for name in ("beside", "wider", "named"):
        refusal = refusal_of(lambda name=name: aggregate(narrowed, account_set=name))
        assert (refusal.code, refusal.reason) == (missing.code, "ACCOUNT_SET_NOT_FOUND")
        assert refusal.message == missing.message.replace("'none'", repr(name))
        assert refusal.facts == {"account_set": name}


def test_the_sets_of_one_ledger_are_not_there_in_another(teller: Teller) -> None:
    teller.post("cash", "wallet", 5)
    teller.apply_chart(chart(a_set("s", "cash")))
    other = Teller.open(teller.server)

    assert refusal_of(lambda: aggregate(other, account_set="s")).reason == "ACCOUNT_SET_NOT_FOUND"
    assert aggregate(other, account_prefix="cash").balances == []
    nowhere = Teller(teller.server, "no:such:ledger")
    assert refusal_of(lambda: aggregate(nowhere, account_prefix="cash")).reason == "LEDGER_NOT_FOUND"
