"""Accounts that change, on both faces: values of the right kind, and typed refusals."""

from __future__ import annotations

import pytest
from callers import Teller
from client.faces import Face

from ledger_client import AccountStatus, Limit, credit, debit
from ledger_client.refusals import (
    AccountClosed,
    AccountFrozen,
    AccountNotEmpty,
    InsufficientFunds,
    ValidationFailed,
    VersionMismatch,
)


def test_an_account_is_updated_frozen_unfrozen_and_closed(face: Face, books: Teller) -> None:
    ledger, fill = books.ledger, [debit("cash", 5, "USD"), credit("wallet", 5, "USD")]
    limits = (Limit("USD", 5, None),)

    updated = face.update_account(ledger, "wallet", 1, limits=limits, metadata={"plan": "basic"})
    assert (updated.version, updated.limits, updated.metadata) == (2, limits, {"plan": "basic"})
    assert updated.status is AccountStatus.OPEN
    assert face.update_account(ledger, "wallet", 1, limits=limits) == updated
    with pytest.raises(VersionMismatch) as late:
        face.update_account(ledger, "wallet", 1, limits=())
    assert late.value.facts["version"] == "2"
    with pytest.raises(ValidationFailed):
        face.update_account(ledger, "wallet", 2)

    assert face.freeze_account(ledger, "wallet", version=2).status is AccountStatus.FROZEN
    with pytest.raises(AccountFrozen):
        face.post(ledger, fill)
    assert face.unfreeze_account(ledger, "wallet").version == 4
    face.post(ledger, fill)
    with pytest.raises(InsufficientFunds):
        face.post(ledger, [debit("wallet", 1, "USD"), credit("cash", 1, "USD")])

    with pytest.raises(AccountNotEmpty) as full:
        face.close_account(ledger, "wallet")
    assert full.value.facts["balance"] == "5"
    emptied = face.update_account(ledger, "wallet", 4, limits=())
    assert emptied.metadata == {"plan": "basic"}
    face.post(ledger, [debit("wallet", 5, "USD"), credit("cash", 5, "USD")])
    closed = face.close_account(ledger, "wallet", version=5)
    assert closed.status is AccountStatus.CLOSED
    with pytest.raises(AccountClosed):
        face.post(ledger, fill)
    assert face.get_account(ledger, "wallet") == closed
