"""`verify` proves memberships and reversals with force as it proves every other record."""

from __future__ import annotations

import psycopg
import pytest
from callers import Teller, unsound
from clusters import Database
from ledger.v1 import member_service_pb2 as pb
from ledger.v1 import member_service_pb2_grpc
from tampered import proven, unchecked, undone

from ledger_server.service.verify import BadRecord, Proof

# A teller's ledger has six records when it is opened.
ANN, BOB, CHANGED, REMOVED, AGAIN, FUNDED, SPENT, FORCED, UNDONE = range(7, 16)


@pytest.fixture
def book(teller: Teller) -> Teller:
    """A ledger with members who came, changed and went, and two reversals, one of them with force."""
    members = member_service_pb2_grpc.MemberServiceStub(teller.server.channel)

    def add(principal: str, *roles: int, version: int = 0, prefixes: tuple[str, ...] = ()) -> None:
        request = pb.AddMemberRequest(
            ledger=teller.ledger,
            principal=principal,
            roles=roles,  # type: ignore[arg-type]
            version=version,
            account_prefixes=prefixes,
        )
        members.AddMember(request)

    add("ann", pb.ROLE_TENANT_ADMIN)
    add("bob", pb.ROLE_POSTER, pb.ROLE_READER, prefixes=("wallet", "cash"))
    add("bob", pb.ROLE_READER, version=1, prefixes=("wallet",))
    members.RemoveMember(pb.RemoveMemberRequest(ledger=teller.ledger, principal="bob"))
    add("bob", pb.ROLE_AUDITOR)
    teller.post("cash", "wallet", 5, "fund")
    teller.post("wallet", "cash", 5, "spend")
    teller.reverse("fund", "forced", force=True)
    teller.reverse("spend", "undone")
    assert teller.head() == UNDONE
    return teller


def test_a_journal_with_members_and_force_is_proven_whole(book: Teller, shared_database: Database) -> None:
    proof = proven(shared_database, book.ledger)

    assert isinstance(proof, Proof)
    assert proof.sequence == UNDONE
    assert unsound(shared_database.owner_url, book.ledger) == []


EDITS: list[tuple[str, str, int]] = [
    ("members", "principal = 'eve'", BOB),
    ("members", "roles = array[1]::smallint[]", BOB),
    ("members", "roles = array[2, 1]::smallint[]", BOB),
    ("members", "account_prefixes = '{}'", BOB),
    ("members", "account_prefixes = array['wallet', 'cash']", BOB),
    ("members", "version = 9", BOB),
    ("members", "status = 2", BOB),
    ("members", "created_by = 'mallory'", BOB),
    ("members", "record_time = record_time + interval '1us'", BOB),
    ("members", "hash = sha256(hash)", BOB),
    ("members", "sequence = 4000", BOB),
    ("members", "version = 8", CHANGED),
    ("members", "roles = array[7]::smallint[]", REMOVED),
    ("members", "status = 1", REMOVED),
    ("members", "roles = '{}'", AGAIN),
    ("transactions", "forced = false", FORCED),
    ("transactions", "forced = true", UNDONE),
    ("transactions", "forced = true", FUNDED),
]


@pytest.mark.criterion("S004-2")
def test_every_single_edit_is_found_at_its_sequence(book: Teller, shared_database: Database) -> None:
    with psycopg.connect(shared_database.owner_url, autocommit=True) as session:
        session.execute("set session_replication_role = replica")
        for relation, change, sequence in EDITS:
            with undone(session, relation, book.ledger, sequence) as where:
                # What a constraint would refuse is damage all the same.
                for constraint in unchecked(session, relation):
                    session.execute(f"alter table ledger.{relation} drop constraint {constraint}".encode())
                edited = session.execute(f"update ledger.{relation} set {change} where {where}".encode())
                assert edited.rowcount == 1, (relation, change)

                found = proven(shared_database, book.ledger)

                assert isinstance(found, BadRecord), (relation, change)
                assert found.sequence == sequence, (relation, change, found)
