"""Deciding what adds members, changes their roles and removes them.

The principal is the draft's idempotency key, and the version guards a change: two
administrators who change the same membership do not undo each other unseen.
"""

from __future__ import annotations

from ledger_server.domain import chain
from ledger_server.domain.accounts import Head
from ledger_server.domain.books import Books
from ledger_server.domain.decisions import Decision, Moment, Recorded
from ledger_server.domain.members import MemberDraft, MemberVersion, Role
from ledger_server.domain.refusals import (
    LastTenantAdmin,
    MemberAlreadyExists,
    MemberNotFound,
    Refusal,
    VersionMismatch,
)


def decide_member(draft: MemberDraft, books: Books, moment: Moment) -> Decision:
    """Adds, changes or ends a membership, or answers the one that is so already.

    A change needs the present version, an addition 0; an end takes either.
    """
    newest = books.members[draft.principal]
    present = newest if newest is not None and newest.is_present else None
    if not draft.roles and present is None:
        return MemberNotFound(
            f"{draft.principal!r} is no member of ledger {books.ledger!r}", principal=draft.principal
        )
    if present is not None and draft.roles:
        differing = _differences(draft, present)
        if not differing:
            return Recorded(present, True)
        if not draft.version:
            return MemberAlreadyExists(
                f"{draft.principal!r} is a member with other {' and '.join(differing)}; to change them"
                f" give the membership's version, {present.version}",
                principal=draft.principal,
                differing_fields=",".join(differing),
                version=present.version,
            )
    refusal = _version_refusal(draft, present) or _last_admin_refusal(draft, present, books)
    if refusal is not None:
        return refusal
    version = 1 if newest is None else newest.version + 1
    record = first_or_next(draft, version, books.framed, books.head, moment.record_time)
    books.put(books.members, draft.principal, record)
    books.head = Head(record.sequence, record.hash, moment.record_time, books.head.epoch)
    return Recorded(record, False)


def first_or_next(
    draft: MemberDraft, version: int, ledger_framed: bytes, head: Head, record_time: int
) -> MemberVersion:
    """The record that follows the head."""
    sequence = head.sequence + 1
    record_hash = chain.record_hash(
        ledger_framed,
        sequence,
        head.hash,
        chain.member_canonical(
            record_time, draft.created_by, draft.principal, version, draft.roles, draft.account_prefixes
        ),
    )
    return MemberVersion(
        draft.principal,
        version,
        draft.roles,
        draft.account_prefixes,
        sequence,
        record_time,
        draft.created_by,
        record_hash,
    )


def _differences(draft: MemberDraft, present: MemberVersion) -> list[str]:
    differing = []
    if draft.roles != present.roles:
        differing.append("roles")
    if draft.account_prefixes != present.account_prefixes:
        differing.append("account_prefixes")
    return differing


def _version_refusal(draft: MemberDraft, present: MemberVersion | None) -> Refusal | None:
    standing = present.version if present is not None else 0
    is_right = draft.version == standing or (not draft.roles and not draft.version)
    if is_right:
        return None
    return VersionMismatch(
        f"the membership of {draft.principal!r} is at version {standing}, not {draft.version};"
        " look at it again, then ask for the change that is still wanted",
        principal=draft.principal,
        version=standing,
    )


def _last_admin_refusal(draft: MemberDraft, present: MemberVersion | None, books: Books) -> Refusal | None:
    """A ledger that has a tenant-admin keeps one."""
    if present is None or Role.TENANT_ADMIN not in present.roles or Role.TENANT_ADMIN in draft.roles:
        return None
    others = (
        member
        for member in books.members.values()
        if member is not None and member.principal != draft.principal
    )
    if any(Role.TENANT_ADMIN in member.roles for member in others):
        return None
    return LastTenantAdmin(
        f"{draft.principal!r} is the last tenant-admin of ledger {books.ledger!r}; add another one first",
        principal=draft.principal,
    )
