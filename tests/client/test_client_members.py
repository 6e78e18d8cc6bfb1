"""Members and audit events, on both faces: values of the right kind, and typed refusals."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from callers import Teller
from client.faces import Face

from ledger_client import Role, credit, debit
from ledger_client.refusals import (
    InsufficientFunds,
    LastTenantAdmin,
    LedgerAlreadyExists,
    MemberAlreadyExists,
    MemberNotFound,
    ValidationFailed,
    VersionMismatch,
)


def test_members_are_added_changed_listed_and_removed(face: Face, books: Teller) -> None:
    ann = face.add_member(books.ledger, "ann", [Role.TENANT_ADMIN])
    bob = face.add_member(
        books.ledger, "bob", {Role.POSTER, Role.READER}, account_prefixes=["wallet", "cash"]
    )

    assert (bob.roles, bob.account_prefixes) == ({Role.READER, Role.POSTER}, ("cash", "wallet"))
    assert (bob.version, bob.sequence, bob.created_by) == (1, ann.sequence + 1, "anonymous")
    assert abs(bob.record_time - datetime.now(UTC)) < timedelta(minutes=5)
    assert face.add_member(books.ledger, "bob", [2, 1], account_prefixes=["cash", "wallet"]) == bob
    with pytest.raises(MemberAlreadyExists) as refused:
        face.add_member(books.ledger, "bob", [Role.READER])
    assert refused.value.facts["version"] == "1"
    with pytest.raises(VersionMismatch) as late:
        face.add_member(books.ledger, "bob", [Role.READER], version=2)
    assert not late.value.is_transient
    changed = face.add_member(books.ledger, "bob", [Role.READER], version=1)
    assert face.list_members(books.ledger) == [ann, changed]
    assert face.remove_member(books.ledger, "bob") == changed.sequence + 1
    with pytest.raises(MemberNotFound):
        face.remove_member(books.ledger, "bob")
    with pytest.raises(LastTenantAdmin):
        face.remove_member(books.ledger, "ann", version=1)
    assert face.list_members(books.ledger) == [ann]
    with pytest.raises(ValidationFailed):
        face.add_member(books.ledger, "eve", [])


def test_audit_events_are_read_back(face: Face, books: Teller) -> None:
    face.add_member(books.ledger, "ann", [Role.TENANT_ADMIN])

    newest, *older = face.list_audit_events(books.ledger)

    assert (newest.action, newest.subject, newest.actor, newest.means) == (
        "MEMBER_ADDED",
        "ann",
        "anonymous",
        "open",
    )
    assert (newest.ledger, newest.sequence, newest.count, newest.refused) == (
        books.ledger,
        books.head(),
        1,
        "",
    )
    assert face.list_audit_events(books.ledger, until=newest.occurred_at)[0] == newest
    assert face.list_audit_events(books.ledger, since=newest.occurred_at) == []
    assert face.list_audit_events(books.ledger, actor="ann") == []
    assert len(older) > 0
    assert "LEDGER_CREATED" in {event.action for event in face.list_audit_events()}


def test_force_passes_a_bound(face: Face, books: Teller) -> None:
    face.post(books.ledger, [debit("cash", 9, "USD"), credit("wallet", 9, "USD")], idempotency_key="up")
    face.post(books.ledger, [debit("wallet", 9, "USD"), credit("sales", 9, "USD")])
    with pytest.raises(InsufficientFunds):
        face.reverse(books.ledger, "up")

    undone = face.reverse(books.ledger, "up", force=True)

    assert face.get_transaction(books.ledger, undone.sequence).forced
    assert not face.get_transaction(books.ledger, "up").forced
    assert face.get_balance(books.ledger, "wallet", "USD").posted == -9


def test_a_ledger_is_created_with_its_tenant_admin(face: Face) -> None:
    face.create_ledger("shop", tenant_admin="ann")
    face.create_ledger("shop", tenant_admin="ann")

    assert [member.principal for member in face.list_members("shop")] == ["ann"]
    with pytest.raises(LedgerAlreadyExists):
        face.create_ledger("shop")
