"""`verify` proves memberships and reversals with force as it proves every other record."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from callers import Teller, unsound
from clusters import Database
from ledger.v1 import member_service_pb2 as pb
from ledger.v1 import member_service_pb2_grpc

from ledger_server.service.verify import BadRecord, Proof, prove
from ledger_server.store.replaying import reading_journals

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


def proven(database: Database, name: str) -> Proof | BadRecord:
    """What `verify` says, read as ledger_app."""
    with reading_journals(database.app_url, name) as journals:
        (journal,) = journals
        try:
            return prove(journal)
        except BadRecord as bad:
            return bad


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


def unchecked(session: psycopg.Connection[Any], relation: str) -> list[str]:
    """The table's checks."""
    rows = session.execute(
        "select conname from pg_constraint where conrelid = %s::regclass and contype = 'c'",
        [f"ledger.{relation}"],
    )
    return [f'"{name}"' for (name,) in rows]


@contextmanager
def undone(session: psycopg.Connection[Any], relation: str, ledger: str, sequence: int) -> Iterator[str]:
    """Puts back what the block did to one row."""
    row = session.execute("select ledger_id from ledger.directory where name = %s", [ledger]).fetchone()
    assert row is not None
    where = f"ledger_id = {row[0]} and sequence = {sequence}"
    session.execute(f"create temporary table kept as select *, ctid as place from ledger.{relation}".encode())
    yield where
    others = f"select place from kept where not ({where})"
    session.execute(f"delete from ledger.{relation} where ctid not in ({others})".encode())
    columns = ", ".join(
        name
        for (name,) in session.execute(
            "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0"
            " and not attisdropped order by attnum",
            [f"ledger.{relation}"],
        )
    )
    session.execute(f"insert into ledger.{relation} select {columns} from kept where {where}".encode())
    session.execute("drop table kept")
