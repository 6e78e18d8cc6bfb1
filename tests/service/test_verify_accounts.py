"""`verify` proves what changed accounts as it proves every other record."""

from __future__ import annotations

import psycopg
import pytest
from callers import Teller, unsound
from clusters import Database
from ledger.v1 import ledger_pb2 as nouns
from tampered import proven, unchecked, undone

from ledger_server.service.verify import BadRecord, Proof

# A teller's ledger has six records when it is opened.
LIMITED, FILLED, FROZEN, THAWED, EMPTIED, CLOSED, BEHIND = range(7, 14)


@pytest.fixture
def book(teller: Teller) -> Teller:
    """A ledger whose wallet was changed in every way and closed."""
    limits = [nouns.BalanceLimit(asset="USD", balance_min="0", balance_max="50")]
    teller.update("wallet", limits=limits, metadata={"plan": "basic"})
    teller.post("cash", "wallet", 50, "fill")
    teller.change("Freeze", "wallet")
    teller.change("Unfreeze", "wallet")
    teller.reverse("fill")
    teller.change("Close", "wallet")
    teller.post("cash", "sales", 1)
    assert teller.head() == BEHIND
    return teller


def test_a_journal_with_accounts_that_changed_is_proven_whole(
    book: Teller, shared_database: Database
) -> None:
    proof = proven(shared_database, book.ledger)

    assert isinstance(proof, Proof)
    assert proof.sequence == BEHIND
    assert unsound(shared_database.owner_url, book.ledger) == []


EDITS: list[tuple[str, int]] = [
    ("status = 2", LIMITED),
    ("status = 3", FROZEN),
    ("status = 1", FROZEN),
    ("status = 2", THAWED),
    ("status = 1", CLOSED),
    ("version = 9", LIMITED),
    ("limits = null", LIMITED),
    ('limits = \'{"1": {"balance_max": "51", "balance_min": "0"}}\'', LIMITED),
    ("limits = null", FROZEN),
    ("metadata = '{}'", LIMITED),
    ("metadata = '{}'", CLOSED),
    ("name = 'cash'", FROZEN),
    ("type = 1", FROZEN),
    ("account_id = 1", FROZEN),
    ("created_by = 'mallory'", THAWED),
    ("hash = sha256(hash)", CLOSED),
]


@pytest.mark.criterion("S004-2")
def test_every_single_edit_is_found_at_its_sequence(book: Teller, shared_database: Database) -> None:
    with psycopg.connect(shared_database.owner_url, autocommit=True) as session:
        session.execute("set session_replication_role = replica")
        for change, sequence in EDITS:
            with undone(session, "accounts", book.ledger, sequence) as where:
                # What a constraint would refuse is damage all the same.
                for constraint in unchecked(session, "accounts"):
                    session.execute(f"alter table ledger.accounts drop constraint {constraint}".encode())
                edited = session.execute(f"update ledger.accounts set {change} where {where}".encode())
                assert edited.rowcount == 1, change

                found = proven(shared_database, book.ledger)

                assert isinstance(found, BadRecord), change
                assert found.sequence == sequence, (change, found)


def test_a_head_that_knows_of_no_shut_account_is_found(book: Teller, shared_database: Database) -> None:
    with psycopg.connect(shared_database.owner_url, autocommit=True) as session:
        session.execute("set session_replication_role = replica")
        forgotten = session.execute(
            "update ledger.heads set has_shut = false"
            " where ledger_id = (select ledger_id from ledger.directory where name = %s)",
            [book.ledger],
        )

    found = proven(shared_database, book.ledger)

    assert forgotten.rowcount == 1
    assert isinstance(found, BadRecord)
    assert found.sequence == BEHIND
