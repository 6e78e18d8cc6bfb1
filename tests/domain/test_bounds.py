"""Bounds at their edges: the bound itself is allowed, one more is not, and a step back inside always is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import PaperBooks, account_draft, credit, debit, post_draft

from ledger_server.domain.accounts import AccountType, Limit
from ledger_server.domain.decisions import Recorded
from ledger_server.domain.refusals import BalanceLimitExceeded, InsufficientFunds, Refusal


@pytest.mark.parametrize("kind", AccountType)
@pytest.mark.parametrize(
    ("limit", "is_up", "refusal"),
    [
        (Limit(-100, None), False, InsufficientFunds),
        (Limit(None, 100), True, BalanceLimitExceeded),
    ],
    ids=["balance_min", "balance_max"],
)
def test_a_bound_is_reached_and_not_passed(
    kind: AccountType, limit: Limit, is_up: bool, refusal: type[Refusal]
) -> None:
    books = PaperBooks()
    books.recorded(account_draft("bounded", kind, {"USD": limit}))
    grows_by_debit = kind in (AccountType.ASSET, AccountType.EXPENSE)
    there, back = (debit, credit) if grows_by_debit is is_up else (credit, debit)

    reached, passed = books.decide(
        post_draft(there("bounded", 100), back("cash", 100)), post_draft(there("bounded", 1), back("cash", 1))
    )

    assert isinstance(reached, Recorded)
    assert isinstance(passed, refusal)
    assert passed.facts["balance"] == str(100 if is_up else -100)
    assert passed.facts["shortfall"] == "1"


@pytest.mark.parametrize("limit", [Limit(0, None), Limit(None, -100)], ids=["below", "above"])
def test_an_account_outside_its_bounds_may_come_nearer_step_by_step(limit: Limit) -> None:
    books = PaperBooks()
    books.recorded(account_draft("bounded", AccountType.ASSET, {"USD": Limit(None, None)}))
    version = books.books.accounts["bounded"]
    assert version is not None
    books.post(credit("bounded", 50), debit("cash", 50))
    # As a narrower limit would leave it.
    books.books.accounts["bounded"] = replace(version, version=2, limits={"USD": limit})
    nearer, farther = (debit, credit) if limit.balance_min is not None else (credit, debit)

    improved, worsened = books.decide(
        post_draft(nearer("bounded", 1), farther("cash", 1)),
        post_draft(farther("bounded", 1), nearer("cash", 1)),
    )

    assert isinstance(improved, Recorded)
    assert isinstance(worsened, InsufficientFunds | BalanceLimitExceeded)
