"""A list is one list: whatever its pages, from either end, and as its filters share it out."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import Any

import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from ledger.v1 import account_service_pb2 as accounts_pb
from ledger.v1 import ledger_admin_service_pb2 as admin_pb
from ledger.v1 import ledger_pb2 as nouns
from ledger.v1 import ledger_service_pb2 as pb
from metamorphic.staging import Book, Stage, Stamps
from metamorphic.stories import ASSETS, EFFECTIVE_TIMES, KINDS, METADATA, TEXTS, TYPES, Story
from metamorphic.walking import walked

PREFIXES = ("customers", "customers:1", "cash", "nobody")
NEWEST, OLDEST = nouns.ORDER_NEWEST_FIRST, nouns.ORDER_OLDEST_FIRST
WHOLE = 1_000
TIMES = ("effective_time", "record_time")


@pytest.fixture(scope="module")
def book(stages: list[Stage], stamps: Stamps) -> Book:
    """A ledger with some records at the same moment and some at later ones."""
    book = stages[0].open_book("pages")
    story = Story("pages")
    for cut in story.cut(story.drafts(90), size_max=10):
        book.tell_all(cut)
        stamps.pass_time(1_000_000)
    return book


@pytest.fixture(scope="module")
def moments(book: Book) -> dict[str, tuple[Timestamp, ...]]:
    """Times at which something happened, by what they are times of."""
    record_times = {one.record_time.ToMicroseconds(): one.record_time for one in listed(book)}
    some = Random("moments").sample(sorted(record_times), 4)
    return {"effective_time": EFFECTIVE_TIMES, "record_time": tuple(record_times[time] for time in some)}


@pytest.fixture(scope="module")
def filters(moments: dict[str, tuple[Timestamp, ...]]) -> list[dict[str, Any]]:
    """Every filter of one part that could answer another list than the others."""
    return [
        *[{"account": name} for name in TYPES],
        *[{"account_prefix": prefix} for prefix in PREFIXES],
        *[{"kind": kind} for kind in KINDS if kind],
        *[{"external_ref": text} for text in TEXTS if text],
        *[{"metadata": pairs} for pairs in METADATA if pairs],
        *[{"reversals": reversals} for reversals in (True, False)],
        *[{f"{field}_from": time} for field in TIMES for time in moments[field]],
        *[{f"{field}_until": time} for field in TIMES for time in moments[field]],
    ]


def listed(book: Book, order: int = NEWEST, page_size: int = WHOLE, **parts: Any) -> list[Any]:
    """The transactions under a filter."""
    request = pb.ListTransactionsRequest(
        ledger=book.ledger,
        order=order,  # type: ignore[arg-type]
        filter=pb.TransactionFilter(**parts),
    )
    return walked(book.server.ledgers.ListTransactions, request, "transactions", page_size)


def numbers(transactions: list[Any]) -> list[int]:
    """Their sequences."""
    return [one.sequence for one in transactions]


def pairs(filters: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """So many filters of two parts."""
    drawn = Random("pairs")
    found: list[dict[str, Any]] = []
    while len(found) < count:
        one, other = drawn.sample(filters, 2)
        fields = set(one) | set(other)
        if len(fields) == 2 and fields != {"account", "account_prefix"}:
            found.append(one | other)
    return found


def test_transactions_are_one_list_under_every_filter(book: Book, filters: list[dict[str, Any]]) -> None:
    """Pages of one, of three and of a thousand; the oldest first are the newest first, reversed."""
    assert len(listed(book)) > 40

    for parts in [{}, *filters, *pairs(filters, 12)]:
        whole = listed(book, **parts)
        assert listed(book, page_size=1, **parts) == whole, parts
        assert listed(book, page_size=3, order=OLDEST, **parts) == whole[::-1], parts
        assert listed(book, order=OLDEST, **parts) == whole[::-1], parts
        assert all(one > other for one, other in pairwise(numbers(whole))), parts


def test_a_time_shares_out_every_list(
    book: Book, filters: list[dict[str, Any]], moments: dict[str, tuple[Timestamp, ...]]
) -> None:
    """Before it, and from it on: each transaction once, and those of that very moment among the latter."""
    met = 0
    for parts in [{}, *filters]:
        whole = numbers(listed(book, **parts))
        for field in TIMES:
            if any(name.startswith(field) for name in parts):
                continue
            for time in moments[field]:
                before = listed(book, **parts, **{f"{field}_until": time})
                after = listed(book, **parts, **{f"{field}_from": time})
                assert sorted(numbers(before + after), reverse=True) == whole, (parts, field, time)
                met += sum(getattr(one, field) == time for one in after)
                assert not any(getattr(one, field) == time for one in before), (parts, field, time)
    assert met


def test_what_is_a_reversal_and_what_is_none_share_out_every_list(
    book: Book, filters: list[dict[str, Any]]
) -> None:
    for parts in [{}, *filters]:
        if "reversals" in parts:
            continue
        reversals, others = (listed(book, **parts, reversals=wanted) for wanted in (True, False))

        assert sorted(numbers(reversals + others), reverse=True) == numbers(listed(book, **parts)), parts
        assert all(one.reverses for one in reversals), parts
        assert not any(one.reverses for one in others), parts


def test_a_prefix_lists_what_the_accounts_at_it_and_below_it_list_together(book: Book) -> None:
    for prefix in PREFIXES:
        under = [name for name in TYPES if name == prefix or name.startswith(prefix + ":")]
        expected = {number for name in under for number in numbers(listed(book, account=name))}

        assert numbers(listed(book, account_prefix=prefix)) == sorted(expected, reverse=True)
        request = accounts_pb.ListAccountsRequest(ledger=book.ledger, prefix=prefix)
        found = walked(book.server.accounts.ListAccounts, request, "accounts")
        assert [one.name for one in found] == under  # type: ignore[attr-defined]


def test_two_parts_list_what_each_of_them_lists(book: Book, filters: list[dict[str, Any]]) -> None:
    met = 0
    for both in pairs(filters, 60):
        one, other = ({field: value} for field, value in both.items())
        allowed = set(numbers(listed(book, **other)))
        expected = [number for number in numbers(listed(book, **one)) if number in allowed]

        assert numbers(listed(book, **both)) == expected, both
        met += bool(expected)
    assert met > 10


def test_entries_are_one_list_for_every_account_and_asset(book: Book) -> None:
    """Also where a transaction has several entries in the account."""
    neighbours = 0
    for account in TYPES:
        for asset in ("", *ASSETS):
            newest, oldest = (
                pb.ListEntriesRequest(ledger=book.ledger, account=account, asset=asset, order=order)
                for order in (NEWEST, OLDEST)
            )
            call = book.server.ledgers.ListEntries
            whole: list[Any] = walked(call, newest, "entries")
            places = [(one.sequence, one.index) for one in whole]
            neighbours += len(places) - len({sequence for sequence, _ in places})

            assert places == sorted(set(places), reverse=True)
            assert walked(call, newest, "entries", 1) == whole
            assert walked(call, oldest, "entries", 3) == whole[::-1]
            listed_there = {one.sequence for one in listed(book, account=account)}
            assert asset or {sequence for sequence, _ in places} == listed_there
    assert neighbours > 10


def test_every_other_list_is_one_list_too(book: Book, stages: list[Stage]) -> None:
    """Accounts under every prefix and type, rows of trial balances now and then, assets, ledgers."""
    server, name = book.server, book.ledger
    stages[0].open_book("pages:another")
    heads = (0, book.head() // 2)
    lists: list[tuple[Any, Message, str]] = [
        (server.admin.ListLedgers, admin_pb.ListLedgersRequest(), "ledgers"),
        (server.admin.ListAssets, admin_pb.ListAssetsRequest(ledger=name), "assets"),
        *[
            (
                server.accounts.ListAccounts,
                accounts_pb.ListAccountsRequest(ledger=name, prefix=prefix, type=kind),
                "accounts",
            )
            for prefix in ("", *PREFIXES)
            for kind in (nouns.ACCOUNT_TYPE_UNSPECIFIED, *set(TYPES.values()))
        ],
        *[
            (
                server.ledgers.TrialBalance,
                pb.TrialBalanceRequest(ledger=name, rows=rows, at_sequence=at),
                "rows",
            )
            for rows in pb.TrialBalanceRows.values()
            for at in heads
        ],
    ]
    longest = 0
    for call, request, rows in lists:
        whole = walked(call, request, rows)
        longest = max(longest, len(whole))

        assert walked(call, request, rows, 1) == whole, request
        assert walked(call, request, rows, 3) == whole, request
    assert longest > 10
