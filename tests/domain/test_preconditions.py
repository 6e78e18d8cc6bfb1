"""Conditions of a post: judged behind the key and before its own rules, and no content of it."""

from __future__ import annotations

from typing import Any

import pytest
from builders import PaperBooks, account_draft, change_draft, close_draft, credit, debit, post_draft

from ledger_server.domain.accounts import AccountType
from ledger_server.domain.decisions import Draft, Recorded
from ledger_server.domain.refusals import Refusal
from ledger_server.domain.transactions import AccountVersionCondition, BalanceCondition, Condition


@pytest.fixture
def paper() -> PaperBooks:
    """Books with 100 USD in the wallet, which may not fall below 0."""
    paper = PaperBooks()
    paper.post(debit("cash", 100), credit("wallet", 100))
    return paper


def holds(low: int | None, high: int | None, account: str = "wallet", asset: str = "USD") -> Condition:
    """That a balance lies between."""
    return BalanceCondition(account, asset, low, high)


def stands(account: str, version: int) -> Condition:
    """That an account is at a version."""
    return AccountVersionCondition(account, version)


def sale(*conditions: Condition, **more: Any) -> Draft:
    """A sale of 5 USD under conditions."""
    return post_draft(debit("cash", 5), credit("sales", 5), preconditions=conditions, **more)


def refusal(paper: PaperBooks, draft: Draft) -> Refusal:
    """Why the draft is refused; nothing is recorded by it."""
    head = paper.books.head
    (found,) = paper.decide(draft)
    assert isinstance(found, Refusal), found
    assert paper.books.head == head
    return found


@pytest.mark.parametrize(
    ("low", "high", "is_so"),
    [
        (100, None, True),
        (101, None, False),
        (None, 100, True),
        (None, 99, False),
        (100, 100, True),
        (0, 99, False),
        (101, 200, False),
        (-5, None, True),
    ],
)
def test_a_balance_lies_within_its_bounds_and_on_them(
    paper: PaperBooks, low: int | None, high: int | None, is_so: bool
) -> None:
    (decision,) = paper.decide(sale(holds(low, high)))

    assert isinstance(decision, Recorded) is is_so


def test_a_balance_is_judged_in_its_accounts_normal_sense(paper: PaperBooks) -> None:
    paper.recorded(sale(holds(100, 100, "wallet"), holds(100, 100, "cash"), holds(0, 0, "sales", "EUR")))


def test_what_is_so_instead_is_told(paper: PaperBooks) -> None:
    head = str(paper.books.head.sequence)

    below = refusal(paper, sale(holds(0, None), holds(150, 160)))
    other = refusal(paper, sale(stands("cash", 1), stands("wallet", 2)))

    assert below.reason == other.reason == "PRECONDITION_FAILED"
    assert below.facts == {
        "precondition": "1",
        "account": "wallet",
        "asset": "USD",
        "balance": "100",
        "min": "150",
        "max": "160",
        "sequence": head,
    }
    assert below.message == "account 'wallet' has 1.00 USD, and not at least 1.50 and at most 1.60"
    assert other.facts == {
        "precondition": "1",
        "account": "wallet",
        "version": "1",
        "expected_version": "2",
        "sequence": head,
    }


def test_a_condition_is_about_the_books_before_the_post(paper: PaperBooks) -> None:
    spend_all = post_draft(debit("wallet", 100), credit("sales", 100), preconditions=(holds(100, 100),))

    paper.recorded(spend_all)

    assert refusal(paper, spend_all).facts["balance"] == "0"


def test_conditions_see_the_drafts_before_them(paper: PaperBooks) -> None:
    paper.recorded(
        change_draft("wallet", 1, metadata={"a": "1"}),
        sale(stands("wallet", 2)),
        account_draft("card", AccountType.LIABILITY),
        sale(holds(0, 0, "card"), stands("card", 1), holds(5, 5, "sales")),
    )


def test_a_replay_is_answered_whatever_has_become_of_its_conditions(paper: PaperBooks) -> None:
    draft = sale(holds(0, 0, "sales"), stands("wallet", 1), key="k")
    (recorded,) = paper.recorded(draft)
    paper.recorded(change_draft("wallet", 1, metadata={"a": "1"}))

    assert paper.decide(draft) == [Recorded(recorded, True)]
    # They are no content: another one, or none, is the same post.
    assert paper.decide(sale(key="k")) == [Recorded(recorded, True)]
    assert paper.decide(sale(holds(7, 7, "nobody"), key="k")) == [Recorded(recorded, True)]


def test_they_leave_no_trace_in_the_record(paper: PaperBooks) -> None:
    bare = PaperBooks()
    bare.post(debit("cash", 100), credit("wallet", 100))

    with_conditions = paper.recorded(sale(holds(0, None), stands("cash", 1)))

    assert with_conditions == bare.recorded(sale())


def test_they_are_judged_before_the_posts_own_rules(paper: PaperBooks) -> None:
    paper.recorded(account_draft("card"), close_draft("card"))
    for own in (
        (debit("cash", 1), credit("nobody", 1)),
        (debit("cash", 1, "XXX"), credit("sales", 1, "XXX")),
        (debit("card", 1), credit("sales", 1)),
        (debit("wallet", 101), credit("sales", 101)),
    ):
        assert refusal(paper, post_draft(*own)).reason != "PRECONDITION_FAILED"
        found = refusal(paper, post_draft(*own, preconditions=(stands("cash", 2),)))
        assert found.reason == "PRECONDITION_FAILED"


def test_a_condition_names_what_is_there(paper: PaperBooks) -> None:
    paper.decide(post_draft(debit("nobody", 1, "XXX"), credit("cash", 1, "XXX")))

    assert refusal(paper, sale(stands("nobody", 1))).reason == "ACCOUNT_NOT_FOUND"
    assert refusal(paper, sale(holds(0, None, "nobody"))).reason == "ACCOUNT_NOT_FOUND"
    assert refusal(paper, sale(holds(0, None, "cash", "XXX"))).reason == "ASSET_NOT_FOUND"


def test_validate_only_judges_them_too(paper: PaperBooks) -> None:
    assert refusal(paper, sale(stands("cash", 2), validate_only=True)).reason == "PRECONDITION_FAILED"
    assert isinstance(paper.decide(sale(stands("cash", 1), validate_only=True))[0], Recorded)


def test_a_condition_on_a_closed_account_may_hold(paper: PaperBooks) -> None:
    paper.recorded(account_draft("card"), close_draft("card"))

    paper.recorded(sale(stands("card", 2), holds(0, 0, "card")))


def test_one_condition_that_does_not_hold_refuses_its_group(paper: PaperBooks) -> None:
    head = paper.books.head

    decisions = paper.decide(sale(), sale(holds(5, 5, "sales")), sale(holds(5, 5, "sales")), atomic=True)

    assert [one.reason for one in decisions if isinstance(one, Refusal)] == [
        "ATOMIC_GROUP_REFUSED",
        "ATOMIC_GROUP_REFUSED",
        "PRECONDITION_FAILED",
    ]
    assert paper.books.head == head
