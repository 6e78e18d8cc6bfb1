"""What is read: whole lists over pages, values of the right kind, and always the caller's own writes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from callers import Teller
from client.faces import Face, opened
from ledger.v1.chart_service_pb2 import AccountSet, Chart
from ledger.v1.ledger_service_pb2 import TransactionFilter
from serving import Serving

from ledger_client import (
    AccountDraft,
    AccountType,
    Below,
    Draft,
    InSet,
    Limit,
    Side,
    asks,
    connect,
    credit,
    debit,
)
from ledger_client.refusals import (
    AccountAlreadyExists,
    AccountSetNotFound,
    SequenceNotReached,
    Unavailable,
)

SALE = [debit("cash", 5, "USD"), credit("sales", 5, "USD")]


def test_a_ledger_is_made_and_read_back_with_its_assets_and_accounts(face: Face) -> None:
    created = face.create_ledger("shop", description="of shoes")
    assert face.create_ledger("shop", description="of shoes") == created
    face.create_asset("shop", "JPY", 0)
    asset = face.create_asset("shop", "EUR", 2)
    limit = Limit("EUR", balance_min=-(10**38) + 1, balance_max=None)
    wallet = AccountDraft("wallets:1", AccountType.LIABILITY, (limit,), {"owner": "1"})
    account = face.create_account("shop", wallet)
    face.create_accounts("shop", [AccountDraft("cash", AccountType.ASSET)])

    assert face.get_ledger("shop").sequence == account.sequence + 1
    assert [one.name for one in face.list_ledgers()] == ["shop"]
    assert [one.code for one in face.list_assets("shop")] == ["EUR", "JPY"]
    assert asset in face.list_assets("shop")
    assert face.get_account("shop", "wallets:1") == account
    assert (account.limits, account.metadata, account.normal_side) == ((limit,), {"owner": "1"}, Side.CREDIT)
    assert [one.name for one in face.list_accounts("shop")] == ["cash", "wallets:1"]
    assert [one.name for one in face.list_accounts("shop", prefix="wallets")] == ["wallets:1"]
    assert [one.name for one in face.list_accounts("shop", account_type=AccountType.ASSET)] == ["cash"]
    with pytest.raises(AccountAlreadyExists):
        face.create_account("shop", AccountDraft("cash", AccountType.EXPENSE))


def test_iterators_go_over_pages(face: Face, books: Teller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asks, "PAGE_SIZE", 3)
    posted = face.post_batch(books.ledger, [Draft(SALE, kind=f"k{number % 2}") for number in range(10)])
    sequences = [one.sequence for one in posted]

    assert [one.sequence for one in face.list_transactions(books.ledger)] == sequences[::-1]
    assert [one.sequence for one in face.list_transactions(books.ledger, oldest_first=True)] == sequences
    some = face.list_transactions(books.ledger, only=TransactionFilter(kind="k1"), oldest_first=True)
    assert [one.sequence for one in some] == sequences[1::2]
    entries = face.list_entries(books.ledger, "cash", oldest_first=True)
    assert [one.entry.balance_after for one in entries] == [5 * number for number in range(1, 11)]
    assert all(type(one.entry.amount) is int for one in entries)
    assert len(face.list_accounts(books.ledger)) == 4


def test_balances_and_the_trial_balance_are_ints_as_of_a_sequence(face: Face, books: Teller) -> None:
    first = face.post(books.ledger, SALE)
    large = 10**30
    face.post(books.ledger, [debit("cash", large, "USD"), credit("sales", large, "USD")])

    assert face.get_balance(books.ledger, "cash", "USD").posted == large + 5
    before = face.get_balance(books.ledger, "cash", "USD", at_sequence=first.sequence)
    assert (before.posted, before.sequence, before.last_sequence) == (5, first.sequence, first.sequence)
    none = face.get_balance(books.ledger, "other", "USD")
    assert (none.posted, none.last_record_time) == (0, None)
    found = face.get_balances(books.ledger, [("sales", "USD"), ("cash", "")])
    assert [one.posted for each in found for one in each] == [large + 5, large + 5]
    trial = face.trial_balance(books.ledger, digest=True)
    assert trial.is_balanced
    assert (trial.totals[0].debits, trial.totals[0].credits, len(trial.digest)) == (large + 5, large + 5, 32)
    kept = face.trial_balance(books.ledger, from_checkpoint=True)
    assert (trial.checkpoint_sequence, kept.totals) == (0, trial.totals)
    assert [(row.account, row.net) for row in face.trial_balance_rows(books.ledger)] == [
        ("cash", large + 5),
        ("sales", -large - 5),
    ]
    by_type = face.trial_balance_rows(books.ledger, by_type=True)
    assert [row.type for row in by_type] == [AccountType.ASSET, AccountType.REVENUE]


def test_sums_of_balances_are_of_a_path_or_of_a_set(face: Face, books: Teller) -> None:
    first = face.post(books.ledger, SALE)
    one = AccountSet(name="money", accounts=["cash"], sets=["more"])
    books.apply_chart(Chart(sets=[one, AccountSet(name="more", prefixes=["other"])]))
    last = face.post(books.ledger, [debit("other", 10**30, "USD"), credit("sales", 10**30, "USD")])

    found = face.get_aggregate_balance(books.ledger, InSet("money"))
    assert (found.account_count, found.chart_version, found.sequence) == (2, 1, last.sequence)
    (balance,) = found.balances
    assert (balance.asset, balance.posted, balance.account_count) == ("USD", 10**30 + 5, 2)
    assert balance.last_sequence == last.sequence
    assert balance.last_record_time == face.get_transaction(books.ledger, last.sequence).record_time
    before = face.get_aggregate_balance(books.ledger, Below("sales"), "USD", at_sequence=first.sequence)
    assert [one.posted for one in before.balances] == [-5]
    assert (before.account_count, before.chart_version, before.sequence) == (1, 0, first.sequence)
    none = face.get_aggregate_balance(books.ledger, Below("nobody"), "USD", deadline_s=30)
    assert [(one.posted, one.last_record_time) for one in none.balances] == [(0, None)]
    with pytest.raises(AccountSetNotFound) as caught:
        face.get_aggregate_balance(books.ledger, InSet("money"), at_sequence=first.sequence)
    assert caught.value.facts == {"account_set": "money"}


def test_times_have_a_time_zone_on_both_ways(face: Face, books: Teller) -> None:
    when = datetime(2024, 2, 29, 12, 30, 0, 123456, tzinfo=UTC)

    posted = face.post(books.ledger, SALE, effective_time=when.astimezone())
    found = face.get_transaction(books.ledger, posted.sequence)

    assert found.effective_time == when
    assert abs(datetime.now(UTC) - found.record_time) < timedelta(hours=1)
    with pytest.raises(ValueError, match="time zone"):
        face.post(books.ledger, SALE, effective_time=when.replace(tzinfo=None))


def test_a_read_asks_for_what_the_client_has_seen(face: Face, books: Teller) -> None:
    posted = face.post(books.ledger, SALE)
    assert face._client._posting.seen(books.ledger) == posted.sequence

    # As if this server had not come as far yet.
    face._client._posting.saw(books.ledger, posted.sequence + 1)

    with pytest.raises(SequenceNotReached) as caught:
        face.get_balance(books.ledger, "cash", "USD")
    assert caught.value.facts["min_sequence"] == str(posted.sequence + 1)


@pytest.mark.parametrize(
    ("list_all", "more"),
    [
        ("list_transactions", ()),
        ("list_entries", ("cash",)),
        ("list_accounts", ()),
        ("list_assets", ()),
        ("trial_balance_rows", ()),
    ],
)
def test_what_a_list_has_shown_is_noted_as_seen(
    face: Face, books: Teller, server: Serving, list_all: str, more: tuple[str, ...]
) -> None:
    with connect(server.target) as other:
        posted = other.post(books.ledger, SALE)

    getattr(face, list_all)(books.ledger, *more)

    assert face._client._posting.seen(books.ledger) == posted.sequence


@pytest.mark.parametrize("write", ["post", "post_whole", "post_batch", "create_account", "create_asset"])
def test_every_write_is_noted_as_seen(face: Face, books: Teller, write: str) -> None:
    arguments = {
        "post": (SALE,),
        "post_whole": (Draft(SALE),),
        "post_batch": ([Draft(SALE)],),
        "create_account": (AccountDraft("new", AccountType.ASSET),),
        "create_asset": ("NEW", 0),
    }

    getattr(face, write)(books.ledger, *arguments[write])

    assert face._client._posting.seen(books.ledger) == books.head()


def test_health_is_waited_for_and_its_absence_told_in_time(face_name: str, server: Serving) -> None:
    with opened(face_name, server.target) as face:
        face.wait_until_serving(30)
        assert face.health() == "SERVING"
    with (
        opened(face_name, "127.0.0.1:1") as face,
        pytest.raises(Unavailable, match=r"not serving within 0\.5 s"),
    ):
        face.wait_until_serving(0.5)
