"""Accounts that change: versions, what is frozen, what is closed, and limits set where balances stand."""

from __future__ import annotations

from typing import Any

import pytest
from builders import (
    PaperBooks,
    account_draft,
    change_draft,
    close_draft,
    credit,
    debit,
    freeze_draft,
    post_draft,
    reverse_draft,
)

from ledger_server.domain.accounts import (
    AccountChangeDraft,
    AccountStatus,
    AccountType,
    AccountVersion,
    AssetDraft,
    Limit,
)
from ledger_server.domain.decisions import Draft, Recorded
from ledger_server.domain.refusals import Refusal

OPEN, FROZEN, CLOSED = AccountStatus
UNFREEZE = change_draft("wallet", status=OPEN)


@pytest.fixture
def paper() -> PaperBooks:
    """Books with 100 USD in the wallet, which may not fall below 0."""
    paper = PaperBooks()
    paper.post(debit("cash", 100), credit("wallet", 100))
    return paper


def refusal(paper: PaperBooks, draft: Draft) -> Refusal:
    """Why the draft is refused; nothing is recorded by it."""
    head = paper.books.head
    (found,) = paper.decide(draft)
    assert isinstance(found, Refusal), found
    assert paper.books.head == head
    return found


def changed(paper: PaperBooks, draft: AccountChangeDraft) -> AccountVersion:
    """The version that a change makes."""
    (record,) = paper.recorded(draft)
    assert isinstance(record, AccountVersion)
    return record


def spend(amount: int, **more: Any) -> Draft:
    """A post out of the wallet."""
    return post_draft(debit("wallet", amount), credit("sales", amount), **more)


def test_a_change_is_the_next_version_at_the_next_sequence(paper: PaperBooks) -> None:
    head = paper.books.head

    first = changed(paper, change_draft("wallet", 1, metadata={"a": "1"}))
    second = changed(paper, change_draft("wallet", 2, limits={"USD": Limit(-5, 7)}))

    assert [(one.version, one.sequence) for one in (first, second)] == [
        (2, head.sequence + 1),
        (3, head.sequence + 2),
    ]
    # What was not named stays.
    assert (first.limits, first.metadata) == ({"USD": Limit(0, None)}, {"a": "1"})
    assert (second.limits, second.metadata) == ({"USD": Limit(-5, 7)}, {"a": "1"})
    assert first.account == second.account
    assert paper.books.head.hash == second.hash != first.hash
    assert paper.books.accounts["wallet"] is second


def test_a_change_that_changes_nothing_is_answered_with_the_version_that_stands(paper: PaperBooks) -> None:
    standing = changed(paper, change_draft("wallet", 1, metadata={"a": "1"}))
    head = paper.books.head

    # The first is the same call again, which still names version 1.
    for draft in (
        change_draft("wallet", 1, metadata={"a": "1"}),
        change_draft("wallet", 2, limits={"USD": Limit(0, None)}, metadata={"a": "1"}),
        UNFREEZE,
    ):
        assert paper.decide(draft) == [Recorded(standing, True)]
    assert paper.books.head == head


def test_another_version_than_the_one_that_stands_is_refused(paper: PaperBooks) -> None:
    changed(paper, change_draft("wallet", 1, metadata={"a": "1"}))

    for version in (1, 3):
        found = refusal(paper, change_draft("wallet", version, metadata={}))

        assert found.reason == "VERSION_MISMATCH"
        assert found.facts == {"account": "wallet", "version": "2"}


def test_zero_is_whichever_version_stands(paper: PaperBooks) -> None:
    changed(paper, change_draft("wallet", 1, metadata={"a": "1"}))

    assert changed(paper, freeze_draft("wallet")).version == 3


def test_what_is_not_there_is_not_changed(paper: PaperBooks) -> None:
    assert refusal(paper, freeze_draft("nobody")).reason == "ACCOUNT_NOT_FOUND"
    assert refusal(paper, change_draft("wallet", 1, limits={"XAU": Limit(0, 1)})).reason == "ASSET_NOT_FOUND"


def test_nothing_is_posted_to_a_frozen_account_until_it_is_unfrozen(paper: PaperBooks) -> None:
    frozen = changed(paper, freeze_draft("wallet"))
    assert frozen.status is FROZEN

    for draft in (
        spend(1),
        spend(1, validate_only=True),
        post_draft(debit("cash", 1), credit("wallet", 1)),
        post_draft(debit("cash", 1), credit("sales", 1), debit("cash", 1), credit("wallet", 1)),
    ):
        found = refusal(paper, draft)
        assert found.reason == "ACCOUNT_FROZEN"
        assert found.facts == {"account": "wallet", "version": "2", "sequence": str(frozen.sequence)}
    paper.post(debit("cash", 1), credit("sales", 1))

    assert changed(paper, UNFREEZE).status is OPEN
    assert paper.recorded(spend(1))


def test_an_account_without_limits_is_frozen_as_well(paper: PaperBooks) -> None:
    paper.recorded(freeze_draft("cash"))

    assert refusal(paper, post_draft(debit("cash", 1), credit("sales", 1))).reason == "ACCOUNT_FROZEN"


@pytest.mark.parametrize("force", [False, True])
def test_no_reversal_touches_a_frozen_account_not_even_with_force(paper: PaperBooks, force: bool) -> None:
    origin = paper.post(debit("cash", 5), credit("wallet", 5))
    paper.recorded(freeze_draft("wallet"))

    assert refusal(paper, reverse_draft(origin.sequence, force=force)).reason == "ACCOUNT_FROZEN"

    paper.recorded(UNFREEZE, reverse_draft(origin.sequence, force=force))


