"""Deciding memberships: replays, versions, the last tenant-admin, and duties that stay apart."""

from __future__ import annotations

from typing import Any

import pytest
from builders import PaperBooks, member_draft

from ledger_server.domain.decisions import Recorded
from ledger_server.domain.members import MemberDraft, MemberVersion, Role, roles_fault
from ledger_server.domain.permissions import (
    GRANTS,
    OF_THE_PLATFORM,
    Access,
    Permission,
    permissions_of,
    roles_with,
)
from ledger_server.domain.refusals import (
    LastTenantAdmin,
    MemberAlreadyExists,
    MemberNotFound,
    Refusal,
    VersionMismatch,
)

ANN = member_draft("ann", Role.TENANT_ADMIN)


@pytest.fixture
def paper() -> PaperBooks:
    """Books with one tenant-admin, ann."""
    paper = PaperBooks()
    paper.recorded(ANN)
    return paper


def member(paper: PaperBooks, draft: MemberDraft) -> MemberVersion:
    """The member of a draft that is recorded anew."""
    (decision,) = paper.decide(draft)
    assert isinstance(decision, Recorded), decision
    assert not decision.replayed
    assert isinstance(decision.record, MemberVersion)
    return decision.record


def refused(paper: PaperBooks, draft: MemberDraft, kind: type[Refusal]) -> dict[str, str]:
    """The facts of a refusal that leaves the books as they were."""
    before = paper.snapshot()
    (decision,) = paper.decide(draft)
    assert type(decision) is kind, decision
    assert isinstance(decision, Refusal)
    before[-1].setdefault(draft.principal, None)
    assert paper.snapshot() == before
    return decision.facts


@pytest.mark.criterion("S000-7")
def test_a_membership_is_a_record_that_moves_the_head(paper: PaperBooks) -> None:
    before = paper.books.head

    bob = member(paper, member_draft("bob", Role.POSTER, Role.READER, prefixes=["shop:2", "shop:1"]))

    assert (bob.version, bob.sequence) == (1, before.sequence + 1)
    assert bob.roles == (Role.READER, Role.POSTER)
    assert bob.account_prefixes == ("shop:1", "shop:2")
    assert paper.books.head.sequence == bob.sequence
    assert paper.books.head.hash == bob.hash != before.hash


def test_what_is_so_already_is_a_replay_whatever_version_is_given(paper: PaperBooks) -> None:
    bob = member(paper, member_draft("bob", Role.POSTER))
    before = paper.snapshot()

    for version in (0, 1, 7):
        assert paper.decide(member_draft("bob", Role.POSTER, version=version)) == [Recorded(bob, True)]

    assert paper.snapshot() == before


def test_a_change_needs_the_version_that_is_there(paper: PaperBooks) -> None:
    member(paper, member_draft("bob", Role.POSTER))

    wider = member_draft("bob", Role.READER, prefixes=["shop"])
    assert refused(paper, wider, MemberAlreadyExists) == {
        "principal": "bob",
        "differing_fields": "roles,account_prefixes",
        "version": "1",
    }
    late = member_draft("bob", Role.READER, version=2)
    assert refused(paper, late, VersionMismatch) == {"principal": "bob", "version": "1"}
    changed = member(paper, member_draft("bob", Role.READER, version=1))

    assert (changed.version, changed.roles) == (2, (Role.READER,))


def test_who_is_no_member_has_no_version(paper: PaperBooks) -> None:
    nobody = member_draft("bob", Role.POSTER, version=1)

    assert refused(paper, nobody, VersionMismatch) == {"principal": "bob", "version": "0"}


def test_a_membership_ends_and_begins_again(paper: PaperBooks) -> None:
    member(paper, member_draft("bob", Role.POSTER, prefixes=["shop"]))

    ended = member(paper, member_draft("bob"))
    assert (ended.version, ended.roles, ended.account_prefixes) == (2, (), ())
    assert not ended.is_present
    assert refused(paper, member_draft("bob"), MemberNotFound) == {"principal": "bob"}
    again = member(paper, member_draft("bob", Role.POSTER))

    assert (again.version, again.is_present) == (3, True)


def test_an_end_of_another_version_is_refused(paper: PaperBooks) -> None:
    member(paper, member_draft("bob", Role.POSTER))

    assert refused(paper, member_draft("bob", version=2), VersionMismatch)["version"] == "1"
    assert not member(paper, member_draft("bob", version=1)).is_present


