"""Tenants apart over the wire: what is another's does not exist, in every byte, and nothing is written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import psycopg
import pytest
from callers import Refused, Teller, answer_of, lines, refusal_of
from clusters import Database
from ledger.v1 import ledger_admin_service_pb2 as admin_pb
from ledger.v1 import ledger_pb2 as nouns
from ledger.v1 import ledger_service_pb2 as pb
from ledger.v1 import member_service_pb2 as members_pb
from loyalty import ON
from society import ROOT, Person, Society, another_server, society
from sound_calls import requests

from ledger_server.domain.members import Role
from ledger_server.rpc.page_tokens import page_token
from ledger_server.service.remembered import REMEMBERED_S

CHART = (Role.ACCOUNTANT, Role.POSTER, Role.REVERSER, Role.READER)


@pytest.fixture(scope="module")
def people(shared_database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Society]:
    """A server that asks who calls."""
    with society(shared_database.app_url, tmp_path_factory.mktemp("jwks"), **ON) as people:
        yield people


def opened(people: Society, name: str = "") -> tuple[str, Person, Teller]:
    """A ledger with USD, cash and sales, its tenant-admin, and a clerk who may read and write."""
    ledger, admin = people.ledger(name)
    clerk = Teller(people.member(ledger, admin, *CHART), ledger)
    clerk.create_asset("USD", 2)
    clerk.open_account("cash", nouns.ACCOUNT_TYPE_ASSET)
    clerk.open_account("sales", nouns.ACCOUNT_TYPE_REVENUE)
    return ledger, admin, clerk


def person_of(teller: Teller) -> Person:
    """Who the teller is."""
    assert isinstance(teller.server, Person)
    return teller.server


def rows(database: Database) -> dict[str, int]:
    """How many rows each table of records has."""
    with psycopg.connect(database.owner_url) as connection:
        return {
            table: connection.execute(f"select count(*) from ledger.{table}".encode()).fetchone()[0]  # type: ignore[index]
            for table in ("directory", "assets", "accounts", "members", "transactions", "entries")
        }


def whole(call: Callable[[], object]) -> tuple[Any, ...]:
    """Everything that a caller sees of a refusal."""
    try:
        answer = call()
    except grpc.RpcError as error:
        return (
            error.code(),
            error.details(),
            sorted(error.trailing_metadata()),
            sorted(error.initial_metadata()),
        )
    raise AssertionError(f"answered {answer}")


@pytest.mark.criterion("S000-6", "S000-7", "S000-8", "S001-1", "S001-2", "S004-14")
def test_anothers_ledger_is_answered_as_one_that_does_not_exist(
    people: Society, shared_database: Database
) -> None:
    foreign, _, clerk = opened(people, "tenant:a:0")
    clerk.post("cash", "sales", 5, "first")
    _, _, other = opened(people, "tenant:b:0")
    before = rows(shared_database)

    # The same length, so that even lengths agree.
    theirs, nobodys = requests(foreign), requests("tenant:z:9")
    for name in theirs:
        if name in ("LedgerAdminService.GetServerInfo",):
            continue
        known = whole(lambda call=theirs[name]: call(other.server))
        unknown = whole(lambda call=nobodys[name]: call(other.server))
        assert str(known).replace(foreign, "tenant:z:9") == str(unknown), name
        if "CreateLedger" not in name and "ListLedgers" not in name and "of none" not in name:
            assert known[0] is grpc.StatusCode.NOT_FOUND, name

    assert rows(shared_database) == before
    assert clerk.balance("cash") == 5


@pytest.mark.criterion("S004-11")
def test_the_same_key_in_two_ledgers_is_two_keys(people: Society) -> None:
    _, _, one = opened(people)
    _, _, other = opened(people)

    first = one.post("cash", "sales", 5, "k")
    second = other.post("cash", "sales", 7, "k")

    assert not first.replayed
    assert not second.replayed
    assert one.balance("cash") == 5
    assert other.balance("cash") == 7


@pytest.mark.criterion("S001-2")
def test_accounts_and_transactions_of_another_ledger_are_not_found_in_ones_own(people: Society) -> None:
    _, _, one = opened(people)
    _, _, other = opened(people)
    one.open_account("vault", nouns.ACCOUNT_TYPE_ASSET)
    recorded = one.post("vault", "sales", 5, "k").transaction

    assert refusal_of(lambda: other.balance("vault")).reason == "ACCOUNT_NOT_FOUND"
    assert refusal_of(lambda: other.post("vault", "sales", 1)).reason == "ACCOUNT_NOT_FOUND"
    assert refusal_of(lambda: other.transaction("k")).reason == "TRANSACTION_NOT_FOUND"
    assert refusal_of(lambda: other.reverse("k")).reason == "TRANSACTION_NOT_FOUND"
    assert refusal_of(lambda: other.transaction(recorded.sequence)).reason == "TRANSACTION_NOT_FOUND"
    assert other.walk() == []


@pytest.mark.criterion("S000-8")
def test_a_page_token_of_another_ledger_opens_nothing(people: Society) -> None:
    foreign, _, clerk = opened(people)
    _, _, other = opened(people)
    request = pb.ListTransactionsRequest(ledger=foreign, page_size=1)
    clerk.post("cash", "sales", 1)
    clerk.post("cash", "sales", 1)
    request.page_token = clerk.page(page_size=1).next_page_token

    assert refusal_of(lambda: other.server.ledgers.ListTransactions(request)).reason == "LEDGER_NOT_FOUND"
    request.page_token = page_token(request, 10, 10)
    assert refusal_of(lambda: other.server.ledgers.ListTransactions(request)).reason == "LEDGER_NOT_FOUND"


@pytest.mark.criterion("S000-29", "S001-7")
def test_a_batch_in_a_ledger_of_another_is_refused_whole(people: Society, shared_database: Database) -> None:
    foreign, _, _ = opened(people)
    _, _, other = opened(people)
    before = rows(shared_database)
    post = pb.PostOperation(entries=lines("cash", "sales", 1))
    request = pb.PostBatchRequest(ledger=foreign, operations=[pb.Operation(post=post)] * 5)

    assert refusal_of(lambda: other.server.ledgers.PostBatch(request)).reason == "LEDGER_NOT_FOUND"

    assert rows(shared_database) == before


# members over the wire ----------------------------------------------------------------------------


@pytest.mark.criterion("S000-7")
def test_members_are_added_changed_listed_and_removed(people: Society) -> None:
    ledger, admin = people.ledger()

    added = admin.add(ledger, "jwt:bob", Role.READER, Role.POSTER, prefixes=["shop:2", "shop:1"])
    again = admin.add(ledger, "jwt:bob", Role.POSTER, Role.READER, prefixes=["shop:1", "shop:2"])
    changed = admin.add(ledger, "jwt:bob", Role.READER, version=added.member.version)
    listed = admin.members.ListMembers(members_pb.ListMembersRequest(ledger=ledger))
    ended = admin.remove(ledger, "jwt:bob")
    left = admin.members.ListMembers(members_pb.ListMembersRequest(ledger=ledger))

    assert list(added.member.roles) == [members_pb.ROLE_READER, members_pb.ROLE_POSTER]
    assert list(added.member.account_prefixes) == ["shop:1", "shop:2"]
    assert added.member.created_by == admin.principal
    assert (added.member.version, added.replayed) == (1, False)
    assert (again.member, again.hash, again.replayed) == (added.member, added.hash, True)
    assert (changed.member.version, list(changed.member.account_prefixes)) == (2, [])
    assert list(listed.members) == sorted(
        [admin_member(listed, admin), changed.member], key=lambda member: member.principal.encode()
    )
    assert listed.sequence == changed.member.sequence
    assert ended.sequence == changed.member.sequence + 1
    assert [member.principal for member in left.members] == [admin.principal]


def admin_member(listed: members_pb.ListMembersResponse, admin: Person) -> members_pb.Member:
    """The tenant-admin's own membership: the ledger's second record."""
    (member,) = [member for member in listed.members if member.principal == admin.principal]
    assert (member.sequence, member.version, member.created_by) == (2, 1, f"jwt:{ROOT}")
    assert list(member.roles) == [members_pb.ROLE_TENANT_ADMIN]
    return member


def test_members_come_in_pages_at_one_sequence(people: Society) -> None:
    ledger, admin = people.ledger()
    names = [f"jwt:{number}" for number in range(7)]
    for name in names:
        admin.add(ledger, name, Role.READER)
    request = members_pb.ListMembersRequest(ledger=ledger, page_size=3)
    page = admin.members.ListMembers(request)
    found = [member.principal for member in page.members]
    # What happens between two pages is not of the list.
    admin.remove(ledger, "jwt:5")
    admin.add(ledger, "jwt:55", Role.READER)
    while page.next_page_token:
        request.page_token = page.next_page_token
        page = admin.members.ListMembers(request)
        found += [member.principal for member in page.members]

    assert found == sorted([admin.principal, *names], key=str.encode)


@pytest.mark.parametrize(
    ("fields", "violated"),
    [
        ({"principal": ""}, "principal"),
        ({"principal": "a\n"}, "principal"),
        ({"principal": "x" * 256}, "principal"),
        ({"roles": []}, "roles"),
        ({"roles": [members_pb.ROLE_UNSPECIFIED]}, "roles[0]"),
        ({"roles": [8]}, "roles[0]"),
        ({"roles": [members_pb.ROLE_READER] * 2}, "roles"),
        ({"roles": [members_pb.ROLE_TENANT_ADMIN, members_pb.ROLE_POSTER]}, "roles"),
        ({"roles": [members_pb.ROLE_AUDITOR], "account_prefixes": ["shop"]}, "roles"),
        ({"account_prefixes": ["a::b"]}, "account_prefixes[0]"),
        ({"account_prefixes": ["a", "a"]}, "account_prefixes"),
        ({"account_prefixes": [f"a{number}" for number in range(101)]}, "account_prefixes"),
        ({"version": -1}, "version"),
    ],
)
def test_a_malformed_membership_is_refused(people: Society, fields: dict[str, Any], violated: str) -> None:
    ledger, admin = people.ledger()
    given = {"principal": "jwt:bob", "roles": [members_pb.ROLE_READER], **fields}

    told = refusal_of(lambda: admin.members.AddMember(members_pb.AddMemberRequest(ledger=ledger, **given)))

    assert told.reason == "VALIDATION_FAILED"
    assert told.message.startswith(f"{violated}:")


def test_a_hundred_prefixes_are_held(people: Society) -> None:
    ledger, admin = people.ledger()

    added = admin.add(ledger, "jwt:bob", Role.READER, prefixes=[f"a{number}" for number in range(100)])

    assert len(added.member.account_prefixes) == 100


@pytest.mark.criterion("S000-7")
def test_a_removed_member_is_out_at_once_where_it_was_removed(people: Society) -> None:
    ledger, admin, clerk = opened(people)
    for number in range(20):
        assert clerk.balance("cash") == 0
        admin.remove(ledger, person_of(clerk).principal)
        assert refusal_of(lambda: clerk.balance("cash")).reason == "LEDGER_NOT_FOUND", number
        admin.add(ledger, person_of(clerk).principal, *CHART)


def test_a_removed_member_is_out_within_a_second_elsewhere(people: Society) -> None:
    ledger, admin, clerk = opened(people)
    with another_server(people) as server:
        name = person_of(clerk).principal.removeprefix("jwt:")
        elsewhere = Teller(people.person(name, server), ledger)
        assert elsewhere.balance("cash") == 0
        admin.remove(ledger, person_of(clerk).principal)

        told = settled(lambda: elsewhere.balance("cash"))

    assert told.reason == "LEDGER_NOT_FOUND"


def settled(call: Callable[[], object]) -> Refused:
    """How the call is refused at last; fails where it still is not a second after a change."""
    deadline = time.monotonic() + REMEMBERED_S + 1.0
    while True:
        answer = answer_of(call)
        if isinstance(answer, Refused):
            return answer
        assert time.monotonic() < deadline, f"still answered {answer}"


# creating ledgers ---------------------------------------------------------------------------------


def test_a_ledger_begins_with_its_tenant_admin(people: Society) -> None:
    root = people.person(ROOT)
    request = admin_pb.CreateLedgerRequest(name="begun", description="d", tenant_admin="jwt:ann")

    created = root.admin.CreateLedger(request)
    again = root.admin.CreateLedger(request)

    assert created.ledger.sequence == 1
    assert (again.ledger.hash, again.replayed) == (created.ledger.hash, True)
    ann = people.person("ann").admin.GetLedger(admin_pb.GetLedgerRequest(name="begun"))
    assert ann.ledger.sequence == 2
    for other in ("jwt:eve", "jwt:ann "):
        request.tenant_admin = other
        refused = refusal_of(lambda: root.admin.CreateLedger(request))
        assert refused.reason in ("LEDGER_ALREADY_EXISTS", "VALIDATION_FAILED")
        assert refused.facts.get("differing_fields", "tenant_admin") == "tenant_admin"


def test_where_callers_are_known_a_ledger_has_a_tenant_admin(people: Society) -> None:
    told = refusal_of(
        lambda: people.person(ROOT).admin.CreateLedger(admin_pb.CreateLedgerRequest(name="masterless"))
    )

    assert (told.reason, told.message) == ("VALIDATION_FAILED", "tenant_admin: must be given")


def test_a_ledger_of_an_open_service_needs_none_and_may_have_one(teller: Teller) -> None:
    name = f"{teller.ledger}:with"
    request = admin_pb.CreateLedgerRequest(name=name, tenant_admin="dns:ops.example")

    created = teller.server.admin.CreateLedger(request)
    again = teller.server.admin.CreateLedger(request)

    assert not created.replayed
    assert again.replayed
    assert Teller(teller.server, name).head() == 2
    assert (
        refusal_of(lambda: teller.server.admin.CreateLedger(admin_pb.CreateLedgerRequest(name=name))).facts[
            "differing_fields"
        ]
        == "tenant_admin"
    )
