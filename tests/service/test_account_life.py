"""Accounts that change, through the lane: what lanes remember, races, lost commits, the books afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from callers import Refused, Teller, post_operation, refusal_of, refused_operation, together, unsound
from clusters import Database
from faults import Faulty
from ledger.v1 import account_service_pb2 as accounts_pb
from ledger.v1 import ledger_pb2 as nouns
from serving import Serving, serving

from ledger_server.domain.accounts import AccountChangeDraft, AccountDraft, AccountStatus, AccountType, Limit
from ledger_server.domain.decisions import Draft, Recorded
from ledger_server.domain.refusals import Refusal
from ledger_server.domain.transactions import EntryDraft, PostDraft
from ledger_server.service.ledger import Ledgers
from ledger_server.service.verify import Proof, prove
from ledger_server.store.database import Database as StoreDatabase
from ledger_server.store.replaying import reading_journals

PLACES = ["before_begin", "after_head", "before_commit", "commit_sent", "after_commit"]


@pytest.fixture
def others(shared_database: Database) -> Iterator[Serving]:
    """Another server of the same database."""
    with serving(shared_database.app_url) as server:
        yield server


def bound(low: str | None = None, high: str | None = None) -> list[nouns.BalanceLimit]:
    """A limit in USD."""
    return [nouns.BalanceLimit(asset="USD", balance_min=low, balance_max=high)]


def check(database: Database, teller: Teller) -> None:
    """The journal is sound, and proven."""
    assert unsound(database.owner_url, teller.ledger) == []
    with reading_journals(database.app_url, teller.ledger) as journals:
        (journal,) = journals
        assert isinstance(prove(journal), Proof)


def test_an_account_lives_from_opening_to_closing(teller: Teller, shared_database: Database) -> None:
    head = teller.head()

    updated = teller.update("wallet", limits=bound("0", "50"), metadata={"plan": "basic"})
    frozen = teller.change("Freeze", "wallet", 2)
    refused = refusal_of(lambda: teller.post("cash", "wallet", 1))
    thawed = teller.change("Unfreeze", "wallet")
    teller.post("cash", "wallet", 50, "fill")
    full = refusal_of(lambda: teller.change("Close", "wallet"))
    teller.reverse("fill")
    closed = teller.change("Close", "wallet", 4)

    assert (refused.reason, full.reason) == ("ACCOUNT_FROZEN", "ACCOUNT_NOT_EMPTY")
    steps = [updated, frozen, thawed, closed]
    assert [one.account.version for one in steps] == [2, 3, 4, 5]
    assert [one.account.sequence for one in steps] == [head + 1, head + 2, head + 3, head + 6]
    assert [one.account.status for one in steps] == [1, 2, 1, 3]
    assert [one.replayed for one in steps] == [False] * 4
    assert len({one.hash for one in steps}) == 4
    assert teller.account("wallet") == closed.account
    assert dict(closed.account.metadata) == {"plan": "basic"}
    assert closed.account.limits == updated.account.limits
    assert teller.balance("wallet") == 0
    assert len(teller.entries("wallet").entries) == 2
    check(shared_database, teller)


def test_the_same_change_again_is_a_replay_on_every_server(teller: Teller, others: Serving) -> None:
    first = teller.update("wallet", metadata={"a": "1"})
    head = teller.head()

    for one in (teller, teller.at(others)):
        again = one.update("wallet", metadata={"a": "1"})
        assert again.replayed
        assert (again.account, again.hash) == (first.account, first.hash)
        assert one.change("Unfreeze", "wallet").replayed
    assert teller.head() == head


def test_another_servers_lane_hears_of_it(teller: Teller, others: Serving) -> None:
    there = teller.at(others)
    teller.post("cash", "sales", 1)
    there.post("cash", "sales", 1)

    teller.change("Freeze", "sales")

    assert refusal_of(lambda: there.post("cash", "sales", 1)).reason == "ACCOUNT_FROZEN"
    there.change("Unfreeze", "sales")
    teller.update("sales", 3, limits=bound(None, "3"))
    there.post("cash", "sales", 1)
    assert refusal_of(lambda: there.post("cash", "sales", 1)).reason == "BALANCE_LIMIT_EXCEEDED"
    teller.post("other", "cash", 1)


def test_an_account_is_opened_again_as_it_was_on_every_server(teller: Teller, others: Serving) -> None:
    opened = teller.open_account("card", balance_min="0")
    teller.update("card", limits=[], metadata={"a": "1"})
    teller.change("Freeze", "card")

    for one in (teller, teller.at(others)):
        again = one.open_account("card", balance_min="0")
        assert again.replayed
        assert (again.account, again.hash) == (opened.account, opened.hash)
        assert refusal_of(lambda one=one: one.open_account("card")).reason == "ACCOUNT_ALREADY_EXISTS"  # type: ignore[misc]


def test_of_many_changes_of_one_version_one_is_made(teller: Teller) -> None:
    answers = together([lambda n=n: teller.update("wallet", metadata={"n": str(n)}) for n in range(12)])

    made = [one for one in answers if isinstance(one, accounts_pb.UpdateAccountResponse)]
    refused = [one for one in answers if isinstance(one, Refused)]
    assert len(made) == 1
    assert {(one.reason, one.facts["version"]) for one in refused} == {("VERSION_MISMATCH", "2")}
    assert teller.account("wallet") == made[0].account


def test_an_account_is_never_closed_with_something_in_it(teller: Teller, shared_database: Database) -> None:
    for number in range(10):
        name = f"race:{number}"
        teller.open_account(name, nouns.ACCOUNT_TYPE_ASSET)
        calls: list[Any] = [lambda name=name: teller.change("Close", name)]
        calls += [lambda name=name: teller.post(name, "sales", 1) for _ in range(4)]

        closed, *posted = together(calls)

        amount = teller.balance(name)
        assert amount == sum(not isinstance(one, Refused) for one in posted)
        if isinstance(closed, Refused):
            assert closed.reason == "ACCOUNT_NOT_EMPTY"
        else:
            assert amount == 0
            assert {one.reason for one in posted} == {"ACCOUNT_CLOSED"}
    check(shared_database, teller)


def test_a_frozen_accounts_neighbours_in_a_batch_go_through(
    teller: Teller, shared_database: Database
) -> None:
    teller.change("Freeze", "wallet")

    results = teller.batch([post_operation("cash", other, 1) for other in ("sales", "wallet", "other") * 40])

    for index, result in enumerate(results):
        if index % 3 == 1:
            assert refused_operation(result).reason == "ACCOUNT_FROZEN"
        else:
            assert result.sequence
    check(shared_database, teller)


# drafts of several kinds in one batch, which no call sends yet -------------------------------------


@pytest.fixture
def ledgers(shared_database: Database) -> Iterator[Ledgers]:
    """The verbs themselves, on lanes of their own."""
    opened = StoreDatabase(shared_database.app_url, committers=2, readers=2)
    opened.open()
    ledgers = Ledgers(opened, committers=2, ahead_from=1, waiting_max=64)
    ledgers.start()
    yield ledgers
    ledgers.stop()
    opened.close()


def post(debit: str, credit: str, amount: int) -> PostDraft:
    """A post."""
    lines = (EntryDraft(debit, True, amount, "USD"), EntryDraft(credit, False, amount, "USD"))
    return PostDraft(lines, "", "", None, "", {}, "", "test")


def limited(name: str, low: int | None, high: int | None) -> AccountChangeDraft:
    """New limits in USD."""
    return AccountChangeDraft(name, 0, "test", limits={"USD": Limit(low, high)})


def test_limits_bound_what_follows_them_within_one_batch(
    teller: Teller, shared_database: Database, ledgers: Ledgers
) -> None:
    teller.post("cash", "sales", 5)
    drafts: list[Draft] = [
        limited("sales", None, 7),
        post("cash", "sales", 2),
        post("cash", "sales", 1),
        AccountDraft("fresh", AccountType.ASSET, {}, {}, "test"),
        post("fresh", "cash", 4),
        limited("fresh", 2, None),
        post("cash", "fresh", 2),
        post("cash", "fresh", 1),
        AccountDraft("late", AccountType.ASSET, {}, {}, "test"),
        limited("late", None, 9),
        post("late", "other", 9),
        AccountChangeDraft("sales", 2, "test", limits={}),
        post("cash", "sales", 90),
    ]

    decisions = ledgers.decide(teller.ledger, drafts)

    refused = {index: one.reason for index, one in enumerate(decisions) if isinstance(one, Refusal)}
    assert refused == {2: "BALANCE_LIMIT_EXCEEDED", 7: "INSUFFICIENT_FUNDS"}
    assert [teller.balance(name) for name in ("sales", "fresh", "late")] == [97, 2, 9]
    check(shared_database, teller)


def test_the_database_knows_the_balance_that_a_new_limit_meets(
    teller: Teller, shared_database: Database, ledgers: Ledgers
) -> None:
    """In an atomic batch, which is not halved until the database takes it."""
    teller.post("cash", "sales", 5)
    drafts: list[Draft] = [
        AccountDraft("late", AccountType.ASSET, {}, {}, "test"),
        limited("late", None, 9),
        limited("sales", 5, 7),
        post("cash", "sales", 2),
        post("late", "other", 9),
    ]

    decisions = ledgers.decide(teller.ledger, drafts, atomic=True)

    assert all(isinstance(one, Recorded) for one in decisions), decisions
    check(shared_database, teller)


def test_an_account_that_is_limited_when_its_lane_knows_it_well_is_bounded_from_then_on(
    teller: Teller, shared_database: Database
) -> None:
    for _ in range(2):
        teller.post("cash", "sales", 5)
    teller.update("sales", limits=bound("0", "12"))

    teller.post("cash", "sales", 2)
    full = refusal_of(lambda: teller.post("cash", "sales", 1))
    teller.update("sales", 2, limits=[])
    teller.post("cash", "sales", 1)

    assert full.reason == "BALANCE_LIMIT_EXCEEDED"
    assert teller.balance("sales") == 13
    check(shared_database, teller)


def test_an_account_is_emptied_closed_and_opened_again_in_one_batch(
    teller: Teller, shared_database: Database, ledgers: Ledgers
) -> None:
    teller.post("cash", "sales", 5)
    again = AccountDraft("sales", AccountType.REVENUE, {}, {}, "test")
    drafts: list[Draft] = [
        post("sales", "cash", 5),
        AccountChangeDraft("sales", 1, "test", status=AccountStatus.FROZEN),
        AccountChangeDraft("sales", 2, "test", status=AccountStatus.CLOSED),
        post("cash", "sales", 1),
        again,
    ]

    decisions = ledgers.decide(teller.ledger, drafts)

    assert isinstance(decisions[3], Refusal)
    assert decisions[3].reason == "ACCOUNT_CLOSED"
    opened = decisions[4]
    assert isinstance(opened, Recorded)
    assert opened.replayed
    (once_more,) = ledgers.decide(teller.ledger, [again])
    assert isinstance(once_more, Recorded)
    assert once_more.record == opened.record
    assert teller.account("sales").version == 3
    check(shared_database, teller)


# faults -----------------------------------------------------------------------------------------------


def test_a_change_whose_session_is_ended_anywhere_on_the_path_is_made_once(faulty: Faulty) -> None:
    for place in PLACES:
        teller = Teller.open(faulty.server)
        head = teller.head()
        faulty.end_the_next_lane_holder_at(place)

        frozen = teller.change("Freeze", "wallet")

        assert (frozen.account.sequence, frozen.replayed) == (head + 1, False), place
        assert teller.head() == head + 1, place
        assert refusal_of(lambda teller=teller: teller.post("cash", "wallet", 1)).reason == "ACCOUNT_FROZEN"  # type: ignore[misc]
        check(faulty.database, teller)