def test_who_never_was_a_member_cannot_be_removed(paper: PaperBooks) -> None:
    refused(paper, member_draft("nobody"), MemberNotFound)


@pytest.mark.parametrize("change", [member_draft("ann"), member_draft("ann", Role.READER, version=1)])
def test_the_last_tenant_admin_stays(paper: PaperBooks, change: MemberDraft) -> None:
    assert refused(paper, change, LastTenantAdmin) == {"principal": "ann"}

    member(paper, member_draft("eve", Role.TENANT_ADMIN))
    member(paper, change)

    refused(paper, member_draft("eve"), LastTenantAdmin)


def test_an_atomic_group_that_would_remove_both_tenant_admins_removes_none(paper: PaperBooks) -> None:
    member(paper, member_draft("eve", Role.TENANT_ADMIN))
    before = paper.snapshot()

    decisions = paper.decide(member_draft("ann"), member_draft("eve"), atomic=True)

    assert isinstance(decisions[1], LastTenantAdmin)
    assert paper.snapshot() == before


def test_a_batch_sees_the_members_of_the_batch_before(paper: PaperBooks) -> None:
    member(paper, member_draft("bob", Role.POSTER))
    paper.books.start_batch((), ())
    # What was read before this batch is gone; what the last one recorded is not.
    assert paper.decide(member_draft("bob", Role.POSTER))[0].replayed  # type: ignore[union-attr]

    paper.books.start_batch((), ())
    paper.books.start_batch((), ())

    assert "bob" not in paper.books.members


# roles and permissions --------------------------------------------------------------------------


@pytest.mark.parametrize("posting", [Role.POSTER, Role.REVERSER, Role.FORCE_REVERSER])
def test_who_grants_cannot_post(posting: Role) -> None:
    assert posting.name in (roles_fault((posting, Role.TENANT_ADMIN), ()) or "")
    assert roles_fault((posting, Role.AUDITOR, Role.ACCOUNTANT), ()) is None


@pytest.mark.parametrize("role", list(Role))
def test_who_sees_the_whole_ledger_is_not_narrowed(role: Role) -> None:
    fault = roles_fault((role,), ("shop",))

    assert (fault is not None) is (role in (Role.AUDITOR, Role.TENANT_ADMIN))
    assert roles_fault((role,), ()) is None


def test_no_roles_are_no_membership() -> None:
    assert roles_fault((), ()) is not None


def test_every_permission_is_somebodys_and_no_role_has_the_platforms() -> None:
    for permission in Permission:
        assert roles_with(permission)
    assert permissions_of(Role) == frozenset(Permission) - OF_THE_PLATFORM
    assert permissions_of(()) == frozenset()


def test_neither_the_tenant_admin_nor_the_auditor_writes_entries() -> None:
    for role in (Role.TENANT_ADMIN, Role.AUDITOR, Role.READER, Role.ACCOUNTANT):
        assert not GRANTS[role] & {Permission.POST, Permission.REVERSE, Permission.FORCE_REVERSE}


@pytest.mark.parametrize(
    ("prefixes", "account", "is_covered"),
    [
        ((), "anything:at:all", True),
        (("customers:42",), "customers:42", True),
        (("customers:42",), "customers:42:credit", True),
        (("customers:42",), "customers:421", False),
        (("customers:42",), "customers", False),
        (("customers:42",), "customers:4", False),
        (("customers:42", "shop"), "shop:till", True),
        (("customers:42", "shop"), "shops", False),
    ],
)
def test_a_prefix_covers_its_account_and_those_below(
    prefixes: tuple[str, ...], account: str, is_covered: bool
) -> None:
    access = Access(frozenset(Permission), prefixes)

    assert access.covers(account) is is_covered
    assert access.covers_all_below(account) is is_covered


def test_the_path_of_all_accounts_is_covered_by_no_prefix() -> None:
    assert Access(frozenset()).covers_all_below("")
    assert not Access(frozenset(), ("shop",)).covers_all_below("")


def test_a_member_draft_has_one_hash_whoever_decides_it(paper: PaperBooks) -> None:
    other = PaperBooks()
    other.recorded(ANN)
    draft: Any = member_draft("bob", Role.POSTER, prefixes=["a", "b"])

    assert member(paper, draft) == member(other, draft)
    assert (
        member(paper, member_draft("kim", Role.POSTER)).hash
        != member(other, member_draft("kim", Role.READER)).hash
    )
