"""Reversals with force: past balance bounds, and past nothing else."""

from __future__ import annotations

import pytest
from builders import PaperBooks, credit, debit, post_draft, reverse_draft

from ledger_server.domain.decisions import Recorded
from ledger_server.domain.refusals import (
    IdempotencyKeyReused,
    InsufficientFunds,
    Refusal,
    ReversalAlreadyExists,
    ReversalForbiddenType,
    TransactionNotFound,
)
from ledger_server.domain.transactions import Transaction


@pytest.fixture
def spent() -> PaperBooks:
    """A top-up of 100 under the key `up`, of which 70 are spent."""
    paper = PaperBooks()
    paper.post(debit("cash", 100), credit("wallet", 100), key="up")
    paper.post(debit("wallet", 70), credit("sales", 70), key="spend")
    return paper


def forced(paper: PaperBooks, origin: int | str, key: str = "") -> Transaction:
    """The record of a reversal with force."""
    (decision,) = paper.decide(reverse_draft(origin, key, force=True))
    assert isinstance(decision, Recorded), decision
    assert isinstance(decision.record, Transaction)
    return decision.record


def refusal(paper: PaperBooks, origin: int | str, key: str = "", *, force: bool) -> Refusal:
    (decision,) = paper.decide(reverse_draft(origin, key, force=force))
    assert isinstance(decision, Refusal), decision
    return decision


def test_force_reverses_a_top_up_that_is_spent(spent: PaperBooks) -> None:
    assert isinstance(refusal(spent, "up", force=False), InsufficientFunds)

    record = forced(spent, "up")

    assert record.forced
    assert spent.balance("wallet") == 70
    # What was passed over still holds everybody else.
    (decision,) = spent.decide(post_draft(debit("wallet", 1), credit("sales", 1)))
    assert isinstance(decision, InsufficientFunds)
    assert isinstance(spent.decide(post_draft(debit("cash", 1), credit("wallet", 1)))[0], Recorded)


def test_force_passes_over_bounds_only(spent: PaperBooks) -> None:
    undone = forced(spent, "up", "undone")

    assert isinstance(refusal(spent, "up", force=True), ReversalAlreadyExists)
    assert isinstance(refusal(spent, undone.sequence, force=True), ReversalForbiddenType)
    assert isinstance(refusal(spent, 999, force=True), TransactionNotFound)


def test_force_is_part_of_the_content_and_of_the_hash(spent: PaperBooks) -> None:
    other = PaperBooks()
    other.post(debit("cash", 100), credit("wallet", 100), key="up")
    other.post(debit("wallet", 70), credit("sales", 70), key="spend")

    with_force = forced(spent, "spend", "k")
    (without,) = other.recorded(reverse_draft("spend", "k"))

    assert with_force.hash != without.hash
    assert [entry.balance_after for entry in with_force.entries] == [
        entry.balance_after for entry in without.entries
    ]
    reused = refusal(spent, "spend", "k", force=False)
    assert isinstance(reused, IdempotencyKeyReused)
    assert reused.facts["differing_fields"] == "force"
    (again,) = spent.decide(reverse_draft("spend", "k", force=True))
    assert again == Recorded(with_force, True)


def test_a_reversal_of_what_is_out_of_reach_is_of_nothing(spent: PaperBooks) -> None:
    for within in (("cash",), ("wallet",), ("cash:1", "wallet")):
        (decision,) = spent.decide(reverse_draft("spend", within=within))
        (nothing,) = spent.decide(reverse_draft("nobody", within=within))
        assert isinstance(decision, TransactionNotFound)
        assert isinstance(nothing, TransactionNotFound)
        assert decision.message.replace("spend", "nobody") == nothing.message

    (record,) = spent.recorded(reverse_draft("spend", "k", within=("sales", "wallet")))

    assert isinstance(record, Transaction)
    (decision,) = spent.decide(reverse_draft("spend", "k", within=("wallet",)))
    assert isinstance(decision, IdempotencyKeyReused)
    assert decision.facts == {"idempotency_key": "k"}