def test_a_replay_is_answered_although_its_account_is_frozen_or_closed(paper: PaperBooks) -> None:
    draft = spend(100, key="all")
    (spent,) = paper.recorded(draft)

    for change in (freeze_draft("wallet"), close_draft("wallet")):
        paper.recorded(change)
        assert paper.decide(draft) == [Recorded(spent, True)]


def test_an_account_is_closed_at_zero_in_every_asset(paper: PaperBooks) -> None:
    paper.recorded(spend(100))
    paper.post(debit("cash", 3, "EUR"), credit("wallet", 3, "EUR"))

    found = refusal(paper, close_draft("wallet"))

    assert found.reason == "ACCOUNT_NOT_EMPTY"
    assert found.facts == {
        "account": "wallet",
        "asset": "EUR",
        "balance": "3",
        "sequence": str(paper.books.head.sequence),
    }
    paper.post(debit("wallet", 3, "EUR"), credit("sales", 3, "EUR"))
    assert changed(paper, close_draft("wallet")).status is CLOSED


def test_a_balance_below_zero_keeps_an_account_open_too(paper: PaperBooks) -> None:
    paper.post(debit("sales", 1), credit("cash", 1))

    found = refusal(paper, close_draft("sales"))

    assert (found.reason, found.facts["balance"]) == ("ACCOUNT_NOT_EMPTY", "-1")


def test_a_closed_account_is_closed_for_good(paper: PaperBooks) -> None:
    closed = paper.recorded(spend(100), freeze_draft("wallet"), close_draft("wallet"))[-1]
    facts = {"account": "wallet", "version": "3", "sequence": str(closed.sequence)}

    for draft in (
        spend(1),
        reverse_draft(7, force=True),
        UNFREEZE,
        freeze_draft("wallet"),
        change_draft("wallet", 3, limits={}),
        change_draft("wallet", 1, metadata={"a": "1"}),
    ):
        found = refusal(paper, draft)
        assert (found.reason, found.facts) == ("ACCOUNT_CLOSED", facts)
    assert paper.decide(close_draft("wallet", 2)) == [Recorded(closed, True)]


def test_a_frozen_account_may_be_updated_and_closed(paper: PaperBooks) -> None:
    paper.recorded(spend(100), freeze_draft("wallet"))

    updated = changed(paper, change_draft("wallet", 2, metadata={"why": "fraud"}))

    assert updated.status is FROZEN
    assert changed(paper, close_draft("wallet", 3)).metadata == {"why": "fraud"}


def test_a_new_limit_bounds_from_then_on(paper: PaperBooks) -> None:
    paper.recorded(change_draft("wallet", 1, limits={"USD": Limit(0, 120)}))

    assert refusal(paper, post_draft(debit("cash", 21), credit("wallet", 21))).facts["balance_max"] == "120"
    paper.recorded(post_draft(debit("cash", 20), credit("wallet", 20)))


def test_lifted_limits_bound_nothing(paper: PaperBooks) -> None:
    paper.recorded(change_draft("wallet", 1, limits={}))

    paper.recorded(spend(101))


def test_a_limit_that_the_balance_has_passed_refuses_only_what_leads_further_away(paper: PaperBooks) -> None:
    paper.recorded(change_draft("wallet", 1, limits={"USD": Limit(150, None)}))

    found = refusal(paper, spend(1))
    assert (found.reason, found.facts["shortfall"]) == ("INSUFFICIENT_FUNDS", "51")
    paper.recorded(post_draft(debit("cash", 1), credit("wallet", 1)))
    paper.recorded(change_draft("wallet", 2, limits={"USD": Limit(None, 50)}))
    assert (
        refusal(paper, post_draft(debit("cash", 1), credit("wallet", 1))).reason == "BALANCE_LIMIT_EXCEEDED"
    )
    paper.recorded(spend(1))


def test_an_account_is_opened_again_as_it_was_opened_whatever_was_changed_since(paper: PaperBooks) -> None:
    (opened,) = paper.recorded(account_draft("card", AccountType.LIABILITY, {"USD": Limit(0, 5)}, {"a": "1"}))
    paper.recorded(change_draft("card", 1, limits={}, metadata={}), freeze_draft("card"))

    again = account_draft("card", AccountType.LIABILITY, {"USD": Limit(0, 5)}, {"a": "1"})
    assert paper.decide(again) == [Recorded(opened, True)]
    found = refusal(paper, account_draft("card", AccountType.LIABILITY))
    assert found.reason == "ACCOUNT_ALREADY_EXISTS"
    assert found.facts["differing_fields"] == "limits,metadata"


def test_what_is_frozen_is_told_before_overflows_and_bounds(paper: PaperBooks) -> None:
    paper.recorded(freeze_draft("cash"))
    most = 10**38 - 1

    assert refusal(paper, post_draft(debit("wallet", 101), credit("cash", 101))).reason == "ACCOUNT_FROZEN"
    found = refusal(paper, post_draft(credit("wallet", most), debit("cash", most)))
    assert found.reason == "ACCOUNT_FROZEN"
    unknown = post_draft(debit("cash", 1), credit("nobody", 1))
    assert refusal(paper, unknown).reason == "ACCOUNT_NOT_FOUND"


def test_a_refused_group_leaves_accounts_as_they_were(paper: PaperBooks) -> None:
    before = paper.snapshot()

    paper.decide(
        change_draft("wallet", 1, limits={}), freeze_draft("cash"), close_draft("wallet"), atomic=True
    )

    assert paper.snapshot() == before


def test_an_account_may_be_closed_where_an_asset_came_later(paper: PaperBooks) -> None:
    paper.recorded(account_draft("card"), AssetDraft("XAU", 0, "test"))

    assert changed(paper, close_draft("card")).status is CLOSED
