"""Members through the lane: lost commits are resolved, races have one winner, neighbours are untouched."""

from __future__ import annotations

import threading
from collections.abc import Callable

import psycopg
from callers import Teller, together, unsound
from clusters import Database
from faults import Faulty, until
from ledger.v1 import member_service_pb2 as pb
from ledger.v1 import member_service_pb2_grpc
from serving import Serving

from ledger_server.domain.members import Role


def members_of(server: Serving) -> member_service_pb2_grpc.MemberServiceStub:
    """The service's stub."""
    return member_service_pb2_grpc.MemberServiceStub(server.channel)


def adding(ledger: str, principal: str, *roles: int, version: int = 0) -> pb.AddMemberRequest:
    """A request."""
    return pb.AddMemberRequest(ledger=ledger, principal=principal, roles=roles, version=version)  # type: ignore[arg-type]


PLACES = ["before_begin", "after_head", "before_commit", "commit_sent", "after_commit"]


def test_a_member_whose_session_is_ended_anywhere_on_the_path_is_added_once(faulty: Faulty) -> None:
    for place in PLACES:
        teller = Teller.open(faulty.server)
        head = teller.head()
        faulty.end_the_next_lane_holder_at(place)

        added = members_of(faulty.server).AddMember(adding(teller.ledger, "bob", Role.READER), timeout=60)

        assert (added.member.sequence, added.replayed) == (head + 1, False), place
        assert teller.head() == head + 1, place
        assert unsound(faulty.database.owner_url, teller.ledger) == [], place


def test_a_member_whose_commit_was_not_answered_is_found_and_answered(faulty: Faulty) -> None:
    teller = Teller.open(faulty.server)
    head = teller.head()
    cut: list[int] = []

    def deafen() -> None:
        holder = faulty.lane_holder()
        faulty.proxy.deafen(holder)
        threading.Thread(target=wait_and_cut, args=[holder], name="cutting").start()

    def wait_and_cut(holder: int) -> None:
        with psycopg.connect(faulty.database.owner_url, autocommit=True) as eyes:
            until(lambda: eyes.execute("select from ledger.members").rowcount == 1, "committed")
        cut.append(holder)
        faulty.proxy.cut(holder)

    faulty.failpoints.once("before_commit", deafen)

    added = members_of(faulty.server).AddMember(adding(teller.ledger, "bob", Role.READER), timeout=60)

    assert len(cut) == 1
    # Not a replay: its own record was found under the lane lock.
    assert (added.member.sequence, added.replayed) == (head + 1, False)
    assert teller.head() == head + 1
    events = faulty.admin.execute("select count(*) from ledger.audit_events where action = 'MEMBER_ADDED'")
    assert events.fetchone() == (1,)


def test_members_added_together_with_posts_are_all_there(teller: Teller, shared_database: Database) -> None:
    members = members_of(teller.server)

    def add(number: int) -> Callable[[], object]:
        return lambda: members.AddMember(adding(teller.ledger, f"p{number}", Role.READER), timeout=60)

    def post(number: int) -> Callable[[], object]:
        return lambda: teller.post("cash", "sales", 1, f"k{number}")

    calls = [call(number) for number in range(20) for call in (add, post)]
    head = teller.head()

    together(calls)

    listed = members.ListMembers(pb.ListMembersRequest(ledger=teller.ledger, page_size=100)).members
    assert sorted(member.principal for member in listed) == sorted(f"p{number}" for number in range(20))
    assert teller.head() == head + 40
    assert unsound(shared_database.owner_url, teller.ledger) == []


def test_of_many_who_change_a_membership_at_once_one_wins(teller: Teller) -> None:
    members = members_of(teller.server)
    members.AddMember(adding(teller.ledger, "bob", Role.READER))
    roles = [(1, 2), (1, 3), (1, 4), (1, 5), (2, 3), (2, 4), (2, 5), (3, 4)]

    answers = together(
        [
            lambda some=some: members.AddMember(adding(teller.ledger, "bob", *some, version=1), timeout=60)
            for some in roles
        ]
    )

    won = [answer for answer in answers if isinstance(answer, pb.AddMemberResponse)]
    assert len(won) == 1
    (bob,) = members.ListMembers(pb.ListMembersRequest(ledger=teller.ledger)).members
    assert bob == won[0].member
    assert bob.version == 2


def test_the_last_two_tenant_admins_cannot_both_go_at_once(teller: Teller) -> None:
    members = members_of(teller.server)
    for _ in range(10):
        for name in ("ann", "eve"):
            members.AddMember(adding(teller.ledger, name, Role.TENANT_ADMIN))

        answers = together(
            [
                lambda name=name: members.RemoveMember(
                    pb.RemoveMemberRequest(ledger=teller.ledger, principal=name), timeout=60
                )
                for name in ("ann", "eve")
            ]
        )

        assert [isinstance(answer, pb.RemoveMemberResponse) for answer in answers].count(True) == 1
