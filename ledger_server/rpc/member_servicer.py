"""MemberService: read, do, write."""

from __future__ import annotations

import grpc
from ledger.v1 import member_service_pb2 as pb
from ledger.v1 import member_service_pb2_grpc

from ledger_server.domain import names
from ledger_server.domain.members import ACCOUNT_PREFIXES_MAX, MemberDraft, Role, roles_fault
from ledger_server.rpc import limits, responses
from ledger_server.rpc.answering import answering, caller
from ledger_server.rpc.door import OPEN_DOOR, Door
from ledger_server.rpc.page_tokens import page_token, position
from ledger_server.rpc.requests import Form
from ledger_server.service.ledger import Ledgers

_ROLES = frozenset(int(role) for role in Role)


class MemberServicer(member_service_pb2_grpc.MemberServiceServicer):
    """Who may do what in a ledger, over the wire."""

    def __init__(self, ledgers: Ledgers, door: Door = OPEN_DOOR) -> None:
        self._ledgers = ledgers
        self.door = door

    @answering
    def AddMember(self, request: pb.AddMemberRequest, context: grpc.ServicerContext) -> pb.AddMemberResponse:
        """Adds a member, or changes its roles."""
        form = Form()
        ledger = form.ledger(request.ledger)
        principal = _principal(request, form)
        prefixes = _prefixes(request, form)
        roles = _roles(request, prefixes, form)
        version = _version(request, form)
        form.judge()
        by = caller(context)
        draft = MemberDraft(principal, roles, prefixes, version, by.principal)
        member, replayed = self._ledgers.change_member(ledger, draft, by)
        return pb.AddMemberResponse(member=responses.member(member), hash=member.hash, replayed=replayed)

    @answering
    def RemoveMember(
        self, request: pb.RemoveMemberRequest, context: grpc.ServicerContext
    ) -> pb.RemoveMemberResponse:
        """Ends a membership."""
        form = Form()
        ledger = form.ledger(request.ledger)
        principal = _principal(request, form)
        version = _version(request, form)
        form.judge()
        by = caller(context)
        draft = MemberDraft(principal, (), (), version, by.principal)
        ended, _ = self._ledgers.change_member(ledger, draft, by)
        return pb.RemoveMemberResponse(sequence=ended.sequence, hash=ended.hash)

    @answering
    def ListMembers(
        self, request: pb.ListMembersRequest, context: grpc.ServicerContext
    ) -> pb.ListMembersResponse:
        """Lists members by principal."""
        form = Form()
        ledger = form.ledger(request.ledger)
        count = form.page_size(request.page_size)
        min_sequence = form.sequence(request.min_sequence, "min_sequence")
        form.judge()
        at, after = position(request, int, str) or (None, "")
        found, has_more, at = self._ledgers.reads.member_page(
            ledger, after=after, at=at, count=count, min_sequence=min_sequence
        )
        answer = pb.ListMembersResponse(sequence=at)
        size_bytes = 0
        for member in found:
            message = responses.member(member)
            size_bytes += message.ByteSize() + 8
            if size_bytes > limits.PAGE_BYTES_MAX and answer.members:
                has_more = True
                break
            answer.members.append(message)
        if has_more:
            answer.next_page_token = page_token(request, at, answer.members[-1].principal)
        return answer


def _principal(request: pb.AddMemberRequest | pb.RemoveMemberRequest, form: Form) -> str:
    form.fault("principal", names.principal_fault(request.principal))
    return request.principal


def _version(request: pb.AddMemberRequest | pb.RemoveMemberRequest, form: Form) -> int:
    if request.version < 0:
        form.fault("version", f"is {request.version}; a version is not negative")
    return request.version


def _prefixes(request: pb.AddMemberRequest, form: Form) -> tuple[str, ...]:
    """The prefixes, in bytewise order."""
    given = request.account_prefixes
    if len(given) > ACCOUNT_PREFIXES_MAX:
        form.fault("account_prefixes", f"has {len(given)}; at most {ACCOUNT_PREFIXES_MAX} are allowed")
        return ()
    for index, prefix in enumerate(given):
        form.account(prefix, f"account_prefixes[{index}]")
    if len(set(given)) < len(given):
        form.fault("account_prefixes", "names one twice")
    return tuple(sorted(given, key=str.encode))


def _roles(request: pb.AddMemberRequest, prefixes: tuple[str, ...], form: Form) -> tuple[Role, ...]:
    """The roles, in order of number."""
    given = list(request.roles)
    if len(given) > len(_ROLES):
        form.fault("roles", f"has {len(given)}; there are {len(_ROLES)}")
        return ()
    before = len(form.violations)
    for index, role in enumerate(given):
        if int(role) not in _ROLES:
            form.fault(f"roles[{index}]", f"{int(role)} is no Role that can be held")
    if len(set(given)) < len(given):
        form.fault("roles", "names one twice")
    if len(form.violations) > before:
        return ()
    roles = tuple(sorted(Role(role) for role in given))
    form.fault("roles", roles_fault(roles, prefixes))
    return roles
