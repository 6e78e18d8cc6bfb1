"""Members and audit events: values, the calls that ask for them, and how they are read."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from ledger.v1 import audit_service_pb2 as audit_pb
from ledger.v1 import member_service_pb2 as pb

from ledger_client import asks, reading
from ledger_client.asks import Ask
from ledger_client.drafts import timestamp


class Role(IntEnum):
    """What a member may, as the contract numbers them."""

    READER = 1
    POSTER = 2
    REVERSER = 3
    FORCE_REVERSER = 4
    ACCOUNTANT = 5
    AUDITOR = 6
    TENANT_ADMIN = 7


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a ledger; no prefixes mean every account. `version` is wanted to change it."""

    principal: str
    roles: frozenset[Role]
    account_prefixes: tuple[str, ...]
    version: int
    sequence: int
    record_time: datetime
    created_by: str


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """What somebody did, or was not let do (`refused` is the reason), so many times."""

    ledger: str
    occurred_at: datetime
    actor: str
    means: str
    peer: str
    action: str
    subject: str
    sequence: int
    count: int
    refused: str


def add_member(
    ledger: str, principal: str, roles: Iterable[Role], account_prefixes: Iterable[str], version: int
) -> Ask[Member]:
    """MemberService.AddMember."""
    request = pb.AddMemberRequest(
        ledger=ledger,
        principal=principal,
        roles=[pb.Role.ValueType(Role(role)) for role in roles],
        account_prefixes=account_prefixes,
        version=version,
    )
    return Ask(
        "members",
        "AddMember",
        request,
        lambda answer: _member(answer.member),
        ledger,
        lambda answer: answer.member.sequence,
    )


def remove_member(ledger: str, principal: str, version: int) -> Ask[int]:
    """MemberService.RemoveMember."""
    request = pb.RemoveMemberRequest(ledger=ledger, principal=principal, version=version)
    return Ask("members", "RemoveMember", request, lambda answer: int(answer.sequence), ledger)


def list_members(ledger: str) -> Ask[Iterable[Member]]:
    """MemberService.ListMembers."""
    request = pb.ListMembersRequest(ledger=ledger, page_size=asks.PAGE_SIZE)
    return Ask("members", "ListMembers", request, lambda page: map(_member, page.members), ledger)


def list_audit_events(
    ledger: str, actor: str, since: datetime | None, until: datetime | None
) -> Ask[Iterable[AuditEvent]]:
    """AuditService.ListAuditEvents."""
    request = audit_pb.ListAuditEventsRequest(
        ledger=ledger,
        actor=actor,
        since=None if since is None else timestamp(since),
        until=None if until is None else timestamp(until),
        page_size=asks.PAGE_SIZE,
    )
    return Ask("audits", "ListAuditEvents", request, lambda page: map(_audit_event, page.events))


def _member(message: pb.Member) -> Member:
    return Member(
        message.principal,
        frozenset(Role(role) for role in message.roles),
        tuple(message.account_prefixes),
        message.version,
        message.sequence,
        reading.moment(message.record_time),
        message.created_by,
    )


def _audit_event(message: audit_pb.AuditEvent) -> AuditEvent:
    return AuditEvent(
        message.ledger,
        reading.moment(message.occurred_at),
        message.actor,
        message.means,
        message.peer,
        message.action,
        message.subject,
        message.sequence,
        message.count,
        message.refused,
    )
